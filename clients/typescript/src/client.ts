import { Connection } from './connection.js';
import type { ConnectionOptions, SocketLike } from './connection.js';
import { Cursor } from './cursor.js';
import { ASK_AGAIN_AFTER_MS, backoff, mayBeAskedAgain, PING_EVERY_MS, PONG_WITHIN_MS } from './policy.js';
import { CommandError, isStored } from './types.js';
import type { ClientFrame, Command, ConnectionState, FrameOf, Hole, Identity, Presence, ServerFrame, StoredEvent, TransientFrame } from './types.js';

export interface ClientOptions extends Partial<Omit<ConnectionOptions, 'url'>> {
  url: string; // such as ws://127.0.0.1:8000/ws
  clientId?: string; // a newer connection with the same id replaces this one; 1 to 64 printable characters
}

export interface SubscriptionHandlers {
  onEvent: (event: StoredEvent) => void; // each stored event once, in order
  onSubscribed?: (head: number) => void; // on every connection: the seq of the log's newest event
  onHead?: (head: number) => void; // now and then: the seq of the log's newest event, which may not have arrived yet
  onHole?: (hole: Hole) => void; // events that the server has lost; the log goes on after them
  // The log ends before events that were already handed over, as after restoring a backup: the subscription
  // is over, and this client's events belong to another history. Without it, onRefused is called.
  onRewound?: (head: number) => void;
  onDeleted?: (at: string) => void; // the session was deleted, and the subscription is over. Without it, onRefused is called
  onPresence?: (presence: Presence) => void;
  onRefused?: (error: CommandError) => void; // the subscription is over: trying again does not help
}

export interface Subscription {
  readonly seq: number; // of the last event handed over
  // Whether others see that this client views the session, and which of its approvals it looks at.
  present(visible: boolean): void;
  viewing(approvalId: string | null): void;
  close(): void;
}

export interface SubscribeOptions {
  presence?: boolean; // false: nobody is told that this client is watching
}

interface LogSubscription {
  sessionId: string;
  cursor: Cursor;
  handlers: SubscriptionHandlers;
  presence: boolean;
  approvalId: string | null;
  askedAt: number | null; // when a missing stretch was last requested
}

// The answer to a command.
export type CommandAnswer = FrameOf<'accepted'> | FrameOf<'query_result'>;

// A change of the list of sessions, or the whole list.
export type ListFrame = FrameOf<'sessions'> | FrameOf<'session_created'> | FrameOf<'session_updated'> | FrameOf<'session_deleted'>;

interface PendingCommand {
  resolve: (frame: CommandAnswer) => void;
  reject: (error: Error) => void;
  timer: ReturnType<typeof setTimeout>;
}

// A frame that is sent again when the server cannot take it now.
interface Insisted {
  again: () => void;
  refused: (error: CommandError) => void;
}

const COMMAND_WITHIN_MS = 15_000;

// One connection to a server. It keeps every subscription going across
// reconnects, hands over each stored event exactly once and in order, and
// reports through onState what it is doing.
export class HoldfastClient {
  private readonly connection: Connection;
  private readonly logs = new Map<string, LogSubscription>();
  private readonly listListeners = new Set<(frame: ListFrame) => void>();
  private readonly commands = new Map<string, PendingCommand>();
  private readonly insisted = new Map<string, Insisted>();
  private readonly againTimers = new Set<ReturnType<typeof setTimeout>>();
  private refusals = 0; // since the server last took an insisted frame
  // Different for each life of a client id, since a command sent again with the same request id is done once.
  private readonly life = Math.random().toString(36).slice(2, 10);
  private nextRequest = 1;
  private self: Identity | null = null;
  private stamp: { at: number; heard: number } | null = null; // of the latest frame that is not stored
  private readonly now: () => number;
  private readonly random: () => number;

  constructor(options: ClientOptions) {
    const { url, clientId, ...rest } = options;
    const whole: ConnectionOptions = {
      url: clientId === undefined ? url : `${url}${url.includes('?') ? '&' : '?'}client_id=${encodeURIComponent(clientId)}`,
      createSocket: globalSocket,
      random: Math.random,
      now: () => performance.now(),
      pingEveryMs: PING_EVERY_MS,
      pongWithinMs: PONG_WITHIN_MS,
      ...rest,
    };
    this.now = whole.now;
    this.random = whole.random;
    this.connection = new Connection(whole, {
      opened: () => this.opened(),
      lost: () => this.lost(),
      frame: (frame) => this.dispatch(frame),
    });
  }

  get state(): ConnectionState {
    return this.connection.state;
  }

  // The user the server takes this connection for; null until it has said so.
  get identity(): Identity | null {
    return this.self;
  }

  // What the server's clock shows, in ms, by the last frame that it has stamped; null without a connection.
  serverTime(): number | null {
    return this.stamp === null ? null : this.stamp.at + this.now() - this.stamp.heard;
  }

