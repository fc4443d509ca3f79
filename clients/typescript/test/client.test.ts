import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { HoldfastClient } from '../src/client.js';
import type { Presence } from '../src/types.js';
import { FakeSocket } from './fakeSocket.js';

const SESSION = 's1';
const event = (seq: number) => ({ event_type: 'output', seq, session_id: SESSION, data: { text: `${seq}\n` } });

let sockets: FakeSocket[];
const socket = () => sockets.at(-1) as FakeSocket;

function start(random = 0.5) {
  const client = new HoldfastClient({
    url: 'ws://test/ws',
    createSocket: () => {
      const made = new FakeSocket();
      sockets.push(made);
      return made;
    },
    random: () => random,
    now: () => Date.now(),
  });
  client.start();
  return client;
}

function watch(client: HoldfastClient, since = 0) {
  const seen: number[] = [];
  const subscription = client.subscribe(SESSION, since, { onEvent: (e) => seen.push(e.seq) });
  return { seen, subscription };
}

beforeEach(() => {
  vi.useFakeTimers();
  sockets = [];
});
afterEach(() => vi.useRealTimers());

describe('a subscription', () => {
  it('asks for what follows its cursor once the socket is open', () => {
    const client = start();
    watch(client, 7);
    expect(socket().subscriptions()).toEqual([]);
    socket().accept();
    expect(socket().subscriptions()).toEqual([7]);
  });

  it('hands every seq over once and in order, whatever arrives twice', () => {
    const client = start();
    const { seen } = watch(client);
    socket().accept();
    for (const seq of [1, 2, 2, 1, 3]) socket().deliver(event(seq));
    expect(seen).toEqual([1, 2, 3]);
  });

  it('takes a frame without data for one with nothing in it, and goes on with those beside it', () => {
    const client = start();
    const { seen } = watch(client);
    socket().accept();
    socket().deliver([{ event_type: 'connected' }, event(1)]);
    expect(seen).toEqual([1]);
  });

  it('asks again from the last contiguous seq when one is missing, and does so once', () => {
    const client = start();
    const { seen } = watch(client);
    socket().accept();
    socket().deliver(event(1));
    for (const seq of [4, 5, 6]) socket().deliver(event(seq));
    expect(seen).toEqual([1]);
    expect(socket().subscriptions()).toEqual([0, 1]);
    for (const seq of [2, 3, 4, 5, 6]) socket().deliver(event(seq));
    expect(seen).toEqual([1, 2, 3, 4, 5, 6]);
  });

  it('resumes after a lost connection with no gap and no duplicate', () => {
    const client = start();
    const { seen } = watch(client);
    socket().accept();
    for (const seq of [1, 2, 3]) socket().deliver(event(seq));
    socket().drop(1006);
    vi.advanceTimersByTime(1_000);
    expect(sockets).toHaveLength(2);
    socket().accept();
    expect(socket().subscriptions()).toEqual([3]);
    for (const seq of [3, 4, 5]) socket().deliver(event(seq));
    expect(seen).toEqual([1, 2, 3, 4, 5]);
  });

  it('says unsubscribe and hears no more when closed', () => {
    const client = start();
    const { seen, subscription } = watch(client);
    socket().accept();
    socket().deliver(event(1));
    subscription.close();
    socket().deliver(event(2));
    expect(seen).toEqual([1]);
    expect(socket().sent.at(-1)).toEqual({ type: 'unsubscribe', session_id: SESSION });
  });

  it('survives a frame that is not of the protocol', () => {
    const client = start();
    const { seen } = watch(client);
    socket().accept();
    socket().onmessage?.({ data: 'not json' });
    socket().onmessage?.({ data: '{"x":1}' });
    socket().onmessage?.({ data: new ArrayBuffer(2) });
    socket().deliver(event(1));
    expect(seen).toEqual([1]);
  });
});

