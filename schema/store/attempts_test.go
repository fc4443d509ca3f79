package store_test

import (
	"slices"
	"sync"
	"testing"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
	"github.com/holdfast/holdfast/schema/store/storetest"
)

func (b began) try(execution string) store.BeginAttempt {
	return store.BeginAttempt{
		SessionID: b.session, RunID: b.run, StepID: "make", Execution: execution, Host: "here", Command: []string{"make", "it"},
	}
}

func (b began) finish(attempt int, status schema.AttemptStatus, step schema.StepStatus) store.FinishAttempt {
	code := 0
	f := store.FinishAttempt{
		SessionID: b.session, RunID: b.run, StepID: "make", Attempt: attempt, StepStatus: step,
		End: store.AttemptEnd{Status: status, ExitCode: &code, DurationMS: 12, CPUSeconds: 0.5, MaxRSSBytes: 1 << 33},
	}
	if status != schema.AttemptSucceeded {
		code = 3
		f.End.Reason, f.End.Message = schema.ReasonExit, "exit code 3"
	}
	return f
}

// since runs do and returns the events that it made.
func since(t *testing.T, s *store.Store, b began, do func()) []schema.Event {
	t.Helper()
	before := len(log(t, s, b.session))
	do()
	return log(t, s, b.session)[before:]
}

func wantTypes(t *testing.T, events []schema.Event, want ...schema.EventType) {
	t.Helper()
	if got := types(events); !slices.Equal(got, want) {
		t.Fatalf("the events are %v, not %v", got, want)
	}
}

func TestBeginAttempt_StartsTheFirst(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	b := newRun(t, s)
	events := since(t, s, b, func() {
		got, err := s.BeginAttempt(context1(t), b.try("e1"))
		must(t, err)
		if got.Number != 1 || got.Finished != nil {
			t.Fatalf("%+v", got)
		}
	})
	wantTypes(t, events, schema.EventDAGNodeStatusChanged, schema.EventStepStarted)
	if d := dataOf[schema.StepStartedData](t, events[1]); d.Attempt != 1 || d.Host != "here" || !slices.Equal(d.Command, []string{"make", "it"}) {
		t.Fatalf("%+v", d)
	}
	session, err := s.Session(context1(t), b.session)
	must(t, err)
	if session.CurrentStep != "make" {
		t.Fatalf("the current step is %q", session.CurrentStep)
	}
	unknown := b.try("e1")
	unknown.StepID = "none"
	_, err = s.BeginAttempt(context1(t), unknown)
	mustFail(t, err, schema.CodeNotFound)
	unknown = b.try("e1")
	unknown.SessionID = newSession(t, s).ID // of another session
	_, err = s.BeginAttempt(context1(t), unknown)
	mustFail(t, err, schema.CodeNotFound)
}

func TestBeginAttempt_GoesOnWithTheOneThatTheCallerRuns(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	b := newRun(t, s)
	b.attempt(t, s, "make") // execution make/1
	again := b.try("make/1")
	again.Live = 1
	events := since(t, s, b, func() {
		got, err := s.BeginAttempt(context1(t), again)
		must(t, err)
		if got.Number != 1 || got.Finished != nil {
			t.Fatalf("%+v", got)
		}
	})
	wantTypes(t, events)
}

func TestBeginAttempt_ReplacesTheOneWhoseWorkerWasLost(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	b := newRun(t, s)
	ctx := context1(t)
	b.attempt(t, s, "make")
	must(t, s.AppendOutput(ctx, b.output("make", 1, 0, "half")))
	events := since(t, s, b, func() {
		got, err := s.BeginAttempt(ctx, b.try("make/1"))
		must(t, err)
		if got.Number != 2 || got.Finished != nil {
			t.Fatalf("%+v", got)
		}
	})
	wantTypes(t, events, schema.EventStepFailed, schema.EventStepRetryStarted, schema.EventStepStarted)
	if d := dataOf[schema.StepFailedData](t, events[0]); d.Attempt != 1 || d.Reason != schema.ReasonWorkerLost {
		t.Fatalf("%+v", d)
	}
	if d := dataOf[schema.StepRetryStartedData](t, events[1]); d.Attempt != 2 || d.Reason != schema.ReasonWorkerLost {
		t.Fatalf("%+v", d)
	}
	// What the lost worker still sends is refused.
	mustFail(t, s.AppendOutput(ctx, b.output("make", 1, 1, "half")), schema.CodeStale)
	mustFail(t, s.FinishAttempt(ctx, b.finish(1, schema.AttemptSucceeded, schema.StepSucceeded)), schema.CodeStale)
	must(t, s.AppendOutput(ctx, b.output("make", 2, 0, "whole")))
	events = since(t, s, b, func() {
		must(t, s.FinishAttempt(ctx, b.finish(2, schema.AttemptSucceeded, schema.StepSucceeded)))
	})
	wantTypes(t, events, schema.EventStepCompleted, schema.EventStepRetrySucceeded, schema.EventDAGNodeStatusChanged)
	run, err := s.Run(ctx, b.run)
	must(t, err)
	attempts := run.Steps[0].Attempts
	if len(attempts) != 2 || attempts[0].Status != schema.AttemptLost || attempts[0].Reason != schema.ReasonWorkerLost || attempts[0].FinishedAt == nil ||
		attempts[1].Status != schema.AttemptSucceeded || *attempts[1].ExitCode != 0 || attempts[1].MaxRSSBytes != 1<<33 || attempts[1].Host != "here" {
		t.Fatalf("%+v", attempts)
	}
}

