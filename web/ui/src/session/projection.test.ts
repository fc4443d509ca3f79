import { describe, expect, it } from 'vitest';
import type { Approval, Projection, Run, Session, StoredEvent } from '../api/types';
import { withReopenable } from './foldApprovals';
import { foldMessages } from './messages';
import { foldProjection } from './projection';
import { eventOf, projectionOf } from './testEvents';

// What each type of event changes: the paths that differ afterwards, besides the seq and the time of the last change.
const T = '2026-01-01T00:00:00.000Z';
const figures = { duration_ms: 5, cpu_seconds: 1, max_rss_bytes: 2, read_bytes: 3, write_bytes: 4 };
const attempt = { number: 1, status: 'running' as const, started_at: T, cpu_seconds: 0, max_rss_bytes: 0, read_bytes: 0, write_bytes: 0, duration_ms: 0, host: 'h' };
const run: Run = {
  id: 'r', session_id: 's', number: 1, status: 'active', started_at: T, failed_steps: 0,
  steps: [{ id: 'a', title: 'A', kind: 'run', needs: [], status: 'running', attempts: [attempt] }, { id: 'b', title: 'B', kind: 'run', needs: ['a'], status: 'pending', attempts: [] }],
};
const asked = (id: string, more: Partial<Approval> = {}): Approval => ({
  id, session_id: 's', run_id: 'r', step_id: 'b', approval_type: 'step_approval', description: '', options: ['approved'], context: {}, digest: 'd', status: 'pending',
  created_at: T, expires_at: T, remaining_seconds: 10, on_timeout: 'suspend', ...more,
});
const base = (): Projection => {
  const empty = projectionOf(structuredClone(run));
  return { ...empty, session: { ...empty.session, current_step: 'a', queued_messages: 1, totals: { ...empty.session.totals, steps: 2 } }, approvals: [asked('p')] };
};
const plan = { steps: [{ id: 'a', shell: 'true' }] };

