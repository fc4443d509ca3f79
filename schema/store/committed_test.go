package store_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/holdfast/holdfast/logs"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
	"github.com/holdfast/holdfast/schema/store/storetest"
)

func TestCommitted_TellsEachChangeOnce(t *testing.T) {
	t.Parallel()
	_, dsn := storetest.NewDSN(t)
	var (
		mu   sync.Mutex
		told []store.Committed
	)
	s, err := store.Open(t.Context(), dsn, store.Options{Logger: logs.Discard(), Committed: func(_ context.Context, c store.Committed) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, c)
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	plan, problems := schema.ParsePlan([]byte(`{"steps":[{"id":"a","shell":"true","approval":true}]}`))
	if problems != nil {
		t.Fatal(problems)
	}
	id := schema.NewID()
	run := schema.RunID(id, 1)
	for range 2 { // a repetition is not told
		_, _, err := s.CreateSession(t.Context(), store.NewSession{ID: id, Mode: schema.ModeRunbook, Owner: "ada", Plan: plan, IdempotencyKey: "k", RequestDigest: "d"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.BeginRun(t.Context(), store.BeginRun{SessionID: id, RunID: run, Number: 1, Key: "b", Status: schema.SessionActive, Phase: schema.PhaseExecuting}); err != nil {
			t.Fatal(err)
		}
	}
	asked := time.Now().Add(-time.Hour)
	approval := schema.NewID()
	open := schema.Transition{
		SessionID: id, RunID: run, Key: "open", Status: schema.SessionActive, Phase: schema.PhaseAwaitingApproval,
		Open: []schema.ApprovalOpen{{ID: approval, Type: schema.ApprovalStep, StepID: "a", CreatedAt: asked, ExpiresAt: asked.Add(2 * time.Hour), Options: []schema.Resolution{schema.ResolutionApproved}}},
	}
	closing := schema.Transition{
		SessionID: id, RunID: run, Key: "close", Status: schema.SessionActive, Phase: schema.PhaseExecuting,
		Close: []schema.ApprovalClose{{ID: approval, StepID: "a", Status: schema.ApprovalResolved, Resolution: schema.ResolutionApproved, Actor: "ada", At: asked.Add(time.Minute)}},
	}
	for _, move := range []schema.Transition{open, closing, closing} {
		if _, err := s.Apply(t.Context(), move); err != nil {
			t.Fatal(err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if len(told) != 4 || !told[0].Created || told[0].Actor != "ada" || told[1].Events[0].Type != schema.EventWorkflowStarted {
		t.Fatalf("told %+v", told)
	}
	if told[1].Was != "" || told[3].Was != schema.SessionActive {
		t.Errorf("a run began in a session that was %q, and a transition in one that was %q", told[1].Was, told[3].Was)
	}
	last := told[3]
	if !slices.ContainsFunc(last.Events, func(e schema.NewEvent) bool { return e.Type == schema.EventApprovalReceived }) ||
		len(last.Closed) != 1 || last.Closed[0].Type != schema.ApprovalStep || last.Closed[0].Waited.Round(time.Second) != time.Minute {
		t.Errorf("told %+v", last)
	}
	f, err := s.Figures(t.Context())
	if err != nil || len(f.Sessions) != 1 || f.Sessions[0].Count != 1 || f.Sessions[0].Mode != schema.ModeRunbook || f.Steps[schema.StepPending] != 1 || len(f.Approvals) != 0 {
		t.Errorf("figures %+v, %v", f, err)
	}
}
