package client_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/fasthttp/websocket"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/wire"
)

// player is the server of the examples: it speaks the protocol, and plays the session of one step that asks first. The
// end-to-end tests have the real one.
type player struct {
	mu       sync.Mutex
	keys     map[string]string // a session's id by the key under which it was created
	sessions []*playedSession  // the newest first
}

type playedSession struct {
	schema.Session

	approval schema.Approval
	decided  chan struct{}
}

func playServer() *httptest.Server {
	p := &player{keys: map[string]string{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/sessions", p.create)
	mux.HandleFunc("GET /api/sessions", p.list)
	mux.HandleFunc("GET /api/approvals", p.approvals)
	mux.HandleFunc("POST /api/approvals/{id}/resolve", p.resolve)
	mux.HandleFunc("/ws", p.follow)
	return httptest.NewServer(mux)
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(schema.Marshal(body)) // the client may have gone
}

func (p *player) find(is func(*playedSession) bool) *playedSession {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.IndexFunc(p.sessions, is); i >= 0 {
		return p.sessions[i]
	}
	return nil
}

func (p *player) create(w http.ResponseWriter, r *http.Request) {
	var body wire.NewSession
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		answer(w, http.StatusBadRequest, schema.Problem{Status: http.StatusBadRequest, Code: schema.CodeInvalid, Detail: err.Error()})
		return
	}
	parsed, mistakes := schema.ParsePlan(body.Plan)
	if parsed == nil {
		wrong := schema.Problem{Status: http.StatusUnprocessableEntity, Code: schema.CodeInvalid, Detail: mistakes[0].Message}
		for _, m := range mistakes {
			wrong.Errors = append(wrong.Errors, schema.FieldError{Location: "body.plan." + m.Location, Message: m.Message})
		}
		answer(w, wrong.Status, wrong)
		return
	}
	key := r.Header.Get("Idempotency-Key")
	p.mu.Lock()
	id, again := p.keys[key]
	if !again {
		id = schema.NewID()
		p.keys[key] = id
		s := &playedSession{Session: schema.Session{ID: id, Name: body.Name, Mode: body.Mode, Status: schema.SessionActive}, decided: make(chan struct{})}
		s.approval = schema.Approval{ID: schema.ApprovalID(id, 1), SessionID: id, Type: schema.ApprovalStep, Status: schema.ApprovalPending, Description: "Run step publish: " + parsed.Steps[0].Title}
		p.sessions = slices.Insert(p.sessions, 0, s)
	}
	p.mu.Unlock()
	answer(w, http.StatusCreated, p.find(func(s *playedSession) bool { return s.ID == id }).Session)
}

// list has pages whose cursor is the number of sessions before them.
func (p *player) list(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	from, _ := strconv.Atoi(r.URL.Query().Get("cursor")) // absent on the first page
	limit, _ := strconv.Atoi(r.URL.Query().Get("limit"))
	page := wire.SessionList{Total: len(p.sessions)}
	for _, s := range p.sessions[from:min(from+limit, len(p.sessions))] {
		page.Sessions = append(page.Sessions, s.Session)
	}
	if next := from + limit; next < len(p.sessions) {
		page.NextCursor = strconv.Itoa(next)
	}
	answer(w, http.StatusOK, page)
}

func (p *player) approvals(w http.ResponseWriter, _ *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var page wire.ApprovalList
	for _, s := range p.sessions {
		page.Approvals = append(page.Approvals, s.approval)
	}
	page.Total = len(page.Approvals)
	answer(w, http.StatusOK, page)
}

func (p *player) resolve(w http.ResponseWriter, r *http.Request) {
	s := p.find(func(s *playedSession) bool { return s.approval.ID == r.PathValue("id") })
	if s == nil {
		answer(w, http.StatusNotFound, schema.Problem{Status: http.StatusNotFound, Code: schema.CodeNotFound, Detail: "there is no such approval"})
		return
	}
	close(s.decided)
	answer(w, http.StatusOK, struct {
		Approval schema.Approval `json:"approval"`
	}{s.approval})
}

// follow plays the log of one session: up to the question at once, and the rest when it is answered.
func (p *player) follow(w http.ResponseWriter, r *http.Request) {
	conn, err := (&websocket.Upgrader{}).Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer conn.Close()
	var subscribe wire.SubscribeFrame
	for subscribe.SessionID == "" {
		_, text, err := conn.ReadMessage()
		if err != nil {
			return
		}
		if frame, _, err := wire.Decode(text); err == nil {
			if s, ok := frame.(*wire.SubscribeFrame); ok {
				subscribe = *s
			}
		}
	}
	s := p.find(func(s *playedSession) bool { return s.ID == subscribe.SessionID })
	if s == nil {
		return
	}
	send := func(kind schema.EventType, seq int64, data any) {
		frame := schema.Event{Type: kind, Seq: seq, Timestamp: schema.Time{Time: time.Now()}, SessionID: s.ID, Data: schema.Marshal(data)}
		_ = conn.WriteMessage(websocket.TextMessage, schema.Marshal(frame)) // the client may have gone
	}
	send(wire.FrameSubscribed, 0, wire.SubscribedData{SessionID: s.ID, Since: subscribe.Since, Head: 2})
	send(schema.EventWorkflowStarted, 1, schema.WorkflowStartedData{RunNumber: 1})
	send(schema.EventApprovalRequested, 2, schema.ApprovalRequestedData{
		ApprovalID: s.approval.ID, Type: s.approval.Type, Description: s.approval.Description, Options: schema.ApprovalStep.Options(),
	})
	<-s.decided
	send(schema.EventApprovalReceived, 3, schema.ApprovalReceivedData{ApprovalID: s.approval.ID, Resolution: schema.ResolutionApproved})
	send(schema.EventOutput, 4, schema.OutputData{Stream: schema.Stdout, Text: "published\n", Attempt: 1})
	send(schema.EventWorkflowCompleted, 5, schema.WorkflowCompletedData{})
	for err == nil { // until the client closes it
		_, _, err = conn.ReadMessage()
	}
}
