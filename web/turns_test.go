package web_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"go.temporal.io/sdk/client"

	"github.com/holdfast/holdfast/internal/testkit"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/wire"
)

func TestMessages_AreNumberedAndCountedOnce(t *testing.T) {
	t.Parallel()
	e := start(t)
	s := e.create(plainPlan)
	e.running(s.ID)
	path := "/api/sessions/" + s.ID + "/messages"
	var got wire.MessageAnswer
	e.do("POST", path, `{"content":"first"}`, "X-Holdfast-User", "ann").into(t, 202, &got)
	if got.Number != 1 || got.Status != schema.MessageQueued {
		t.Fatalf("the answer is %+v", got)
	}
	for range 2 {
		e.do("POST", path, `{"content":" second\nline "}`, "Idempotency-Key", "m").into(t, 202, &got)
		if got.Number != 2 {
			t.Fatalf("the answer is %+v", got)
		}
	}
	var history wire.MessageList
	testkit.Eventually(t, "the conversation", func() bool {
		e.do("GET", "/api/sessions/"+s.ID+"/history", "").into(t, 200, &history)
		return len(history.Messages) == 2
	})
	if m := history.Messages[0]; m.Content != "first" || m.Actor != "ann" || m.Number != 1 || m.Status != schema.MessageQueued || m.Role != "user" {
		t.Fatalf("the first message is %+v", m)
	}
	if m := history.Messages[1]; m.Content != " second\nline " {
		t.Fatalf("the second message is %+v", m)
	}
	e.do("POST", path, `{"content":"`+strings.Repeat("x", schema.MaxMessageBytes)+`"}`).into(t, 202, nil)
	for range scriptedQueue - 3 {
		e.do("POST", path, `{"content":"m"}`).into(t, 202, nil)
	}
	e.do("POST", path, `{"content":"one too many"}`).problem(t, 409, schema.CodeConflict)
	if n := e.session(s.ID).QueuedMessages; n < 2 {
		t.Fatalf("%d messages wait", n)
	}
	e.noErrors()
}

func TestMessages_OverTheWebSocketAreTakenInOnce(t *testing.T) {
	t.Parallel()
	e := start(t)
	s := e.create(plainPlan)
	e.running(s.ID)
	viewer := e.dial("")
	viewer.subscribe(s.ID, 0)
	ws := e.dial("?client_id=c", "X-Holdfast-User", "ann")
	for range 2 { // the second time after a lost answer
		ws.send(`{"type":"message","session_id":"` + s.ID + `","content":"hello","request_id":"r"}`)
		if f := ws.until(wire.FrameAccepted); f.SessionID != s.ID || !strings.Contains(string(f.Data), `"r"`) {
			t.Fatalf("accepted %+v %s", f, f.Data)
		}
	}
	ws.send(`{"type":"message","session_id":"` + s.ID + `","content":"there"}`)
	ws.until(wire.FrameAccepted)
	for _, want := range []schema.AgentMessageData{{Role: "user", Message: "hello", Actor: "ann", Number: 1}, {Role: "user", Message: "there", Actor: "ann", Number: 2}} {
		var d schema.AgentMessageData
		must(t, json.Unmarshal(viewer.until(schema.EventAgentMessage).Data, &d))
		if d != want {
			t.Fatalf("said %+v", d)
		}
	}
	e.noErrors()
}

