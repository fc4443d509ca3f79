package store_test

import (
	"encoding/json"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
	"github.com/holdfast/holdfast/schema/store/storetest"
)

func TestBeginRun_OnceForEachKey(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	session := newSession(t, s)
	b := began{session: session.ID, run: schema.RunID(session.ID, 1)}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 2 {
				got, err := s.BeginRun(context1(t), b.begin())
				if err != nil || got.Digest != plan().Digest() || got.Plan.Digest() != got.Digest {
					t.Errorf("%+v, %v", got, err)
				}
			}
		})
	}
	all.Wait()
	want := []schema.EventType{
		schema.EventWorkflowStarted, schema.EventPlanProposed, schema.EventDAGCreated, schema.EventWorkflowStateChanged,
	}
	if got := types(log(t, s, b.session)); !slices.Equal(got, want) {
		t.Fatalf("the log is %v", got)
	}
	runs, err := s.Runs(context1(t), b.session)
	must(t, err)
	if len(runs) != 1 || runs[0].ID != b.run || runs[0].Status != schema.SessionActive || runs[0].FinishedAt != nil || len(runs[0].Steps) != 2 {
		t.Fatalf("%+v", runs)
	}
	first, second := runs[0].Steps[0], runs[0].Steps[1]
	if first.ID != "make" || first.Title != "Make it" || first.Kind != schema.KindRun || first.Status != schema.StepPending || first.Needs == nil ||
		second.Title != "show" || !slices.Equal(second.Needs, []string{"make"}) || second.Attempts == nil {
		t.Fatalf("%+v", runs[0].Steps)
	}
	other := b.begin()
	other.Key, other.RunID = "2", schema.NewID()
	_, err = s.BeginRun(context1(t), other)
	mustFail(t, err, schema.CodeConflict)

	bare := newSession(t, s, func(n *store.NewSession) { n.Plan = nil })
	_, err = s.Plan(context1(t), bare.ID)
	mustFail(t, err, schema.CodeNotFound)
	runs, err = s.Runs(context1(t), bare.ID)
	must(t, err)
	if runs == nil || len(runs) != 0 {
		t.Fatalf("%+v", runs)
	}
}

// full is a transition with everything in it.
func full(b began, closed string) schema.Transition {
	return schema.Transition{
		SessionID: b.session, RunID: b.run, Key: "full", Status: schema.SessionSuspended, Phase: schema.PhaseAwaitingApproval, CurrentStep: "show",
		Steps: []schema.StepChange{
			{ID: "make", Status: schema.StepSkipped, Reason: "a human said so"},
			{ID: "show", Status: schema.StepAwaitingApproval},
			{ID: "show", Status: schema.StepAwaitingApproval},
		},
		Close: []schema.ApprovalClose{{
			ID: closed, StepID: "make", Status: schema.ApprovalResolved, Resolution: schema.ResolutionSkip, Actor: "bob", Feedback: "no\x00",
			At: time.Now(),
		}},
		Open: []schema.ApprovalOpen{{
			ID: schema.ApprovalID(b.session, 2), Type: schema.ApprovalStep, StepID: "show", Digest: "d", Description: "Show it?",
			Options: []schema.Resolution{schema.ResolutionApproved, schema.ResolutionRejected}, OnTimeout: schema.OnTimeoutSuspend,
			CreatedAt: time.Now(), ExpiresAt: time.Now().Add(300 * time.Second), Context: json.RawMessage(`{"a":"\u0000"}`),
		}},
		Notes: []schema.Note{{Type: schema.EventWorkflowPaused, Data: schema.Marshal(schema.WorkflowPausedData{Actor: "bob", Reason: "requested"})}},
	}
}

func ask(t testing.TB, s *store.Store, b began) string {
	t.Helper()
	id := schema.ApprovalID(b.session, 1)
	_, err := s.Apply(context1(t), schema.Transition{
		SessionID: b.session, RunID: b.run, Key: "ask", Status: schema.SessionActive, Phase: schema.PhaseExecuting,
		Open: []schema.ApprovalOpen{{ID: id, Type: schema.ApprovalStep, StepID: "make", ExpiresAt: time.Now().Add(time.Minute)}},
	})
	must(t, err)
	return id
}

