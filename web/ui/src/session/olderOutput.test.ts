import { expect, it } from 'vitest';
import type { Read } from './opening';
import { beforeShown, PART_CHARS, PART_LINES, readPart } from './olderOutput';
import { eventOf } from './testEvents';

const PAGE = 50;

// A log of output: what each seq prints, by step. It is read a page at a time.
function logOf(events: readonly [step: string, text: string][]): Read {
  return ({ since, until }) => {
    const part = events.slice(since, until).map(([step_id, text], i) => eventOf(since + i + 1, 'output', { text }, { step_id }));
    return Promise.resolve({ events: part.slice(0, PAGE), next_since: part.length > PAGE ? since + PAGE : undefined });
  };
}

async function readAll(read: Read, stepId: string | null, head: number): Promise<{ texts: string[]; parts: number }> {
  const texts: string[] = [];
  let parts = 0;
  for (let until: number | null = head; until !== null; parts++) {
    const part = await readPart(read, { runId: 'r', stepId, since: 0, until });
    const chunks = part.output.chunks(null);
    expect(chunks.length === 1 || chunks.reduce((n, chunk) => n + chunk.text.length, 0) <= PART_CHARS).toBe(true);
    texts.unshift(...chunks.map((chunk) => chunk.text));
    until = part.before;
  }
  return { texts, parts };
}

it.each([
  ['many small chunks', Array.from({ length: 3_000 }, (_, i): [string, string] => ['a', `${i}\n`])],
  ['chunks of many characters', Array.from({ length: 90 }, (_, i): [string, string] => ['a', `${i}`.padEnd(65_000, 'x')])],
  ['chunks of many lines', Array.from({ length: 30 }, (_, i): [string, string] => ['a', `${i}${'\n'.repeat(9_000)}`])],
  ['one chunk of more lines than fit', [['a', '\n'.repeat(PART_LINES + 5)]] as [string, string][]],
  ['no output at all', [] as [string, string][]],
])('%s are read backwards, each once', async (_name, events) => {
  const { texts } = await readAll(logOf(events), null, events.length);
  expect(texts).toEqual(events.map(([, text]) => text));
});

it('the output of one step is found between that of others', async () => {
  const events = Array.from({ length: 5_000 }, (_, i): [string, string] => [i % 500 === 0 ? 'quiet' : 'loud', `${i}\n`]);
  const { texts, parts } = await readAll(logOf(events), 'quiet', events.length);
  expect(texts).toEqual(['0\n', '500\n', '1000\n', '1500\n', '2000\n', '2500\n', '3000\n', '3500\n', '4000\n', '4500\n']);
  expect(parts).toBe(1);
});

it('older is what the terminal has no room for', () => {
  const chunks = [5, 6, 9].map((seq) => ({ seq, key: 'r/a', stepId: 'a', attempt: 1, text: 'x\n'.repeat(10) }));
  expect(beforeShown(chunks, 30)).toBe(4);
  expect(beforeShown(chunks, 29)).toBe(5);
  expect(beforeShown(chunks, 15)).toBe(6);
  expect(beforeShown([], 15)).toBeNull();
});