func TestRuns_StartWhenNoneIsUnderWay(t *testing.T) {
	t.Parallel()
	e := start(t)
	s := e.create(plainPlan)
	e.running(s.ID)
	path := "/api/sessions/" + s.ID + "/runs"
	other := `{"plan":{"steps":[{"id":"z","title":"Another","run":["false"]}]}}`
	e.do("POST", path, other).problem(t, 409, schema.CodeConflict)
	e.do("POST", "/api/sessions/"+s.ID+"/cancel", "").into(t, 200, nil)
	var run schema.Run
	r := e.do("POST", path, other, "Idempotency-Key", "again")
	r.into(t, 201, &run)
	if run.Number != 2 || run.SessionID != s.ID || run.Status != schema.SessionActive || len(run.Steps) != 1 || run.Steps[0].ID != "z" || run.PlanDigest == "" {
		t.Fatalf("the run is %+v", run)
	}
	if r.Header.Get("Location") != "/api/runs/"+run.ID {
		t.Fatalf("the headers are %v", r.Header)
	}
	e.do("GET", "/api/runs/"+run.ID, "").into(t, 200, nil)
	var same schema.Run
	e.do("POST", path, other, "Idempotency-Key", "again").into(t, 201, &same)
	if same.ID != run.ID {
		t.Fatalf("the repetition started %+v", same)
	}
	if now := e.session(s.ID); now.Status != schema.SessionActive || now.Plan.Steps[0].ID != "z" || now.Totals.Runs != 2 {
		t.Fatalf("the session is %+v", now)
	}
	e.do("POST", path, other).problem(t, 409, schema.CodeConflict)
	e.noErrors()
}

func TestFork_IsASessionOfItsOwn(t *testing.T) {
	t.Parallel()
	e := start(t)
	source := e.create(plainPlan)
	e.running(source.ID)
	path := "/api/sessions/" + source.ID + "/fork"
	var first schema.Session
	r := e.do("POST", path, "", "X-Holdfast-User", "ann")
	r.into(t, 201, &first)
	records.Store(first.ID, e.store)
	if first.Name != source.Name+" (fork)" || first.Owner != "ann" || first.ForkedFrom != source.ID || first.Status != schema.SessionActive || len(first.Plan.Steps) != 2 {
		t.Fatalf("the fork is %+v", first)
	}
	if r.Header.Get("Location") != "/api/sessions/"+first.ID {
		t.Fatalf("the headers are %v", r.Header)
	}
	testkit.Eventually(t, "the fork's run", func() bool { return e.session(first.ID).Totals.Runs == 1 })

	body := `{"name":"Other","plan":` + askPlan + `}`
	var mu sync.Mutex
	forks, created := map[string]bool{}, 0
	var all sync.WaitGroup
	for range 6 {
		all.Go(func() {
			r := e.do("POST", path, body, "Idempotency-Key", "f")
			var s schema.Session
			_ = json.Unmarshal(r.body, &s)
			records.Store(s.ID, e.store)
			mu.Lock()
			defer mu.Unlock()
			forks[s.ID] = true
			switch r.StatusCode {
			case http.StatusCreated:
				created++
			case http.StatusOK:
			default:
				t.Errorf("%d: %s", r.StatusCode, r.body)
			}
			if s.Name != "Other" || len(s.Plan.Steps) != 1 {
				t.Errorf("the fork is %+v", s)
			}
		})
	}
	all.Wait()
	if len(forks) != 1 || created != 1 {
		t.Fatalf("the forks are %v, %d created", forks, created)
	}
	e.do("POST", path, `{"name":"Another"}`, "Idempotency-Key", "f").problem(t, 409, schema.CodeConflict)
	if got := e.session(source.ID); len(got.Forks) != 2 || got.Forks[0] != first.ID {
		t.Fatalf("the source lists %v", got.Forks)
	}
	e.noErrors()
}

func TestFork_IsMadeWhileTemporalIsAwayAndStartedLater(t *testing.T) {
	t.Parallel()
	p := newProxy(t, temporalServer.Addr())
	e := start(t, func(s *setup) { s.temporal = p.addr })
	source := e.create(plainPlan)
	e.running(source.ID)
	p.down()
	var fork schema.Session
	e.do("POST", "/api/sessions/"+source.ID+"/fork", "").into(t, 201, &fork)
	records.Store(fork.ID, e.store)
	if fork.HeadSeq == 0 {
		t.Fatal("the fork's log does not say where it comes from")
	}
	e.do("POST", "/api/sessions/"+fork.ID+"/suspend", "").problem(t, 503, schema.CodeUnavailable)
	p.up()
	testkit.Eventually(t, "the fork's run", func() bool { return e.session(fork.ID).Totals.Runs == 1 })
	e.do("POST", "/api/sessions/"+fork.ID+"/suspend", "").into(t, 200, nil)
	e.noErrors()
}