func TestApply_MakesItsEventsInOrderOnceForEachKey(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	b := newRun(t, s)
	first := ask(t, s, b)
	before, err := s.HeadSeq(context1(t), b.session)
	must(t, err)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 2 {
				head, err := s.Apply(context1(t), full(b, first))
				if err != nil || head != before+6 {
					t.Errorf("head %d, %v", head, err)
				}
			}
		})
	}
	all.Wait()
	events := log(t, s, b.session)[before:]
	want := []schema.EventType{
		schema.EventDAGNodeStatusChanged, schema.EventDAGNodeStatusChanged, schema.EventApprovalReceived, schema.EventApprovalRequested,
		schema.EventWorkflowPaused, schema.EventWorkflowStateChanged,
	}
	if got := types(events); !slices.Equal(got, want) {
		t.Fatalf("the events are %v", got)
	}
	if d := dataOf[schema.DAGNodeStatusChangedData](t, events[0]); d.OldStatus != schema.StepPending || d.NewStatus != schema.StepSkipped || d.Reason == "" {
		t.Errorf("%+v", d)
	}
	if d := dataOf[schema.ApprovalReceivedData](t, events[2]); d.Feedback != "no\x00" || d.Resolution != schema.ResolutionSkip || d.Actor != "bob" {
		t.Errorf("%+v", d)
	}
	session, err := s.Session(context1(t), b.session)
	must(t, err)
	if session.Status != schema.SessionSuspended || session.Phase != schema.PhaseAwaitingApproval || session.CurrentStep != "show" || len(session.PendingApprovals) != 1 {
		t.Fatalf("%+v", session)
	}
	pending := session.PendingApprovals[0]
	if pending.RemainingSeconds < 200 || pending.RemainingSeconds > 301 || string(pending.Context) != `{"a":"\u0000"}` ||
		len(pending.Options) != 2 || pending.RunID != b.run || pending.StepID != "show" || pending.ResolvedAt != nil {
		t.Errorf("%+v", pending)
	}
	closed, err := s.Approval(context1(t), first)
	must(t, err)
	if closed.Status != schema.ApprovalResolved || closed.Feedback != "no\uFFFD" || closed.RemainingSeconds != 0 || closed.ResolvedAt == nil || closed.Options == nil {
		t.Errorf("%+v", closed)
	}
	run, err := s.Run(context1(t), b.run)
	must(t, err)
	if run.Status != schema.SessionSuspended || run.Steps[0].Status != schema.StepSkipped || run.Steps[0].Reason != "a human said so" {
		t.Errorf("%+v", run)
	}
	list, _, _, err := s.Sessions(context1(t), store.SessionFilter{})
	must(t, err)
	if len(list[0].PendingApprovals) != 1 || list[0].PendingApprovals[0].Description != "Show it?" || list[0].Totals != (schema.Totals{Runs: 1, Steps: 2}) {
		t.Errorf("%+v", list[0])
	}
}

func TestApply_OpeningTwiceAndClosingTwiceDoNothing(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	b := newRun(t, s)
	first := ask(t, s, b)
	transition := full(b, first)
	_, err := s.Apply(context1(t), transition)
	must(t, err)
	head, err := s.HeadSeq(context1(t), b.session)
	must(t, err)

	// The same opening and closing in reverse, by another transition.
	transition.Key, transition.Notes, transition.Steps = "again", nil, nil
	transition.Close[0].Resolution, transition.Close[0].Status = "", schema.ApprovalExpired
	transition.Open[0].Description = "Something else?"
	got, err := s.Apply(context1(t), transition)
	must(t, err)
	if got != head {
		t.Fatalf("the head moved from %d to %d", head, got)
	}
	closed, err := s.Approval(context1(t), first)
	must(t, err)
	if closed.Status != schema.ApprovalResolved || closed.Resolution != schema.ResolutionSkip {
		t.Fatalf("%+v", closed)
	}
	_, err = s.Apply(context1(t), schema.Transition{
		SessionID: b.session, RunID: b.run, Key: "x", Close: []schema.ApprovalClose{{ID: schema.NewID(), Status: schema.ApprovalVoid}},
	})
	mustFail(t, err, schema.CodeNotFound)
	_, err = s.Apply(context1(t), schema.Transition{SessionID: b.session, RunID: b.run, Key: "y", Steps: []schema.StepChange{{ID: "none"}}})
	mustFail(t, err, schema.CodeNotFound)
	_, err = s.Apply(context1(t), schema.Transition{SessionID: b.session, RunID: schema.NewID(), Key: "z"})
	mustFail(t, err, schema.CodeNotFound)
	if got := int64(len(log(t, s, b.session))); got != head {
		t.Fatalf("failed transitions left %d events", got-head)
	}
}

