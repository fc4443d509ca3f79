import type { SessionStore } from './store';

export interface Place {
  since: number;
  until?: number;
}

// Between which events of the log a run, or one of its steps, took place, as far as the page knows.
export function placeOf(store: SessionStore | null, runId: string, stepId: string | null = null): Place {
  const rows = (store?.timeline ?? []).filter((row) => row.runId === runId && (stepId === null || row.stepId === stepId));
  const [first, last] = [rows[0], rows.at(-1)];
  if (first === undefined || last === undefined) return { since: 0 };
  return { since: Math.max(0, first.firstSeq - 1), until: last.lastSeq };
}
