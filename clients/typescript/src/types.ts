// What goes over /ws, under the names that clients use. The shapes are generated
// from the server's own declarations: see generated.ts, and docs/protocol.md.
import type { components } from './generated.js';

export type Schemas = components['schemas'];

// An event in a session's log.
export type StoredEvent = Schemas['Event'];
// A frame that is sent but not stored.
export type TransientFrame = Schemas['ServerFrame'];
// Anything a server sends; event_type says what it is.
export type ServerFrame = StoredEvent | TransientFrame;
// Anything a client sends; type says what it is.
export type ClientFrame = Schemas['ClientFrame'];

// A frame that the server carries out and answers with accepted, query_result or error.
export type Command = Exclude<ClientFrame, { type: 'subscribe' | 'unsubscribe' | 'subscribe_sessions' | 'unsubscribe_sessions' | 'ping' }>;

// The event or frame of one type.
export type EventOf<T extends StoredEvent['event_type']> = Extract<StoredEvent, { event_type: T }>;
export type FrameOf<T extends TransientFrame['event_type']> = Extract<TransientFrame, { event_type: T }>;

// A client that views a session.
export type Viewer = Schemas['ViewerData'];
// All viewers: some by name, and how many there are.
export type Presence = Schemas['PresenceData'];

// What the server said about this connection when it opened.
export interface Identity {
  user: string;
  connectionId: string;
}

// What the server last said about the parts that it needs.
export type Health = Pick<Schemas['HeartbeatData'], 'temporal' | 'postgres' | 'worker'>;
export type PartState = Health['worker'];

// Events of a log that cannot be read, from the first to the last.
export interface Hole {
  from: number;
  to: number;
}

export type ConnectionStatus =
  | 'idle' // not started
  | 'connecting' // the first connection is being made
  | 'live'
  | 'reconnecting' // lost; waiting to try again, or trying
  | 'closed'; // ended for good, reason says why

export interface ConnectionState {
  status: ConnectionStatus;
  attempt: number; // failed tries since the last live connection
  retryAt: number | null; // on the client's monotonic clock, in ms
  reason: string | null;
  lostAt: number | null; // when the connection was lost, same clock
  health: Health | null; // while live; null until the server has said
}

// A refusal by the server, or no answer at all: code is the server's, or
// not_connected, connection_lost, timeout.
export class CommandError extends Error {
  readonly code: string;
  readonly head: number | undefined; // of the log, if the refusal says it

  constructor(code: string, message: string, head?: number) {
    super(message);
    this.name = 'CommandError';
    this.code = code;
    this.head = head;
  }
}

export function isStored(frame: ServerFrame): frame is StoredEvent {
  return 'seq' in frame && typeof frame.seq === 'number' && frame.seq > 0;
}
