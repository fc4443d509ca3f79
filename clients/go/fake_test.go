package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fasthttp/websocket"

	"github.com/holdfast/holdfast/internal/testkit"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/wire"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

const sessionID = "0b54b8b4-3d1c-4b0e-9a53-0d7a3c1a2f10"

// fake is a server that plays a script: one function for each WebSocket connection in turn,
// then the last one for all others.
type fake struct {
	*httptest.Server
	mux *http.ServeMux

	mu    sync.Mutex
	conns []func(t *testing.T, c *fakeConn)
	asked []int64 // the since of every subscribe
	ids   []string
}

type fakeConn struct {
	*websocket.Conn
	f *fake
}

func newFake(t *testing.T, conns ...func(*testing.T, *fakeConn)) *fake {
	t.Helper()
	f := &fake{mux: http.NewServeMux(), conns: conns}
	upgrader := websocket.Upgrader{}
	f.mux.HandleFunc("/ws", func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		f.ids = append(f.ids, r.URL.Query().Get("client_id"))
		play := f.conns[0]
		if len(f.conns) > 1 {
			f.conns = f.conns[1:]
		}
		f.mu.Unlock()
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		play(t, &fakeConn{conn, f})
		_ = conn.Close()
	})
	f.Server = httptest.NewServer(f.mux)
	t.Cleanup(f.Close)
	return f
}

func (f *fake) sinces() []int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]int64{}, f.asked...)
}

// clientIDs are the client ids of the connections, in order.
func (f *fake) clientIDs() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.ids)
}

// subscribed reads a subscribe and answers it; false when the client went away.
func (c *fakeConn) subscribed(head int64) (since int64, ok bool) {
	var frame struct {
		Type      string `json:"type"`
		SessionID string `json:"session_id"`
		Since     int64  `json:"since"`
	}
	for frame.Type != "subscribe" {
		if c.ReadJSON(&frame) != nil {
			return 0, false
		}
	}
	c.f.mu.Lock()
	c.f.asked = append(c.f.asked, frame.Since)
	c.f.mu.Unlock()
	c.frame(wire.FrameSubscribed, 0, map[string]any{"session_id": sessionID, "since": frame.Since, "head": head})
	return frame.Since, true
}

func (c *fakeConn) frame(kind schema.EventType, seq int64, data any) {
	_ = c.WriteMessage(websocket.TextMessage, encoded(kind, seq, data))
}

func encoded(kind schema.EventType, seq int64, data any) []byte {
	return schema.Marshal(schema.Event{Type: kind, Seq: seq, Timestamp: schema.Time{Time: time.Now()}, SessionID: sessionID, Data: schema.Marshal(data)})
}

// event sends the event with this seq of a log of n: started, output …, completed.
func (c *fakeConn) event(seq, n int64) {
	switch seq {
	case 1:
		c.frame(schema.EventWorkflowStarted, seq, schema.WorkflowStartedData{RunNumber: 1})
	case n:
		c.frame(schema.EventWorkflowCompleted, seq, schema.WorkflowCompletedData{})
	default:
		c.frame(schema.EventOutput, seq, schema.OutputData{Stream: schema.Stdout, Text: "x\n"})
	}
}

func (c *fakeConn) close(code int, reason string) {
	_ = c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, reason), time.Now().Add(time.Second))
}

// hold keeps the connection open until the client closes it.
func (c *fakeConn) hold() {
	for {
		if _, _, err := c.ReadMessage(); err != nil {
			return
		}
	}
}

// heard is a Handler that records its calls.
type heard struct {
	seqs []int64
	live []int64
	lost []string
	back int
}

func (h *heard) Event(e schema.Event, raw []byte, live bool) {
	h.seqs = append(h.seqs, e.Seq)
	if live {
		h.live = append(h.live, e.Seq)
	}
	if !json.Valid(raw) {
		panic("raw is not the frame")
	}
}
func (h *heard) CaughtUp()                        {}
func (h *heard) Lost(why string, _ time.Duration) { h.lost = append(h.lost, why) }
func (h *heard) Back()                            { h.back++ }

// quick makes a client that does not wait, and remembers how long it would have.
func quick(t *testing.T, base string) (*Client, *[]time.Duration) {
	t.Helper()
	c := New(base)
	waits := &[]time.Duration{}
	c.wait = func(ctx context.Context, d time.Duration) error {
		*waits = append(*waits, d)
		return ctx.Err()
	}
	c.jitter = func() float64 { return 0.5 }
	t.Cleanup(c.Close)
	return c, waits
}

func wantSeqs(t *testing.T, got []int64, from, to int64) {
	t.Helper()
	for i, seq := range got {
		if seq != from+int64(i) {
			t.Fatalf("seqs are %v, want %d to %d, each once", got, from, to)
		}
	}
	if int64(len(got)) != to-from+1 {
		t.Fatalf("seqs are %v, want %d to %d, each once", got, from, to)
	}
}

func contains(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", parts)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error is %q, want %q in it", err, part)
		}
	}
}
