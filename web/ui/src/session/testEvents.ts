import type { Projection, Run, Session, StoredEvent } from '../api/types';

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

// A session at the beginning of its log, with these runs.
export function projectionOf(...runs: Run[]): Projection {
  const session = {
    id: 's', name: 'a session', mode: 'runbook', status: 'active', phase: 'planning', owner: 'ann', config: {}, head_seq: 0, pending_approvals: [],
    expired_approvals: [], totals: { runs: runs.length, steps: 0, cost_usd: 0, tokens: 0 }, forks: [], queued_messages: 0, failed_steps: 0,
    workflow_id: 'session-s', version: 1, created_at: '2026-01-01T00:00:00.000Z', updated_at: '2026-01-01T00:00:00.000Z',
  } as Session;
  return { seq: 0, at: '2026-01-01T00:00:00.000Z', session, runs, approvals: [], names: {} };
}
