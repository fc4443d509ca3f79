// Package socket serves WebSockets: it takes over the connections of HTTP requests, answers the frames of clients, and
// writes what the feed has for them.
//
//   - upgrade.go: the handshake
//   - hijack.go: a connection leaves the HTTP server
//   - conn.go: one connection, its reader and its writer
//   - dispatch.go: frames of clients, and their commands in order
//   - viewing.go: the connection as a viewer of sessions
//   - heartbeat.go: signs of life for the client
//   - keepalive.go: signs of life of the client
//   - clock.go: measures silence
//   - rate.go: how much a client may send
//   - pool.go: goroutines to handle frames on
//   - trace.go: the spans of commands
//   - service.go: what the connections share
//   - tcp_linux.go: gives up a peer that has vanished
//   - tcp_other.go: where that cannot be asked for
//
// Imports: internal/wait, logs, schema, schema/wire, web/caller, web/control, web/feed, web/frame, web/health, web/presence, web/problem.
// Imported by: web.
package socket
