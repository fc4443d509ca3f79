//go:build linux

package runner_test

import (
	"context"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/holdfast/holdfast/activities/runner"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
	"github.com/holdfast/holdfast/telemetry/traceparent"
)

// tracedStore notes which trace each record of a step belongs to.
type tracedStore struct {
	*store.Store

	mu     sync.Mutex
	traces []string
}

func (s *tracedStore) note(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.traces = append(s.traces, traceparent.Of(ctx))
}

func (s *tracedStore) BeginAttempt(ctx context.Context, a store.BeginAttempt) (store.BegunAttempt, error) {
	s.note(ctx)
	return s.Store.BeginAttempt(ctx, a)
}

func (s *tracedStore) FinishAttempt(ctx context.Context, f store.FinishAttempt) error {
	s.note(ctx)
	return s.Store.FinishAttempt(ctx, f)
}

// What a step records belongs to the step's trace, also when another worker continues it.
func TestRun_RecordsInTheStepsTrace(t *testing.T) {
	t.Parallel()
	const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	b := newBench(t, `"shell":"echo up; while [ ! -e go ]; do sleep 0.02; done"`)
	b.ask.Trace = trace
	records := &tracedStore{Store: b.db}
	b.r = b.newRunner(func(o *runner.Options) { o.Store, o.EndSteps = records, false })
	done := b.runAside()
	b.await("start", func() bool { return b.output(schema.Stdout) == "up\n" })
	b.r.Close()
	<-done
	b.r = b.newRunner(func(o *runner.Options) { o.Store = records })
	b.r.Recover() // nobody tells it the trace
	b.await("reattachment", func() bool { return b.count(schema.EventStepReattached) == 1 })
	b.touch("go")
	b.await("end", func() bool { return b.count(schema.EventStepCompleted) == 1 })
	records.mu.Lock()
	defer records.mu.Unlock()
	if len(records.traces) != 3 {
		t.Errorf("%d records, want its begin, its reattachment and its end", len(records.traces))
	}
	for _, got := range records.traces {
		if got != trace {
			t.Errorf("a record belongs to trace %q, want %q", got, trace)
		}
	}
}

// What a step prints while Postgres is away is seen to wait, and to be recorded once Postgres is back.
func TestFigures_TheSpoolGrowsWhileTheStoreIsAway(t *testing.T) {
	t.Parallel()
	shell, want := numbered(1000)
	b := newBench(t, `"shell":"echo up; while [ ! -e go ]; do sleep 0.02; done; `+shell+`; while [ ! -e end ]; do sleep 0.02; done"`)
	var (
		refused atomic.Int64
		back    atomic.Bool
	)
	away := &faultyStore{Store: b.db, append: func(store.AppendOutput) (bool, error) {
		if !back.Load() {
			refused.Add(1)
		}
		return !back.Load(), schema.Errorf(schema.CodeUnavailable, "away")
	}}
	b.r = b.newRunner(func(o *runner.Options) { o.Store = away })
	done := b.runAside()
	b.await("the first record that is refused", func() bool { return refused.Load() > 0 })
	b.touch("go")
	b.await("a spool that grows", func() bool { return b.r.Figures().SpoolBytes > int64(len(want)) })
	back.Store(true)
	b.await("a spool that is recorded", func() bool { return b.r.Figures().SpoolBytes == 0 && b.output(schema.Stdout) == "up\n"+want })
	b.touch("end")
	b.wantOneAttempt(<-done)
}

// Only the first start of a step is told of: a later one says nothing about what the step has waited for.
func TestRun_TellsOfTheFirstStartAlone(t *testing.T) {
	t.Parallel()
	b := newBench(t, `"shell":"echo up; while [ ! -e go ]; do sleep 0.02; done"`)
	var told atomic.Int64
	b.r = b.newRunner(func(o *runner.Options) { o.Started = func(*schema.RunStep) { told.Add(1) } })
	done := b.runAside()
	b.await("start", func() bool { return b.output(schema.Stdout) == "up\n" })
	if n := told.Load(); n != 1 {
		t.Errorf("told of %d starts after the first", n)
	}
	_ = syscall.Kill(b.supervisor(), syscall.SIGKILL)
	b.await("another start", func() bool { return b.count(schema.EventStepStarted) == 2 })
	b.touch("go")
	if result := <-done; result.Attempt != 2 || result.Status != schema.AttemptSucceeded {
		t.Errorf("%+v", result)
	}
	if n := told.Load(); n != 1 {
		t.Errorf("told of %d starts", n)
	}
}