describe('a log that is not what it was', () => {
  const follow = (client: HoldfastClient, since: number, rewound = true) => {
    const told: unknown[] = [];
    client.subscribe(SESSION, since, {
      onEvent: (e) => told.push(e.seq),
      onHole: (hole) => told.push(hole),
      onHead: (head) => told.push(`head ${head}`),
      onRefused: (error) => told.push(error.code),
      ...(rewound ? { onRewound: (head: number) => told.push(`rewound to ${head}`) } : {}),
    });
    socket().accept();
    return told;
  };
  const subscribed = (head: number) => ({ event_type: 'subscribed', session_id: SESSION, data: { head, request_id: `subscribe ${SESSION}` } });
  const refused = (data: Record<string, unknown>) => ({ event_type: 'error', data: { request_id: `subscribe ${SESSION}`, message: 'no', ...data } });

  it('is told of when the server refuses the cursor, and is not followed as if it went on', () => {
    const client = start();
    const told = follow(client, 40);
    socket().deliver(refused({ code: 'cursor_ahead', head: 12 }));
    socket().deliver(event(41));
    expect(told).toEqual(['rewound to 12']);
    expect(() => follow(client, 0)).not.toThrow();
  });

  it('did not go back when the subscription before this one was a little ahead of its answer', () => {
    const told = follow(start(), 40);
    socket().deliver(event(41));
    socket().deliver(subscribed(40));
    socket().deliver(event(42));
    expect(told).toEqual([41, 42]);
  });

  it('is a refusal for a client that does not listen', () => {
    const told = follow(start(), 40, false);
    socket().deliver(refused({ code: 'cursor_ahead', head: 12 }));
    expect(told).toEqual(['cursor_ahead']);
  });

  it('is told of a restore while it follows', () => {
    const told = follow(start(), 0);
    socket().deliver(subscribed(1));
    socket().deliver(event(1));
    socket().deliver({ event_type: 'error', session_id: SESSION, data: { code: 'cursor_ahead', head: 0, session_id: SESSION, message: 'restored' } });
    expect(told.at(-1)).toBe('rewound to 0');
  });

  it('is told that the session was deleted, which is no change of the list', () => {
    const client = start();
    const list: string[] = [];
    client.subscribeSessions((frame) => list.push(frame.event_type));
    let deleted = 0;
    client.subscribe('gone', 0, { onEvent: () => undefined, onDeleted: () => deleted++ });
    socket().accept();
    socket().deliver({ event_type: 'session_deleted', session_id: 'gone', data: { session_id: 'gone' } });
    expect([deleted, list]).toEqual([1, []]);
    expect(() => client.subscribe('gone', 0, { onEvent: () => undefined })).not.toThrow();
  });

  it('goes on after a hole, which is told', () => {
    const told = follow(start(), 0);
    socket().deliver(subscribed(9));
    socket().deliver(event(1));
    socket().deliver({ event_type: 'error', session_id: SESSION, data: { code: 'range_unavailable', message: 'gone', from_seq: 2, to_seq: 5 } });
    for (const seq of [4, 6, 7]) socket().deliver(event(seq));
    expect(told).toEqual([1, { from: 2, to: 5 }, 6, 7]);
    expect(socket().subscriptions()).toEqual([0]);
  });

  it('is told of when its session is deleted, and when that was', () => {
    const client = start();
    const told: unknown[] = [];
    client.subscribe(SESSION, 0, { onEvent: () => undefined, onDeleted: (deletion) => told.push(deletion) });
    client.subscribe('s2', 0, { onEvent: () => undefined, onRefused: (error) => told.push(error.code) });
    socket().accept();
    socket().deliver({ event_type: 'session_deleted', session_id: SESSION, timestamp: 'now', data: { session_id: SESSION } });
    socket().deliver({ event_type: 'session_deleted', session_id: 's2', data: { session_id: 's2' } });
    expect(told).toEqual(['now', 'not_found']);
  });

  it('is told of when it went back while it was followed', () => {
    const told = follow(start(), 40);
    socket().deliver({ event_type: 'error', data: { code: 'cursor_ahead', session_id: SESSION, message: 'restored', head: 7 } });
    expect(told).toEqual(['rewound to 7']);
  });

  it('tells how far it is', () => {
    const told = follow(start(), 0);
    socket().deliver({ event_type: 'heartbeat', session_id: SESSION, data: { head: 70, temporal: 'up', postgres: 'up', worker: 'up' } });
    expect(told).toEqual(['head 70']);
  });
});