type Case = [data: object, changes: Record<string, unknown>, more?: object];
const CASES: Record<StoredEvent['event_type'], Case> = {
  workflow_started: [{ mode: 'runbook', run_number: 2, message_number: 1, message: 'hi', plan_digest: 'd' }, { 'runs.1.number': 2, 'runs.1.message': 'hi', 'runs.1.plan_digest': 'd', 'session.queued_messages': 0, 'session.totals.runs': 2, 'session.current_step': undefined }, { run_id: 'r2' }],
  workflow_state_changed: [{ status: 'suspended', phase: 'idle', expires_at: T }, { 'session.status': 'suspended', 'session.phase': 'idle', 'session.expires_at': T, 'runs.0.status': 'suspended' }],
  workflow_paused: [{ reason: 'requested' }, {}],
  workflow_resumed: [{}, {}],
  workflow_completed: [{ duration_ms: 1, steps: 2, failed_steps: 0 }, { 'runs.0.status': 'completed', 'runs.0.finished_at': T }],
  workflow_failed: [{ error: 'no', duration_ms: 1 }, { 'runs.0.status': 'failed', 'runs.0.error': 'no', 'runs.0.finished_at': T }],
  workflow_cancelled: [{ reason: 'expired', receipt: {} }, { 'runs.0.status': 'expired', 'runs.0.finished_at': T }],
  plan_proposed: [{ plan, digest: 'e' }, { 'session.plan': plan, 'runs.0.plan_digest': 'e' }],
  plan_updated: [{ plan, digest: 'e', approval_id: 'p', actor: 'ann' }, { 'session.plan': plan, 'runs.0.plan_digest': 'e' }],
  dag_created: [{ nodes: [{ id: 'c', title: 'C', kind: 'shell', status: 'succeeded', reason: 'why' }], edges: [] }, { 'runs.0.steps.length': 1, 'runs.0.steps.0.id': 'c', 'runs.0.steps.0.reason': 'why', 'session.totals.steps': 1, 'session.current_step': undefined }],
  dag_updated: [{ nodes: [{ id: 'a', title: 'Z', kind: 'shell', status: 'failed' }], edges: [] }, { 'runs.0.steps.length': 1, 'runs.0.steps.0.title': 'Z', 'runs.0.steps.0.attempts.length': 1, 'runs.0.failed_steps': 1, 'session.failed_steps': 1 }],
  dag_node_status_changed: [{ node_id: 'b', old_status: 'pending', new_status: 'skipped', reason: 'why' }, { 'runs.0.steps.1.status': 'skipped', 'runs.0.steps.1.reason': 'why' }],
  step_started: [{ attempt: 1, host: 'g', command: [] }, { 'runs.0.steps.1.attempts.0.status': 'running', 'runs.0.steps.1.attempts.0.host': 'g', 'runs.0.steps.1.attempts.0.started_at': T }, { step_id: 'b' }],
  step_progress: [{ attempt: 1, progress: 0.5 }, {}, { step_id: 'a' }],
  step_reattached: [{ attempt: 1, host: 'h' }, {}, { step_id: 'a' }],
  step_completed: [{ attempt: 1, exit_code: 0, ...figures }, { 'runs.0.steps.0.attempts.0.status': 'succeeded', 'runs.0.steps.0.attempts.0.exit_code': 0, 'runs.0.steps.0.attempts.0.finished_at': T, 'runs.0.steps.0.attempts.0.cpu_seconds': 1 }, { step_id: 'a' }],
  step_failed: [{ attempt: 1, status: 'cancelled', reason: 'timeout', signal: 'SIGKILL', ...figures }, { 'runs.0.steps.0.attempts.0.status': 'cancelled', 'runs.0.steps.0.attempts.0.reason': 'timeout', 'runs.0.steps.0.attempts.0.signal': 'SIGKILL' }, { step_id: 'a' }],
  step_retry_started: [{ attempt: 2, reason: 'host_lost' }, { 'runs.0.steps.0.attempts.0.status': 'lost', 'runs.0.steps.0.attempts.0.finished_at': T }, { step_id: 'a' }],
  step_retry_backoff: [{ attempt: 2, backoff_ms: 10 }, {}, { step_id: 'a' }],
  step_retry_succeeded: [{ attempt: 2 }, {}, { step_id: 'a' }],
  step_retry_exhausted: [{ attempts: 2 }, {}, { step_id: 'a' }],
  output: [{ text: 'x' }, {}, { step_id: 'a' }],
  approval_requested: [{ approval_id: 'q', approval_type: 'program_ask', description: 'so?', options: ['approved'], context: { a: 1 }, digest: 'e', expires_at: T, created_at: T, on_timeout: 'reject' }, { 'approvals.0.id': 'q', 'approvals.0.on_timeout': 'reject', 'approvals.0.status': 'pending', 'approvals.1.id': 'p' }],
  approval_received: [{ approval_id: 'p', resolution: 'modified', actor: 'ann', feedback: 'ok', modifications: { a: 1 }, resolved_at: T }, { 'approvals.0.status': 'resolved', 'approvals.0.resolution': 'modified', 'approvals.0.actor': 'ann', 'approvals.0.feedback': 'ok', 'approvals.0.resolved_at': T, 'approvals.0.remaining_seconds': 0 }],
  approval_extended: [{ approval_id: 'p', expires_at: 'later', seconds: 60, actor: 'ann' }, { 'approvals.0.expires_at': 'later', 'approvals.0.status': 'pending' }],
  approval_escalated: [{ approval_id: 'p', expires_at: 'later', escalated_at: T }, { 'approvals.0.expires_at': 'later', 'approvals.0.escalated_at': T }],
  approval_expired: [{ approval_id: 'p', reason: 'cancelled', status: 'cancelled', resolved_at: T }, { 'approvals.0.status': 'cancelled', 'approvals.0.resolved_at': T }],
  agent_message: [{ role: 'user', agent: '', message: 'hi', number: 2 }, { 'session.queued_messages': 2 }, { run_id: undefined }],
  message_dropped: [{ number: 1 }, { 'session.queued_messages': 0 }, { run_id: undefined }],
  file_created: [{ path: 'a', size: 1 }, {}, { step_id: 'a' }],
  file_updated: [{ path: 'a', size: 1 }, {}, { step_id: 'a' }],
  session_renamed: [{ name: 'new', version: 2 }, { 'session.name': 'new', 'session.version': 2 }],
  session_forked: [{ session_id: 'f', direction: 'to', name: 'its name', actor: 'ann' }, { 'session.forks.0': 'f', 'names.f': 'its name' }],
};

const at = (value: unknown, path: string): unknown => path.split('.').reduce<unknown>((inner, key) => (inner as Record<string, unknown> | undefined)?.[key], value);

