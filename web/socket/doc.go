// Package socket serves WebSockets: it takes over the connections of HTTP requests, answers the frames of clients, and
// writes what the feed has for them.
//
//   - upgrade.go: the handshake
//   - hijack.go: a connection leaves the HTTP server
//   - conn.go: one connection, its reader and its writer
//   - dispatch.go: frames of clients, and their commands in order
//   - viewing.go: the connection as a viewer of sessions
//   - heartbeat.go, keepalive.go, clock.go: signs of life, ours and the client's
//   - rate.go, pool.go: what a client may send, and goroutines to handle it on
//   - tcp_linux.go, tcp_other.go: giving up a peer that has vanished
//
// Imports: internal/wait, logs, schema, schema/wire, web/caller, web/control, web/feed, web/frame, web/health, web/presence, web/problem.
// Imported by: web.
package socket
