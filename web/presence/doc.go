// Package presence knows who is connected to this instance and who views which session, and has
// Postgres and the viewers know it, too.
//
// [Registry] holds the connections of the instance, within its [Limits]; of one client the newest
// connection stays, on whichever instance. It records connections and viewers in Postgres in
// batches, says every half second that the instance lives, and forgets instances that have stopped
// saying so. [Presence] sends the viewers of a session the list of all of them whenever it changes:
// soon for a few, less often for a crowd.
//
// The files:
//
//   - registry.go  the connections of the instance, and their limits
//   - record.go  what Postgres is told, in batches, and what is told again after an outage
//   - drain.go  how connections end when the server stops
//   - presence.go  who views which session, as its viewers are told
//
// Imports: internal/wait, logs, schema, schema/store, schema/wire, web/frame.
// Imported by: web, web/api, web/socket.
package presence
