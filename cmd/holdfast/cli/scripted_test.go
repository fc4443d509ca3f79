package cli

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fasthttp/websocket"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/wire"
)

// scripted is a server that answers as a test says, and speaks /ws with a log that the test
// writes.
type scripted struct {
	*httptest.Server
	t   *testing.T
	mux *http.ServeMux

	mu       sync.Mutex
	log      []schema.Event
	grown    chan struct{} // closed when the log grows
	requests []string      // method, path and body of each
}

const (
	scriptedID = "3a04458c-5d1e-4c37-8f4b-2f6d1c8e9a10"
	otherID    = "9c0d58b4-3d1c-4b0e-9a53-0d7a3c1a2f10"
)

func newScripted(t *testing.T) *scripted {
	t.Helper()
	s := &scripted{t: t, mux: http.NewServeMux(), grown: make(chan struct{})}
	s.mux.HandleFunc("/ws", s.socket)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/ws" {
			body, _ := io.ReadAll(r.Body)
			s.mu.Lock()
			s.requests = append(s.requests, r.Method+" "+r.URL.RequestURI()+" "+string(body))
			s.mu.Unlock()
		}
		s.mux.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

// on answers a request with a status and a value, or with the result of a function that gets
// the number of the request, from 1.
func (s *scripted) on(pattern string, status int, value any) {
	s.onEach(pattern, func(int) (int, any) { return status, value })
}

func (s *scripted) onEach(pattern string, answer func(n int) (int, any)) {
	n := 0
	s.mux.HandleFunc(pattern, func(w http.ResponseWriter, _ *http.Request) {
		s.mu.Lock()
		n++
		nth := n
		s.mu.Unlock()
		status, value := answer(nth)
		if p, ok := value.(schema.Problem); ok {
			p.Status = status
			value = p
			w.Header().Set("Content-Type", "application/problem+json")
		}
		w.WriteHeader(status)
		_, _ = w.Write(schema.Marshal(value))
	})
}

// asked is every request that was sent, except those for the log.
func (s *scripted) asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string{}, s.requests...)
}

func (s *scripted) wants(request string) {
	s.t.Helper()
	if slices.Contains(s.asked(), request) {
		return
	}
	s.t.Errorf("%q was not asked for; there were %q", request, s.asked())
}

// emit writes events to the session's log. run is their run's id.
func (s *scripted) emit(run string, events ...schema.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range events {
		e.SessionID, e.RunID, e.Seq, e.Timestamp = scriptedID, run, int64(len(s.log)+1), schema.Time{Time: time.Now()}
		s.log = append(s.log, e)
	}
	close(s.grown)
	s.grown = make(chan struct{})
}

func (s *scripted) since(seq int64) ([]schema.Event, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log[min(seq, int64(len(s.log))):], s.grown
}

func (s *scripted) socket(w http.ResponseWriter, r *http.Request) {
	conn, err := (&websocket.Upgrader{}).Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer conn.Close()
	var frame struct {
		Type  string `json:"type"`
		Since int64  `json:"since"`
	}
	for frame.Type != "subscribe" {
		if conn.ReadJSON(&frame) != nil {
			return
		}
	}
	gone := make(chan struct{})
	go func() { // until the client goes away
		defer close(gone)
		for {
			if _, _, err := conn.ReadMessage(); err != nil {
				return
			}
		}
	}()
	s.mu.Lock()
	head := len(s.log)
	s.mu.Unlock()
	_ = conn.WriteJSON(schema.Event{Type: wire.FrameSubscribed, SessionID: scriptedID, Data: schema.Marshal(map[string]any{"head": head})})
	for last := frame.Since; ; {
		events, grown := s.since(last)
		for _, e := range events {
			_ = conn.WriteJSON(e)
			last = e.Seq
		}
		select {
		case <-grown:
		case <-gone:
			return
		}
	}
}

// run runs a command against this server.
func (s *scripted) run(stdin string, args ...string) result {
	s.t.Helper()
	return run(s.t, []string{"HOLDFAST_URL=" + s.URL}, stdin, args...)
}

// refuses refuses a request, and checks that the command says so on one line.
func (s *scripted) refuses(pattern string, status int, detail, stdin string, args ...string) {
	s.t.Helper()
	refusing := newScripted(s.t)
	refusing.on(pattern, status, schema.Problem{Title: "no", Detail: detail})
	refusing.on("GET /api/sessions/"+scriptedID, http.StatusOK, schema.Session{ID: scriptedID, Version: 1})
	refusing.on("GET /api/approvals/"+otherID, http.StatusOK, schema.Approval{ID: otherID, Type: schema.ApprovalStep})
	r := refusing.run(stdin, args...)
	want := "holdfast: " + detail + "\n"
	if args[0] == "approval" {
		want = "holdfast: approval 9c0d58b4: " + detail + "\n"
	}
	if r.code != exitError || r.errOut != want || r.out != "" {
		s.t.Errorf("%v: exit code %d, stdout %q, stderr %q, want %q", args, r.code, r.out, r.errOut, want)
	}
}

func ended(kind schema.EventType, data any) schema.Event { return event(kind, "", data) }

func begun(number, message int) schema.Event {
	return event(schema.EventWorkflowStarted, "", schema.WorkflowStartedData{RunNumber: number, Message: message})
}

func said(number int, text string) schema.Event {
	return event(schema.EventAgentMessage, "", schema.AgentMessageData{Role: "user", Actor: "ada", Number: number, Message: text})
}
