package web_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fasthttp/websocket"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/wire"
)

// socket is a client of /ws.
type socket struct {
	*websocket.Conn

	t testing.TB
}

func (e *env) dial(query string, header ...string) *socket {
	e.Helper()
	ws, resp, err := e.tryDial(query, header...)
	if err != nil {
		e.Fatalf("dial: %v %v", err, resp)
	}
	e.Cleanup(func() { _ = ws.Close() })
	s := &socket{ws, e}
	s.until(wire.FrameConnected)
	return s
}

func (e *env) tryDial(query string, header ...string) (*websocket.Conn, *http.Response, error) {
	h := http.Header{}
	for i := 0; i+1 < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	ws, resp, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(e.url, "http")+"/ws"+query, h)
	if resp != nil {
		_ = resp.Body.Close()
	}
	return ws, resp, err
}

func (s *socket) send(text string) {
	s.t.Helper()
	must(s.t, s.WriteMessage(websocket.TextMessage, []byte(text)))
}

// next reads one frame, but for those of presence and heartbeats, which come at any time.
func (s *socket) next() schema.Event {
	s.t.Helper()
	_ = s.SetReadDeadline(time.Now().Add(testTimeout)) // heartbeats do not move it
	for {
		if e := s.read(); e.Type != wire.FramePresence && e.Type != wire.FrameHeartbeat {
			return e
		}
	}
}

// any reads one frame.
func (s *socket) any() schema.Event {
	s.t.Helper()
	_ = s.SetReadDeadline(time.Now().Add(testTimeout))
	return s.read()
}

func (s *socket) read() schema.Event {
	s.t.Helper()
	var e schema.Event
	_, data, err := s.ReadMessage()
	if err != nil {
		s.t.Fatalf("read a frame: %v", err)
	}
	if err := json.Unmarshal(data, &e); err != nil {
		s.t.Fatalf("%v: %s", err, data)
	}
	if e.Timestamp.IsZero() {
		s.t.Fatalf("a frame without a timestamp: %s", data)
	}
	return e
}

// until reads up to a frame of this type.
func (s *socket) until(kind schema.EventType) schema.Event {
	s.t.Helper()
	for {
		if e := s.next(); e.Type == kind {
			return e
		} else if e.Type == wire.FrameError {
			s.t.Fatalf("while waiting for %s: %s", kind, e.Data)
		}
	}
}

func (s *socket) refused(code schema.Code) wire.ErrorData {
	s.t.Helper()
	for {
		e := s.next()
		if e.Type != wire.FrameError {
			continue
		}
		var d wire.ErrorData
		must(s.t, json.Unmarshal(e.Data, &d))
		if d.Code != code || d.Message == "" || d.Errors == nil {
			s.t.Fatalf("refused with %s, not %s", e.Data, code)
		}
		return d
	}
}

// closed reads up to the closing frame.
func (s *socket) closed(code int) {
	s.t.Helper()
	_ = s.SetReadDeadline(time.Now().Add(testTimeout))
	for {
		_, _, err := s.ReadMessage()
		if err == nil {
			continue
		}
		if !websocket.IsCloseError(err, code) {
			s.t.Fatalf("closed with %v, not %d", err, code)
		}
		return
	}
}

func (s *socket) subscribe(id string, since int64) {
	s.t.Helper()
	s.send(fmt.Sprintf(`{"type":"subscribe","session_id":%q,"since":%d}`, id, since))
}

// collect reads a session's events up to a seq and checks that none is missing, doubled or
// out of order.
func (s *socket) collect(since, upTo int64) []schema.Event {
	s.t.Helper()
	var events []schema.Event
	for since < upTo {
		e := s.next()
		if e.Seq == 0 {
			continue
		}
		if e.Seq != since+1 {
			s.t.Fatalf("seq %d follows %d", e.Seq, since)
		}
		since = e.Seq
		events = append(events, e)
	}
	return events
}

// proxy is an address that can go away and come back.
type proxy struct {
	t      testing.TB
	addr   string
	target string
	mu     sync.Mutex
	ln     net.Listener
	conns  map[net.Conn]struct{}
	wg     sync.WaitGroup
	gate   sync.RWMutex // held while nothing gets through
}

func newProxy(t testing.TB, target string) *proxy {
	t.Helper()
	p := &proxy{t: t, target: target, conns: map[net.Conn]struct{}{}}
	p.up()
	t.Cleanup(p.down)
	return p
}

// throughProxy has a server reach its Postgres by way of a proxy, which is at p from then on.
func throughProxy(t testing.TB, p **proxy) func(dsn string) string {
	return func(dsn string) string {
		_, rest, _ := strings.Cut(dsn, "@")
		host, _, _ := strings.Cut(rest, "/")
		*p = newProxy(t, host)
		return strings.Replace(dsn, host, (*p).addr, 1)
	}
}

func (p *proxy) up() {
	p.t.Helper()
	addr := p.addr
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	ln, err := net.Listen("tcp", addr)
	must(p.t, err)
	p.addr, p.ln = ln.Addr().String(), ln
	p.wg.Go(func() {
		for {
			in, err := ln.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", p.target)
			if err != nil {
				_ = in.Close()
				continue
			}
			p.mu.Lock()
			p.conns[in], p.conns[out] = struct{}{}, struct{}{}
			p.mu.Unlock()
			for _, pair := range [][2]net.Conn{{in, out}, {out, in}} {
				p.wg.Go(func() {
					p.copy(pair[0], pair[1])
					_ = pair[0].Close()
					_ = pair[1].Close()
				})
			}
		}
	})
}

// stall keeps everything that arrives until release is called. The connections stay.
func (p *proxy) stall() (release func()) {
	p.gate.Lock()
	release = sync.OnceFunc(p.gate.Unlock)
	p.t.Cleanup(release)
	return release
}

func (p *proxy) copy(to io.Writer, from io.Reader) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		p.gate.RLock()
		_, lost := to.Write(buf[:n])
		p.gate.RUnlock()
		if err != nil || lost != nil {
			return
		}
	}
}

func (p *proxy) down() {
	_ = p.ln.Close()
	p.mu.Lock()
	for c := range p.conns {
		_ = c.Close()
	}
	clear(p.conns)
	p.mu.Unlock()
	p.wg.Wait()
}
