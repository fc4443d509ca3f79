//go:build unix

package supervisor

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/net/netutil"

	"github.com/holdfast/holdfast/activities/runner/sandbox"
	"github.com/holdfast/holdfast/schema"
)

// asks is the program's way to people: a small HTTP server on a unix socket.
//
//	POST /ask    asks a human, and answers when the human has
//	GET  /status says what the step is
//
// A question waits here for its answer, across workers: each new worker receives the open
// questions.
type asks struct {
	spec   *Spec
	tell   func(Report)
	server *http.Server
	dir    string

	mu      sync.Mutex
	asked   []*question
	closing chan struct{}
}

type question struct {
	ask    Ask
	done   chan struct{} // closed when answer is set
	answer Answer
}

const (
	maxAskBytes    = 256 << 10 // the largest question, with room for other ways to encode it
	maxHeaderBytes = 16 << 10
	maxAskers      = 64   // concurrent connections; others wait until one is closed
	maxAsks        = 1000 // per step; the oldest answered ones are forgotten
	askSocket      = "socket"
)

func newAsks(spec *Spec) *asks {
	return &asks{spec: spec, tell: func(Report) {}, closing: make(chan struct{})}
}

// serve starts the server on the step's own socket, in a folder with a short name.
func (a *asks) serve(world *sandbox.Spec) error {
	var err error
	if a.dir, err = os.MkdirTemp("", "holdfast-"); err != nil {
		return err
	}
	listener, err := net.Listen("unix", filepath.Join(a.dir, askSocket)) //nolint:noctx // it lasts as long as the process
	if err != nil {
		return err
	}
	world.Socket = a.dir
	mux := http.NewServeMux()
	mux.HandleFunc("POST /ask", a.serveAsk)
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		s := &a.spec.Step
		reply(w, http.StatusOK, map[string]any{"session_id": s.SessionID, "run_id": s.RunID, "step_id": s.StepID, "attempt": a.spec.Attempt})
	})
	const headerPatience = 10 * time.Second
	a.server = &http.Server{Handler: mux, ReadHeaderTimeout: headerPatience, IdleTimeout: headerPatience, MaxHeaderBytes: maxHeaderBytes}
	go func() { _ = a.server.Serve(netutil.LimitListener(ownListener{listener}, maxAskers)) }() // ends with close
	return nil
}

// ownListener accepts only connections from this step's processes: where steps are not isolated,
// others can reach the socket too.
type ownListener struct{ net.Listener }

// Accept implements net.Listener.
func (l ownListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil || fromTree(conn) {
			return conn, err
		}
		_ = conn.Close()
	}
}

func (a *asks) close() {
	close(a.closing)
	if a.server != nil {
		_ = a.server.Close()
	}
	if a.dir != "" {
		_ = os.RemoveAll(a.dir)
	}
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) //nolint:errchkjson // the caller has gone
}

func refuse(w http.ResponseWriter, status int, why string) {
	reply(w, status, Answer{Error: why})
}

func (a *asks) serveAsk(w http.ResponseWriter, r *http.Request) {
	in := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxAskBytes))
	in.DisallowUnknownFields()
	var ask Ask
	if err := in.Decode(&ask); err != nil {
		refuse(w, http.StatusBadRequest, "the question is no JSON object of question, options, context, timeout_seconds and id: "+err.Error())
		return
	}
	if err := ask.Check(); err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	if ask.ID == "" {
		ask.ID = rand.Text()
	}
	q, isNew := a.put(ask)
	switch {
	case q == nil:
		refuse(w, http.StatusServiceUnavailable, fmt.Sprintf("the step has %d open questions, which is the limit; one can be asked when another is answered", schema.MaxOpenAsks))
		return
	case isNew:
		a.tell(Report{Is: IsAsk, Ask: &ask})
	}
	select {
	case <-q.done:
		if q.answer.Error != "" {
			refuse(w, http.StatusBadRequest, q.answer.Error)
			return
		}
		reply(w, http.StatusOK, q.answer)
	case <-a.closing:
		refuse(w, http.StatusServiceUnavailable, "the step is over")
	case <-r.Context().Done(): // the caller may come back with the same id
	}
}

// put opens a question, or finds it; q is nil if too many are open.
func (a *asks) put(ask Ask) (q *question, isNew bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if i := slices.IndexFunc(a.asked, func(q *question) bool { return q.ask.ID == ask.ID }); i >= 0 {
		return a.asked[i], false
	}
	if len(a.openNow()) >= schema.MaxOpenAsks {
		return nil, false
	}
	if len(a.asked) >= maxAsks {
		if i := slices.IndexFunc(a.asked, (*question).over); i >= 0 {
			a.asked = slices.Delete(a.asked, i, i+1)
		}
	}
	q = &question{ask: ask, done: make(chan struct{})}
	a.asked = append(a.asked, q)
	return q, true
}

func (q *question) over() bool {
	select {
	case <-q.done:
		return true
	default:
		return false
	}
}

// open lists the questions without an answer.
func (a *asks) open() []Ask {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.openNow()
}

func (a *asks) openNow() []Ask {
	var list []Ask
	for _, q := range a.asked {
		if !q.over() {
			list = append(list, q.ask)
		}
	}
	return list
}

// answer records the answer to a question. The first one counts.
func (a *asks) answer(answer Answer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, q := range a.asked {
		if q.ask.ID == answer.ID && !q.over() {
			q.answer = answer
			q.ask = Ask{ID: answer.ID} // its text is no longer needed
			close(q.done)
		}
	}
}
