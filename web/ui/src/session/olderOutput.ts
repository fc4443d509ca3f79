import { stepKey } from './fold';
import type { Read } from './opening';
import { OutputBuffer } from './output';
import type { Chunk } from './output';

// Output that the page does not hold, read backwards in parts from what it shows.

export const PART_LINES = 40_000; // fewer than the terminal keeps
export const PART_CHARS = 2_000_000;
const FIRST_WINDOW = 16; // seqs
const WINDOW_CHARS = 1_000_000; // a window with less is followed by a wider one

export interface OutputPlace {
  runId: string;
  stepId: string | null; // null: of all steps
  since: number; // the log before has none of it
  until: number; // the last seq of the part
}

export interface OutputPart {
  output: OutputBuffer;
  before: number | null; // the last seq of the part before this one; null when this is the first
}

// The newest part of a place that fits the terminal; at least one chunk.
export async function readPart(read: Read, { runId, stepId, since, until }: OutputPlace): Promise<OutputPart> {
  const found: Chunk[] = []; // the newest first
  let [lines, chars, upTo, width] = [0, 0, until, FIRST_WINDOW];
  while (upTo > since) {
    const from = Math.max(since, upTo - width);
    const window = await readWindow(read, from, upTo);
    for (const chunk of window.reverse()) {
      if (!chunk.key.startsWith(`${runId}/`) || (stepId !== null && chunk.stepId !== stepId)) continue;
      lines += linesIn(chunk.text);
      chars += chunk.text.length;
      if (found.length > 0 && (lines > PART_LINES || chars > PART_CHARS)) return { output: bufferOf(found), before: chunk.seq };
      found.push(chunk);
    }
    if (window.reduce((sum, chunk) => sum + chunk.text.length, 0) < WINDOW_CHARS) width *= 4;
    upTo = from;
  }
  return { output: bufferOf(found), before: null };
}

async function readWindow(read: Read, since: number, until: number): Promise<Chunk[]> {
  const chunks: Chunk[] = [];
  for (let from: number | undefined = since; from !== undefined; ) {
    const page: Awaited<ReturnType<Read>> = await read({ since: from, until, types: ['output'] });
    for (const event of page.events) {
      const { text, attempt } = event.data as { text?: unknown; attempt?: unknown };
      const stepId = event.step_id ?? '';
      if (typeof text === 'string') chunks.push({ seq: event.seq, key: stepKey(event.run_id ?? '', stepId), stepId, attempt: typeof attempt === 'number' ? attempt : 1, text });
    }
    from = page.next_since;
  }
  return chunks;
}

function bufferOf(newestFirst: readonly Chunk[]): OutputBuffer {
  const output = new OutputBuffer();
  for (const chunk of newestFirst.toReversed()) output.append(chunk);
  return output;
}

// The seq before the oldest of these chunks that a terminal with so many lines still shows;
// null if there are none.
export function beforeShown(chunks: readonly Chunk[], terminalLines: number): number | null {
  let lines = 0;
  for (const chunk of chunks.toReversed()) {
    lines += linesIn(chunk.text);
    if (lines > terminalLines) return chunk.seq;
  }
  const [oldest] = chunks;
  return oldest === undefined ? null : oldest.seq - 1;
}

export function linesIn(text: string): number {
  let lines = 0;
  for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) lines += 1;
  return lines;
}
