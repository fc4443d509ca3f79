import type { Chunk } from '../../session/output';
import { LinePrefixer } from '../../lib/linePrefix';

// Turns chunks into what the terminal is given: the bare text of one step, or
// all steps with their names before each line; and a rule between attempts.
export class TerminalFeed {
  private readonly attempts = new Map<string, number>();
  private readonly prefixer: LinePrefixer | null;

  constructor(
    private readonly only: string | null,
    labelWidth: number,
  ) {
    this.prefixer = only === null ? new LinePrefixer(labelWidth) : null;
  }

  render(chunk: Chunk): string {
    if (this.only !== null && chunk.key !== this.only) return '';
    const before = this.attempts.get(chunk.key);
    this.attempts.set(chunk.key, chunk.attempt);
    let text = chunk.text;
    if (before !== undefined && before !== chunk.attempt) text = `\u001b[0m\r\n\u001b[2m── attempt ${chunk.attempt} ──\u001b[0m\r\n${text}`;
    return this.prefixer === null ? text : this.prefixer.add(chunk.key, chunk.stepId, text);
  }
}

export const MAX_PENDING_CHARS = 8_000_000;

// Text waiting for the terminal, bounded: what would scroll out of its
// scrollback unseen is left out from the front, at a line end.
export class PendingText {
  private parts: string[] = [];
  private chars = 0;
  dropped = false;

  push(text: string): void {
    if (text === '') return;
    this.parts.push(text);
    this.chars += text.length;
    if (this.chars <= MAX_PENDING_CHARS) return;
    const all = this.parts.join('');
    const cut = all.indexOf('\n', all.length - MAX_PENDING_CHARS / 2) + 1;
    const kept = all.slice(cut);
    this.parts = [kept];
    this.chars = kept.length;
    this.dropped = true;
  }

  take(): string {
    const all = this.parts.join('');
    this.parts = [];
    this.chars = 0;
    return all;
  }

  get empty(): boolean {
    return this.chars === 0;
  }
}
