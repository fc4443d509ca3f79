package worker_test

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast/holdfast/internal/testkit"
	"github.com/holdfast/holdfast/logs"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/telemetry"
	"github.com/holdfast/holdfast/worker"
)

// host is a worker beside the world's own, with its own data folder.
type host struct {
	w    *world
	o    worker.Options
	stop func()
	done chan struct{} // closed when the worker has ended
}

// newHost lets steps go on without it, unless a test changes that.
func (w *world) newHost(name string) *host {
	w.t.Helper()
	o := w.options()
	o.DataDir, o.Host, o.EndSteps = w.t.TempDir(), name+"-"+schema.NewID()[:8], false
	o.OrphanTimeout = patience
	return &host{w: w, o: o}
}

func (h *host) start() *host {
	h.w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := worker.Run(ctx, h.o); err != nil {
			h.w.t.Errorf("worker of %s: %v", h.o.Host, err)
		}
	}()
	h.done = done
	h.stop = func() { cancel(); <-done }
	h.w.t.Cleanup(h.stop)
	return h
}

// measured has it serve its metrics, and returns what it answers when somebody asks if it is ready.
func (h *host) measured() (ready func() int) {
	t := h.w.t
	t.Helper()
	m, err := telemetry.New(telemetry.Options{Process: telemetry.Worker, Log: logs.Discard()})
	if err != nil {
		t.Fatal(err)
	}
	l, err := telemetry.Listen(t.Context(), "127.0.0.1:0", false)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.Serve(ctx, l, "v1") }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		m.Close()
	})
	h.o.Telemetry = m
	return func() int {
		res, err := http.Get("http://" + l.Addr().String() + "/readyz")
		if err != nil {
			t.Error(err)
			return 0
		}
		defer res.Body.Close()
		return res.StatusCode
	}
}

// write puts a file into a session's workspace on this host.
func (h *host) write(id, name string) {
	h.w.t.Helper()
	if err := os.WriteFile(filepath.Join(schema.WorkspaceDir(h.o.DataDir, id), name), nil, 0o600); err != nil {
		h.w.t.Fatal(err)
	}
}

