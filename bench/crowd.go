package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A crowd is many viewers that cost next to nothing, so that the server is what is measured: they hold no buffer
// between two reads, and look only at each frame's length and seq.

// viewer is one of them: a WebSocket (RFC 6455) subscribed to a session.
type viewer struct {
	conn *net.TCPConn
	raw  syscall.RawConn
	rest []byte       // of a frame that has not fully arrived
	open bool         // the answer to the handshake has come
	subs bool         // the answer to the subscription has come
	seq  atomic.Int64 // of the latest event
	gaps int          // events that did not follow the one before
	said error        // the server's refusal, or reason for closing
}

const (
	clientBuffer = 256 << 10
	maskBit      = 0x80
	opcodes      = 0x0f
	opcodeText   = 1
	opcodeClose  = 8
)

var clientBuffers = sync.Pool{New: func() any { b := make([]byte, clientBuffer); return &b }}

// dial connects to a server, as host:port, and subscribes to a session's events after since. It returns when the
// server says it is done.
func dial(ctx context.Context, addr, session string, since int64) (*viewer, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	v := &viewer{conn: conn.(*net.TCPConn)} //nolint:errcheck // tcp
	v.seq.Store(since)
	if v.raw, err = v.conn.SyscallConn(); err == nil {
		err = v.conn.SetLinger(0) // or the ports of ten thousand viewers would stay taken for a minute
	}
	if err == nil {
		err = v.subscribe(addr, session, since)
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return v, nil
}

func (v *viewer) subscribe(addr, session string, since int64) error {
	_, err := io.WriteString(v.conn, "GET /ws HTTP/1.1\r\nHost: "+addr+"\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nX-Holdfast-User: bench\r\n\r\n")
	if err != nil {
		return err
	}
	if err := v.read(func() bool { return v.open }); err != nil {
		return err
	}
	frame := `{"type":"subscribe","session_id":"` + session + `"}`
	if since > 0 {
		frame = `{"type":"subscribe","session_id":"` + session + `","since":` + strconv.FormatInt(since, 10) + `}`
	}
	if _, err := v.conn.Write(masked([]byte(frame))); err != nil {
		return err
	}
	return v.read(func() bool { return v.subs })
}

// masked makes a client's text frame. The mask is 0, which leaves the text as it is.
func masked(text []byte) []byte {
	const short = 125
	header := []byte{maskBit | opcodeText, byte(len(text)) | maskBit}
	if len(text) > short {
		header = []byte{maskBit | opcodeText, 126 | maskBit, byte(len(text) >> 8), byte(len(text))}
	}
	return append(append(header, 0, 0, 0, 0), text...)
}

// read handles what comes until done says that it is enough. It holds a buffer only while
// there is something to read.
func (v *viewer) read(done func() bool) error {
	var failure error
	for !done() {
		err := v.raw.Read(func(fd uintptr) bool {
			buf := clientBuffers.Get().(*[]byte) //nolint:errcheck // the pool holds nothing else
			defer clientBuffers.Put(buf)
			kept := copy(*buf, v.rest)
			n, err := syscall.Read(int(fd), (*buf)[kept:])
			switch {
			case errors.Is(err, syscall.EAGAIN):
				return false
			case errors.Is(err, syscall.EINTR):
			case err != nil:
				failure = err
			case n == 0:
				failure = io.EOF
			default:
				used := v.take((*buf)[:kept+n])
				v.rest = append(v.rest[:0], (*buf)[used:kept+n]...)
				failure = v.said
			}
			return true
		})
		if err = errors.Join(err, failure); err != nil {
			return err
		}
	}
	return nil
}

// take handles the whole frames in b and returns their length.
func (v *viewer) take(b []byte) (used int) {
	if !v.open {
		head, _, whole := bytes.Cut(b, []byte("\r\n\r\n"))
		switch {
		case !whole:
			return 0
		case !bytes.HasPrefix(head, []byte("HTTP/1.1 101")):
			v.said = fmt.Errorf("the server answers %q", head)
		}
		v.open = true
		used = len(head) + 4
	}
	for {
		n, header := frameLength(b[used:])
		if n == 0 || used+n > len(b) {
			return used
		}
		v.see(b[used]&opcodes, b[used+header:used+n])
		used += n
	}
}

// frameLength is the length of the frame at the start of b, and of its header; 0 when b is too short to tell.
func frameLength(b []byte) (whole, header int) {
	if len(b) < 2 {
		return 0, 0
	}
	switch n := int(b[1]); {
	case n < 126:
		return n + 2, 2
	case n == 126 && len(b) >= 4:
		return int(binary.BigEndian.Uint16(b[2:])) + 4, 4
	case n == 127 && len(b) >= 10:
		return int(binary.BigEndian.Uint64(b[2:])) + 10, 10
	}
	return 0, 0
}

var (
	seqField   = []byte(`,"seq":`)
	subsPrefix = []byte(`{"event_type":"subscribed"`)
	oops       = []byte(`{"event_type":"error"`)
)

func (v *viewer) see(opcode byte, payload []byte) {
	if opcode != opcodeText {
		if opcode == opcodeClose && len(payload) >= 2 {
			v.said = fmt.Errorf("closed with %d: %s", binary.BigEndian.Uint16(payload), payload[2:])
		}
		return
	}
	const near = 64 // the type comes before the seq, and nothing else
	at := bytes.Index(payload[:min(near, len(payload))], seqField)
	if at < 0 {
		v.subs = v.subs || bytes.HasPrefix(payload, subsPrefix)
		if bytes.HasPrefix(payload, oops) {
			v.said = fmt.Errorf("the server says %s", payload)
		}
		return
	}
	seq := int64(0)
	for _, c := range payload[at+len(seqField):] {
		if c < '0' || c > '9' {
			break
		}
		seq = 10*seq + int64(c-'0')
	}
	if seq != v.seq.Load()+1 {
		v.gaps++
	}
	v.seq.Store(seq)
}

// until reads up to an event.
func (v *viewer) until(seq int64) error {
	return v.read(func() bool { return v.seq.Load() >= seq })
}

type crowd []*viewer

// gather connects many viewers, dialers at a time; session says what each one subscribes to.
func gather(ctx context.Context, addr string, many int, session func(i int) string, since int64) (crowd, error) {
	all := make(crowd, many)
	var next atomic.Int64
	err := atOnce(dialers, func(int) error {
		for i := next.Add(1) - 1; i < int64(many); i = next.Add(1) - 1 {
			var err error
			if all[i], err = dial(ctx, addr, session(int(i)), since); err != nil {
				return fmt.Errorf("viewer %d: %w", i, err)
			}
		}
		return nil
	})
	if err != nil {
		all.leave()
	}
	return all, err
}

// leave cuts all connections.
func (all crowd) leave() {
	for _, v := range all {
		if v != nil {
			_ = v.conn.Close()
		}
	}
}

// last is the slowest viewer's seq.
func (all crowd) last() int64 {
	slowest := all[0].seq.Load()
	for _, v := range all[1:] {
		slowest = min(slowest, v.seq.Load())
	}
	return slowest
}

func (all crowd) gaps() (n int) {
	for _, v := range all {
		n += v.gaps
	}
	return n
}

// follow reads up to an event with all of them at once, for a minute at most. If one of them
// cannot, it cuts them all.
func (all crowd) follow(seq int64) error {
	limit := time.AfterFunc(time.Minute, all.leave)
	defer limit.Stop()
	var first error
	var once sync.Once
	_ = atOnce(len(all), func(i int) error {
		err := all[i].until(seq)
		if err != nil {
			once.Do(func() {
				first = fmt.Errorf("viewer %d at event %d of %d: %w", i, all[i].seq.Load(), seq, err)
				all.leave()
			})
		}
		return nil
	})
	return first
}
