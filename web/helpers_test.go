package web_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"go.temporal.io/sdk/client"

	"github.com/holdfast/holdfast/embedded/embeddedtest"
	"github.com/holdfast/holdfast/internal/testkit"
	"github.com/holdfast/holdfast/logs"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
	"github.com/holdfast/holdfast/schema/store/storetest"
	"github.com/holdfast/holdfast/web"
)

const testTimeout = testkit.Patience

// env is a running server with what it needs.
type env struct {
	*testing.T

	store *store.Store
	dsn   string
	url   string
	logs  *testkit.Screen
	http  *http.Client
	dir   string

	temporal client.Client
}

type setup struct {
	options  func(o *web.Options)
	store    func(dsn string) string // the address that the server uses instead
	temporal string                  // address; the shared server when empty
}

func start(t *testing.T, configure ...func(*setup)) *env {
	t.Helper()
	s := setup{temporal: temporalServer.Addr()}
	for _, f := range configure {
		f(&s)
	}
	e := &env{T: t, logs: &testkit.Screen{}, dir: t.TempDir()}
	e.store, e.dsn = storetest.NewDSN(t)
	e.serve(s)
	return e
}

// another is a further instance over the same database.
func (e *env) another(configure ...func(*setup)) *env {
	e.Helper()
	s := setup{temporal: temporalServer.Addr()}
	for _, f := range configure {
		f(&s)
	}
	other := &env{T: e.T, logs: &testkit.Screen{}, dir: e.dir, store: e.store, dsn: e.dsn}
	other.serve(s)
	return other
}

func (e *env) serve(s setup) {
	t := e.T
	t.Helper()
	used := e.store
	if s.store != nil {
		used = storetest.Open(t, s.store(e.dsn))
	}
	log := slog.New(logs.NewHandler(slog.NewJSONHandler(e.logs, &slog.HandlerOptions{Level: slog.LevelWarn})))
	temporal, err := client.NewLazyClient(client.Options{HostPort: s.temporal, Logger: logs.Discard()})
	must(t, err)
	t.Cleanup(temporal.Close)
	e.temporal = temporal
	sharedTemporal(t)
	o := web.Options{Addr: "127.0.0.1:0", Store: used, Temporal: temporal, DataDir: e.dir, Logger: log, Version: "test", Instance: "i-" + schema.NewID()}
	if s.options != nil {
		s.options(&o)
	}
	server, err := web.New(o)
	must(t, err)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	e.url = "http://" + server.Addr()
	transport := &http.Transport{}
	e.http = &http.Client{Transport: transport, Timeout: testTimeout}
	var once sync.Once
	t.Cleanup(func() {
		once.Do(func() {
			transport.CloseIdleConnections()
			stop()
			if err := <-done; err != nil {
				t.Errorf("run: %v", err)
			}
		})
	})
}

func withOptions(f func(o *web.Options)) func(*setup) { return func(s *setup) { s.options = f } }

var must = testkit.Must

func (e *env) noErrors() {
	e.Helper()
	for line := range strings.Lines(e.logs.String()) {
		if strings.Contains(line, `"level":"ERROR"`) {
			e.Errorf("logged as an error: %s", line)
		}
	}
}

// reply is an answer with its body read.
type reply struct {
	*http.Response

	body []byte
}

func (e *env) do(method, path, body string, header ...string) reply {
	e.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, e.url+path, strings.NewReader(body))
	must(e, err)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "Host" {
			req.Host = header[i+1]
			continue
		}
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := e.http.Do(req)
	must(e, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	must(e, err)
	return reply{resp, text}
}

func (r reply) into(t testing.TB, status int, v any) {
	t.Helper()
	if r.StatusCode != status {
		t.Fatalf("%s %s: %d, not %d: %.500s", r.Request.Method, r.Request.URL.Path, r.StatusCode, status, r.body)
	}
	if v != nil {
		if err := json.Unmarshal(r.body, v); err != nil {
			t.Fatalf("%v: %.500s", err, r.body)
		}
	}
}

