import type { Chunk } from '../../session/output';
import { Cleaner } from '../../lib/clean';
import { LinePrefixer } from '../../lib/linePrefix';

// Turns chunks into text for the terminal: one step's text, or all steps' with
// their name before each line, and a rule between attempts. A step shown alone
// may move within its line; beside others it has only colours, so that it
// cannot overwrite their names.
export class TerminalFeed {
  private readonly before = new Map<string, { attempt: number; endsLine: boolean; cleaner: Cleaner }>();
  private readonly prefixer: LinePrefixer | null;

  constructor(single: boolean, labelWidth: number, columns?: () => number) {
    this.prefixer = !single ? new LinePrefixer(labelWidth, columns) : null;
  }

  // The unfinished lines of steps that print nothing more.
  ended(isOver: (key: string) => boolean): string {
    const { prefixer } = this;
    return prefixer === null ? '' : prefixer.hidden.filter(isOver).map((key) => prefixer.end(key)).join('');
  }

  render(chunk: Chunk): string {
    const before = this.before.get(chunk.key);
    const cleaner = before?.attempt === chunk.attempt ? before.cleaner : new Cleaner(this.prefixer === null ? 'line' : 'colours');
    let text = cleaner.add(chunk.text);
    this.before.set(chunk.key, { attempt: chunk.attempt, endsLine: text === '' ? (before?.endsLine ?? true) : text.endsWith('\n'), cleaner });
    if (before !== undefined && before.attempt !== chunk.attempt) {
      text = `\u001b[0m${before.endsLine ? '' : '\n'}\u001b[2m── attempt ${chunk.attempt} ──\u001b[0m\n${text}`;
    }
    return this.prefixer === null ? text : this.prefixer.add(chunk.key, chunk.stepId, text);
  }
}

export const MAX_PENDING_CHARS = 8_000_000;
export const BATCH_CHARS = 256_000;

// Chunks waiting for the terminal, bounded: a terminal that is behind by more
// than its scrollback gets only the newest part.
export class PendingChunks {
  private chunks: Chunk[] = [];
  private first = 0;
  private chars = 0;
  skipped = false;

  push(chunk: Chunk): void {
    this.chunks.push(chunk);
    this.chars += chunk.text.length;
    while (this.chars > MAX_PENDING_CHARS && this.chunks.length - this.first > 1) {
      this.shift();
      this.skipped = true;
    }
  }

  // The next few, oldest first: enough for one write.
  take(): Chunk[] {
    const batch: Chunk[] = [];
    for (let chars = 0; chars < BATCH_CHARS && !this.empty; ) {
      const chunk = this.shift();
      if (chunk === undefined) break;
      chars += chunk.text.length;
      batch.push(chunk);
    }
    return batch;
  }

  get empty(): boolean {
    return this.first >= this.chunks.length;
  }

  private shift(): Chunk | undefined {
    const chunk = this.chunks[this.first++];
    this.chars -= chunk?.text.length ?? 0;
    if (this.first > 1_024 && this.first * 2 > this.chunks.length) {
      this.chunks = this.chunks.slice(this.first);
      this.first = 0;
    }
    return chunk;
  }
}

// The terminal pauses between writes, never within one; so no write is long.
export const WRITE_CHARS = 16_384;

export function* slices(text: string): Generator<string> {
  for (let from = 0; from < text.length; ) {
    let to = Math.min(text.length, from + WRITE_CHARS);
    const last = text.charCodeAt(to - 1);
    if (to < text.length && last >= 0xd800 && last <= 0xdbff) to += 1; // keep a surrogate pair together
    yield text.slice(from, to);
    from = to;
  }
}
