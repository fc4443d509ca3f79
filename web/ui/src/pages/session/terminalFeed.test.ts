import { describe, expect, it } from 'vitest';
import type { Chunk } from '../../session/output';
import { plainText } from '../../lib/clean';
import { MAX_PENDING_CHARS, PendingChunks, slices, TerminalFeed, WRITE_CHARS } from './terminalFeed';

const chunk = (seq: number, text: string, attempt = 1): Chunk => ({ seq, key: 'r/a', stepId: 'a', attempt, text });

describe('the terminal feed', () => {
  it('leaves the text of one step alone, escape sequences and carriage returns included', () => {
    const text = '\u001b[32mok\u001b[0m 10%\r20%\n';
    expect(new TerminalFeed(true, 8).render(chunk(1, text))).toBe(text);
  });
  it('draws a rule between attempts', () => {
    const feed = new TerminalFeed(true, 8);
    feed.render(chunk(1, 'one'));
    expect(plainText(feed.render(chunk(2, 'two', 2)))).toBe('\n── attempt 2 ──\ntwo');
  });
});

describe('chunks that wait for the terminal', () => {
  it('are bounded, lose the oldest, and say so', () => {
    const pending = new PendingChunks();
    const text = 'x'.repeat(100_000);
    for (let seq = 1; seq <= 100; seq++) pending.push(chunk(seq, text));
    expect(pending.skipped).toBe(true);
    const seqs: number[] = [];
    while (!pending.empty) seqs.push(...pending.take().map((c) => c.seq));
    expect(seqs.at(-1)).toBe(100);
    expect(seqs).toHaveLength(MAX_PENDING_CHARS / 100_000);
  });
  it('come out in small batches, in order, each once', () => {
    const pending = new PendingChunks();
    for (let seq = 1; seq <= 5_000; seq++) pending.push(chunk(seq, 'x'.repeat(100)));
    const first = pending.take();
    expect(first.length).toBeLessThan(5_000);
    const seqs = first.map((c) => c.seq);
    while (!pending.empty) seqs.push(...pending.take().map((c) => c.seq));
    expect(seqs).toEqual(Array.from({ length: 5_000 }, (_, i) => i + 1));
    expect(pending.skipped).toBe(false);
  });
  it('are written in slices that keep surrogate pairs together', () => {
    const text = 'x'.repeat(WRITE_CHARS - 1) + '😀'.repeat(WRITE_CHARS);
    const parts = [...slices(text)];
    expect(parts.join('')).toBe(text);
    expect(parts.every((part) => part.length <= WRITE_CHARS + 1 && !/[\ud800-\udbff]$/.test(part))).toBe(true);
  });
});
