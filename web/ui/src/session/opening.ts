import type { EventPage } from '../api/endpoints';
import type { StoredEvent } from '../api/types';
import { PROBE_EVENTS, SMALL_LOG_EVENTS, tailSince } from './tail';

// What a page reads of a log when it opens. However long the log is, it takes a bounded
// number of requests: some for the latest part of the story, and one to find where the tail
// begins, which comes over the socket.

export type Read = (filter: { since: number; until?: number; types?: readonly string[]; without?: readonly string[] }) => Promise<EventPage>;

// The story is everything small: not output, nor the figures of each second. The newest of those come with the tail.
export const NOT_STORY = ['output', 'step_progress'];

export const STORY_EVENTS = 3_000; // about as many are read at once
const FIRST_WINDOW = 4_000; // seqs
const WINDOW_EVENTS = 1_000; // aimed at for a window: one answer of the server

// Where the newest part of the stretch (since, until] begins that is worth reading in full.
export async function findTail(read: Read, since: number, until: number): Promise<number> {
  if (until - since <= SMALL_LOG_EVENTS) return since;
  const { events } = await read({ since: until - PROBE_EVENTS, until });
  const chars = events.reduce((sum, event) => sum + (event.event_type === 'output' ? event.data.text.length : 0), 0);
  return since + tailSince(until - since, events.length, chars);
}

export interface Story {
  events: StoredEvent[]; // in order
  since: number; // the log from where to read up to this seq was not read
}

// The newest story events of the stretch (known, until], read backwards in windows that grow where the story is thin.
export async function readStory(read: Read, known: number, until: number): Promise<Story> {
  const parts: StoredEvent[][] = [];
  let [count, upTo, width] = [0, until, FIRST_WINDOW];
  while (upTo > known && count < STORY_EVENTS) {
    const from = Math.max(known, upTo - width);
    const part = await readWhole(read, from, upTo);
    parts.unshift(part);
    count += part.length;
    upTo = from;
    width = part.length === 0 ? width * 16 : Math.max(FIRST_WINDOW, Math.min(width * 16, Math.floor((width * WINDOW_EVENTS) / part.length)));
  }
  return { events: parts.flat(), since: upTo };
}

async function readWhole(read: Read, since: number, until: number): Promise<StoredEvent[]> {
  const events: StoredEvent[] = [];
  for (let from: number | undefined = since; from !== undefined; ) {
    const page: EventPage = await read({ since: from, until, without: NOT_STORY });
    events.push(...page.events);
    from = page.next_since;
  }
  return events;
}