// problem checks that the answer is a problem document of this status and code.
func (r reply) problem(t testing.TB, status int, code schema.Code) schema.Problem {
	t.Helper()
	var p schema.Problem
	if r.StatusCode != status {
		t.Fatalf("%s %s: %d, not %d: %.500s", r.Request.Method, r.Request.URL, r.StatusCode, status, r.body)
	}
	if got := r.Header.Get("Content-Type"); got != "application/problem+json" {
		t.Fatalf("%s %s: Content-Type is %q: %.200s", r.Request.Method, r.Request.URL, got, r.body)
	}
	must(t, json.Unmarshal(r.body, &p))
	if p.Code != code || p.Status != status || p.Detail == "" || p.Title == "" || p.Type == "" || p.Errors == nil {
		t.Fatalf("%s %s: the problem is %s", r.Request.Method, r.Request.URL, r.body)
	}
	if p.RequestID == "" || p.RequestID != r.Header.Get("X-Request-ID") {
		t.Fatalf("the request id is %q in the problem and %q in the header", p.RequestID, r.Header.Get("X-Request-ID"))
	}
	if status == http.StatusServiceUnavailable && r.Header.Get("Retry-After") == "" {
		t.Fatal("503 without Retry-After")
	}
	return p
}

const (
	plainPlan = `{"steps":[{"id":"a","title":"First","run":["true"]},{"id":"b","run":["true"],"needs":["a"]}]}`
	askPlan   = `{"steps":[{"id":"a","title":"First","run":["true"],"approval":true}]}`
)

func (e *env) create(plan string) schema.Session {
	e.Helper()
	var s schema.Session
	e.do("POST", "/api/sessions", `{"mode":"runbook","plan":`+plan+`}`).into(e, 201, &s)
	records.Store(s.ID, e.store)
	return s
}

func (e *env) session(id string) schema.Session {
	e.Helper()
	var s schema.Session
	e.do("GET", "/api/sessions/"+id, "").into(e, 200, &s)
	return s
}

// asked waits until the session asks for an approval.
func (e *env) asked(id string) schema.Approval {
	e.Helper()
	var a schema.Approval
	testkit.Eventually(e, "an approval", func() bool {
		s := e.session(id)
		if len(s.PendingApprovals) > 0 {
			a = s.PendingApprovals[0]
		}
		return a.ID != ""
	})
	return a
}

// running waits until the session's run is in the log.
func (e *env) running(id string) {
	e.Helper()
	testkit.Eventually(e, "a run", func() bool { return e.session(id).HeadSeq >= 4 })
}

// bare makes a session whose workflow does nothing: only the test adds to its log.
func (e *env) bare() schema.Session {
	e.Helper()
	plan, problems := schema.ParsePlan([]byte(plainPlan))
	if plan == nil {
		e.Fatal(problems)
	}
	s, _, err := e.store.CreateSession(e.Context(), store.NewSession{ID: schema.NewID(), Name: "bare", Mode: schema.ModeRunbook, Owner: "local", Plan: plan})
	must(e, err)
	must(e, testkit.StandIn(e.Context(), e.temporal, schema.WorkflowID(s.ID)))
	must(e, e.store.MarkWorkflowStarted(e.Context(), s.ID))
	return s
}

// append adds events that report nothing, one transaction each.
func (e *env) append(id string, from, upTo int64) {
	e.Helper()
	for n := from; n <= upTo; n++ {
		_, err := e.store.AppendEvents(e.Context(), store.AppendEvents{
			SessionID: id, Key: fmt.Sprint("test ", n, " ", schema.NewID()),
			Events: []schema.NewEvent{{Type: schema.EventFileUpdated, Data: schema.FileChangedData{Path: fmt.Sprint("f", n), Size: n}}},
		})
		must(e, err)
	}
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

func startTemporal(t *testing.T) string {
	t.Helper()
	return embeddedtest.StartTestTemporal(t).Addr()
}
