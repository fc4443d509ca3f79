package store_test

import (
	"testing"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
	"github.com/holdfast/holdfast/schema/store/storetest"
)

func TestBeginAttempt_ReattachesOnceForEachWorker(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	b := newRun(t, s)
	ctx := context1(t)
	b.attempt(t, s, "make")
	must(t, s.AppendOutput(ctx, b.output("make", 1, 0, "half")))
	back := b.try("make/1")
	back.Live = 1
	for _, c := range []struct {
		worker string
		events int
	}{{"w2", 1}, {"w2", 0}, {"w3", 1}, {"", 0}} {
		back.Worker = c.worker
		events := since(t, s, b, func() {
			got, err := s.BeginAttempt(ctx, back)
			must(t, err)
			if got.Number != 1 || got.Finished != nil || got.SpoolOffset != 1 {
				t.Fatalf("%+v", got)
			}
		})
		if len(events) != c.events {
			t.Fatalf("worker %q: %d events", c.worker, len(events))
		}
		if len(events) == 1 {
			if d := dataOf[schema.StepReattachedData](t, events[0]); events[0].Type != schema.EventStepReattached || d.Attempt != 1 || d.Host != "here" {
				t.Fatalf("%s %+v", events[0].Type, d)
			}
		}
	}
	must(t, s.AppendOutput(ctx, b.output("make", 1, 1, "whole")))
}

func TestBeginAttempt_SaysWhyTheOneBeforeIsLost(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, host string
		lost       schema.Reason
		want       schema.Reason
	}{
		{"the supervisor died", "here", schema.ReasonSupervisor, schema.ReasonSupervisor},
		{"another host takes over", "there", "", schema.ReasonHostLost},
		{"nobody knows", "here", "", schema.ReasonWorkerLost},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := storetest.New(t)
			b := newRun(t, s)
			b.attempt(t, s, "make")
			next := b.try("make/1")
			next.Host, next.Lost = c.host, c.lost
			events := since(t, s, b, func() {
				got, err := s.BeginAttempt(context1(t), next)
				must(t, err)
				if got.Number != 2 || got.SpoolOffset != 0 {
					t.Fatalf("%+v", got)
				}
			})
			wantTypes(t, events, schema.EventStepFailed, schema.EventStepRetryStarted, schema.EventStepStarted)
			if d := dataOf[schema.StepFailedData](t, events[0]); d.Reason != c.want {
				t.Fatalf("%+v", d)
			}
			if d := dataOf[schema.StepRetryStartedData](t, events[1]); d.Reason != c.want {
				t.Fatalf("%+v", d)
			}
		})
	}
}

// A host that comes back after another has taken over may no longer report on the step.
func TestBeginAttempt_DoesNotTakeAStepBackFromTheHostThatTookOver(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	b := newRun(t, s)
	ctx := context1(t)
	b.attempt(t, s, "make")
	there := b.try("make/1")
	there.Host = "there"
	_, err := s.BeginAttempt(ctx, there)
	must(t, err)
	late := b.try("make/1")
	late.Live, late.Worker = 1, "w2"
	for range 2 {
		events := since(t, s, b, func() {
			got, err := s.BeginAttempt(ctx, late)
			must(t, err)
			if got.Number != 2 || got.Finished != nil {
				t.Fatalf("%+v", got)
			}
		})
		if len(events) != 0 {
			t.Fatalf("%d events", len(events))
		}
	}
	there.Live = 2 // it still has it
	if got, err := s.BeginAttempt(ctx, there); err != nil || got.Number != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
}

func TestAppendOutput_CarriesProgress(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	b := newRun(t, s)
	ctx := context1(t)
	b.attempt(t, s, "make")
	half := 0.5
	o := b.output("make", 1, 0, "text")
	o.Progress = []schema.StepProgressData{{Attempt: 1, Progress: &half, Note: "so far"}}
	events := since(t, s, b, func() { must(t, s.AppendOutput(ctx, o)); must(t, s.AppendOutput(ctx, o)) })
	wantTypes(t, events, schema.EventOutput, schema.EventStepProgress)
	if d := dataOf[schema.StepProgressData](t, events[1]); *d.Progress != half || d.Note != "so far" {
		t.Fatalf("%+v", d)
	}
	alone := store.AppendOutput{SessionID: b.session, RunID: b.run, StepID: "make", Attempt: 1, From: 1, To: 1, Progress: o.Progress}
	events = since(t, s, b, func() { must(t, s.AppendOutput(ctx, alone)) })
	wantTypes(t, events, schema.EventStepProgress)
	must(t, s.AppendOutput(ctx, b.output("make", 1, 1, "goes on")))
}

func TestSnapshot_IsThatOfTheAttemptThatFinishedLastAndAForkStartsFromItsStep(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	b := newRun(t, s)
	ctx := context1(t)
	b.attempt(t, s, "make")
	f := b.finish(1, schema.AttemptSucceeded, schema.StepSucceeded)
	f.Snapshot = "first"
	must(t, s.FinishAttempt(ctx, f))
	b.attempt(t, s, "show")
	f = b.finish(1, schema.AttemptFailed, schema.StepFailed)
	f.StepID, f.Snapshot = "show", "second"
	must(t, s.FinishAttempt(ctx, f))
	if got, err := s.Snapshot(ctx, b.session); err != nil || got != "second" {
		t.Fatalf("%q, %v", got, err)
	}
	if is, err := s.RunPlan(ctx, b.run); err != nil || is.Snapshot != "second" {
		t.Fatalf("%+v, %v", is, err)
	}
	fork, _, err := s.Fork(ctx, store.NewFork{ID: schema.NewID(), SourceID: b.session, StepID: "make", Actor: "ada"})
	must(t, err)
	if got, err := s.Snapshot(ctx, fork.ID); err != nil || got != "first" {
		t.Fatalf("%q, %v", got, err)
	}
	if _, err := s.Snapshot(ctx, schema.NewID()); schema.CodeOf(err) != schema.CodeNotFound {
		t.Fatal(err)
	}
}
