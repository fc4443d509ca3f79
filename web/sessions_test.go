package web_test

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast/holdfast/internal/testkit"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/wire"
	"github.com/holdfast/holdfast/web"
)

func TestCreate_AnswersWithADurableSessionAndStartsIt(t *testing.T) {
	t.Parallel()
	e := start(t)
	var s schema.Session
	r := e.do("POST", "/api/sessions", `{"mode":"runbook","plan":`+plainPlan+`,"config":{"parallel":3}}`, "X-Holdfast-User", "ann", "X-Request-ID", "mine")
	r.into(t, 201, &s)
	records.Store(s.ID, e.store)
	if s.Name != "First" || s.Owner != "ann" || s.Status != schema.SessionActive || s.Config.Parallel != 3 || len(s.Plan.Steps) != 2 {
		t.Fatalf("the session is %+v", s)
	}
	if r.Header.Get("Location") != "/api/sessions/"+s.ID || r.Header.Get("X-Request-ID") != "mine" {
		t.Fatalf("the headers are %v", r.Header)
	}
	e.running(s.ID)
	var runs wire.RunList
	e.do("GET", "/api/sessions/"+s.ID+"/runs", "").into(t, 200, &runs)
	if len(runs.Runs) != 1 || len(runs.Runs[0].Steps) != 2 {
		t.Fatalf("the runs are %+v", runs)
	}
	e.do("GET", "/api/runs/"+runs.Runs[0].ID, "").into(t, 200, nil)
	var list wire.SessionList
	e.do("GET", "/api/sessions?status=active,failed&mode=runbook&owner=ann&q=fir&limit=1", "").into(t, 200, &list)
	if list.Total != 1 || list.Sessions[0].ID != s.ID {
		t.Fatalf("the list is %+v", list)
	}
	e.noErrors()
}

func TestCreate_TheSameKeyIsTheSameSession(t *testing.T) {
	t.Parallel()
	e := start(t)
	body := `{"mode":"runbook","name":"once","plan":` + plainPlan + `}`
	var mu sync.Mutex
	statuses, ids := []int{}, map[string]bool{}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			r := e.do("POST", "/api/sessions", body, "Idempotency-Key", "k1")
			var s schema.Session
			_ = json.Unmarshal(r.body, &s)
			mu.Lock()
			defer mu.Unlock()
			statuses = append(statuses, r.StatusCode)
			ids[s.ID] = true
		})
	}
	all.Wait()
	slices.Sort(statuses)
	if len(ids) != 1 || statuses[0] != 200 || statuses[6] != 200 || statuses[7] != 201 {
		t.Fatalf("the answers are %v, the sessions %v", statuses, ids)
	}
	e.do("POST", "/api/sessions", `{"mode":"runbook","name":"other","plan":`+plainPlan+`}`, "Idempotency-Key", "k1").problem(t, 409, schema.CodeConflict)
	// Another user's key is another key.
	e.do("POST", "/api/sessions", body, "Idempotency-Key", "k1", "X-Holdfast-User", "ben").into(t, 201, nil)
}

func TestCreate_IsAcceptedWhileTemporalIsAwayAndStartedLater(t *testing.T) {
	t.Parallel()
	p := newProxy(t, temporalServer.Addr())
	p.down()
	e := start(t, func(s *setup) { s.temporal = p.addr })
	s := e.create(plainPlan)
	var ready wire.Readiness
	e.do("GET", "/api/ready", "").into(t, 503, &ready)
	if !ready.Postgres.Ready || ready.Temporal.Ready {
		t.Fatalf("readiness is %+v", ready)
	}
	e.do("POST", "/api/sessions/"+s.ID+"/suspend", "").problem(t, 503, schema.CodeUnavailable)
	p.up()
	e.running(s.ID)
	unstarted, err := e.store.UnstartedSessions(e.Context(), 0, 10)
	must(t, err)
	testkit.Eventually(t, "the start is recorded", func() bool {
		unstarted, err = e.store.UnstartedSessions(e.Context(), 0, 10)
		return err == nil && len(unstarted) == 0
	})
	e.do("GET", "/api/ready", "").into(t, 200, nil)
	e.noErrors()
}

