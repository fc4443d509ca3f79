// Package web is a stateless server: REST and the WebSocket feed, over Postgres for what
// was said and Temporal for what happens next.
//
// What it promises:
//
//   - Any instance serves any session; nothing is kept here that a restart would lose.
//   - Reads need Postgres alone. Commands go to Temporal with a deadline. While either is
//     away, hangs or is full, the server stays up and answers 503 with Retry-After on what
//     needs it; the same command under the same key is then done once.
//   - A session that POST /sessions or a fork has answered for is durable: its workflow is started
//     later by the sweeper when Temporal cannot be reached now.
//   - A session whose workflow is gone shows that, and goes on with the next command: see
//     reconcile.go.
//   - A subscriber is a cursor over a session's log, not a queue: it gets every event after
//     its cursor once and in order. A slow one is served from the log at its own pace;
//     memory per client is bounded and nothing is dropped.
//   - An event is read once and encoded once for each instance, however many watch it.
//   - A command that was accepted is visible to the reader who reads after the answer.
//   - Every error is a [schema.Problem] with a stable code. What a client does wrong is
//     never logged as an error of ours.
//
// Ids in paths that are not ids of anything, malformed ones too, are 404.
//
// control.go is the only place that speaks to workflows, search.go to the namespace about
// search attributes; nothing else speaks to Temporal.
//
// Imports: internal/wait, logs, schema, schema/store, schema/wire, snapshot, web/caller, web/control, web/feed, web/frame, web/presence.
// Imported by: cmd/holdfast/cli, web/gen.
package web
