package web_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.temporal.io/sdk/client"

	"github.com/holdfast/holdfast/embedded"
	"github.com/holdfast/holdfast/internal/testkit"
	"github.com/holdfast/holdfast/logs"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/wire"
)

// patience is more than a command takes until it answers, whatever is away.
const patience = 12 * time.Second

func TestCommands_MoreThanASessionTakesAreAllAnsweredAndDoneOnceTheyGetThrough(t *testing.T) {
	t.Parallel()
	own := startTemporal(t) // without a worker
	e := start(t, func(s *setup) { s.temporal = own })
	s := e.create(plainPlan)
	send := func(n int64) reply {
		return e.do("POST", "/api/sessions/"+s.ID+"/messages", `{"content":"m"}`, "Idempotency-Key", "k"+itoa(n))
	}
	var all sync.WaitGroup
	began := time.Now()
	const commands = 15 // of which Temporal takes ten at once
	for n := range int64(commands) {
		all.Go(func() { send(n).problem(t, http.StatusServiceUnavailable, schema.CodeUnavailable) })
	}
	all.Wait()
	if took := time.Since(began); took > patience {
		t.Fatalf("it took %v", took)
	}
	c, err := client.Dial(client.Options{HostPort: own, Logger: logs.Discard()})
	must(t, err)
	t.Cleanup(c.Close)
	w := newWorker(c)
	must(t, w.Start())
	t.Cleanup(w.Stop)
	e.running(s.ID)
	numbers := map[int]bool{}
	for n := range int64(commands) {
		var first, again wire.MessageAnswer
		testkit.Eventually(t, "an answer", func() bool {
			r := send(n)
			return r.StatusCode == http.StatusAccepted && json.Unmarshal(r.body, &first) == nil
		})
		send(n).into(t, http.StatusAccepted, &again)
		if again.Number != first.Number || numbers[first.Number] {
			t.Fatalf("command %d got the numbers %d and %d; given before: %v", n, first.Number, again.Number, numbers)
		}
		numbers[first.Number] = true
	}
	testkit.Eventually(t, "every message, once", func() bool { return e.session(s.ID).QueuedMessages == commands })
	e.noErrors()
}

// Temporal takes ten updates at once on a workflow unless it is told otherwise, and drops the
// ten when it refuses the eleventh.
func TestCommands_ACrowdIsLetInAsTemporalTakesIt(t *testing.T) {
	t.Parallel()
	own := &embedded.Temporal{Dir: t.TempDir(), Headless: true, DynamicConfig: map[string]string{"history.maxInFlightUpdates": "10"}}
	must(t, own.Start(t.Context()))
	t.Cleanup(func() { must(t, own.Stop(context.Background())) })
	c, err := client.Dial(client.Options{HostPort: own.Addr(), Logger: logs.Discard()})
	must(t, err)
	t.Cleanup(c.Close)
	w := newWorker(c)
	must(t, w.Start())
	t.Cleanup(w.Stop)
	e := start(t, func(s *setup) { s.temporal = own.Addr() })
	s := e.create(plainPlan)
	e.running(s.ID)
	var all sync.WaitGroup
	const people = scriptedQueue
	for n := range int64(people) {
		all.Go(func() {
			r := e.do("POST", "/api/sessions/"+s.ID+"/messages", `{"content":"m"}`, "Idempotency-Key", "k"+itoa(n))
			r.into(t, http.StatusAccepted, nil)
		})
	}
	all.Wait()
	testkit.Eventually(t, "every message, once", func() bool { return e.session(s.ID).QueuedMessages == people })
	e.noErrors()
}

func TestCommands_AnswerInTimeWhilePostgresHangs(t *testing.T) {
	t.Parallel()
	var p *proxy
	e := start(t, func(s *setup) { s.store = throughProxy(t, &p) })
	s := e.create(askPlan)
	a := e.asked(s.ID)
	release := p.stall()
	var all sync.WaitGroup
	began := time.Now()
	for path, body := range map[string]string{
		"/api/sessions/" + s.ID + "/suspend":      "",
		"/api/sessions/" + s.ID + "/cancel":       "",
		"/api/sessions/" + s.ID + "/messages":     `{"content":"hello"}`,
		"/api/sessions/" + s.ID + "/runs":         `{"plan":` + plainPlan + `}`,
		"/api/sessions/" + s.ID + "/fork":         ``,
		"/api/approvals/" + a.ID + "/extend":      `{"seconds":10}`,
		"/api/approvals/" + a.ID + "/resolve":     `{"resolution":"approved"}`,
		"/api/approvals/" + a.ID + "/resolve?x=1": `{}`,
	} {
		all.Go(func() {
			r := e.do("POST", path, body)
			if strings.Contains(path, "?") {
				r.problem(t, http.StatusUnprocessableEntity, schema.CodeInvalid) // needs nothing
				return
			}
			r.problem(t, http.StatusServiceUnavailable, schema.CodeUnavailable)
		})
	}
	all.Wait()
	if took := time.Since(began); took > patience {
		t.Fatalf("it took %v", took)
	}
	release()
	testkit.Eventually(t, "an answer", func() bool {
		return e.do("POST", "/api/approvals/"+a.ID+"/resolve", `{"resolution":"approved"}`).StatusCode == http.StatusOK
	})
	e.noErrors()
}

func TestCommands_AnOlderWorkerIsSomethingToWaitFor(t *testing.T) {
	t.Parallel()
	e := start(t)
	s := e.create(plainPlan)
	e.running(s.ID)
	handle, err := sharedTemporal(t).UpdateWorkflow(e.Context(), client.UpdateWorkflowOptions{
		WorkflowID: schema.WorkflowID(s.ID), UpdateName: "unheard_of", WaitForStage: client.WorkflowUpdateStageCompleted,
	})
	if err == nil {
		err = handle.Get(e.Context(), nil)
	}
	if err == nil || !strings.HasPrefix(err.Error(), "unknown update ") { // what control.go goes by
		t.Fatalf("the worker said %v", err)
	}
}