func TestServer_ServesWhilePostgresIsAwayAndRecovers(t *testing.T) {
	t.Parallel()
	var p *proxy
	e := start(t, func(s *setup) {
		s.store = func(dsn string) string {
			rest := strings.TrimPrefix(dsn, dsn[:strings.Index(dsn, "@")+1])
			host, _, _ := strings.Cut(rest, "/")
			p = newProxy(t, host)
			p.down()
			return strings.Replace(dsn, host, p.addr, 1)
		}
	})
	e.do("GET", "/api/health", "").into(t, 200, nil)
	e.do("GET", "/api/modes", "").into(t, 200, nil)
	e.do("GET", "/api/sessions", "").problem(t, 503, schema.CodeUnavailable)
	e.do("POST", "/api/sessions", `{"mode":"runbook","plan":`+plainPlan+`}`).problem(t, 503, schema.CodeUnavailable)
	ws := e.dial("")
	ws.subscribe(schema.NewID(), 0)
	ws.refused(schema.CodeUnavailable)
	p.up()
	testkit.Eventually(t, "ready", func() bool { return e.do("GET", "/api/ready", "").StatusCode == http.StatusOK })
	e.do("GET", "/api/sessions", "").into(t, 200, nil)
	// The feed has come back as well, on the connection that was there all the time.
	s := e.bare()
	ws.subscribe(s.ID, 0)
	ws.until(wire.FrameSubscribed)
	e.append(s.ID, 1, 3)
	ws.collect(0, 3)
	e.noErrors()
}

func TestCommands_AreVisibleToTheReaderWhoSentThem(t *testing.T) {
	t.Parallel()
	e := start(t)
	s := e.create(plainPlan)
	e.running(s.ID)
	var got schema.Session
	e.do("POST", "/api/sessions/"+s.ID+"/suspend", "").into(t, 200, &got)
	if got.Status != schema.SessionSuspended || e.session(s.ID).Status != schema.SessionSuspended {
		t.Fatalf("after suspend the session is %s", got.Status)
	}
	e.do("POST", "/api/sessions/"+s.ID+"/suspend", "{}").into(t, 200, nil) // the same again
	e.do("POST", "/api/sessions/"+s.ID+"/resume", "").into(t, 200, &got)
	if got.Status != schema.SessionActive {
		t.Fatalf("after resume the session is %s", got.Status)
	}
	e.do("POST", "/api/sessions/"+s.ID+"/resume", "").problem(t, 409, schema.CodeConflict)
	var live schema.WorkflowState
	e.do("GET", "/api/sessions/"+s.ID+"/live", "").into(t, 200, &live)
	if live.Status != schema.SessionActive || live.Steps == nil {
		t.Fatalf("live is %+v", live)
	}
	var done wire.CancelAnswer
	e.do("POST", "/api/sessions/"+s.ID+"/cancel", "").into(t, 200, &done)
	if done.Receipt == nil || done.Receipt.ProcessesKilled != 3 || done.Session.Status != schema.SessionCancelled {
		t.Fatalf("cancel answered %+v", done)
	}
	e.do("POST", "/api/sessions/"+s.ID+"/cancel", "").into(t, 200, &done) // the receipt again
	e.do("POST", "/api/sessions/"+s.ID+"/suspend", "").problem(t, 409, schema.CodeConflict)
	e.noErrors()
}

func TestCommands_WithTheSameKeyAreOne(t *testing.T) {
	t.Parallel()
	e := start(t)
	s := e.create(plainPlan)
	e.running(s.ID)
	for i := range 2 {
		e.do("POST", "/api/sessions/"+s.ID+"/suspend", "", "Idempotency-Key", "x").into(t, 200, nil)
		head := e.session(s.ID).HeadSeq
		// A resume is another command, and needs a key of its own.
		e.do("POST", "/api/sessions/"+s.ID+"/resume", "", "Idempotency-Key", "x").problem(t, 409, schema.CodeConflict)
		if i == 0 {
			e.do("POST", "/api/sessions/"+s.ID+"/resume", "", "Idempotency-Key", "y").into(t, 200, nil)
		} else if head > 9 {
			t.Fatalf("the second suspend was carried out: head %d", head)
		}
	}
}