describe('the connection', () => {
  it('backs off with growing, jittered waits, and counts its attempts', () => {
    const client = start(0.999);
    const waits: number[] = [];
    for (let n = 1; n <= 7; n++) {
      socket().drop(1006);
      expect(client.state).toMatchObject({ status: 'reconnecting', attempt: n });
      waits.push((client.state.retryAt ?? 0) - Date.now());
      vi.advanceTimersByTime(waits.at(-1) ?? 0);
    }
    expect(waits).toEqual([299, 599, 1198, 2397, 4795, 9590, 9990]);
  });

  it.each([1000, 1008, 4001, 4401, 4403])('ends for good on close code %i and says why', (code) => {
    const client = start();
    socket().accept();
    socket().drop(code, 'because');
    vi.advanceTimersByTime(60_000);
    expect(client.state.status).toBe('closed');
    expect(client.state.reason).not.toBe('');
    expect(sockets).toHaveLength(1);
  });

  it('reconnects at once on 1001, but not in a loop against a server that keeps leaving', () => {
    const client = start();
    socket().accept();
    vi.advanceTimersByTime(2_000);
    socket().drop(1001);
    vi.advanceTimersByTime(0);
    expect(sockets).toHaveLength(2);
    socket().accept();
    socket().drop(1001);
    vi.advanceTimersByTime(0);
    expect(sockets).toHaveLength(2);
    expect(client.state.status).toBe('reconnecting');
  });

  it.each([1009, 1013])('backs off on close code %i', (code) => {
    const client = start();
    socket().accept();
    socket().drop(code);
    expect(client.state.status).toBe('reconnecting');
    vi.advanceTimersByTime(0);
    expect(sockets).toHaveLength(1);
    vi.advanceTimersByTime(10_000);
    expect(sockets).toHaveLength(2);
  });

  it('pings, and takes silence after a ping for a dead connection', () => {
    const client = start();
    socket().accept();
    vi.advanceTimersByTime(8_000);
    expect(socket().sent).toContainEqual({ type: 'ping' });
    socket().deliver({ event_type: 'pong' });
    vi.advanceTimersByTime(7_900);
    expect(client.state.status).toBe('live');
    vi.advanceTimersByTime(4_100);
    expect(client.state.status).not.toBe('live');
    expect(sockets[0]?.closedByClient).toBe(true);
  });

  it('notices within 12 seconds that the server is silent, and leaves one that talks alone', () => {
    const client = start();
    socket().accept();
    for (let n = 0; n < 10; n++) {
      vi.advanceTimersByTime(7_000);
      socket().deliver({ event_type: 'heartbeat', data: { temporal: 'up', postgres: 'up', worker: 'up' } });
    }
    expect(socket().sent).not.toContainEqual({ type: 'ping' });
    expect(client.state.status).toBe('live');
    vi.advanceTimersByTime(12_001);
    expect(client.state.status).toBe('reconnecting');
  });

  it('is lost at once when the network is', () => {
    const client = start();
    socket().accept();
    client.cut();
    expect(client.state).toMatchObject({ status: 'reconnecting', reason: 'The network is gone.' });
    expect(sockets[0]?.closedByClient).toBe(true);
  });

  it('tells how the parts of the server are, and forgets it with the connection', () => {
    const client = start();
    const told: unknown[] = [];
    client.onState(() => told.push(client.state.health?.temporal));
    socket().accept();
    socket().deliver({ event_type: 'heartbeat', data: { temporal: 'down', postgres: 'up', worker: 'up' } });
    socket().deliver({ event_type: 'heartbeat', data: { temporal: 'down', postgres: 'up', worker: 'up' } });
    expect(told).toEqual([undefined, 'down']);
    expect(client.state.health).toEqual({ temporal: 'down', postgres: 'up', worker: 'up' });
    socket().drop(1006);
    expect(client.state.health).toBeNull();
  });

  it('gives up a connection attempt that hangs', () => {
    const client = start();
    vi.advanceTimersByTime(10_001);
    expect(client.state.status).toBe('reconnecting');
  });

  it('tries at once when nudged while waiting', () => {
    const client = start(0.999);
    for (let n = 0; n < 4; n++) {
      socket().drop(1006);
      vi.advanceTimersByTime(n < 3 ? 10_000 : 0);
    }
    expect(sockets).toHaveLength(4);
    client.nudge();
    expect(sockets).toHaveLength(5);
  });

  it('checks for life when nudged while live', () => {
    const client = start();
    socket().accept();
    client.nudge();
    vi.advanceTimersByTime(5_001);
    expect(client.state.status).toBe('reconnecting');
  });

  it('starts again when asked to after an end for good', () => {
    const client = start();
    watch(client, 3);
    socket().accept();
    socket().drop(4001);
    client.restart();
    socket().accept();
    expect(client.state.status).toBe('live');
    expect(socket().subscriptions()).toEqual([3]);
  });
});

