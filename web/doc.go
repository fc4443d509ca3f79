// Package web is a stateless server: REST and the WebSocket feed, over Postgres for what
// was said and Temporal for what happens next.
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
//     reconcile.go.
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
// Only control.go speaks to workflows, and only search.go to the namespace about search
// attributes; nothing else speaks to Temporal.
//
// Imports: internal/wait, logs, schema, schema/store, schema/wire, snapshot, telemetry, telemetry/traceparent, web/caller, web/control, web/feed, web/frame, web/presence.
// Imported by: cmd/holdfast/cli, web/gen.
package web