// ranOn says where each attempt at a step ran and how it ended, such as "2 on b: succeeded".
func (w *world) ranOn(id, step string) []string {
	w.t.Helper()
	runs, err := w.store.Runs(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	run, err := w.store.Run(w.t.Context(), runs[0].ID)
	if err != nil {
		w.t.Fatal(err)
	}
	var list []string
	for _, s := range run.Steps {
		for _, a := range s.Attempts {
			if s.ID == step {
				name, _, _ := strings.Cut(a.Host, "-")
				list = append(list, strings.TrimSpace(name+": "+string(a.Status)+" "+string(a.Reason)))
			}
		}
	}
	return list
}

func (w *world) wantRan(id, step string, want ...string) {
	w.t.Helper()
	if got := w.ranOn(id, step); !slices.Equal(got, want) {
		w.t.Errorf("%s ran on %q, want %q", step, got, want)
	}
}

// places is how often a session looked for a host.
func (w *world) places(id string) int {
	w.t.Helper()
	n := 0
	for _, h := range w.histories(w.t.Context(), id) {
		for _, e := range h.GetEvents() {
			if e.GetActivityTaskScheduledEventAttributes().GetActivityType().GetName() == schema.ActivityPlace {
				n++
			}
		}
	}
	return n
}

// newHosts is a world without a worker, whose sessions give up a host soon.
func newHosts(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.stop()
	w.hostTimeout = 3 * time.Second
	return w
}

const untilGo = `while [ ! -e go ]; do sleep 0.02; done`

func TestHosts_AnotherTakesOverWhenOneIsGone(t *testing.T) {
	t.Parallel()
	w := newHosts(t)
	a := w.newHost("a")
	a.o.EndSteps = true // all of it is gone
	a.start()
	id := w.session(schema.Config{}, `{"steps":[
		{"id":"make","shell":"echo made > file.txt"},
		{"id":"use","needs":["make"],"shell":"cat file.txt; echo attempt $HOLDFAST_ATTEMPT; [ $HOLDFAST_ATTEMPT = 2 ] || sleep 1000"},
		{"id":"beside","needs":["make"],"shell":"[ $HOLDFAST_ATTEMPT = 2 ] || sleep 1000"}]}`)
	w.await(id, "output", func(events []schema.Event) bool {
		return strings.Contains(output(t, events, "use"), "attempt 1\n") && strings.Contains(logText(events), "step_started beside")
	})
	a.stop()
	w.newHost("b").start()
	events := w.awaitType(id, schema.EventWorkflowCompleted)
	if got := output(t, events, "use"); got != "made\nattempt 1\nmade\nattempt 2\n" {
		t.Errorf("printed %q", got)
	}
	w.wantRan(id, "make", "a: succeeded")
	w.wantRan(id, "use", "a: lost host_lost", "b: succeeded")
	w.wantRan(id, "beside", "a: lost host_lost", "b: succeeded")
	if !strings.Contains(logText(events), `step_retry_started use {"attempt":2,"reason":"host_lost"}`) {
		t.Errorf("the new attempt is not explained:\n%s", logText(events))
	}
	if n := w.places(id); n != 1 {
		t.Errorf("a host was looked for %d times, want once for both steps", n)
	}
}

// A host that comes back after another has taken over finds its steps lost, and ends them.
func TestHosts_OneThatIsBackTooLateLeavesItsStepsAlone(t *testing.T) {
	t.Parallel()
	w := newHosts(t)
	a := w.newHost("a").start()
	id := w.session(schema.Config{}, `{"steps":[{"id":"s","shell":"echo attempt $HOLDFAST_ATTEMPT; `+untilGo+`; echo done"}]}`)
	w.await(id, "output", func(events []schema.Event) bool { return output(t, events, "s") != "" })
	a.stop()
	b := w.newHost("b").start()
	w.await(id, "second attempt", func(events []schema.Event) bool {
		return strings.Contains(output(t, events, "s"), "attempt 2\n")
	})
	a.start()
	steps := filepath.Join(a.o.DataDir, "steps")
	w.await(id, "end of what ran on a", func([]schema.Event) bool {
		left, err := filepath.Glob(filepath.Join(steps, "*", "*", "*"))
		return err == nil && len(left) == 0
	})
	b.write(id, "go")
	events := w.awaitType(id, schema.EventWorkflowCompleted)
	w.wantRan(id, "s", "a: lost host_lost", "b: succeeded")
	if got := output(t, events, "s"); got != "attempt 1\nattempt 2\ndone\n" {
		t.Errorf("printed %q", got)
	}
}

func TestHosts_OneThatIsBackInTimeGoesOn(t *testing.T) {
	t.Parallel()
	w := newHosts(t)
	w.hostTimeout = patience
	a := w.newHost("a").start()
	id := w.session(schema.Config{}, `{"steps":[{"id":"s","shell":"echo attempt $HOLDFAST_ATTEMPT; `+untilGo+`; echo done"}]}`)
	w.await(id, "output", func(events []schema.Event) bool { return output(t, events, "s") != "" })
	w.newHost("b").start()
	a.stop()
	a.start()
	w.awaitType(id, schema.EventStepReattached)
	a.write(id, "go")
	events := w.awaitType(id, schema.EventWorkflowCompleted)
	w.wantRan(id, "s", "a: succeeded")
	if got := output(t, events, "s"); got != "attempt 1\ndone\n" || w.places(id) != 0 {
		t.Errorf("printed %q; a host was looked for %d times", got, w.places(id))
	}
}

func TestDrain_FinishesWhatRunsAndLetsTheRestGoElsewhere(t *testing.T) {
	t.Parallel()
	w := newHosts(t)
	w.hostTimeout = patience // nobody has to wait for it
	a := w.newHost("a")
	ready := a.measured()
	a.start()
	id := w.session(schema.Config{}, `{"steps":[
		{"id":"first","shell":"echo up; `+untilGo+`; echo kept > file.txt"},
		{"id":"second","shell":"cat file.txt","needs":["first"]}]}`)
	w.await(id, "output", func(events []schema.Event) bool { return output(t, events, "first") != "" })
	w.newHost("b").start()
	testkit.Eventually(t, "a worker that says it is ready", func() bool { return ready() == http.StatusOK })
	told := 0
	last, err := worker.Drain(t.Context(), a.o.DataDir, patience, func(p worker.DrainProgress) {
		if told++; told > 1 {
			return
		}
		if p.State != worker.Draining || len(p.Running) != 1 || p.Running[0].SessionID != id || p.Running[0].StepID != "first" || p.Host != a.o.Host {
			t.Errorf("told %+v", p)
		}
		if got := ready(); got != http.StatusServiceUnavailable {
			t.Errorf("readyz answers %d while it drains", got)
		}
		a.write(id, "go")
	})
	if err != nil || last.State != worker.Drained || len(last.Running) != 0 {
		t.Fatalf("%+v, %v", last, err)
	}
	<-a.done
	events := w.awaitType(id, schema.EventWorkflowCompleted)
	w.wantRan(id, "first", "a: succeeded")
	w.wantRan(id, "second", "b: succeeded")
	if got := output(t, events, "second"); got != "kept\n" {
		t.Errorf("printed %q", got)
	}
	if _, err := worker.Drain(t.Context(), a.o.DataDir, patience, func(worker.DrainProgress) {}); schema.CodeOf(err) != schema.CodeNotFound {
		t.Errorf("a drain without a worker: %v", err)
	}
}

func TestDrain_HandsOverWhatDoesNotEndInTime(t *testing.T) {
	t.Parallel()
	w := newHosts(t)
	w.hostTimeout = patience
	a := w.newHost("a").start()
	id := w.session(schema.Config{}, `{"steps":[{"id":"s","shell":"echo up; `+untilGo+`; echo done"}]}`)
	w.await(id, "output", func(events []schema.Event) bool { return output(t, events, "s") != "" })
	last, err := worker.Drain(t.Context(), a.o.DataDir, 100*time.Millisecond, func(worker.DrainProgress) {})
	if err != nil || last.State != worker.HandedOver || len(last.Running) != 1 || last.Running[0].StepID != "s" {
		t.Fatalf("%+v, %v", last, err)
	}
	<-a.done
	a.write(id, "go") // it goes on without a worker
	a.start()
	events := w.awaitType(id, schema.EventWorkflowCompleted)
	w.wantRan(id, "s", "a: succeeded")
	if got := output(t, events, "s"); got != "up\ndone\n" {
		t.Errorf("printed %q", got)
	}
}

func TestWorker_ADataFolderHasOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.until("worker", func() bool { _, err := os.Stat(filepath.Join(w.dir, "worker.json")); return err == nil })
	err := worker.Run(t.Context(), w.options())
	if schema.CodeOf(err) != schema.CodeConflict || !strings.Contains(err.Error(), "in use by the worker of host "+w.host+", pid ") {
		t.Fatalf("a second worker: %v", err)
	}
	w.stop()
	w.start() // it was given back
}