describe('a command', () => {
  it('is answered by the frame with its request id', async () => {
    const client = start();
    socket().accept();
    const answer = client.command({ type: 'suspend', session_id: SESSION });
    const id = socket().sent.at(-1)?.['request_id'];
    socket().deliver({ event_type: 'accepted', data: { request_id: 'another' } });
    socket().deliver({ event_type: 'accepted', data: { request_id: id } });
    await expect(answer).resolves.toMatchObject({ event_type: 'accepted' });
  });

  it('fails with the code of the error that answers it', async () => {
    const client = start();
    socket().accept();
    const answer = client.command({ type: 'resume', session_id: SESSION });
    const id = socket().sent.at(-1)?.['request_id'];
    socket().deliver({ event_type: 'error', data: { request_id: id, code: 'conflict', message: 'no' } });
    await expect(answer).rejects.toMatchObject({ code: 'conflict', message: 'no' });
  });

  it('fails when the connection is lost, when there is none, and when no answer comes', async () => {
    const client = start();
    await expect(client.command({ type: 'cancel', session_id: SESSION })).rejects.toMatchObject({ code: 'not_connected' });
    socket().accept();
    const lost = client.command({ type: 'cancel', session_id: SESSION });
    socket().drop(1006);
    await expect(lost).rejects.toMatchObject({ code: 'connection_lost' });
    vi.advanceTimersByTime(1_000);
    socket().accept();
    const late = expect(client.command({ type: 'cancel', session_id: SESSION })).rejects.toMatchObject({ code: 'timeout' });
    for (let n = 0; n < 3; n++) {
      vi.advanceTimersByTime(5_001);
      socket().deliver({ event_type: 'pong' });
    }
    await late;
  });
});

describe('a subscription that the server refuses', () => {
  const refusal = (code: string) => ({ event_type: 'error', data: { request_id: `subscribe ${SESSION}`, code, message: 'no' } });

  it('is asked for again while time may help, with growing waits', () => {
    const client = start();
    const { seen } = watch(client, 4);
    socket().accept();
    socket().deliver(refusal('unavailable'));
    vi.advanceTimersByTime(149);
    expect(socket().subscriptions()).toEqual([4]);
    vi.advanceTimersByTime(1);
    expect(socket().subscriptions()).toEqual([4, 4]);
    socket().deliver(refusal('rate_limited'));
    vi.advanceTimersByTime(299);
    expect(socket().subscriptions()).toEqual([4, 4]);
    vi.advanceTimersByTime(1);
    socket().deliver({ event_type: 'subscribed', session_id: SESSION, data: { head: 5, request_id: `subscribe ${SESSION}` } });
    socket().deliver(event(5));
    expect(socket().subscriptions()).toEqual([4, 4, 4]);
    expect(seen).toEqual([5]);
  });

  it('is not asked for again on a connection that was lost meanwhile', () => {
    const client = start();
    watch(client);
    socket().accept();
    socket().deliver(refusal('internal'));
    socket().drop(1006);
    vi.advanceTimersByTime(1_000);
    socket().accept();
    vi.advanceTimersByTime(5_000);
    expect(socket().subscriptions()).toEqual([0]);
  });

  it('is over, and says so, when time does not help', () => {
    const client = start();
    const refused: string[] = [];
    client.subscribe(SESSION, 0, { onEvent: () => undefined, onRefused: (error) => refused.push(error.code) });
    socket().accept();
    socket().deliver(refusal('not_found'));
    socket().drop(1006);
    vi.advanceTimersByTime(1_000);
    socket().accept();
    expect(refused).toEqual(['not_found']);
    expect(socket().subscriptions()).toEqual([]);
  });

  it('is not made twice at a time', () => {
    const client = start();
    const { subscription } = watch(client);
    expect(() => watch(client)).toThrow(/already subscribed to/);
    subscription.close();
    expect(() => watch(client)).not.toThrow();
  });
});

