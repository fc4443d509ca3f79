import type { SessionStore } from './store';

// Between which events of the log a run took place, by what the page knows of it.
export function placeOf(store: SessionStore | null, runId: string): { since: number; until?: number } {
  const rows = (store?.timeline ?? []).filter((row) => row.runId === runId);
  const [first, last] = [rows[0], rows.at(-1)];
  if (first === undefined || last === undefined) return { since: 0 };
  return { since: Math.max(0, first.firstSeq - 1), until: last.lastSeq };
}
