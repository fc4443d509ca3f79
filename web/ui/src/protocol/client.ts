import { Cursor } from './cursor';
import { backoffDelay, onClose } from './policy';
import { CommandError } from './types';
import type { ClientFrame, ConnectionState, EventFrame, ServerFrame } from './types';

// The part of a browser WebSocket that is used here.
export interface SocketLike {
  readyState: number;
  send(data: string): void;
  close(code?: number, reason?: string): void;
  onopen: ((event: unknown) => void) | null;
  onclose: ((event: { code: number; reason: string }) => void) | null;
  onerror: ((event: unknown) => void) | null;
  onmessage: ((event: { data: unknown }) => void) | null;
}

export interface ClientOptions {
  url: string;
  createSocket?: (url: string) => SocketLike;
  random?: () => number;
  now?: () => number; // monotonic ms
  pingEveryMs?: number;
  pongWithinMs?: number;
}

export interface SubscriptionHandlers {
  onEvent: (event: EventFrame) => void;
  onTransient?: (frame: ServerFrame) => void; // subscribed, presence, heartbeat, …
}

export interface Subscription {
  readonly seq: number; // the last event handed over
  close(): void;
}

interface LogSubscription {
  cursor: Cursor;
  handlers: SubscriptionHandlers;
  askedAt: number | null; // when a missing stretch was asked for again
}

interface PendingCommand {
  resolve: (frame: ServerFrame) => void;
  reject: (error: Error) => void;
  timer: ReturnType<typeof setTimeout>;
}

const OPEN = 1;
const STABLE_AFTER_MS = 5_000; // a connection that lived this long resets the backoff
const CONNECT_WITHIN_MS = 10_000;
const REASK_AFTER_MS = 5_000;
const COMMAND_WITHIN_MS = 15_000;

// One connection of a tab. It keeps every subscription going across
// reconnects, hands each stored event over exactly once and in order, and says
// through onState what it is doing.
export class ProtocolClient {
  private socket: SocketLike | null = null;
  private readonly logs = new Map<string, LogSubscription>();
  private readonly listListeners = new Set<(frame: ServerFrame) => void>();
  private readonly stateListeners = new Set<() => void>();
  private readonly commands = new Map<string, PendingCommand>();
  private failures = 0;
  private openedAt = 0;
  private nextRequest = 1;
  private retryTimer: ReturnType<typeof setTimeout> | null = null;
  private pingTimer: ReturnType<typeof setTimeout> | null = null;
  private deadTimer: ReturnType<typeof setTimeout> | null = null;
  private current: ConnectionState = { status: 'idle', attempt: 0, retryAt: null, reason: null, lostAt: null };
  private readonly options: Required<ClientOptions>;

  constructor(options: ClientOptions) {
    this.options = {
      createSocket: (url) => new WebSocket(url) as unknown as SocketLike,
      random: Math.random,
      now: () => performance.now(),
      pingEveryMs: 20_000,
      pongWithinMs: 10_000,
      ...options,
    };
  }

  get state(): ConnectionState {
    return this.current;
  }

  onState(listener: () => void): () => void {
    this.stateListeners.add(listener);
    return () => this.stateListeners.delete(listener);
  }

  start(): void {
    if (this.current.status !== 'idle') return;
    this.setState({ status: 'connecting' });
    this.connect();
  }

  stop(): void {
    this.dropSocket(1000);
    this.clearTimers();
    this.failCommands('the connection was closed');
    this.setState({ status: 'idle', attempt: 0, retryAt: null, reason: null, lostAt: null });
  }

  // Try at once when waiting; check for life when live. For `online` and
  // visibility events, and for a person who does not want to wait.
  nudge(): void {
    if (this.current.status === 'live') {
      this.ping(Math.min(5_000, this.options.pongWithinMs));
    } else if (this.current.status === 'reconnecting' && this.retryTimer !== null) {
      this.connect();
    }
  }

  // Start again after a close that ended the connection for good.
  restart(): void {
    this.stop();
    this.failures = 0;
    this.start();
  }

