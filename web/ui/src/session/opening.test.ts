import { describe, expect, it } from 'vitest';
import type { StoredEvent } from '../api/types';
import { findTail, NOT_STORY, readStory, STORY_EVENTS } from './opening';
import type { Read } from './opening';
import { eventOf } from './testEvents';

const PAGE = 1_000;

// A log whose story has an event at every nth seq; everything else is output. It is never built in full.
function logOf(head: number, every: number): { read: Read; requests: { since: number; until?: number }[] } {
  const requests: { since: number; until?: number }[] = [];
  const read: Read = (filter) => {
    requests.push(filter);
    const until = Math.min(head, filter.until ?? head);
    const events: StoredEvent[] = [];
    const step = filter.without === undefined ? 1 : every;
    for (let seq = Math.floor(filter.since / step) * step + step; seq <= until && events.length < PAGE; seq += step) {
      const story = seq % every === 0;
      if (filter.without !== undefined) expect(filter.without).toEqual(NOT_STORY);
      events.push(story ? eventOf(seq, 'step_started') : eventOf(seq, 'output', { text: 'x'.repeat(60_000) }));
    }
    const last = events.at(-1)?.seq ?? until;
    return Promise.resolve({ events, next_since: events.length === PAGE && last < until ? last : undefined });
  };
  return { read, requests };
}

describe('the story of a log', () => {
  it.each([
    ['a log of ten events', 10, 2],
    ['a log of ten million events, nearly all output', 10_000_000, 500_000],
    ['a log of ten million events without a story', 10_000_000, 20_000_000],
    ['a log of ten million events that are all story', 10_000_000, 1],
    ['a log of ten million events with some story everywhere', 10_000_000, 100],
  ])('is read with few requests from %s', async (_name, head, every) => {
    const { read, requests } = logOf(head, every);
    const story = await readStory(read, 0, head);
    expect(requests.length).toBeLessThanOrEqual(16);
    expect(story.events.length).toBeLessThanOrEqual(STORY_EVENTS + 20 * PAGE);
    const first = Math.floor(story.since / every) * every + every;
    expect(story.events.map((event) => event.seq)).toEqual(Array.from({ length: Math.max(0, Math.floor((head - first) / every) + 1) }, (_, i) => first + i * every));
    expect(story.since === 0 || story.events.length >= STORY_EVENTS).toBe(true);
  });

  it('is read no further back than it is known', async () => {
    const { read } = logOf(10_000, 10);
    const story = await readStory(read, 9_905, 10_000);
    expect([story.since, story.events.map((event) => event.seq)]).toEqual([9_905, [9_910, 9_920, 9_930, 9_940, 9_950, 9_960, 9_970, 9_980, 9_990, 10_000]]);
  });

  it('goes on where it ended, without gap or overlap', async () => {
    const { read } = logOf(100_000, 3);
    const seqs: number[] = [];
    for (let until = 100_000; until > 0; ) {
      const part = await readStory(read, 0, until);
      seqs.unshift(...part.events.map((event) => event.seq));
      expect(part.since).toBeLessThan(until);
      until = part.since;
    }
    expect(seqs).toEqual(Array.from({ length: 33_333 }, (_, i) => (i + 1) * 3));
  });
});

describe('the tail of a log', () => {
  it('is found with one request, however long the log is', async () => {
    const { read, requests } = logOf(10_000_000, 50);
    const since = await findTail(read, 0, 10_000_000);
    expect(requests).toHaveLength(1);
    expect(10_000_000 - since).toBeLessThan(400);
  });
  it('is all of a short stretch', async () => {
    const { read, requests } = logOf(1_000, 50);
    expect(await findTail(read, 700, 1_000)).toBe(700);
    expect(requests).toHaveLength(0);
  });
});
