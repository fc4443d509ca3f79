import { describe, expect, it } from 'vitest';
import type { Run, Step } from '../api/types';
import { percent } from '../lib/format';
import { reasonWords } from '../lib/reasons';
import { mergeSteps, progressOf, runProgress, wasLost } from './merge';
import { SessionStore } from './store';
import { eventOf, projectionOf } from './testEvents';
import { describeRow } from './timeline';

type Told = [type: string, data: Record<string, unknown>, step?: string];

function storeOf(...events: Told[]): SessionStore {
  const store = new SessionStore((run) => run());
  events.forEach(([type, data, step_id], i) => store.apply(eventOf(i + 1, type, data, { step_id })));
  return store;
}

const figures = { elapsed_ms: 1_000, cpu_seconds: 12.5, rss_bytes: 130e6, read_bytes: 1e6, write_bytes: 2e6, processes: 3 };
const step = (id: string, status: Step['status'], attempts: Step['attempts'] = []): Step => ({ id, title: id, kind: 'run', needs: [], status, attempts });
const run = (...steps: Step[]): Run => ({ id: 'r', session_id: 's', number: 1, status: 'active', started_at: '2026-01-01T00:00:00.000Z', failed_steps: 0, steps });
const attempt = (number: number, more: Partial<Step['attempts'][number]> = {}): Step['attempts'][number] =>
  ({ number, status: 'running', started_at: '2026-01-01T00:00:00.000Z', cpu_seconds: 0, max_rss_bytes: 0, read_bytes: 0, write_bytes: 0, duration_ms: 0, host: 'h', ...more });
const trying = (id: string): Step => step(id, 'running', [attempt(1)]);
const view = (store: SessionStore, ...steps: Step[]) => mergeSteps(run(...steps), null, store.getSnapshot().live);
// What the page shows of a run with these steps after these events.
function shown(steps: Step[], ...events: Told[]) {
  const store = new SessionStore((now) => now());
  store.load(projectionOf(run(...steps)));
  events.forEach(([type, data, step_id], i) => store.apply(eventOf(i + 1, type, data, { step_id })));
  const { projection, live } = store.getSnapshot();
  return mergeSteps(projection?.runs[0] ?? null, null, live);
}

describe('progress', () => {
  it('is what the program told last, with the figures of the moment', () => {
    const store = storeOf(
      ['step_started', { attempt: 1 }, 'a'],
      ['step_progress', { attempt: 1, progress: 0.1, note: 'reading', ...figures }, 'a'],
      ['step_progress', { attempt: 1, progress: 0.42, note: 'fitting', ...figures }, 'a'],
      ['step_progress', { attempt: 1, ...figures, cpu_seconds: 13 }, 'a'], // a second later, nothing reported
    );
    const [a] = view(store, trying('a'));
    expect(a?.attempts[0]?.live).toEqual({ progress: 0.42, note: 'fitting', waiting: null, cpuSeconds: 13, rssBytes: 130e6, readBytes: 1e6, writeBytes: 2e6, processes: 3 });
    expect(a === undefined ? null : progressOf(a)).toBe(0.42);
  });
  it('says what a step waits for while it waits', () => {
    const store = storeOf(['step_progress', { attempt: 1, ...figures, waiting: 'no room on the disk' }, 'a']);
    expect(view(store, trying('a'))[0]?.attempts[0]?.live?.waiting).toBe('no room on the disk');
    store.apply({ seq: 2, session_id: 's', run_id: 'r', step_id: 'a', event_type: 'step_progress', data: { attempt: 1, ...figures }, timestamp: '' });
    expect(view(store, trying('a'))[0]?.attempts[0]?.live?.waiting).toBeNull();
  });
  it('stays between nothing and all', () => {
    const store = storeOf(['step_progress', { attempt: 1, progress: 7, ...figures }, 'a'], ['step_progress', { attempt: 1, progress: -1, ...figures }, 'b']);
    expect(view(store, trying('a'), trying('b')).map(progressOf)).toEqual([1, 0]);
    expect([0, 0.29, 0.999, 1].map(percent)).toEqual(['0 %', '29 %', '99 %', '100 %']);
  });
  it('ends with its attempt, and a late word of it changes nothing', () => {
    const [a] = shown(
      [step('a', 'running')],
      ['step_started', { attempt: 1 }, 'a'],
      ['step_progress', { attempt: 1, progress: 0.5, ...figures }, 'a'],
      ['step_completed', { attempt: 1, exit_code: 0, duration_ms: 1_500, cpu_seconds: 14, max_rss_bytes: 140e6, read_bytes: 3, write_bytes: 4 }, 'a'],
      ['step_progress', { attempt: 1, progress: 0.6, ...figures }, 'a'],
    );
    expect(a?.attempts).toMatchObject([{ status: 'succeeded', live: null, durationMs: 1_500, cpuSeconds: 14, maxRssBytes: 140e6, readBytes: 3, writeBytes: 4 }]);
  });
  it('of an attempt that was cut does not go on in the next one', () => {
    const [a] = shown(
      [step('a', 'running')],
      ['step_started', { attempt: 1 }, 'a'],
      ['step_progress', { attempt: 1, progress: 0.5, ...figures }, 'a'],
      ['step_retry_started', { attempt: 2, reason: 'host_lost' }, 'a'],
      ['step_started', { attempt: 2 }, 'a'],
      ['step_progress', { attempt: 1, progress: 0.7, ...figures }, 'a'],
    );
    expect(a?.attempts.map((one) => [one.number, wasLost(one), one.live])).toEqual([[1, true, null], [2, false, null]]);
  });
  it('leaves the figures of an attempt that was cut as they were', () => {
    const cut = attempt(1, { status: 'lost', reason: 'host_lost', cpu_seconds: 9, max_rss_bytes: 5, duration_ms: 10 });
    const [a] = shown([step('a', 'running', [cut])], ['step_retry_started', { attempt: 2, reason: 'host_lost' }, 'a'], ['step_started', { attempt: 2 }, 'a']);
    expect(a?.attempts).toMatchObject([{ number: 1, cpuSeconds: 9, maxRssBytes: 5, host: 'h' }, { number: 2, status: 'running' }]);
  });
  it('of a run counts its steps, and a running one by what it tells', () => {
    const store = storeOf(['step_progress', { attempt: 1, progress: 0.5, ...figures }, 'b']);
    const steps = view(store, step('a', 'succeeded'), trying('b'), trying('c'), step('d', 'pending'));
    expect(runProgress(steps)).toEqual({ done: 1, share: 0.375 });
    expect(runProgress([])).toEqual({ done: 0, share: 0 });
  });
});

