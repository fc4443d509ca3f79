//go:build unix

package runner

import (
	"sync"
	"time"

	"github.com/holdfast/holdfast/activities/runner/supervisor"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
)

// running is one execution of a step on this host.
type running struct {
	ask  schema.RunStep
	done chan struct{} // closed when result and err are set

	result schema.StepResult
	err    error

	mu       sync.Mutex
	p        *process // nil until it is started
	timeout  *stopwatch
	timedOut bool
	halted   *time.Duration // a stop that came before the start, with its grace
}

func newRunning(ask schema.RunStep) *running {
	return &running{ask: ask, done: make(chan struct{}), timeout: &stopwatch{}}
}

func (r *running) finish(result schema.StepResult, err error) {
	r.result, r.err = result, err
	close(r.done)
}

func (r *running) started(p *process, timeout time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.p = p
	if r.halted != nil {
		r.order(supervisor.DoStop, *r.halted)
		return
	}
	if timeout > 0 {
		r.timeout.start(timeout, func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.timedOut = true
			r.order(supervisor.DoStop, timeoutGrace)
		})
	}
}

// timeoutGrace is how long a program has to end by itself after its time is over.
const timeoutGrace = 2 * time.Second

// stop asks for the end of the step; done tells when it has come.
func (r *running) stop(grace time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.p == nil {
		r.halted = &grace
		return
	}
	r.order(supervisor.DoStop, grace)
}

func (r *running) order(do string, grace time.Duration) {
	r.p.order(supervisor.Order{Do: do, GraceMS: grace.Milliseconds()})
}

// ackPatience is how long a freeze or thaw may take; a supervisor that is slower is busy
// ending.
const ackPatience = 5 * time.Second

func (r *running) freeze() {
	r.mu.Lock()
	p := r.p
	r.mu.Unlock()
	if p != nil {
		r.timeout.pause()
		p.orderAndWait(supervisor.Order{Do: supervisor.DoFreeze}, supervisor.IsFrozen, ackPatience)
	}
}

func (r *running) thaw() {
	r.mu.Lock()
	p := r.p
	r.mu.Unlock()
	if p != nil {
		p.orderAndWait(supervisor.Order{Do: supervisor.DoThaw}, supervisor.IsThawed, ackPatience)
		r.timeout.resume()
	}
}

// exit is how the program ended; it has.
func (r *running) exit() supervisor.Exit {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.p == nil {
		return supervisor.Exit{}
	}
	<-r.p.ended
	return r.p.exit
}

func (r *running) end(started time.Time) store.AttemptEnd {
	e := r.exit()
	status, reason := e.Status()
	r.mu.Lock()
	timedOut := r.timedOut
	r.mu.Unlock()
	end := store.AttemptEnd{
		Status: status, Reason: reason, ExitCode: e.ExitCode, Signal: e.Signal, Message: e.StartError,
		CPUSeconds: e.CPUSeconds, MaxRSSBytes: e.MaxRSSBytes, DurationMS: time.Since(started).Milliseconds(),
	}
	switch {
	case e.Stopped && timedOut:
		end.Status, end.Reason = schema.AttemptFailed, schema.ReasonTimeout
	case e.Lost:
		end.Message = "its supervisor was killed"
	}
	return end
}

// stopwatch is a timer that can be paused: a frozen step does not use up its time.
type stopwatch struct {
	mu    sync.Mutex
	timer *time.Timer
	since time.Time
	left  time.Duration
	fire  func()
}

func (w *stopwatch) start(d time.Duration, fire func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.left, w.fire = d, fire
	w.run()
}

func (w *stopwatch) run() {
	w.since = time.Now()
	w.timer = time.AfterFunc(w.left, w.fire)
}

func (w *stopwatch) pause() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer != nil && w.timer.Stop() {
		w.left -= time.Since(w.since)
		w.timer = nil
	}
}

func (w *stopwatch) resume() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer == nil && w.fire != nil {
		w.run()
	}
}

func (w *stopwatch) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer != nil {
		w.timer.Stop()
	}
	w.timer, w.fire = nil, nil
}