func TestCommands_ToAnExpiredSessionSaySo(t *testing.T) {
	t.Parallel()
	e := start(t)
	s := e.bare()
	must(t, e.temporal.TerminateWorkflow(e.Context(), schema.WorkflowID(s.ID), "", "it is gone"))
	var got schema.Session
	e.do("PATCH", "/api/sessions/"+s.ID, `{"version":`+itoa(s.Version)+`,"name":"Renamed"}`).into(t, 200, &got)
	_, err := e.store.Apply(e.Context(), schema.Transition{SessionID: s.ID, Key: "expired", Status: schema.SessionExpired, Phase: schema.PhaseIdle})
	must(t, err)
	p := e.do("POST", "/api/sessions/"+s.ID+"/messages", `{"content":"hello"}`).problem(t, 409, schema.CodeConflict)
	if !strings.Contains(p.Detail, "expired") {
		t.Error(p.Detail)
	}
	e.noErrors()
}

// A command does not wait for the reconciler: it begins the workflow anew by itself. (What a new
// workflow goes on with is tested end to end: the one here is only a script.)
func TestCommands_BeginAWorkflowAnewThatIsGone(t *testing.T) {
	t.Parallel()
	e := start(t)
	s := e.create(askPlan)
	e.running(s.ID)
	must(t, e.temporal.TerminateWorkflow(e.Context(), schema.WorkflowID(s.ID), "", "out of patience"))
	e.do("POST", "/api/sessions/"+s.ID+"/messages", `{"content":"go on"}`).into(t, 202, nil)
	var runs wire.RunList
	e.do("GET", "/api/sessions/"+s.ID+"/runs", "").into(t, 200, &runs)
	if first := runs.Runs[0]; first.Status != schema.SessionFailed || !strings.Contains(first.Error, "out of patience") {
		t.Errorf("the run whose workflow went is %s: %s", first.Status, first.Error)
	}
}

