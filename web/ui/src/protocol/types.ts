// Frames of the /ws protocol. This module depends on nothing else.

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
}

export class CommandError extends Error {
  constructor(
    readonly code: string,
    message: string,
  ) {
    super(message);
    this.name = 'CommandError';
  }
}
