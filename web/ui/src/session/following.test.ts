import type { SubscriptionHandlers } from '@holdfast/client';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ApiError } from '../api/client';
import { getProjection, getSession, listEvents } from '../api/endpoints';
import type { Projection, Session, StoredEvent } from '../api/types';
import { acquire, followed, retry } from './following';
import type { Entry } from './following';
import { eventOf, projectionOf } from './testEvents';

vi.mock('../api/endpoints', () => ({ getProjection: vi.fn(), getSession: vi.fn(), listEvents: vi.fn() }));
vi.mock('../app/live', () => ({ live: { subscribe: vi.fn(), serverTime: () => null, identity: null } }));
const { live } = await import('../app/live');

const PAGE = 1_000;

// A server with one log, whose story is every nth event: a rename to the event's seq. All else is output.
class Server {
  head: number;
  readonly reads: number[] = []; // the seqs of the projections that it gave
  readonly filters: { since: number; until?: number }[] = [];
  handlers: SubscriptionHandlers | null = null;
  since = -1; // of the subscription
  closed = 0;

  constructor(head: number, private readonly every: number) {
    this.head = head;
    vi.mocked(getProjection).mockImplementation(() => Promise.resolve(this.projection()));
    vi.mocked(listEvents).mockImplementation((_id, filter) => {
      const { since, until = this.head, without } = filter;
      this.filters.push({ since, until });
      const step = without === undefined ? 1 : this.every;
      const events: StoredEvent[] = [];
      for (let seq = Math.floor(since / step) * step + step; seq <= until && events.length < PAGE; seq += step) events.push(this.event(seq));
      const last = events.at(-1)?.seq ?? until;
      return Promise.resolve({ events, ...(events.length === PAGE && last < until ? { next_since: last } : {}) });
    });
    vi.mocked(live.subscribe).mockImplementation((_id, since, handlers) => {
      if (this.handlers !== null) throw new Error('already subscribed to');
      [this.handlers, this.since] = [handlers, since];
      return { seq: since, present: () => undefined, viewing: () => undefined, close: () => { this.handlers = null; this.closed += 1; } };
    });
  }

  event(seq: number): StoredEvent {
    return seq % this.every === 0 ? eventOf(seq, 'session_renamed', { name: `${seq}` }) : eventOf(seq, 'output', { text: 'x' }, { step_id: 'a' });
  }

  projection(): Projection {
    this.reads.push(this.head);
    const step = { id: 'a', title: 'a', kind: 'shell' as const, needs: [], status: 'running' as const, attempts: [] };
    const empty = projectionOf({ id: 'r', session_id: 's', number: 1, status: 'active', started_at: '', failed_steps: 0, steps: [step] });
    return { ...empty, seq: this.head, session: { ...empty.session, head_seq: this.head, name: `${Math.floor(this.head / this.every) * this.every}` } };
  }

  // Sends the events of the log that a subscriber has not had.
  send(entry: Entry): void {
    for (let seq = Math.max(this.since, entry.store.lastSeq) + 1; seq <= this.head; seq++) this.handlers?.onEvent(this.event(seq));
  }
}

let pages = 0;
let opened: Entry[] = [];

beforeEach(() => {
  vi.stubGlobal('document', { visibilityState: 'hidden', addEventListener: () => undefined });
});
afterEach(() => {
  for (const entry of opened) entry.stop.abort();
  opened = [];
  vi.unstubAllGlobals();
  vi.clearAllMocks();
});

async function openPage(server: Server): Promise<{ id: string; entry: Entry; shown: () => Promise<Projection | null> }> {
  const id = `page-${pages++}`;
  const entry = acquire(id);
  opened.push(entry);
  await vi.waitFor(() => expect(server.handlers).not.toBeNull());
  server.send(entry);
  return {
    id,
    entry,
    shown: async () => {
      await vi.waitFor(() => expect(followed(id)?.getSnapshot().seq).toBe(followed(id)?.lastSeq));
      return entry.store.getSnapshot().projection;
    },
  };
}

describe('a page that slept', () => {
  it.each([
    ['a log with much output', 300_000, 1_000],
    ['a log with more story than is read at once', 300_000, 10],
  ])('through %s knows what the session is, with one more projection', async (_name, head, every) => {
    const server = new Server(300, every);
    const { entry, shown } = await openPage(server);
    server.head = head;
    server.filters.length = 0;
    server.handlers?.onSubscribed?.(server.head);
    await vi.waitFor(() => expect(server.handlers).not.toBeNull());
    server.send(entry);
    expect(await shown()).toMatchObject({ seq: head, session: { name: `${head}` } });
    expect(server.reads).toEqual([300, head]);
    expect(server.filters.every((filter) => filter.since >= 300)).toBe(true);
    const gap = entry.store.olderUntil;
    const rows = entry.store.timeline.map((row) => row.firstSeq);
    if (every === 1_000) expect([gap, rows[0]]).toEqual([0, 1]);
    else {
      expect(gap).toBeGreaterThan(300);
      expect(rows[0]).toBeGreaterThan(gap); // "Show older" reads the rest
    }
    expect(rows).toEqual(rows.toSorted((a, b) => a - b));
    expect(entry.store.output.chunks('r/a').map((chunk) => chunk.text).join('')).toMatch(/^x+\n── some output is not shown here; the download has all of it ──\nx+$/);
  });
  it('through a stretch whose story is refused shows where it begins', async () => {
    const server = new Server(300, 1_000);
    const { entry, shown } = await openPage(server);
    server.head = 300_000;
    vi.mocked(listEvents).mockRejectedValue(new Error('no'));
    server.handlers?.onSubscribed?.(server.head);
    await vi.waitFor(() => expect(server.handlers).not.toBeNull());
    server.send(entry);
    expect(await shown()).toMatchObject({ seq: 300_000, session: { name: '300000' } });
    expect(entry.store.olderUntil).toBe(server.since);
  });
});

