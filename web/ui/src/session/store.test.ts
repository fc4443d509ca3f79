import { describe, expect, it } from 'vitest';
import type { StoredEvent } from '../api/types';
import { commandOf } from './merge';
import { OutputBuffer, STEP_LIMIT_CHARS } from './output';
import { SessionStore } from './store';
import { eventOf, projectionOf } from './testEvents';
import { describeRow } from './timeline';

const immediately = (run: () => void) => run();

function log(...events: [type: string, data: Record<string, unknown>, step?: string][]): StoredEvent[] {
  return events.map(([type, data, step_id], i) => eventOf(i + 1, type, data, { step_id, timestamp: `2026-01-01T00:00:0${i % 10}.000Z` }));
}

function storeOf(events: StoredEvent[]): SessionStore {
  const store = new SessionStore(immediately);
  for (const event of events) store.apply(event);
  return store;
}

describe('the store', () => {
  it('ignores an event it has seen', () => {
    const [first] = log(['output', { text: 'a' }, 'x']);
    const store = storeOf([first as StoredEvent, first as StoredEvent]);
    expect(store.output.chunks(null).map((c) => c.text)).toEqual(['a']);
    expect(store.timeline).toHaveLength(1);
  });

  it('tells listeners once for many events in a frame', () => {
    const frames: (() => void)[] = [];
    const store = new SessionStore((later) => frames.push(later));
    let told = 0;
    store.subscribe(() => told++);
    for (const event of log(...Array.from({ length: 50 }, () => ['output', { text: 'x' }, 'a'] as [string, object & Record<string, unknown>, string]))) store.apply(event);
    for (const frame of frames) frame();
    expect(told).toBe(1);
  });

  it('keeps the receipt of a cancel', () => {
    const store = storeOf(log(['workflow_cancelled', { receipt: { processes_killed: 2, survivors: 0 } }]));
    expect(store.getSnapshot().receipt).toMatchObject({ processes_killed: 2 });
  });

  it('tells listeners when its clock was put right', () => {
    const store = new SessionStore(immediately);
    store.load(projectionOf());
    const now = Date.parse(projectionOf().at);
    let told = 0;
    store.subscribe(() => told++);
    store.hear(now, 'c');
    expect(told).toBe(0);
    store.hear(now + 60_000, 'c');
    expect(told).toBe(1);
  });

  it('takes a hundred thousand written files', { timeout: 60_000 }, () => { // copying what there is at each took minutes
    const store = new SessionStore(() => undefined);
    for (let seq = 1; seq <= 100_000; seq++) store.apply(eventOf(seq, 'file_created', { path: `f${seq}`, size: seq }));
    expect(store.getSnapshot().seq).toBe(0); // nothing is shown before the next frame
    expect(store.lastSeq).toBe(100_000);
  });
  it('shows a change of what only grows', () => {
    const store = new SessionStore(immediately);
    const before = store.getSnapshot();
    store.apply(eventOf(1, 'file_created', { path: 'a', size: 1 }));
    store.apply(eventOf(2, 'agent_message', { role: 'user', message: 'hi', number: 1 }));
    store.apply(eventOf(3, 'plan_proposed', { plan: { steps: [] } }));
    const { written, said, plans } = store.getSnapshot();
    expect([written === before.written, said === before.said, plans === before.plans]).toEqual([false, false, false]);
    store.apply(eventOf(4, 'session_renamed', { name: 'x' }));
    expect(store.getSnapshot()).toMatchObject({ written, said, plans });
    expect(store.getSnapshot().written).toBe(written);
  });

  it('joins a run of output into one timeline row', () => {
    const store = storeOf(log(['output', { text: 'ab' }, 'x'], ['output', { text: 'c' }, 'x'], ['output', { text: 'd' }, 'y']));
    expect(store.timeline.map((row) => [row.firstSeq, row.lastSeq, row.chars])).toEqual([[1, 2, 3], [3, 3, 1]]);
    expect(store.timeline.map(describeRow)[0]).toBe('2 chunks, 3 characters');
  });
});

describe('the projection', () => {
  it('takes in what came while it was read, and nothing twice', () => {
    const store = new SessionStore(immediately);
    for (const event of log(['session_renamed', { name: 'one' }], ['session_renamed', { name: 'two' }], ['agent_message', { role: 'user', message: 'hi', number: 1 }])) store.apply(event);
    const read = projectionOf();
    store.load({ ...read, seq: 2, session: { ...read.session, name: 'two', version: 3, head_seq: 2 } });
    expect(store.getSnapshot().projection).toMatchObject({ seq: 3, session: { name: 'two', version: 3, queued_messages: 1 } });
    expect(store.openedAt).toBe(2);
  });
  it('is read again after a hole, with what came meanwhile', () => {
    const store = new SessionStore(immediately);
    store.load(projectionOf());
    store.addHole({ from: 1, to: 4 });
    store.reloads();
    store.apply(eventOf(5, 'session_renamed', { name: 'five', version: 9 }));
    const read = projectionOf();
    store.load({ ...read, seq: 4, session: { ...read.session, name: 'four', head_seq: 4 } });
    expect(store.getSnapshot().projection).toMatchObject({ seq: 5, session: { name: 'five', version: 9 } });
    expect(store.openedAt).toBe(4); // what was said before is read again
  });
  it('stays when an older one is read', () => {
    const store = new SessionStore(immediately);
    const read = projectionOf();
    store.load({ ...read, seq: 9, session: { ...read.session, name: 'nine' } });
    store.reloads();
    store.load({ ...read, seq: 8, session: { ...read.session, name: 'eight' } });
    expect(store.getSnapshot().projection).toMatchObject({ seq: 9, session: { name: 'nine' } });
    store.reloads();
    store.load({ ...read, seq: 10, session: { ...read.session, name: 'ten' } });
    expect(store.getSnapshot().projection).toMatchObject({ seq: 10, session: { name: 'ten' } });
  });
  it('has the latest plan, although the event that brought it was lost', () => {
    const run = { id: 'r', session_id: 's', number: 1, status: 'active' as const, started_at: '', failed_steps: 0, steps: [] };
    const store = new SessionStore(immediately);
    store.load(projectionOf(run));
    store.apply(eventOf(1, 'plan_proposed', { plan: { steps: [{ id: 'old', shell: 'true' }] } }));
    store.addHole({ from: 2, to: 3 });
    store.reloads();
    const read = projectionOf(run);
    store.load({ ...read, seq: 3, session: { ...read.session, plan: { steps: [{ id: 'new', shell: 'true' }] } } });
    expect(store.getSnapshot().plans.all.get('r')?.plan.steps[0]?.id).toBe('new');
  });
  it('says why it could not be read, until it could', () => {
    const store = new SessionStore(immediately);
    store.fail('no');
    expect(store.getSnapshot().error).toBe('no');
    store.load(projectionOf());
    expect(store.getSnapshot().error).toBeNull();
  });
});