describe('an event', () => {
  it.each(Object.entries(CASES))('%s changes what it is about', (type, [data, changes, more]) => {
    const before = base();
    const after = foldProjection(before, eventOf(1, type, data, more ?? {}));
    for (const [path, value] of Object.entries(changes)) expect([path, at(after, path)]).toEqual([path, value]);
    if (Object.keys(changes).length > 0) return;
    const { head_seq, updated_at } = after.session;
    expect(after).toMatchObject({ seq: 1, session: { ...before.session, head_seq, updated_at } });
    expect(after.runs).toBe(before.runs);
    expect(after.approvals).toBe(before.approvals);
  });
  it('that was seen changes nothing', () => {
    const state = { ...base(), seq: 7 };
    expect(foldProjection(state, eventOf(7, 'session_renamed', { name: 'x' }))).toBe(state);
  });
  it('of an older log is understood without what newer ones tell', () => {
    const fold = (type: string, data: object, more: object = {}) => foldProjection(base(), eventOf(1, type, data, more));
    expect(fold('approval_expired', { approval_id: 'p', reason: 'plan_changed' }).approvals[0]).toMatchObject({ status: 'void', resolved_at: T });
    expect(fold('approval_requested', { approval_id: 'q', approval_type: 'plan_approval', options: [], context: {}, expires_at: T }).approvals[0]).toMatchObject({ id: 'q', created_at: T });
    expect(fold('step_failed', { attempt: 1, reason: 'worker_lost', ...figures }, { step_id: 'a' }).runs[0]?.steps[0]?.attempts[0]?.status).toBe('lost');
    expect(fold('session_renamed', { name: 'x' }).session.version).toBe(2);
    expect(fold('session_forked', { session_id: 'f', direction: 'to' })).toMatchObject({ session: { forks: ['f'] }, names: {} });
  });
});

describe('output and progress', () => {
  it.each(['output', 'step_progress'])('leave everything the same object (%s)', (type) => {
    const before = base();
    const { seq, ...after } = foldProjection(before, eventOf(1, type, { attempt: 1, text: 'x' }, { step_id: 'a' }));
    expect(seq).toBe(1);
    for (const [slice, value] of Object.entries(after)) expect([slice, value === before[slice as keyof Projection]]).toEqual([slice, true]);
  });
});

describe('approvals', () => {
  const ask = (seq: number) => eventOf(seq, 'approval_requested', { approval_id: `n${String(seq).padStart(4, '0')}`, approval_type: 'program_ask', options: [], context: { long: 'x' }, created_at: new Date(Date.parse(T) + seq).toISOString(), expires_at: T });
  const close = (seq: number, id: string) => eventOf(seq, 'approval_received', { approval_id: id, resolution: 'approved', actor: 'ann' });
  it('do not pile up: the oldest decided ones go', () => {
    let state = base();
    for (let seq = 1; seq <= 500; seq += 2) state = [ask(seq), close(seq + 1, `n${String(seq).padStart(4, '0')}`)].reduce(foldProjection, state);
    expect(state.approvals).toHaveLength(201); // and the open one
    expect([state.approvals[0]?.id, state.approvals.at(-1)?.id]).toEqual(['n0499', 'p']);
  });
  it('are kept without what they were about when they are decided', () => {
    const asked = foldProjection(base(), ask(1));
    expect(asked.approvals[0]?.context).toEqual({ long: 'x' });
    expect(foldProjection(asked, close(2, 'n0001')).approvals[0]).toMatchObject({ status: 'resolved', context: {} });
  });
});

describe('an expired approval', () => {
  const { session } = base();
  const suspended: Session = { ...session, status: 'suspended' };
  const expired = asked('x', { status: 'expired' });
  const open = (approvals: Approval[], of = suspended, runs = [run]) => withReopenable(approvals, of, runs).map((one) => one.reopenable === true);
  it('can be asked again while its session is suspended by it', () => {
    expect(open([expired])).toEqual([true]);
    expect(open([expired], session)).toEqual([false]);
    expect(open([{ ...expired, on_timeout: 'reject' }])).toEqual([false]);
    expect(open([{ ...expired, approval_type: 'program_ask' }])).toEqual([false]);
    expect(open([asked('y'), expired])).toEqual([false, false]); // it was asked again
    expect(open([expired], suspended, [run, { ...run, id: 'r2', number: 2 }])).toEqual([false]);
  });
});

describe('the conversation', () => {
  const said = (...events: StoredEvent[]) => events.reduce<ReturnType<typeof foldMessages>>(foldMessages, []);
  const hello = eventOf(1, 'agent_message', { role: 'user', agent: '', message: 'hello', actor: 'ann', number: 1 });
  it('has each message once, however it became known', () => {
    const once = said(hello);
    expect(once).toMatchObject([{ number: 1, content: 'hello', status: 'queued', actor: 'ann' }]);
    expect(foldMessages(once, { ...hello, seq: 9 })).toBe(once);
  });
  it('says what became of a message', () => {
    expect(said(hello, eventOf(2, 'workflow_started', { mode: 'runbook', run_number: 1, message_number: 1 }, { run_id: 'r1' }))).toMatchObject([{ status: 'taken', run_id: 'r1' }]);
    expect(said(hello, eventOf(2, 'message_dropped', { number: 1 }))).toMatchObject([{ status: 'dropped' }]);
  });
});