// A transition whose activity timed out may arrive after the ones that followed it.
func TestApply_ALateRepetitionDoesNotTurnTheSessionBack(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	b := newRun(t, s)
	quiet := schema.Transition{SessionID: b.session, RunID: b.run, Key: "quiet", Status: schema.SessionActive, Phase: schema.PhaseExecuting, CurrentStep: "make"}
	_, err := s.Apply(context1(t), quiet) // makes no event
	must(t, err)
	_, err = s.Apply(context1(t), schema.Transition{
		SessionID: b.session, RunID: b.run, Key: "end", Status: schema.SessionCompleted, Phase: schema.PhaseIdle,
		End: &schema.RunEnd{Status: schema.SessionCompleted},
	})
	must(t, err)
	_, err = s.Apply(context1(t), quiet)
	must(t, err)
	session, err := s.Session(context1(t), b.session)
	must(t, err)
	if session.Status != schema.SessionCompleted || session.CurrentStep != "" {
		t.Fatalf("%+v", session)
	}
}

func TestApply_EndsARun(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	for _, end := range []schema.RunEnd{
		{Status: schema.SessionCompleted},
		{Status: schema.SessionFailed, Error: "it broke"},
		{Status: schema.SessionCancelled, Actor: "bob", Reason: "interrupted", Receipt: &schema.Receipt{ProcessesKilled: 2}},
	} {
		b := newRun(t, s)
		_, err := s.Apply(context1(t), schema.Transition{
			SessionID: b.session, RunID: b.run, Key: "end", Status: end.Status, Phase: schema.PhaseIdle, End: &end,
		})
		must(t, err)
		events := log(t, s, b.session)
		last := events[len(events)-1]
		if events[len(events)-2].Type != schema.EventWorkflowStateChanged {
			t.Errorf("before the end is %v", types(events))
		}
		switch last.Type {
		case schema.EventWorkflowCompleted:
			if d := dataOf[schema.WorkflowCompletedData](t, last); d.DurationMS < 0 || d.DurationMS > 60_000 || end.Status != schema.SessionCompleted {
				t.Errorf("%s ends with %+v", end.Status, d)
			}
		case schema.EventWorkflowFailed:
			if d := dataOf[schema.WorkflowFailedData](t, last); d.Error != "it broke" {
				t.Errorf("%+v", d)
			}
		case schema.EventWorkflowCancelled:
			if d := dataOf[schema.WorkflowCancelledData](t, last); d.Actor != "bob" || d.Reason != "interrupted" || d.Receipt.ProcessesKilled != 2 {
				t.Errorf("%+v", d)
			}
		default:
			t.Errorf("%s ends with %s", end.Status, last.Type)
		}
		run, err := s.Run(context1(t), b.run)
		must(t, err)
		if run.Status != end.Status || run.FinishedAt == nil || run.Error != end.Error {
			t.Errorf("%+v", run)
		}
		_, err = s.BeginAttempt(context1(t), store.BeginAttempt{SessionID: b.session, RunID: b.run, StepID: "make", Execution: "late"})
		mustFail(t, err, schema.CodeStale)
	}
}

func TestApprovals_PagesShowEachOnce(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	b := newRun(t, s)
	now := time.Now()
	open := make([]schema.ApprovalOpen, 0, 7)
	for i := range 7 {
		open = append(open, schema.ApprovalOpen{
			ID: schema.ApprovalID(b.session, i+1), Type: schema.ApprovalStep, CreatedAt: now, ExpiresAt: now.Add(-time.Second),
		})
	}
	_, err := s.Apply(context1(t), schema.Transition{SessionID: b.session, RunID: b.run, Key: "ask", Status: schema.SessionActive, Phase: schema.PhaseExecuting, Open: open})
	must(t, err)
	seen := map[string]bool{}
	for cursor := ""; ; {
		list, next, err := s.Approvals(context1(t), store.ApprovalFilter{SessionID: b.session, Status: schema.ApprovalPending, Limit: 3, Cursor: cursor})
		must(t, err)
		for _, a := range list {
			if seen[a.ID] || a.RemainingSeconds != 0 {
				t.Fatalf("%+v", a)
			}
			seen[a.ID] = true
		}
		if cursor = next; next == "" {
			break
		}
	}
	if len(seen) != len(open) {
		t.Fatalf("the pages show %d of %d", len(seen), len(open))
	}
	for status, want := range map[schema.ApprovalStatus]int{schema.ApprovalPending: len(open), schema.ApprovalVoid: 0, "": len(open)} {
		if n, err := s.CountApprovals(context1(t), store.ApprovalFilter{SessionID: b.session, Status: status, Limit: 3}); err != nil || n != want {
			t.Errorf("status %q: %d, %v; want %d", status, n, err, want)
		}
	}
	if n, err := s.CountApprovals(context1(t), store.ApprovalFilter{Open: true}); err != nil || n != len(open) {
		t.Errorf("open: %d, %v", n, err)
	}
	list, _, err := s.Approvals(context1(t), store.ApprovalFilter{Status: schema.ApprovalVoid})
	must(t, err)
	if len(list) != 0 {
		t.Fatalf("%+v", list)
	}
}