  onState(listener: () => void): () => void {
    return this.connection.onState(listener);
  }

  start(): void {
    this.connection.start();
  }

  stop(): void {
    this.connection.stop();
  }

  // Start again after a close that ended the connection for good.
  restart(): void {
    this.stop();
    this.start();
  }

  // Tries at once if waiting; checks the connection if live. For `online` and
  // visibility events, and for a person who does not want to wait.
  nudge(): void {
    this.connection.nudge();
  }

  // The system says that the network is gone: gives up the connection without waiting for silence.
  cut(reason = 'The network is gone.'): void {
    this.connection.cut(reason);
  }

  // Follows a session's log after the event with seq since. A session has one subscription at a time.
  subscribe(sessionId: string, since: number, handlers: SubscriptionHandlers, options: SubscribeOptions = {}): Subscription {
    if (this.logs.has(sessionId)) throw new Error(`session ${sessionId} is already subscribed to; close that subscription first`);
    const log: LogSubscription = { sessionId, cursor: new Cursor(since), handlers, presence: options.presence ?? true, approvalId: null, askedAt: null };
    this.logs.set(sessionId, log);
    this.ask(log);
    return {
      get seq() {
        return log.cursor.seq;
      },
      present: (visible) => {
        if (log.presence === visible || this.logs.get(sessionId) !== log) return;
        log.presence = visible;
        this.ask(log);
      },
      viewing: (approvalId) => {
        if (log.approvalId === approvalId || this.logs.get(sessionId) !== log) return;
        log.approvalId = approvalId;
        this.sendViewing(log);
      },
      close: () => {
        if (this.logs.get(sessionId) !== log) return;
        this.logs.delete(sessionId);
        this.connection.send({ type: 'unsubscribe', session_id: sessionId });
      },
    };
  }

  // The list of sessions: a snapshot (sessions), then changes (session_created,
  // session_updated, session_deleted); a new snapshot whenever one may have been missed.
  subscribeSessions(listener: (frame: ListFrame) => void): () => void {
    this.listListeners.add(listener);
    this.askForList();
    return () => {
      this.listListeners.delete(listener);
      if (this.listListeners.size === 0) this.connection.send({ type: 'unsubscribe_sessions' });
    };
  }

