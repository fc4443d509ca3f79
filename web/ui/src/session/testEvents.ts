import type { StoredEvent } from '../api/types';

// Fields that a server always sends with these, for tests that do not care.
const USUAL: Partial<Record<StoredEvent['event_type'], object>> = {
  output: { stream: 'stdout', offset: 0, attempt: 1 },
  step_failed: { attempt: 1, reason: 'exit' },
};

// An event of a log; a test gives only the fields it is about.
export function eventOf(seq: number, event_type: string, data: object = {}, more: object = {}): StoredEvent {
  const kind = event_type as StoredEvent['event_type'];
  return { event_type: kind, seq, session_id: 's', run_id: 'r', timestamp: '2026-01-01T00:00:00.000Z', data: { ...USUAL[kind], ...data }, ...more } as StoredEvent;
}