describe('the timeline', () => {
  it('has one row for the progress of an attempt, however much else is told', () => {
    const store = storeOf(
      ['step_progress', { attempt: 1, progress: 0.1, ...figures }, 'a'],
      ['output', { text: 'x' }, 'a'],
      ['step_progress', { attempt: 1, progress: 0.2, ...figures }, 'b'],
      ['step_progress', { attempt: 1, progress: 0.42, note: 'fitting', ...figures }, 'a'],
      ['output', { text: 'y' }, 'a'],
      ['step_progress', { attempt: 2, ...figures, processes: 1 }, 'a'],
    );
    expect(store.timeline.map((row) => [row.type, row.stepId, row.count])).toEqual([
      ['step_progress', 'a', 2], ['output', 'a', 1], ['step_progress', 'b', 1], ['output', 'a', 1], ['step_progress', 'a', 1],
    ]);
    expect(store.timeline.map(describeRow)[0]).toBe('42 % · fitting · cpu 12 s · 130 MB · 3 processes');
    expect(store.timeline.map(describeRow).at(-1)).toBe('cpu 12 s · 130 MB · 1 process');
  });
  it('says quietly that a worker came back', () => {
    expect(storeOf(['step_reattached', { attempt: 1, host: 'h' }, 'a']).timeline.map(describeRow)).toEqual(['a worker on h came back to it; nothing was lost']);
  });
  it('gives reasons in words', () => {
    const rows = storeOf(
      ['step_failed', { attempt: 1, signal: 'SIGKILL', reason: 'out_of_memory' }, 'a'],
      ['step_failed', { attempt: 2, exit_code: 3, reason: 'exit' }, 'a'],
      ['step_retry_started', { attempt: 2, reason: 'supervisor_lost' }, 'a'],
    ).timeline.map(describeRow);
    expect(rows).toEqual(['SIGKILL, out of memory', 'exit 3', 'attempt 2: its supervisor was lost']);
  });
});

describe('a reason', () => {
  it('is words a person reads, whatever the server says', () => {
    expect(['disk_quota', 'too_many_processes', 'timeout', 'host_lost', 'output_limit', 'sandbox'].map(reasonWords))
      .toEqual(['over the disk quota', 'too many processes', 'timed out', 'its host was lost', 'printed more than is kept', 'a layer of the sandbox is missing']);
    expect(reasonWords('something_new')).toBe('something new');
    expect(reasonWords('the step "a" failed')).toBe('the step “a” failed');
  });
});
