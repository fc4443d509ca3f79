// The place of one subscriber in one session's log: every seq once, in order.

export type CursorVerdict = 'next' | 'duplicate' | 'gap';

export class Cursor {
  private last: number;

  constructor(since: number) {
    this.last = since;
  }

  get seq(): number {
    return this.last;
  }

  // Goes on after a stretch that cannot be had. It never goes back.
  skipTo(seq: number): void {
    this.last = Math.max(this.last, seq);
  }

  // Says what an arriving seq is, and moves on only when it is the next one.
  accept(seq: number): CursorVerdict {
    if (seq <= this.last) return 'duplicate';
    if (seq !== this.last + 1) return 'gap';
    this.last = seq;
    return 'next';
  }
}