// The workflow may be busy freezing a step that has just ended on its host.
func TestApply_AStepThatIsOverStaysAsItIs(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	b := newRun(t, s)
	move := func(key string, statuses ...schema.StepStatus) {
		t.Helper()
		tr := schema.Transition{SessionID: b.session, RunID: b.run, Key: key, Status: schema.SessionActive, Phase: schema.PhaseExecuting}
		for _, status := range statuses {
			tr.Steps = append(tr.Steps, schema.StepChange{ID: "make", Status: status})
		}
		_, err := s.Apply(context1(t), tr)
		must(t, err)
	}
	move("end", schema.StepFailed)
	head, err := s.HeadSeq(context1(t), b.session)
	must(t, err)
	move("late", schema.StepFrozen, schema.StepRunning, schema.StepFailed, schema.StepCancelled)
	now, err := s.HeadSeq(context1(t), b.session)
	must(t, err)
	run, err := s.Run(context1(t), b.run)
	must(t, err)
	if now != head || run.Steps[0].Status != schema.StepFailed {
		t.Fatalf("the step is %s after %d further events", run.Steps[0].Status, now-head)
	}
}

// The run fails at the moment when one of its steps asks what to do: the question is recorded
// before its end, or the record could never be made.
func TestApply_AsksBeforeItClosesWhatItAsked(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	b := newRun(t, s)
	first, id := ask(t, s, b), schema.ApprovalID(b.session, 2)
	before, err := s.HeadSeq(context1(t), b.session)
	must(t, err)
	_, err = s.Apply(context1(t), schema.Transition{
		SessionID: b.session, RunID: b.run, Key: "both", Status: schema.SessionActive, Phase: schema.PhaseExecuting,
		Close: []schema.ApprovalClose{
			{ID: id, StepID: "show", Status: schema.ApprovalCancelled, Reason: "run_failed"},
			{ID: first, StepID: "make", Status: schema.ApprovalCancelled, Reason: "run_failed"},
		},
		Extend: []schema.ApprovalExtend{{ID: id, StepID: "show", ExpiresAt: time.Now().Add(time.Hour), Actor: "bob", Seconds: 60}},
		Open:   []schema.ApprovalOpen{{ID: id, Type: schema.ApprovalErrorRecovery, StepID: "show", ExpiresAt: time.Now().Add(time.Minute)}},
	})
	must(t, err)
	want := []schema.EventType{
		schema.EventApprovalExpired, schema.EventApprovalRequested, schema.EventApprovalExtended, schema.EventApprovalExpired,
	}
	events := log(t, s, b.session)[before:]
	if got := types(events)[:4]; !slices.Equal(got, want) {
		t.Fatalf("the events are %v", got)
	}
	if d := dataOf[schema.ApprovalExpiredData](t, events[3]); d.ApprovalID != id {
		t.Errorf("%+v", d)
	}
	closed, err := s.Approval(context1(t), id)
	must(t, err)
	if closed.Status != schema.ApprovalCancelled || closed.ResolvedAt == nil {
		t.Fatalf("%+v", closed)
	}
}

func TestApply_CountsTheStepsThatFailed(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	b := newRun(t, s)
	_, err := s.Apply(context1(t), schema.Transition{
		SessionID: b.session, RunID: b.run, Key: "end", Status: schema.SessionCompleted, Phase: schema.PhaseIdle,
		Steps: []schema.StepChange{{ID: "make", Status: schema.StepFailed}, {ID: "show", Status: schema.StepSkipped}},
		End:   &schema.RunEnd{Status: schema.SessionCompleted, Steps: 2, FailedSteps: 1},
	})
	must(t, err)
	events := log(t, s, b.session)
	if d := dataOf[schema.WorkflowCompletedData](t, events[len(events)-1]); d.Steps != 2 || d.FailedSteps != 1 {
		t.Errorf("%+v", d)
	}
	run, err := s.Run(context1(t), b.run)
	must(t, err)
	session, err := s.Session(context1(t), b.session)
	must(t, err)
	list, _, _, err := s.Sessions(context1(t), store.SessionFilter{})
	must(t, err)
	if run.FailedSteps != 1 || session.FailedSteps != 1 || list[0].FailedSteps != 1 {
		t.Fatalf("run %d, session %d, list %d", run.FailedSteps, session.FailedSteps, list[0].FailedSteps)
	}
	next := b.begin()
	next.RunID, next.Number, next.Key = schema.RunID(b.session, 2), 2, "2"
	_, err = s.BeginRun(context1(t), next)
	must(t, err)
	session, err = s.Session(context1(t), b.session)
	must(t, err)
	if session.FailedSteps != 0 {
		t.Fatalf("%d steps of a run that has just begun have failed", session.FailedSteps)
	}
}
