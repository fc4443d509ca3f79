import { describe, expect, it } from 'vitest';
import type { AuditEntry, Message, Plan, Run, Step } from '../api/types';
import { auditWords } from './audit';
import { composerOf, conversationOf, messageProblem } from './conversation';
import { mergeSteps } from './merge';
import { inScope, OutputBuffer, runScope } from './output';
import { SessionStore } from './store';
import { foldRuns } from './foldRuns';
import { eventOf } from './testEvents';
import { describeRow } from './timeline';
import { placeOf } from './place';

function storeOf(...events: [type: string, data: Record<string, unknown>, step?: string, run?: string][]): SessionStore {
  const store = new SessionStore((run) => run());
  events.forEach(([type, data, step_id, run_id = 'r'], i) => store.apply(eventOf(i + 1, type, data, { step_id, run_id })));
  return store;
}

const step = (id: string, status: Step['status'], reason?: string): Step => ({ id, title: id, kind: 'shell', needs: [], status, attempts: [], reason });
const run = (number: number, steps: Step[] = [], message?: string): Run => ({ id: `r${number}`, session_id: 's', number, status: 'completed', started_at: '2026-01-01T00:00:00.000Z', failed_steps: 0, steps, message });
const plan = (...ids: string[]): Plan => ({ steps: ids.map((id) => ({ id, shell: `echo ${id}` })) });

const folded = (first: Run, ...events: [type: string, data: Record<string, unknown>, step?: string][]): Run =>
  events.reduce((runs, [type, data, step_id], i) => foldRuns(runs, eventOf(i + 1, type, data, { step_id, run_id: first.id })), [first])[0] ?? first;

describe('an edited plan', () => {
  it('replaces the steps at once', () => {
    const after = folded(
      run(1, [step('old', 'awaiting_approval')]),
      ['plan_updated', { plan: plan('new', 'more'), digest: 'd' }],
      ['dag_updated', { nodes: [{ id: 'new', status: 'pending' }, { id: 'more', status: 'ready' }], edges: [{ from: 'new', to: 'more' }] }],
    );
    expect(mergeSteps(after, null, {}).map((s) => [s.id, s.status, s.needs])).toEqual([['new', 'pending', []], ['more', 'ready', ['new']]]);
    expect(after.plan_digest).toBe('d');
  });
  it('keeps the attempts of the steps that stay', () => {
    const after = folded(run(1, [step('a', 'ready')]), ['step_started', { attempt: 1 }, 'a'], ['dag_updated', { nodes: [{ id: 'a', status: 'ready' }], edges: [] }]);
    expect(after.steps[0]?.attempts).toHaveLength(1);
  });
  it('stands in for the steps until the run has some', () => {
    expect(mergeSteps(null, plan('a'), {}).map((s) => [s.id, s.status, s.command])).toEqual([['a', 'pending', 'echo a']]);
  });
});

describe('a step', () => {
  it('says why it is skipped as soon as the log does', () => {
    const after = folded(run(1, [step('b', 'pending')]), ['dag_node_status_changed', { node_id: 'b', new_status: 'skipped', reason: 'it needs "a", which failed' }, 'b']);
    expect(mergeSteps(after, null, {})[0]).toMatchObject({ status: 'skipped', reason: 'it needs "a", which failed' });
  });
  it('says when it is tried next, until it is', () => {
    const events: Parameters<typeof storeOf> = [
      ['step_failed', { attempt: 1, exit_code: 1, reason: 'exit' }, 'a'],
      ['dag_node_status_changed', { node_id: 'a', new_status: 'ready' }, 'a'],
      ['step_retry_backoff', { attempt: 2, backoff_ms: 4_000 }, 'a'],
    ];
    const view = (store: SessionStore) => mergeSteps({ ...run(1, [step('a', 'ready')]), id: 'r' }, null, store.getSnapshot().live)[0];
    expect(view(storeOf(...events))?.retryAt).toBe(Date.parse('2026-01-01T00:00:04.000Z'));
    expect(view(storeOf(...events, ['step_started', { attempt: 2 }, 'a']))?.retryAt).toBeNull();
    expect(describeRow(storeOf(...events).timeline[2] as never)).toBe('attempt 2 in 4.0 s');
  });
  it('knows that it was done in the session that this one was forked from', () => {
    const why = 'finished in the session that this one was forked from';
    expect(mergeSteps(run(1, [step('a', 'succeeded', why), step('b', 'succeeded')]), null, {}).map((s) => s.inherited)).toEqual([true, false]);
  });
});

