// Package web is a stateless server: REST and the WebSocket feed, over Postgres for what
// was said and Temporal for what happens next.
//
// This package binds the address, guards every request and composes the rooms: api (REST), socket (WebSocket), control
// (the only Temporal client), feed (logs to subscribers), presence (who is there), health (what is up), frame (bytes of
// messages), problem (answers to what fails), caller (who asks). An import between them runs in that direction only.
//
// What it promises:
//
//   - Any instance serves any session; nothing is kept here that a restart would lose.
//   - Reads need only Postgres. Commands go to Temporal with a deadline. While either is
//     away, hangs or is full, the server stays up and answers 503 with Retry-After to requests
//     that need it; the same command sent again under the same key is done once.
//   - Once POST /sessions or a fork has answered, the session is durable: if Temporal cannot be
//     reached now, the sweeper starts its workflow later.
//   - A session whose workflow is gone shows that, and goes on with the next command: see
//     control/reconcile.go.
//   - A subscriber is a cursor over a session's log, not a queue: it gets every event after
//     its cursor once and in order. A slow one is served from the log at its own pace;
//     memory per client is bounded and nothing is dropped.
//   - Each instance reads and encodes an event once, however many watch it.
//   - Whoever reads after a command was answered sees its effect.
//   - Every error is a [schema.Problem] with a stable code. A client's mistake is never
//     logged as an error of ours.
//
// Unknown ids in paths, malformed ones too, are 404.
//
// Imports: logs, schema, schema/store, schema/wire, snapshot, telemetry, telemetry/traceparent, web/api, web/caller, web/control, web/feed, web/health, web/presence, web/problem, web/socket.
// Imported by: cmd/holdfast/cli.
package web
