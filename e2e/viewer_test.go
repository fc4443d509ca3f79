package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fasthttp/websocket"

	"github.com/holdfast/holdfast/internal/testkit"
)

// event is a frame of the WebSocket.
type event struct {
	Type      string          `json:"event_type"`
	Seq       int64           `json:"seq"`
	SessionID string          `json:"session_id"`
	StepID    string          `json:"step_id"`
	Data      json.RawMessage `json:"data"`
}

// viewer follows one session by WebSocket as CONTRACT says: it subscribes since its last
// seq, again after every cut, and insists on every seq exactly once, in order.
type viewer struct {
	t       *testing.T
	s       *stack
	session string
	done    chan struct{}
	ended   sync.WaitGroup

	mu     sync.Mutex
	events []event
	cuts   int
	fault  string
}

func (s *stack) watch(id string) *viewer {
	v := &viewer{t: s.t, s: s, session: id, done: make(chan struct{})}
	v.ended.Go(v.follow)
	s.t.Cleanup(v.stop)
	return v
}

func (v *viewer) stop() {
	select {
	case <-v.done:
	default:
		close(v.done)
	}
	v.ended.Wait()
}

func (v *viewer) follow() {
	for {
		v.connection()
		select {
		case <-v.done:
			return
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func dial(s *stack) (*websocket.Conn, error) {
	d := websocket.Dialer{HandshakeTimeout: 5 * time.Second}
	c, _, err := d.Dial("ws"+strings.TrimPrefix(s.web, "http")+"/ws", nil)
	return c, err
}

func (v *viewer) connection() {
	c, err := dial(v.s)
	if err != nil {
		return
	}
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		select {
		case <-v.done:
		case <-ended:
		}
		_ = c.Close()
	}()
	v.mu.Lock()
	since := int64(len(v.events))
	v.mu.Unlock()
	if c.WriteJSON(obj{"type": "subscribe", "session_id": v.session, "since": since}) != nil {
		return
	}
	for {
		var e event
		if err := c.ReadJSON(&e); err != nil {
			v.mu.Lock()
			v.cuts++
			v.mu.Unlock()
			return
		}
		if e.Type == "error" {
			// Postgres is away at the moment of subscribing: once more.
			return
		}
		if e.Seq == 0 {
			continue
		}
		v.mu.Lock()
		if e.Seq != int64(len(v.events))+1 && v.fault == "" {
			v.fault = fmt.Sprintf("seq %d came after seq %d", e.Seq, len(v.events))
		}
		v.events = append(v.events, e)
		v.mu.Unlock()
	}
}

func (v *viewer) snapshot() []event {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.fault != "" {
		v.t.Errorf("viewer of %s: %s", v.session, v.fault)
	}
	return append([]event{}, v.events...)
}

// await waits until what was seen is as wanted.
func (v *viewer) await(what string, ok func([]event) bool) []event {
	v.t.Helper()
	var seen []event
	testkit.Within(v.t, patience, "viewer of "+v.session+": "+what, func() string {
		if seen = v.snapshot(); !ok(seen) {
			return "it saw\n" + text(seen)
		}
		return ""
	})
	return seen
}

func (v *viewer) awaitType(want string) []event {
	v.t.Helper()
	return v.await(want, func(seen []event) bool { return has(seen, want) })
}

func has(events []event, want string) bool {
	for _, e := range events {
		if e.Type == want {
			return true
		}
	}
	return false
}

func count(events []event, want string) int {
	n := 0
	for _, e := range events {
		if e.Type == want {
			n++
		}
	}
	return n
}

func text(events []event) string {
	var b strings.Builder
	for _, e := range events {
		fmt.Fprintf(&b, "%d %s %s %s\n", e.Seq, e.Type, e.StepID, e.Data)
	}
	return b.String()
}

// printed is what one attempt at a step printed, both streams as they came.
func printed(t *testing.T, events []event, step string, attempt int) string {
	t.Helper()
	var b strings.Builder
	for _, e := range events {
		if e.Type != "output" || e.StepID != step {
			continue
		}
		var o struct {
			Text    string `json:"text"`
			Attempt int    `json:"attempt"`
		}
		if err := json.Unmarshal(e.Data, &o); err != nil {
			t.Fatal(err)
		}
		if o.Attempt == attempt {
			b.WriteString(o.Text)
		}
	}
	return b.String()
}