// The workflow that has taken a message in is lost before it has recorded it, and another instance begins the next one
// before this instance has said that the message counts: the next one is told of it.
func TestMessages_ReachTheWorkflowThatWasBegunAnewMeanwhile(t *testing.T) {
	t.Parallel()
	e := start(t)
	s := e.create(plainPlan)
	e.running(s.ID)
	records.Delete(s.ID) // from here on the workflow records nothing
	ctx := e.Context()
	conn, err := pgx.Connect(ctx, e.dsn)
	must(t, err)
	defer conn.Close(ctx)
	tx, err := conn.Begin(ctx)
	must(t, err)
	_, err = tx.Exec(ctx, `SELECT FROM sessions WHERE id = $1 FOR NO KEY UPDATE`, s.ID)
	must(t, err)
	answered := make(chan reply, 1)
	go func() {
		answered <- e.do("POST", "/api/sessions/"+s.ID+"/messages", `{"content":"hello"}`, "Idempotency-Key", "m")
	}()
	testkit.Eventually(t, "the answer of the workflow", func() bool {
		var waits bool
		must(t, tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database())`).Scan(&waits))
		return waits
	})
	must(t, e.temporal.TerminateWorkflow(ctx, schema.WorkflowID(s.ID), "", "it is gone"))
	_, err = tx.Exec(ctx, `UPDATE sessions SET revivals = revivals + 1 WHERE id = $1`, s.ID)
	must(t, err)
	records.Store(s.ID, e.store)
	_, err = e.temporal.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: schema.WorkflowID(s.ID), TaskQueue: schema.TaskQueueSessions}, schema.WorkflowType,
		schema.SessionInput{SessionID: s.ID, Mode: schema.ModeRunbook})
	must(t, err)
	must(t, tx.Commit(ctx))
	var got wire.MessageAnswer
	if (<-answered).into(t, 202, &got); got.Number != 1 {
		t.Errorf("the answer is %+v", got)
	}
	var history wire.MessageList
	testkit.Eventually(t, "the message in the conversation", func() bool {
		e.do("GET", "/api/sessions/"+s.ID+"/history", "").into(t, 200, &history)
		return len(history.Messages) > 0
	})
	var again wire.MessageAnswer
	e.do("POST", "/api/sessions/"+s.ID+"/messages", `{"content":"hello"}`, "Idempotency-Key", "m").into(t, 202, &again)
	e.do("GET", "/api/sessions/"+s.ID+"/history", "").into(t, 200, &history)
	if again.Number != 1 || len(history.Messages) != 1 || history.Messages[0].Content != "hello" || history.Messages[0].Status != schema.MessageQueued {
		t.Errorf("the same again is %+v; the conversation is %+v", again, history.Messages)
	}
}

func TestAudit_IsPagedAndSaysWhoAskedForWhat(t *testing.T) {
	t.Parallel()
	e := start(t)
	s := e.bare()
	var page wire.AuditList
	e.do("GET", "/api/sessions/"+s.ID+"/audit", "").into(t, 200, &page)
	if len(page.Audit) != 1 || page.Audit[0].Action != "start" || page.Audit[0].Actor != s.Owner {
		t.Fatalf("the trail is %+v", page)
	}
	for n, name := range []string{"One", "Two", "Three"} {
		e.do("PATCH", "/api/sessions/"+s.ID, `{"version":`+itoa(s.Version+int64(n))+`,"name":"`+name+`"}`, "X-Holdfast-User", "u"+itoa(int64(n))).into(t, 200, nil)
	}
	var all []schema.AuditEntry
	for query := "?limit=2"; query != ""; {
		page = wire.AuditList{}
		e.do("GET", "/api/sessions/"+s.ID+"/audit"+query, "").into(t, 200, &page)
		all = append(all, page.Audit...)
		if query = ""; page.NextCursor != "" {
			query = "?limit=2&cursor=" + page.NextCursor
		}
	}
	if len(all) != 4 {
		t.Fatalf("the trail is %+v", all)
	}
	all = all[1:]
	for i, entry := range all {
		if entry.Actor != "u"+itoa(int64(i)) || entry.Outcome != schema.AuditTaken || entry.Action == "" || entry.SessionID != s.ID {
			t.Errorf("entry %d is %+v", i, entry)
		}
	}
	e.do("GET", "/api/sessions/"+s.ID+"/audit?after="+itoa(all[1].ID), "").into(t, 200, &page)
	if len(page.Audit) != 1 || page.Audit[0].ID != all[2].ID {
		t.Fatalf("after the second: %+v", page)
	}
	e.noErrors()
}

func TestCreate_TakesEveryFieldOfAConfig(t *testing.T) {
	t.Parallel()
	e := start(t)
	config := `{"approval_mode":"all","approval_timeout_seconds":60,"on_timeout":"escalate","escalation_timeout":"20m","on_modified":"approve",` +
		`"parallel":4,"run_timeout":"2h","when_busy":"interrupt","session_ttl":"720h"}`
	var s schema.Session
	e.do("POST", "/api/sessions", `{"mode":"runbook","config":`+config+`,"plan":`+plainPlan+`}`).into(t, 201, &s)
	records.Store(s.ID, e.store)
	var want schema.Config
	must(t, json.Unmarshal([]byte(config), &want))
	if s.Config != want || e.session(s.ID).Config != want {
		t.Fatalf("the config is %+v", s.Config)
	}
	e.noErrors()
}