describe('an approval', () => {
  it('sums up the time that people gave it', () => {
    const store = storeOf(['approval_extended', { approval_id: 'x', seconds: 300, actor: 'ann' }], ['approval_extended', { approval_id: 'x', seconds: 60, actor: 'bob' }]);
    expect(store.getSnapshot().extensions).toEqual({ x: { seconds: 360, actor: 'bob' } });
  });
});

describe('the output of several runs', () => {
  it('is looked at run by run', () => {
    const store = storeOf(
      ['workflow_started', { run_number: 1 }, undefined, 'r1'], ['output', { text: 'one' }, 'a', 'r1'], ['workflow_completed', {}, undefined, 'r1'],
      ['workflow_started', { run_number: 2 }, undefined, 'r2'], ['output', { text: 'two' }, 'a', 'r2'],
    );
    const texts = (scope: string | null) => store.output.chunks(scope).map((chunk) => chunk.text);
    expect([texts(runScope('r1')), texts(runScope('r2')), texts('r2/a'), texts(null)]).toEqual([['one'], ['two'], ['two'], ['one', 'two']]);
    expect(placeOf(store, 'r1')).toEqual({ since: 0, until: 3 });
    expect(placeOf(store, 'r2')).toEqual({ since: 3, until: 5 });
    expect(inScope('r1/a', 'r1/ab')).toBe(false);
  });
  it('says of the run alone that it is not all here', () => {
    const output = new OutputBuffer();
    output.markPartial('r1/a');
    expect([output.droppedOlder(runScope('r1')), output.droppedOlder(runScope('r2')), output.droppedOlder(null)]).toEqual([true, false, true]);
  });
});

describe('the message box', () => {
  const does = (status: string, config: object, runNumber = 2, queued = 0) => composerOf({ status, phase: 'idle' } as never, config, runNumber, queued);
  it('says what a message will do', () => {
    expect(does('completed', {}).does).toBe('Starts run 3');
    expect(does('active', {}).does).toBe('Waits for run 3: run 2 goes on first');
    expect(does('active', {}, 2, 2).does).toMatch(/^Waits for run 5/);
    expect(does('suspended', {}).does).toMatch(/suspended/);
    expect(does('active', { when_busy: 'interrupt' })).toEqual({ enabled: true, does: 'Stops run 2 and starts run 3', urgent: true });
  });
  it('is shut with the reason', () => {
    expect(does('active', { when_busy: 'reject' })).toMatchObject({ enabled: false, does: 'Run 2 is under way, and this session takes no messages meanwhile.' });
    expect(does('completed', { when_busy: 'reject' }).enabled).toBe(true);
    expect(does('expired', {}).enabled).toBe(false);
    expect(does('active', {}, 2, 100).enabled).toBe(false);
  });
  it('counts bytes as the server does', () => {
    expect(messageProblem('x'.repeat(65_536))).toBeNull();
    expect(messageProblem('é'.repeat(32_769))).toMatch(/65,538 bytes/);
  });
});

describe('the conversation', () => {
  const message = (id: number, change: Partial<Message>): Message => ({ id, number: id, session_id: 's', role: 'user', actor: 'ann', content: `m${id}`, created_at: '2026-01-01T00:00:00.000Z', ...change });
  it('tells the run of each message, also of those that wait', () => {
    const views = conversationOf(
      [message(1, { status: 'taken', run_id: 'r2' }), message(2, { status: 'dropped' }), message(3, { status: 'queued' }), message(4, { status: 'queued' })],
      [run(2), run(1)],
    );
    expect(views.map((v) => [v.number, v.status, v.run])).toEqual([[1, 'taken', 2], [2, 'dropped', null], [3, 'queued', 3], [4, 'queued', 4]]);
  });
  it('knows what was said before the fork', () => {
    expect(conversationOf([message(1, { status: 'taken' })], []).map((v) => [v.inherited, v.run])).toEqual([[true, null]]);
  });
});

describe('the audit trail', () => {
  const words = (entry: Partial<AuditEntry>, title: string | null = null) => auditWords({ at: '', actor: 'ann', action: '', outcome: 'taken', ...entry }, title);
  it('is told in words', () => {
    expect(words({ action: 'resolve_approval', resolution: 'approved' })).toBe('Approved the plan');
    expect(words({ action: 'resolve_approval', resolution: 'retry', step_id: 'a' }, 'Fit')).toBe('Chose to retry “Fit”');
    expect(words({ action: 'expire', approval_id: 'x', step_id: 'a' })).toBe('Nobody answered about “a” in time');
    expect(words({ action: 'something_new' })).toBe('Something new');
  });
});