func TestDelete_HidesTheSessionAndClosesItsWorkflow(t *testing.T) {
	t.Parallel()
	e := start(t)
	s := e.create(plainPlan)
	e.running(s.ID)
	e.do("DELETE", "/api/sessions/"+s.ID, "").into(t, 204, nil)
	for _, path := range []string{"", "/events", "/history", "/runs", "/files", "/approvals", "/live"} {
		e.do("GET", "/api/sessions/"+s.ID+path, "").problem(t, 404, schema.CodeNotFound)
	}
	e.do("POST", "/api/sessions/"+s.ID+"/suspend", "").problem(t, 404, schema.CodeNotFound)
	e.do("DELETE", "/api/sessions/"+s.ID, "").problem(t, 404, schema.CodeNotFound)
	testkit.Eventually(t, "the workflow has ended", func() bool {
		_, err := sharedTemporal(t).QueryWorkflow(e.Context(), schema.WorkflowID(s.ID), "", schema.QueryState)
		d, err2 := sharedTemporal(t).DescribeWorkflowExecution(e.Context(), schema.WorkflowID(s.ID), "")
		return err == nil && err2 == nil && d.GetWorkflowExecutionInfo().GetCloseTime() != nil
	})
	e.noErrors()
}

func TestRename_NeedsTheCurrentVersion(t *testing.T) {
	t.Parallel()
	e := start(t)
	s := e.create(plainPlan)
	var got schema.Session
	e.do("PATCH", "/api/sessions/"+s.ID, `{"version":`+itoa(s.Version)+`,"name":"New name"}`).into(t, 200, &got)
	if got.Name != "New name" || got.Version <= s.Version {
		t.Fatalf("the session is %+v", got)
	}
	r := e.do("PATCH", "/api/sessions/"+s.ID, `{"version":`+itoa(s.Version)+`,"name":"Another"}`)
	if r.StatusCode != http.StatusConflict {
		t.Fatalf("a stale rename: %d %s", r.StatusCode, r.body)
	}
}

func TestLists_ArePickedByTheBeginningOfAnID(t *testing.T) {
	t.Parallel()
	e := start(t)
	one, two := e.bare(), e.bare()
	var list wire.SessionList
	e.do("GET", "/api/sessions?limit=2&id_prefix="+one.ID[:10], "").into(t, 200, &list)
	if len(list.Sessions) != 1 || list.Total != 1 || list.Sessions[0].ID != one.ID {
		t.Fatalf("the list is %+v", list)
	}
	e.do("GET", "/api/sessions?id_prefix="+two.ID, "").into(t, 200, &list)
	if len(list.Sessions) != 1 || list.Sessions[0].ID != two.ID {
		t.Fatalf("the list is %+v", list)
	}
	for _, path := range []string{"/api/sessions", "/api/approvals", "/api/sessions/" + one.ID + "/approvals"} {
		e.do("GET", path+"?id_prefix=0000", "").into(t, 200, nil)
		for _, bad := range []string{"123", "ABCD", "wxyz", "%25%25%25%25", "1234_678", "123456789", strings.Repeat("a", 36), strings.Repeat("a", 37)} {
			p := e.do("GET", path+"?id_prefix="+bad, "").problem(t, 422, schema.CodeInvalid)
			if len(p.Errors) != 1 || p.Errors[0].Location != "query.id_prefix" || len(bad) <= 36 && !strings.Contains(p.Errors[0].Message, "the first 4 or more characters of an id") {
				t.Errorf("%s is refused with %+v", bad, p)
			}
		}
	}
	e.noErrors()
}