// What a cancel could not reach ends when its worker is back: the receipt says so.
func TestHosts_WhatACancelDidNotReachEndsWhenItsWorkerIsBack(t *testing.T) {
	t.Parallel()
	w := newHosts(t)
	w.hostTimeout = patience
	a := w.newHost("a").start()
	id := w.session(schema.Config{}, `{"steps":[{"id":"s","shell":"echo up; while sleep 0.05; do echo still >> trace; done"}]}`)
	w.await(id, "output", func(events []schema.Event) bool { return output(t, events, "s") != "" })
	w.newHost("b").start()
	a.stop()
	if _, err := w.update(id, schema.CommandCancel, schema.Command{Actor: "ada"}); err != nil {
		t.Fatal(err)
	}
	events := w.awaitType(id, schema.EventWorkflowCancelled)
	if !strings.Contains(logText(events), `"unreachable_hosts":["`+a.o.Host+`"]`) {
		t.Errorf("the receipt does not say so:\n%s", logText(events))
	}
	a.start()
	w.await(id, "end of what ran on a", func([]schema.Event) bool {
		left, err := filepath.Glob(filepath.Join(a.o.DataDir, "steps", "*", "*", "*"))
		return err == nil && len(left) == 0
	})
	trace := filepath.Join(schema.WorkspaceDir(a.o.DataDir, id), "trace")
	before, err := os.Stat(trace)
	if err != nil {
		t.Fatal(err)
	}
	testkit.Never(t, 300*time.Millisecond, "it goes on", func() bool { // six lines, if it did
		after, err := os.Stat(trace)
		return err != nil || after.Size() != before.Size()
	})
	if n := len(w.ranOn(id, "s")); n != 1 {
		t.Errorf("%d attempts: %q", n, w.ranOn(id, "s"))
	}
}
