// Package feed hands the logs of sessions, and the list of sessions, to any number of subscribers.
//
// One LISTEN tells an instance which logs have grown. The end of each log that somebody follows is
// read once and encoded once, however many follow it; the frames stay in memory for a while, up to a
// bound for all logs together. A subscriber is a [Cursor]: a place in a log, not a queue. It asks for
// frames when its client can take some, gets every event after its place once and in order, and is
// served from Postgres while it is behind what memory holds. Nothing is ever dropped, and memory
// does not grow with slow clients.
//
// The files, from the top to the ground:
//
//   - hub.go  the instance's feed: listens, and owns the shards and the list
//   - shard.go  a part of the topics, with one reader for the ends of their logs
//   - topic.go  a log that somebody follows, and the cursors in it
//   - pages.go  older parts of a log, read once for all who are behind
//   - list.go  the list of sessions, for those who follow it
//   - segment.go  encoded frames in one buffer, and the ring of the latest
//   - trace.go  the spans of what is delivered, when there are traces
//
// Imports: internal/wait, logs, schema, schema/store, schema/wire, telemetry/traceparent, web/frame.
// Imported by: web, web/socket.
package feed
