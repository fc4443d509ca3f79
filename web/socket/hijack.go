package socket

import (
	"fmt"
	"net"
	"time"
)

// release parts a hijacked connection from the HTTP server, which would otherwise keep a request's context and buffers for as long
// as its connection is served: for a WebSocket that is hours, and most of what an idle one would cost. It returns the
// connection below, and what the client has sent already without waiting for the answer to its handshake.
func release(hijacked net.Conn) (raw net.Conn, unread []byte, err error) {
	raw = hijacked
	if below, ok := hijacked.(interface{ UnsafeConn() net.Conn }); ok {
		raw = below.UnsafeConn()
	}
	// With a deadline that is over, a read gives what the HTTP server has buffered, and nothing more.
	err = raw.SetReadDeadline(time.Unix(1, 0))
	for part := make([]byte, 512); err == nil; {
		var n int
		n, err = hijacked.Read(part)
		unread = append(unread, part[:n]...)
	}
	if err := raw.SetDeadline(time.Time{}); err != nil {
		return nil, nil, fmt.Errorf("take over a connection: %w", err)
	}
	return raw, unread, nil
}
