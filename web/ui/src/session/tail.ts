// How much of a long log a page reads when it opens. Output chunks range from
// a few bytes to tens of kilobytes, so this measures their size.

export const SMALL_LOG_EVENTS = 400; // read whole, whatever is in it
export const PROBE_EVENTS = 200; // the newest, read to learn how big events are
export const TAIL_CHARS = 8_000_000;
export const MAX_TAIL_EVENTS = 20_000;

// The seq to follow the log from, given the sizes of the probed events.
export function tailSince(headSeq: number, probedEvents: number, probedChars: number): number {
  if (headSeq <= SMALL_LOG_EVENTS) return 0;
  const perEvent = probedEvents === 0 ? 0 : probedChars / probedEvents;
  const ENVELOPE = 200; // what an event costs besides its text
  const events = Math.max(PROBE_EVENTS, Math.min(MAX_TAIL_EVENTS, Math.floor(TAIL_CHARS / (perEvent + ENVELOPE))));
  return Math.max(0, headSeq - events);
}