func TestEvents_ArePagedWithoutAGap(t *testing.T) {
	t.Parallel()
	e := start(t)
	s := e.bare()
	e.append(s.ID, 1, 25)
	var since int64
	for {
		var page wire.EventList
		e.do("GET", "/api/sessions/"+s.ID+"/events?limit=10&until=23&since="+itoa(since), "").into(t, 200, &page)
		for _, ev := range page.Events {
			if ev.Seq != since+1 {
				t.Fatalf("seq %d follows %d", ev.Seq, since)
			}
			since = ev.Seq
		}
		if page.HeadSeq != 25 {
			t.Fatalf("the head is %d", page.HeadSeq)
		}
		if page.NextSince == 0 {
			break
		}
	}
	if since != 23 {
		t.Fatalf("the last seq is %d", since)
	}
	var page wire.EventList
	e.do("GET", "/api/sessions/"+s.ID+"/events?types=output,step_started,cost_update", "").into(t, 200, &page) // the last is in the contract, and never sent yet
	if len(page.Events) != 0 || page.HeadSeq != 25 {
		t.Fatalf("the page is %+v", page)
	}
	var all, story wire.EventList
	e.do("GET", "/api/sessions/"+s.ID+"/events", "").into(t, 200, &all)
	unwanted := all.Events[0].Type
	e.do("GET", "/api/sessions/"+s.ID+"/events?without=output,"+string(unwanted), "").into(t, 200, &story)
	want := slices.DeleteFunc(slices.Clone(all.Events), func(ev schema.Event) bool { return ev.Type == unwanted || ev.Type == schema.EventOutput })
	if len(want) == len(all.Events) || len(story.Events) != len(want) {
		t.Fatalf("without %s there are %d of %d events, want %d", unwanted, len(story.Events), len(all.Events), len(want))
	}
}

func TestLive_Is503WhileNoWorkerAnswers(t *testing.T) {
	t.Parallel()
	own := startTemporal(t)
	e := start(t, func(s *setup) { s.temporal = own })
	s := e.create(plainPlan)
	began := time.Now()
	e.do("GET", "/api/sessions/"+s.ID+"/live", "").problem(t, 503, schema.CodeUnavailable)
	if took := time.Since(began); took > 6*time.Second {
		t.Fatalf("it took %v", took)
	}
	e.do("GET", "/api/sessions/"+s.ID, "").into(t, 200, nil)
	began = time.Now()
	e.do("POST", "/api/sessions/"+s.ID+"/suspend", "").problem(t, 503, schema.CodeUnavailable)
	if took := time.Since(began); took > 12*time.Second {
		t.Fatalf("it took %v", took)
	}
	e.noErrors()
}

func TestCreate_ASessionThatAPersonStartsWaitsLongerForThem(t *testing.T) {
	t.Parallel()
	e := start(t, func(s *setup) {
		s.options = func(o *web.Options) { o.ApprovalTimeout, o.AttendedTimeout = 5*time.Minute, 24*time.Hour }
	})
	for more, want := range map[string]float64{
		``:                  0, // a program's: the server's setting, at the time
		`,"attended":false`: 0,
		`,"attended":true`:  86_400,
		`,"attended":true,"config":{"approval_timeout_seconds":60}`: 60,
	} {
		var s schema.Session
		e.do("POST", "/api/sessions", `{"mode":"runbook","plan":`+plainPlan+more+`}`).into(t, 201, &s)
		records.Store(s.ID, e.store)
		if s.Config.ApprovalTimeoutSeconds != want {
			t.Errorf("with %s: an approval waits %v seconds, want %v", more, s.Config.ApprovalTimeoutSeconds, want)
		}
		for body, forked := range map[string]float64{`{}`: want, `{"attended":true}`: cmp.Or(want, 86_400)} {
			var f schema.Session
			e.do("POST", "/api/sessions/"+s.ID+"/fork", body).into(t, 201, &f)
			records.Store(f.ID, e.store)
			if f.Config.ApprovalTimeoutSeconds != forked {
				t.Errorf("with %s, forked with %s: an approval waits %v seconds, want %v", more, body, f.Config.ApprovalTimeoutSeconds, forked)
			}
		}
	}
	e.noErrors()
}
