// One subscriber's place in one session's log: every seq once, in order.

export type CursorVerdict = 'next' | 'duplicate' | 'gap';

export class Cursor {
  private last: number;

  constructor(since: number) {
    this.last = since;
  }

  get seq(): number {
    return this.last;
  }

  // Goes on after a stretch that cannot be read. It never goes back.
  skipTo(seq: number): void {
    this.last = Math.max(this.last, seq);
  }

  // Judges an arriving seq, and moves on only if it is the next one.
  accept(seq: number): CursorVerdict {
    if (seq <= this.last) return 'duplicate';
    if (seq !== this.last + 1) return 'gap';
    this.last = seq;
    return 'next';
  }
}
