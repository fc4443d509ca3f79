package store_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
	"github.com/holdfast/holdfast/schema/store/storetest"
)

func TestProjection_HasTheWholeSession(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	ctx := context1(t)
	b := newRun(t, s)
	b.attempt(t, s, "make")
	ids := b.asks(t, s, `{"a": 1}`, text(5<<10, false))
	_, err := s.Apply(ctx, schema.Transition{
		SessionID: b.session, RunID: b.run, Key: "close", Status: schema.SessionActive, Phase: schema.PhaseExecuting,
		Close: []schema.ApprovalClose{{ID: ids[0], Status: schema.ApprovalResolved, Resolution: schema.ResolutionApproved, Actor: "ann"}},
	})
	must(t, err)
	p, err := s.Projection(ctx, b.session)
	must(t, err)
	if p.Seq != int64(len(log(t, s, b.session))) || p.Session.ID != b.session || p.Session.Plan == nil || p.Session.CurrentStep != "make" {
		t.Fatalf("seq %d, %+v", p.Seq, p.Session)
	}
	if len(p.Runs) != 1 || len(p.Runs[0].Steps) != 2 || len(p.Runs[0].Steps[0].Attempts) != 1 {
		t.Fatalf("%+v", p.Runs)
	}
	if len(p.Approvals) != 2 || p.Approvals[0].ID != ids[1] || p.Approvals[1].ID != ids[0] {
		t.Fatalf("the newest does not come first: %+v", p.Approvals)
	}
	pending, decided := &p.Approvals[0], &p.Approvals[1]
	if decided.Status != schema.ApprovalResolved || decided.RemainingSeconds != 0 || decided.ContextTruncated {
		t.Fatalf("%+v", decided)
	}
	left := pending.ExpiresAt.Sub(p.At.Time).Seconds()
	if !pending.ContextTruncated || pending.RemainingSeconds <= 0 || left < pending.RemainingSeconds-1 || left > pending.RemainingSeconds+30 {
		t.Fatalf("%g seconds are left, or %g by the clock of the answer", pending.RemainingSeconds, left)
	}
}

func TestProjection_NamesForksAndTheirSource(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	ctx := context1(t)
	source := newSession(t, s)
	one := newSession(t, s, func(n *store.NewSession) { n.Name, n.ForkedFrom = "a fork", source.ID })
	gone := newSession(t, s, func(n *store.NewSession) { n.Name, n.ForkedFrom = "a deleted fork", source.ID })
	must(t, s.DeleteSession(ctx, gone.ID, "ann"))
	p, err := s.Projection(ctx, source.ID)
	must(t, err)
	if len(p.Names) != 1 || p.Names[one.ID] != "a fork" {
		t.Fatalf("%v", p.Names)
	}
	p, err = s.Projection(ctx, one.ID)
	must(t, err)
	if len(p.Names) != 1 || p.Names[source.ID] != source.Name {
		t.Fatalf("%v", p.Names)
	}
	_, err = s.Projection(ctx, gone.ID)
	mustFail(t, err, schema.CodeNotFound)
	_, err = s.Projection(ctx, "nonsense")
	mustFail(t, err, schema.CodeNotFound)
}

// While the state changes, each projection has the state that the event at its seq made.
func TestProjection_IsOfOneMoment(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	ctx := context1(t)
	session := newSession(t, s)
	const changes = 60
	done := make(chan error, 1)
	go func() {
		var err error
		for i := 0; i < changes && err == nil; i++ {
			phase := []schema.Phase{schema.PhaseExecuting, schema.PhaseReviewing}[i%2]
			_, err = s.Apply(ctx, schema.Transition{SessionID: session.ID, Key: schema.NewID(), Status: schema.SessionActive, Phase: phase})
		}
		done <- err
	}()
	var taken []store.Projection
	for len(taken) == 0 || taken[len(taken)-1].Seq < changes {
		p, err := s.Projection(ctx, session.ID)
		must(t, err)
		taken = append(taken, p)
	}
	must(t, <-done)
	events := log(t, s, session.ID)
	for i := range taken {
		p := &taken[i]
		if p.Seq == 0 {
			continue
		}
		var d schema.WorkflowStateChangedData
		must(t, json.Unmarshal(events[p.Seq-1].Data, &d))
		if p.Session.Phase != d.Phase {
			t.Fatalf("at seq %d the phase is %q, but the event made it %q", p.Seq, p.Session.Phase, d.Phase)
		}
	}
}

// What a page folds has to be told: events carry what their transition wrote.
func TestEvents_TellWhatTheirTransitionWrote(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	ctx := context1(t)
	b := newRun(t, s)
	at := time.Now().UTC().Truncate(time.Millisecond)
	expires := at.Add(time.Hour)
	_, err := s.Apply(ctx, schema.Transition{
		SessionID: b.session, RunID: b.run, Key: "say", Status: schema.SessionActive, Phase: schema.PhaseExecuting,
		Messages: []schema.MessageChange{{Number: 1, Status: schema.MessageQueued, Content: "hello", Actor: "ann", At: at}},
	})
	must(t, err)
	events := since(t, s, b, func() {
		_, err := s.Apply(ctx, schema.Transition{
			SessionID: b.session, RunID: b.run, Key: "drop", Status: schema.SessionActive, Phase: schema.PhaseExecuting, ExpiresAt: &expires,
			Messages: []schema.MessageChange{{Number: 1, Status: schema.MessageDropped, At: at}, {Number: 7, Status: schema.MessageDropped, At: at}},
		})
		must(t, err)
	})
	wantTypes(t, events, schema.EventMessageDropped, schema.EventWorkflowStateChanged)
	if d := dataOf[schema.MessageDroppedData](t, events[0]); d.Number != 1 {
		t.Fatalf("%+v", d)
	}
	if d := dataOf[schema.WorkflowStateChangedData](t, events[1]); d.ExpiresAt == nil || !d.ExpiresAt.Equal(expires) {
		t.Fatalf("%+v", d)
	}
	session, err := s.Session(ctx, b.session)
	must(t, err)
	if !session.UpdatedAt.Equal(events[1].Timestamp.Time) || session.QueuedMessages != 0 {
		t.Fatalf("updated %s, event %s, %d queued", session.UpdatedAt, events[1].Timestamp, session.QueuedMessages)
	}
	b.attempt(t, s, "make")
	must(t, s.FailLostRun(ctx, b.session, b.run, "gone"))
	runs, err := s.Runs(ctx, b.session)
	must(t, err)
	attempt := runs[0].Steps[0].Attempts[0]
	for _, e := range log(t, s, b.session) {
		if e.Type != schema.EventStepFailed {
			continue
		}
		d := dataOf[schema.StepFailedData](t, e)
		if d.Status != schema.AttemptCancelled || attempt.Status != d.Status || attempt.FinishedAt == nil || !attempt.FinishedAt.Equal(e.Timestamp.Time) || attempt.DurationMS != d.DurationMS {
			t.Fatalf("the event says %+v at %s, the row %+v", d, e.Timestamp, attempt)
		}
		return
	}
	t.Fatal("no event tells that the attempt was cut")
}