describe('a page whose log has holes', () => {
  // Answers to reads of the projection, each given when the test says so.
  function held(): ((answer: () => Projection) => Promise<void>)[] {
    const answers: ((answer: () => Projection) => Promise<void>)[] = [];
    vi.mocked(getProjection).mockImplementation(() => new Promise((resolve, reject) => {
      answers.push(async (answer) => {
        try {
          resolve(answer());
        } catch (error) {
          reject(error as Error);
        }
        await new Promise((later) => setTimeout(later));
      });
    }));
    return answers;
  }
  const refuse = () => {
    throw new Error('no');
  };

  it('reads one projection for two of them', async () => {
    const server = new Server(10, 1);
    const { shown } = await openPage(server);
    const answers = held();
    server.handlers?.onHole?.({ from: 11, to: 20 });
    server.handlers?.onHole?.({ from: 21, to: 30 });
    server.handlers?.onEvent(server.event(31));
    expect(answers).toHaveLength(1);
    server.head = 30;
    await answers[0]?.(() => server.projection());
    expect(await shown()).toMatchObject({ seq: 31, session: { name: '31' } });
    expect(answers).toHaveLength(1);
  });
  it('reads once more for a hole that was found meanwhile', async () => {
    const server = new Server(10, 1);
    const { entry, shown } = await openPage(server);
    const answers = held();
    server.handlers?.onHole?.({ from: 11, to: 20 });
    server.head = 25;
    const first = server.projection();
    server.handlers?.onEvent(server.event(21));
    server.handlers?.onHole?.({ from: 22, to: 30 });
    await answers[0]?.(() => first);
    expect(answers).toHaveLength(2);
    server.handlers?.onEvent(server.event(31));
    server.head = 30;
    await answers[1]?.(() => server.projection());
    expect(answers).toHaveLength(2);
    expect(await shown()).toMatchObject({ seq: 31, session: { name: '31' } });
    expect([entry.store.openedAt, entry.store.missingUntil]).toEqual([30, 0]);
  });
  it('says that it could not read them, and reads them when it is told to', async () => {
    const server = new Server(10, 1);
    const { id, entry, shown } = await openPage(server);
    const answers = held();
    server.handlers?.onHole?.({ from: 11, to: 20 });
    await answers[0]?.(refuse);
    await vi.waitFor(() => expect(entry.store.getSnapshot().error).not.toBeNull());
    retry(id);
    retry(id);
    server.handlers?.onEvent(server.event(21));
    server.head = 20;
    await answers[1]?.(() => server.projection());
    expect(await shown()).toMatchObject({ seq: 21, session: { name: '21' } });
    expect(entry.store.getSnapshot().error).toBeNull();
    expect([answers.length, vi.mocked(live.subscribe).mock.calls.length, server.closed]).toEqual([2, 1, 0]);
  });
  it('is whole again when another hole makes it read what it could not', async () => {
    const server = new Server(10, 1);
    const { entry, shown } = await openPage(server);
    const answers = held();
    server.handlers?.onHole?.({ from: 11, to: 20 });
    await answers[0]?.(refuse);
    for (let seq = 21; seq <= 30; seq++) server.handlers?.onEvent(server.event(seq));
    server.handlers?.onHole?.({ from: 31, to: 32 });
    server.head = 32;
    await answers[1]?.(() => server.projection());
    expect(await shown()).toMatchObject({ seq: 32 });
    expect(entry.store.getSnapshot().error).toBeNull();
  });
});

describe('a page of a newer release than the server', () => {
  const missing = new ApiError(404, { title: 'Not Found', status: 404, code: 'not_found' });
  it('asks again when an instance does not know projections', async () => {
    const server = new Server(10, 1);
    vi.mocked(getProjection).mockRejectedValueOnce(missing);
    vi.mocked(getSession).mockResolvedValue({} as Session);
    const { entry, shown } = await openPage(server);
    expect(await shown()).toMatchObject({ seq: 10 });
    expect(entry.store.failed).toBe(false);
  });
  it('says that a session does not exist when it does not', async () => {
    new Server(10, 1);
    vi.mocked(getProjection).mockRejectedValue(missing);
    vi.mocked(getSession).mockRejectedValue(missing);
    const entry = acquire(`page-${pages++}`);
    opened.push(entry);
    await vi.waitFor(() => expect(entry.store.getSnapshot().error).toBe(missing));
    expect(vi.mocked(getProjection)).toHaveBeenCalledTimes(1);
  });
});
