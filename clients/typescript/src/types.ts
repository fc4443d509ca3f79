// Frames of the /ws protocol. See docs/protocol.md.

export interface ServerFrame {
  event_type: string;
  seq?: number | null;
  timestamp?: string;
  session_id?: string;
  run_id?: string;
  step_id?: string;
  data?: Record<string, unknown> | null;
}

// A frame of the stored log: it has a place in its session's sequence.
export interface EventFrame extends ServerFrame {
  seq: number;
  session_id: string;
}

export interface ClientFrame {
  type: string;
  [field: string]: unknown;
}

// A client that looks at a session.
export interface Viewer {
  user: string;
  client_id?: string;
  connection_id: string; // of its newest connection
  since: string; // RFC 3339
  approval_id?: string; // the pending approval that is looked at
}

// All who do: some by name, and how many there are.
export interface Presence {
  viewers: Viewer[];
  count: number;
}

// What the server said of this connection when it was made.
export interface Identity {
  user: string;
  connectionId: string;
}

export type PartState = 'up' | 'down';

// What the server last said of the parts that it needs; null until it has.
export interface Health {
  temporal: PartState; // takes commands
  postgres: PartState; // has the records
  worker: PartState; // runs steps
}

// Who deleted a session, and when; each is empty where the server does not say.
export interface Deletion {
  actor: string;
  at: string;
}

// Events of a log that cannot be had, the first and the last of them.
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
  health: Health | null; // while live
}

// A refusal by the server, or no answer at all: code is the server's, or
// not_connected, connection_lost, timeout.
export class CommandError extends Error {
  readonly code: string;
  readonly head: number | undefined; // of the log, where the refusal says it

  constructor(code: string, message: string, head?: number) {
    super(message);
    this.name = 'CommandError';
    this.code = code;
    this.head = head;
  }
}