  // Sends a command and waits for the accepted, query_result or error that answers it.
  command(frame: Command): Promise<CommandAnswer> {
    if (!this.connection.open) return Promise.reject(new CommandError('not_connected', 'not connected to the server'));
    const id = `${this.life}-${this.nextRequest++}`;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.commands.delete(id);
        reject(new CommandError('timeout', 'the server did not answer in time'));
      }, COMMAND_WITHIN_MS);
      this.commands.set(id, { resolve, reject, timer });
      this.connection.send({ ...frame, request_id: id });
    });
  }

  private opened(): void {
    this.refusals = 0;
    for (const log of this.logs.values()) this.ask(log);
    if (this.listListeners.size > 0) this.askForList();
  }

  private lost(): void {
    this.self = null;
    this.stamp = null;
    this.insisted.clear();
    for (const timer of this.againTimers) clearTimeout(timer);
    this.againTimers.clear();
    for (const pending of this.commands.values()) {
      clearTimeout(pending.timer);
      pending.reject(new CommandError('connection_lost', 'the connection was lost before an answer came'));
    }
    this.commands.clear();
  }

  private ask(log: LogSubscription): void {
    log.askedAt = null;
    const current = () => this.logs.get(log.sessionId) === log;
    this.insist(
      `subscribe ${log.sessionId}`,
      { type: 'subscribe', session_id: log.sessionId, since: log.cursor.seq, ...(log.presence ? {} : { presence: false }) },
      () => {
        if (current()) this.ask(log);
      },
      (error) => {
        if (!current()) return;
        if (error.code === 'cursor_ahead') {
          this.rewound(log, error.head ?? 0);
          return;
        }
        this.logs.delete(log.sessionId);
        log.handlers.onRefused?.(error);
      },
    );
    if (log.presence && log.approvalId !== null) this.sendViewing(log);
  }

  private gone(log: LogSubscription, at: string): void {
    this.logs.delete(log.sessionId);
    if (log.handlers.onDeleted !== undefined) log.handlers.onDeleted(at);
    else log.handlers.onRefused?.(new CommandError('not_found', 'the session was deleted'));
  }

  private rewound(log: LogSubscription, head: number): void {
    this.logs.delete(log.sessionId);
    this.connection.send({ type: 'unsubscribe', session_id: log.sessionId });
    if (log.handlers.onRewound !== undefined) log.handlers.onRewound(head);
    else log.handlers.onRefused?.(new CommandError('cursor_ahead', `the log ends at ${head}, before the event ${log.cursor.seq} that this client has seen`, head));
  }

  private sendViewing(log: LogSubscription): void {
    if (!log.presence) return;
    this.insist(
      `viewing ${log.sessionId}`,
      { type: 'viewing', session_id: log.sessionId, approval_id: log.approvalId ?? '' },
      () => {
        if (this.logs.get(log.sessionId) === log) this.sendViewing(log);
      },
      () => undefined, // the others do not learn of it, and nothing else is lost
    );
  }

  private askForList(): void {
    this.insist(
      'sessions',
      { type: 'subscribe_sessions' },
      () => {
        if (this.listListeners.size > 0) this.askForList();
      },
      () => undefined,
    );
  }

  // Sends a frame now, and again if the server cannot take it. Without a connection
  // it sends nothing: opened will request everything.
  private insist(id: string, frame: ClientFrame, again: () => void, refused: (error: CommandError) => void): void {
    if (this.connection.send({ ...frame, request_id: id })) this.insisted.set(id, { again, refused });
  }

  private dispatch(frame: ServerFrame): void {
    const log = this.logs.get(frame.session_id ?? '');
    if (isStored(frame)) {
      if (log !== undefined) this.advance(log, frame);
      return;
    }
    const at = Date.parse(frame.timestamp);
    if (Number.isFinite(at)) this.stamp = { at, heard: this.now() };
    switch (frame.event_type) {
      case 'connected':
        this.self = { user: frame.data.user, connectionId: frame.data.connection_id };
        return;
      case 'heartbeat': // a sign of life, with the state of the server's parts and the head of a followed log
        this.connection.setHealth(frame.data);
        if (frame.data.head !== undefined) log?.handlers.onHead?.(frame.data.head);
        return;
      case 'presence':
        log?.handlers.onPresence?.(frame.data);
        return;
      case 'subscribed':
        this.answered(frame.data.request_id, frame);
        log?.handlers.onSubscribed?.(frame.data.head);
        return;
      case 'accepted':
      case 'query_result':
        this.answered(frame.data.request_id, frame);
        return;
      case 'error':
        this.refused(frame);
        return;
      case 'session_deleted':
        if (log !== undefined) this.gone(log, frame.timestamp);
        if (frame.session_id !== undefined) return; // it belongs to that subscription, not to the list
        break;
      case 'sessions':
      case 'session_created':
      case 'session_updated':
        break;
      default: // pong and unsubscribed need nothing, nor do frames of a newer server
        return;
    }
    for (const listener of this.listListeners) listener(frame);
  }

  // An error answers a request, or is about a log.
  private refused(frame: FrameOf<'error'>): void {
    const { code, message, head, from_seq: from, to_seq: to, request_id: id, session_id: of } = frame.data;
    const log = this.logs.get(frame.session_id ?? of ?? '');
    if (code === 'range_unavailable' && from !== undefined && to !== undefined) {
      if (log !== undefined) this.skip(log, { from, to });
      return;
    }
    if (this.answered(id, frame, new CommandError(code, message, head))) return;
    if (code === 'cursor_ahead' && log !== undefined) this.rewound(log, head ?? 0);
  }

  private skip(log: LogSubscription, hole: Hole): void {
    if (hole.to <= log.cursor.seq) return;
    log.cursor.skipTo(hole.to);
    log.askedAt = null;
    log.handlers.onHole?.(hole);
  }

  private advance(log: LogSubscription, event: StoredEvent): void {
    const verdict = log.cursor.accept(event.seq);
    if (verdict === 'next') {
      log.askedAt = null;
      log.handlers.onEvent(event);
      return;
    }
    if (verdict === 'duplicate') return;
    const now = this.now();
    if (log.askedAt !== null && now - log.askedAt < ASK_AGAIN_AFTER_MS) return;
    this.ask(log);
    log.askedAt = now;
  }

  // Handles the answer to a request; false when nobody here made it.
  private answered(id: string | undefined, frame: TransientFrame, error: CommandError | null = null): boolean {
    if (id === undefined) return false;
    const insisted = this.insisted.get(id);
    if (insisted !== undefined) {
      this.insisted.delete(id);
      if (error === null) this.refusals = 0;
      else if (mayBeAskedAgain(error.code)) this.later(insisted.again);
      else insisted.refused(error);
      return true;
    }
    const pending = this.commands.get(id);
    if (pending === undefined) return false;
    this.commands.delete(id);
    clearTimeout(pending.timer);
    if (error !== null) pending.reject(error);
    else if (frame.event_type === 'accepted' || frame.event_type === 'query_result') pending.resolve(frame);
    return true;
  }

  private later(again: () => void): void {
    const timer = setTimeout(() => {
      this.againTimers.delete(timer);
      again();
    }, backoff(this.refusals++, this.random()));
    this.againTimers.add(timer);
  }
}

function globalSocket(url: string): SocketLike {
  if (typeof WebSocket === 'undefined') throw new Error('there is no WebSocket here: use a browser or Node 22, or pass createSocket');
  return new WebSocket(url) as unknown as SocketLike;
}
