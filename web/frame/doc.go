// Package frame makes and reads the bytes of WebSocket messages (RFC 6455, section 5), so that an event is
// encoded once for all its viewers, many frames leave in one write, and an idle connection needs little memory.
// Frames of a server are not masked, those of a client are.
//
// Imports: schema, schema/wire.
// Imported by: web/api, web/feed, web/presence, web/socket.
package frame
