import { CLOSE_ABNORMAL, CLOSE_NORMAL, CONNECT_WITHIN_MS, Reconnect } from './policy.js';
import type { ClientFrame, ConnectionState, Health, ServerFrame } from './types.js';

// The part of a WebSocket that is used here.
export interface SocketLike {
  readyState: number;
  send(data: string): void;
  close(code?: number, reason?: string): void;
  onopen: ((event: unknown) => void) | null;
  onclose: ((event: { code: number; reason: string }) => void) | null;
  onerror: ((event: unknown) => void) | null;
  onmessage: ((event: { data: unknown }) => void) | null;
}

export interface ConnectionOptions {
  url: string;
  createSocket: (url: string) => SocketLike;
  random: () => number; // in [0, 1)
  now: () => number; // monotonic, ms
  pingEveryMs: number;
  pongWithinMs: number;
}

// What a connection tells its user.
export interface ConnectionEvents {
  opened(): void;
  lost(): void;
  frame(frame: ServerFrame): void;
}

const OPEN = 1;
const IDLE: ConnectionState = { status: 'idle', attempt: 0, retryAt: null, reason: null, lostAt: null, health: null };

// A socket that reconnects whenever it breaks, until the server says that
// coming back does not help.
export class Connection {
  private socket: SocketLike | null = null;
  private readonly reconnect = new Reconnect();
  private readonly listeners = new Set<() => void>();
  private openedAt: number | null = null;
  private heardAt = 0;
  private retryTimer: ReturnType<typeof setTimeout> | null = null;
  private pingTimer: ReturnType<typeof setTimeout> | null = null;
  private deadTimer: ReturnType<typeof setTimeout> | null = null;
  private current = IDLE;
  private readonly options: ConnectionOptions;
  private readonly events: ConnectionEvents;

  constructor(options: ConnectionOptions, events: ConnectionEvents) {
    this.options = options;
    this.events = events;
  }

  get state(): ConnectionState {
    return this.current;
  }

  get open(): boolean {
    return this.socket?.readyState === OPEN;
  }

  onState(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  start(): void {
    if (this.current.status !== 'idle') return;
    this.setState({ status: 'connecting' });
    this.connect();
  }

  stop(): void {
    this.dropSocket(CLOSE_NORMAL);
    this.clearTimers();
    this.reconnect.reset();
    this.events.lost();
    this.setState(IDLE);
  }

  nudge(): void {
    if (this.current.status === 'live') this.ping(Math.min(5_000, this.options.pongWithinMs));
    else if (this.current.status === 'reconnecting' && this.retryTimer !== null) this.connect();
  }

  // The network is known to be gone: this connection will deliver nothing more.
  cut(reason: string): void {
    if (this.socket !== null) this.closed(CLOSE_ABNORMAL, reason);
  }

  setHealth(health: Health): void {
    const { health: was } = this.current;
    const { temporal, postgres, worker } = health;
    if (was?.temporal !== temporal || was.postgres !== postgres || was.worker !== worker) this.setState({ health: { temporal, postgres, worker } });
  }

  // Sends a frame if there is a connection; false if not.
  send(frame: ClientFrame): boolean {
    if (this.socket === null || !this.open) return false;
    this.socket.send(JSON.stringify(frame));
    return true;
  }

  private connect(): void {
    this.dropSocket();
    this.clearTimers();
    if (this.current.status === 'reconnecting') this.setState({ retryAt: null });
    this.openedAt = null;
    let socket: SocketLike;
    try {
      socket = this.options.createSocket(this.options.url);
    } catch (error) {
      this.closed(CLOSE_ABNORMAL, error instanceof Error ? error.message : '');
      return;
    }
    this.socket = socket;
    this.deadTimer = setTimeout(() => this.giveUp(socket), CONNECT_WITHIN_MS);
    socket.onopen = () => this.opened();
    socket.onmessage = (event) => this.received(event.data);
    socket.onerror = null; // a close follows, and says more
    socket.onclose = (event) => this.closed(event.code, event.reason);
  }

  private opened(): void {
    this.clearTimers();
    this.openedAt = this.options.now();
    this.heardAt = this.openedAt;
    this.setState({ ...IDLE, status: 'live' });
    this.events.opened();
    this.schedulePing(this.options.pingEveryMs);
  }

  private closed(code: number, reason: string): void {
    const livedMs = this.openedAt === null ? 0 : this.options.now() - this.openedAt;
    this.dropSocket();
    this.clearTimers();
    this.events.lost();
    const next = this.reconnect.after({ code, reason, livedMs }, this.options.random());
    if (next.waitMs === null) {
      this.setState({ status: 'closed', attempt: 0, retryAt: null, reason: next.why, health: null });
      return;
    }
    this.retryTimer = setTimeout(() => this.connect(), next.waitMs);
    this.setState({
      status: 'reconnecting',
      attempt: this.reconnect.failures,
      retryAt: this.options.now() + next.waitMs,
      reason: next.why,
      lostAt: this.current.lostAt ?? this.options.now(),
      health: null,
    });
  }

  // A message is one frame, or a list of frames that were sent together.
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
      if (isFrame(frame)) this.events.frame({ ...frame, data: frame.data ?? {} } as ServerFrame);
    }
  }

  // One timer, however many frames come: when it is due, frames received meanwhile move it.
  private schedulePing(wait: number): void {
    if (this.pingTimer !== null) clearTimeout(this.pingTimer);
    this.pingTimer = setTimeout(() => {
      const quiet = this.options.now() - this.heardAt;
      if (quiet < this.options.pingEveryMs) this.schedulePing(this.options.pingEveryMs - quiet);
      else this.ping(this.options.pongWithinMs);
    }, wait);
  }

  private ping(within: number): void {
    const socket = this.socket;
    if (socket === null) return;
    this.send({ type: 'ping' });
    this.schedulePing(this.options.pingEveryMs);
    if (this.deadTimer === null) this.deadTimer = setTimeout(() => this.giveUp(socket), within);
  }

  // Any frame is a sign of life.
  private heard(): void {
    this.heardAt = this.options.now();
    if (this.deadTimer !== null) clearTimeout(this.deadTimer);
    this.deadTimer = null;
  }

  private giveUp(socket: SocketLike): void {
    if (this.socket === socket) this.closed(CLOSE_ABNORMAL, 'The server stopped answering.');
  }

  private dropSocket(code?: number): void {
    const socket = this.socket;
    if (socket === null) return;
    this.socket = null;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.onerror = () => undefined; // nobody cares if it breaks now
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

  private setState(change: Partial<ConnectionState>): void {
    this.current = { ...this.current, ...change };
    for (const listener of this.listeners) listener();
  }
}

function isFrame(value: unknown): value is ServerFrame {
  return typeof value === 'object' && value !== null && typeof (value as ServerFrame).event_type === 'string';
}
