import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ProtocolClient } from './client';
import { FakeSocket } from './fakeSocket';

const SESSION = 's1';
const event = (seq: number) => ({ event_type: 'output', seq, session_id: SESSION, data: { text: `${seq}\n` } });

let sockets: FakeSocket[];
const socket = () => sockets.at(-1) as FakeSocket;

function start(random = 0.5) {
  const client = new ProtocolClient({
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

function watch(client: ProtocolClient, since = 0) {
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
    vi.advanceTimersByTime(20_000);
    expect(socket().sent).toContainEqual({ type: 'ping' });
    socket().deliver({ event_type: 'pong' });
    vi.advanceTimersByTime(19_000);
    expect(client.state.status).toBe('live');
    vi.advanceTimersByTime(12_000);
    expect(client.state.status).not.toBe('live');
    expect(sockets[0]?.closedByClient).toBe(true);
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
    await expect(client.command({ type: 'cancel' })).rejects.toMatchObject({ code: 'not_connected' });
    socket().accept();
    const lost = client.command({ type: 'cancel' });
    socket().drop(1006);
    await expect(lost).rejects.toMatchObject({ code: 'connection_lost' });
    vi.advanceTimersByTime(1_000);
    socket().accept();
    const late = expect(client.command({ type: 'cancel' })).rejects.toMatchObject({ code: 'timeout' });
    vi.advanceTimersByTime(15_001);
    await late;
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
    socket().deliver({ event_type: 'error', data: { request_id: 'sessions', code: 'bad_frame' } });
    expect(frames).toEqual(['session_updated', 'error']);
    socket().drop(1006);
    vi.advanceTimersByTime(1_000);
    socket().accept();
    expect(socket().sent).toContainEqual({ type: 'subscribe_sessions', request_id: 'sessions' });
  });
});