  subscribe(sessionId: string, since: number, handlers: SubscriptionHandlers): Subscription {
    const log: LogSubscription = { cursor: new Cursor(since), handlers, askedAt: null };
    this.logs.set(sessionId, log);
    this.send({ type: 'subscribe', session_id: sessionId, since });
    return {
      get seq() {
        return log.cursor.seq;
      },
      close: () => {
        if (this.logs.get(sessionId) !== log) return;
        this.logs.delete(sessionId);
        this.send({ type: 'unsubscribe', session_id: sessionId });
      },
    };
  }

  subscribeSessions(listener: (frame: ServerFrame) => void): () => void {
    this.listListeners.add(listener);
    if (this.listListeners.size === 1) this.sendListSubscription();
    return () => {
      this.listListeners.delete(listener);
      if (this.listListeners.size === 0) this.send({ type: 'unsubscribe_sessions' });
    };
  }

  // Sends a command and waits for the accepted, query_result or error that answers it.
  command(frame: ClientFrame): Promise<ServerFrame> {
    if (this.socket?.readyState !== OPEN) {
      return Promise.reject(new CommandError('not_connected', 'not connected to the server'));
    }
    const id = this.requestId();
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.commands.delete(id);
        reject(new CommandError('timeout', 'the server did not answer in time'));
      }, COMMAND_WITHIN_MS);
      this.commands.set(id, { resolve, reject, timer });
      this.send({ ...frame, request_id: id });
    });
  }

  private requestId(): string {
    return `r${this.nextRequest++}`;
  }

  private connect(): void {
    this.dropSocket();
    this.clearTimers();
    if (this.current.status === 'reconnecting') this.setState({ retryAt: null });
    let socket: SocketLike;
    try {
      socket = this.options.createSocket(this.options.url);
    } catch {
      this.closed(1006, '');
      return;
    }
    this.socket = socket;
    this.openedAt = 0;
    this.deadTimer = setTimeout(() => this.giveUp(socket), CONNECT_WITHIN_MS);
    socket.onopen = () => this.opened();
    socket.onmessage = (event) => this.received(event.data);
    socket.onerror = null;
    socket.onclose = (event) => this.closed(event.code, event.reason);
  }

  private opened(): void {
    this.clearTimers();
    this.openedAt = this.options.now();
    this.setState({ status: 'live', attempt: 0, retryAt: null, reason: null, lostAt: null });
    for (const [sessionId, log] of this.logs) {
      log.askedAt = null;
      this.send({ type: 'subscribe', session_id: sessionId, since: log.cursor.seq });
    }
    if (this.listListeners.size > 0) this.sendListSubscription();
    this.schedulePing();
  }

  private closed(code: number, reason: string): void {
    this.dropSocket();
    this.clearTimers();
    this.failCommands('the connection was lost before an answer came');
    const lived = this.openedAt > 0 ? this.options.now() - this.openedAt : 0;
    if (lived >= STABLE_AFTER_MS) this.failures = 0;
    const action = onClose(code, reason);
    if (action.kind === 'stop') {
      this.setState({ status: 'closed', attempt: 0, retryAt: null, reason: action.reason });
      return;
    }
    // A server that goes away right after each accept is treated as failing.
    const atOnce = action.kind === 'now' && lived >= 1_000;
    const delay = atOnce ? 0 : backoffDelay(this.failures, this.options.random);
    this.failures += 1;
    this.setState({
      status: 'reconnecting',
      attempt: this.failures,
      retryAt: this.options.now() + delay,
      reason: action.kind === 'now' ? 'The server is restarting.' : action.reason,
      lostAt: this.current.lostAt ?? this.options.now(),
    });
    this.retryTimer = setTimeout(() => this.connect(), delay);
  }

  private received(data: unknown): void {
    this.heard();
    if (typeof data !== 'string') return;
    let parsed: unknown;
    try {
      parsed = JSON.parse(data);
    } catch {
      return; // not a frame of this protocol
    }
    for (const frame of Array.isArray(parsed) ? (parsed as unknown[]) : [parsed]) {
      if (isFrame(frame)) this.dispatch(frame);
    }
  }

  private dispatch(frame: ServerFrame): void {
    const requestId = frame.data?.['request_id'];
    if (typeof requestId === 'string' && this.answer(requestId, frame)) return;
    if (frame.event_type.startsWith('session_') && !isStored(frame)) {
      for (const listener of this.listListeners) listener(frame);
      return;
    }
    if (frame.event_type === 'error') {
      for (const listener of this.listListeners) listener(frame);
    }
    const log = frame.session_id === undefined ? undefined : this.logs.get(frame.session_id);
    if (log === undefined) return;
    if (isStored(frame)) this.advance(log, frame);
    else log.handlers.onTransient?.(frame);
  }

  private advance(log: LogSubscription, event: EventFrame): void {
    const verdict = log.cursor.accept(event.seq);
    if (verdict === 'next') {
      log.askedAt = null;
      log.handlers.onEvent(event);
      return;
    }
    if (verdict === 'duplicate') return;
    const now = this.options.now();
    if (log.askedAt !== null && now - log.askedAt < REASK_AFTER_MS) return;
    log.askedAt = now;
    this.send({ type: 'subscribe', session_id: event.session_id, since: log.cursor.seq });
  }

  private answer(requestId: string, frame: ServerFrame): boolean {
    const pending = this.commands.get(requestId);
    if (pending === undefined) return false;
    this.commands.delete(requestId);
    clearTimeout(pending.timer);
    if (frame.event_type === 'error') {
      const data = frame.data ?? {};
      pending.reject(new CommandError(String(data['code'] ?? 'error'), String(data['message'] ?? 'the command failed')));
    } else {
      pending.resolve(frame);
    }
    return true;
  }

  private sendListSubscription(): void {
    this.send({ type: 'subscribe_sessions', request_id: 'sessions' });
  }

  private send(frame: ClientFrame): void {
    if (this.socket?.readyState === OPEN) this.socket.send(JSON.stringify(frame));
  }

  private schedulePing(): void {
    if (this.pingTimer !== null) clearTimeout(this.pingTimer);
    this.pingTimer = setTimeout(() => this.ping(this.options.pongWithinMs), this.options.pingEveryMs);
  }

  private ping(within: number): void {
    const socket = this.socket;
    if (socket === null) return;
    this.send({ type: 'ping' });
    this.schedulePing();
    if (this.deadTimer === null) this.deadTimer = setTimeout(() => this.giveUp(socket), within);
  }

  // Any frame is a sign of life.
  private heard(): void {
    if (this.deadTimer !== null) clearTimeout(this.deadTimer);
    this.deadTimer = null;
  }

  private giveUp(socket: SocketLike): void {
    if (this.socket === socket) this.closed(1006, 'The server stopped answering.');
  }

  private dropSocket(code?: number): void {
    const socket = this.socket;
    if (socket === null) return;
    this.socket = null;
    socket.onopen = socket.onmessage = socket.onclose = socket.onerror = null;
    try {
      socket.close(code);
    } catch {
      // Already gone.
    }
  }

  private clearTimers(): void {
    for (const timer of [this.retryTimer, this.pingTimer, this.deadTimer]) if (timer !== null) clearTimeout(timer);
    this.retryTimer = this.pingTimer = this.deadTimer = null;
  }

  private failCommands(message: string): void {
    for (const pending of this.commands.values()) {
      clearTimeout(pending.timer);
      pending.reject(new CommandError('connection_lost', message));
    }
    this.commands.clear();
  }

  private setState(change: Partial<ConnectionState>): void {
    this.current = { ...this.current, ...change };
    for (const listener of this.stateListeners) listener();
  }
}

function isFrame(value: unknown): value is ServerFrame {
  return typeof value === 'object' && value !== null && typeof (value as ServerFrame).event_type === 'string';
}

function isStored(frame: ServerFrame): frame is EventFrame {
  return typeof frame.seq === 'number' && frame.seq > 0;
}