func TestBeginAttempt_TellsAnExecutionThatItIsOver(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	b := newRun(t, s)
	ctx := context1(t)
	b.attempt(t, s, "make")
	must(t, s.FinishAttempt(ctx, b.finish(1, schema.AttemptFailed, schema.StepReady)))
	events := since(t, s, b, func() {
		got, err := s.BeginAttempt(ctx, b.try("make/1"))
		must(t, err)
		want := b.finish(1, schema.AttemptFailed, schema.StepReady).End
		if got.Number != 1 || got.Finished == nil || *got.Finished.ExitCode != 3 || got.Finished.Message != want.Message ||
			got.Finished.DurationMS != 12 || got.Finished.Reason != schema.ReasonExit || got.Finished.Status != schema.AttemptFailed {
			t.Fatalf("%+v", got)
		}
	})
	wantTypes(t, events)
	retry := b.try("make/2")
	retry.Reason = schema.ReasonRetry
	events = since(t, s, b, func() {
		got, err := s.BeginAttempt(ctx, retry)
		must(t, err)
		if got.Number != 2 || got.Finished != nil {
			t.Fatalf("%+v", got)
		}
	})
	wantTypes(t, events, schema.EventStepRetryStarted, schema.EventDAGNodeStatusChanged, schema.EventStepStarted)
	// The first execution is over whatever came after it.
	got, err := s.BeginAttempt(ctx, b.try("make/1"))
	must(t, err)
	if got.Number != 1 || got.Finished == nil {
		t.Fatalf("%+v", got)
	}
}

func TestFinishAttempt_OnceHoweverOften(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	b := newRun(t, s)
	b.attempt(t, s, "make")
	finish := b.finish(1, schema.AttemptSucceeded, schema.StepSucceeded)
	finish.Files = []store.FileChange{{Path: "a.svg", Size: 10, Created: true}, {Path: "b.csv", Size: 1 << 40}}
	events := since(t, s, b, func() {
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				for range 2 {
					if err := s.FinishAttempt(context1(t), finish); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
	})
	wantTypes(t, events, schema.EventFileCreated, schema.EventFileUpdated, schema.EventStepCompleted, schema.EventDAGNodeStatusChanged)
	if d := dataOf[schema.FileChangedData](t, events[1]); d.Path != "b.csv" || d.Size != 1<<40 {
		t.Fatalf("%+v", d)
	}
	mustFail(t, s.FinishAttempt(context1(t), b.finish(7, schema.AttemptFailed, schema.StepFailed)), schema.CodeNotFound)
}

// Two workers may begin the same execution at once, if the heartbeat of the first came too late.
func TestBeginAttempt_LeavesOneRunningWhenManyBegin(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	b := newRun(t, s)
	const n = 6
	numbers := make([]int, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			got, err := s.BeginAttempt(context1(t), b.try("make/1"))
			if err != nil {
				t.Error(err)
			}
			numbers[i] = got.Number
		})
	}
	all.Wait()
	slices.Sort(numbers)
	if !slices.Equal(numbers, []int{1, 2, 3, 4, 5, 6}) {
		t.Fatalf("the attempts are %v", numbers)
	}
	run, err := s.Run(context1(t), b.run)
	must(t, err)
	for _, a := range run.Steps[0].Attempts {
		if want := a.Number == n; want != (a.Status == schema.AttemptRunning) {
			t.Errorf("attempt %d is %s", a.Number, a.Status)
		}
	}
	log(t, s, b.session)
}

func TestFinishAttempt_LeavesAStepThatTheWorkflowHasClosed(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	b := newRun(t, s)
	b.attempt(t, s, "make")
	_, err := s.Apply(context1(t), schema.Transition{
		SessionID: b.session, RunID: b.run, Key: "cancel", Status: schema.SessionActive, Phase: schema.PhaseExecuting,
		Steps: []schema.StepChange{{ID: "make", Status: schema.StepCancelled, Reason: "cancelled"}},
	})
	must(t, err)
	events := since(t, s, b, func() {
		must(t, s.FinishAttempt(context1(t), b.finish(1, schema.AttemptFailed, schema.StepReady)))
	})
	wantTypes(t, events, schema.EventStepFailed)
	run, err := s.Run(context1(t), b.run)
	must(t, err)
	if run.Steps[0].Status != schema.StepCancelled || run.Steps[0].Attempts[0].Status != schema.AttemptFailed {
		t.Fatalf("%+v", run.Steps[0])
	}
}
