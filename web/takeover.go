package web

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fasthttp/websocket"

	"github.com/holdfast/holdfast/schema/wire"
)

// The HTTP server keeps a request's context and buffers for as long as its handler runs, which for a WebSocket is
// hours, and that is most of what an idle one would cost. So the handler gives them back at once, and the connection
// goes on in a goroutine of its own.

// taken is a connection that was an HTTP request's.
type taken struct {
	net.Conn

	rest []byte       // what the client sent before it had the answer to its handshake
	mute bool         // until the WebSocket is made: the answer was written before
	read atomic.Int64 // bytes since the client's latest whole frame was taken in
}

// maxUnfinished bounds what a client may send until a message of it is whole: a message of the largest size in parts, and
// not parts without content, which the library reads without telling.
const maxUnfinished = wire.MaxFrameBytes + wire.MaxFrameBytes/2

// errUnfinished says that a client sends parts of a message without end.
var errUnfinished = errors.New("a message in too many parts")

// UnsafeConn is the connection below, as the HTTP server's own type has it.
func (t *taken) UnsafeConn() net.Conn { return t.Conn }

func (t *taken) Read(b []byte) (int, error) {
	if t.read.Load() > maxUnfinished {
		return 0, errUnfinished
	}
	n, err := t.more(b)
	t.read.Add(int64(n))
	return n, err
}

func (t *taken) more(b []byte) (int, error) {
	if len(t.rest) > 0 {
		n := copy(b, t.rest)
		t.rest = t.rest[n:]
		return n, nil
	}
	return t.Conn.Read(b)
}

func (t *taken) Write(b []byte) (int, error) {
	if t.mute {
		return len(b), nil
	}
	return t.Conn.Write(b)
}

// handedOver is a request whose handshake is over, for the library to make a WebSocket of its connection.
type handedOver struct{ conn *taken }

func (a handedOver) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return a.conn, bufio.NewReadWriter(bufio.NewReaderSize(a.conn, 0), bufio.NewWriterSize(a.conn, 1)), nil
}
func (handedOver) Header() http.Header           { return http.Header{} }
func (handedOver) WriteHeader(int)               {}
func (a handedOver) Write(b []byte) (int, error) { return a.conn.Write(b) }

// handshake is one that every connection passes: the real one has been checked.
var handshake = &http.Request{Method: http.MethodGet, Header: http.Header{
	"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"AAAAAAAAAAAAAAAAAAAAAA=="},
}}

// sockets makes WebSockets. Their write buffers are borrowed, and hardly used: see conn.write.
var sockets = websocket.Upgrader{
	ReadBufferSize:  frameReadBuffer,
	WriteBufferSize: frameReadBuffer,
	WriteBufferPool: &sync.Pool{},
	CheckOrigin:     func(*http.Request) bool { return true },
}

// takeOver makes a WebSocket of a hijacked connection. What is left of the HTTP server's part of it may be let go of.
func takeOver(hijacked net.Conn) (*websocket.Conn, error) {
	conn := &taken{Conn: hijacked, mute: true}
	if below, ok := hijacked.(interface{ UnsafeConn() net.Conn }); ok {
		conn.Conn = below.UnsafeConn()
	}
	// With a deadline that is over, a read gives what the HTTP server has buffered, and nothing more.
	err := conn.SetReadDeadline(time.Unix(1, 0))
	for part := make([]byte, frameReadBuffer); err == nil; {
		var n int
		n, err = hijacked.Read(part)
		conn.rest = append(conn.rest, part[:n]...)
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return nil, fmt.Errorf("take over a connection: %w", err)
	}
	ws, err := sockets.Upgrade(handedOver{conn}, handshake, nil)
	conn.mute = false
	if err != nil {
		return nil, fmt.Errorf("make a WebSocket: %w", err)
	}
	return ws, nil
}
