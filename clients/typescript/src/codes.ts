// Made from schema/wire/codes.go by `make generate`.

// What the close codes from `from` to `to` ask of a client. The first rule whose range has the code counts.
export const CLOSE_RULES = [
  { from: 1000, to: 1000, action: 'stop', why: "the server closed the connection", says: true },
  { from: 1001, to: 1001, action: 'at once', why: "the server is restarting", says: false },
  { from: 1008, to: 1008, action: 'stop', why: "the server refused the connection", says: true },
  { from: 1009, to: 1009, action: 'backoff', why: "a message was too big for the server", says: false },
  { from: 1013, to: 1013, action: 'backoff', why: "the server has reached its connection limit", says: true },
  { from: 4001, to: 4001, action: 'stop', why: "a newer connection of the same client took over", says: false },
  { from: 4000, to: 4499, action: 'stop', why: "the server ended the connection for good", says: true },
  { from: 0, to: 4999, action: 'backoff', why: "the connection was lost", says: true },
] as const;

// The error codes after which the same frame, unchanged, may be taken later.
export const RETRYABLE_CODES: ReadonlySet<string> = new Set(['unavailable', 'internal', 'stale', 'rate_limited']);