describe('a step', () => {
  it('shows its command as it would be typed', () => {
    expect(commandOf({ id: 'a', run: ['echo', "it's", 'a b'] })).toBe(`echo 'it'\\''s' 'a b'`);
    expect(commandOf({ id: 'a', shell: 'a | b' })).toBe('a | b');
  });
});

describe('the output', () => {
  it('is bounded per step, drops the oldest and says so', () => {
    const output = new OutputBuffer();
    const text = 'x'.repeat(1_000_000);
    for (let seq = 1; seq <= 10; seq++) output.append({ seq, key: 'r/a', stepId: 'a', attempt: 1, text });
    output.append({ seq: 11, key: 'r/b', stepId: 'b', attempt: 1, text: 'quiet' });
    const kept = output.chunks('r/a');
    expect(kept.reduce((n, c) => n + c.text.length, 0)).toBeLessThanOrEqual(STEP_LIMIT_CHARS);
    expect(kept.at(-1)?.seq).toBe(10);
    expect(output.droppedOlder('r/a')).toBe(true);
    expect(output.droppedOlder('r/b')).toBe(false);
    expect(output.chunks(null).at(-1)?.text).toBe('quiet');
  });
});

describe('an older part of the story', () => {
  it('comes before what there is, and changes nothing that is newer', () => {
    const [forked, proposed, older, newer] = log(
      ['session_forked', { direction: 'from', session_id: 'o', step_id: 'a' }],
      ['plan_proposed', { plan: { steps: [{ id: 'old', shell: 'true' }] } }],
      ['step_started', { attempt: 1 }, 'old'],
      ['plan_updated', { plan: { steps: [{ id: 'new', shell: 'true' }] } }],
    ) as [StoredEvent, StoredEvent, StoredEvent, StoredEvent];
    const store = storeOf([{ ...newer, run_id: 'r2' }]);
    store.startsAt(3);
    store.prepend([forked, proposed, older], 0);
    expect(store.olderUntil).toBe(0);
    expect(store.timeline.map((row) => row.firstSeq)).toEqual([1, 2, 3, 4]);
    const { plans, forkedAt } = store.getSnapshot();
    expect([plans.all.get('r')?.plan.steps[0]?.id, plans.all.get('r2')?.plan.steps[0]?.id, forkedAt]).toEqual(['old', 'new', 'a']);
    expect(store.output.droppedOlder('r/old')).toBe(true);
    expect(store.lastSeq).toBe(4);
  });
});

describe('a log that is not what it was', () => {
  it('says where lines are missing, in the output of what ran then', () => {
    const store = new SessionStore((run) => run());
    const a = { id: 'a', title: 'A', kind: 'run' as const, needs: [], status: 'running' as const, attempts: [] };
    store.load(projectionOf({ id: 'r', session_id: 's', number: 1, status: 'active', started_at: '', failed_steps: 0, steps: [a] }));
    store.apply(eventOf(1, 'step_started', { attempt: 1 }, { step_id: 'a' }));
    store.apply(eventOf(2, 'output', { text: 'one\n', attempt: 1 }, { step_id: 'a' }));
    store.addHole({ from: 3, to: 9 });
    store.apply(eventOf(9, 'output', { text: 'lost', attempt: 1 }, { step_id: 'a' }));
    store.apply(eventOf(10, 'output', { text: 'ten\n', attempt: 1 }, { step_id: 'a' }));
    expect(store.output.chunks('r/a').map((chunk) => chunk.text).join('')).toBe('one\n\n── lines missing: events 3–9 cannot be read ──\nten\n');
    expect(store.getSnapshot()).toMatchObject({ seq: 10, holes: [{ from: 3, to: 9 }] });
  });
  it('begins again after it went back, and says so', () => {
    const store = new SessionStore((run) => run(), { seen: 40, head: 12 });
    expect(store.getSnapshot()).toMatchObject({ seq: 0, rewound: { seen: 40, head: 12 } });
  });
  it('keeps when it was deleted', () => {
    const store = new SessionStore((run) => run());
    for (const at of ['', 't', '']) store.setDeleted(at);
    expect(store.getSnapshot().deleted).toBe('t');
  });
});