describe('presence', () => {
  const said = () => socket().sent.map(({ request_id: _, ...frame }) => frame);

  it('tells who looks on, and whom the server takes this connection for', () => {
    const client = start();
    const heard: Presence[] = [];
    client.subscribe(SESSION, 0, { onEvent: () => undefined, onPresence: (presence) => heard.push(presence) });
    socket().accept();
    socket().deliver({ event_type: 'connected', data: { user: 'ada', connection_id: 'c1' } });
    expect(client.identity).toEqual({ user: 'ada', connectionId: 'c1' });
    const viewers = [{ user: 'ada', connection_id: 'c1', since: '2026-01-01T00:00:00.000Z' }];
    socket().deliver({ event_type: 'presence', session_id: SESSION, data: { viewers, count: 7 } });
    socket().deliver({ event_type: 'presence', session_id: 'another', data: { viewers, count: 1 } });
    expect(heard).toEqual([{ viewers, count: 7 }]);
    socket().drop(1006);
    expect(client.identity).toBeNull();
  });

  it('says at which approval this client looks, on every connection', () => {
    const client = start();
    const { subscription } = watch(client);
    subscription.viewing('a1');
    socket().accept();
    subscription.viewing('a1');
    expect(said()).toEqual([{ type: 'subscribe', session_id: SESSION, since: 0 }, { type: 'viewing', session_id: SESSION, approval_id: 'a1' }]);
    socket().drop(1006);
    vi.advanceTimersByTime(1_000);
    socket().accept();
    expect(said().at(-1)).toEqual({ type: 'viewing', session_id: SESSION, approval_id: 'a1' });
    subscription.viewing(null);
    expect(said().at(-1)).toEqual({ type: 'viewing', session_id: SESSION, approval_id: '' });
  });

  it('is given up and taken on again without missing an event', () => {
    const client = start();
    const { seen, subscription } = watch(client);
    socket().accept();
    socket().deliver(event(1));
    subscription.present(false);
    subscription.viewing('a1');
    expect(said().at(-1)).toEqual({ type: 'subscribe', session_id: SESSION, since: 1, presence: false });
    socket().deliver(event(2));
    subscription.present(true);
    expect(said().slice(-2)).toEqual([{ type: 'subscribe', session_id: SESSION, since: 2 }, { type: 'viewing', session_id: SESSION, approval_id: 'a1' }]);
    expect(seen).toEqual([1, 2]);
  });
});

describe('a client id', () => {
  it('goes with the address, and its commands differ from those of another life', () => {
    const ids = [1, 2].map(() => {
      let asked = '';
      const client = new HoldfastClient({
        url: 'ws://test/ws',
        clientId: 'a b',
        createSocket: (url) => {
          asked = url;
          sockets.push(new FakeSocket());
          return socket();
        },
      });
      client.start();
      socket().accept();
      client.command({ type: 'suspend', session_id: SESSION }).catch(() => undefined);
      expect(asked).toBe('ws://test/ws?client_id=a%20b');
      const id = socket().sent.at(-1)?.['request_id'];
      client.stop();
      return id;
    });
    expect(ids[0]).not.toBe(ids[1]);
  });
});

describe('the list of sessions', () => {
  it('is asked for on every connection, and its frames reach the listener', () => {
    const client = start();
    const frames: string[] = [];
    client.subscribeSessions((frame) => frames.push(frame.event_type));
    socket().accept();
    expect(socket().sent).toContainEqual({ type: 'subscribe_sessions', request_id: 'sessions' });
    socket().deliver({ event_type: 'session_updated', session_id: SESSION, data: {} });
    socket().deliver({ event_type: 'session_renamed', seq: 3, session_id: SESSION, data: {} });
    socket().deliver({ event_type: 'sessions', data: { sessions: [], total: 0 } });
    expect(frames).toEqual(['session_updated', 'sessions']);
    socket().drop(1006);
    vi.advanceTimersByTime(1_000);
    socket().accept();
    expect(socket().sent).toContainEqual({ type: 'subscribe_sessions', request_id: 'sessions' });
  });
});
