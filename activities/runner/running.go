//go:build unix

package runner

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast/holdfast/activities/runner/supervisor"
	"github.com/holdfast/holdfast/schema"
)

// running is one execution of a step on this host.
type running struct {
	arg      schema.RunStep
	recovers bool          // continues what an earlier worker left, and starts nothing
	done     chan struct{} // closed when result and err are set

	lost         schema.Reason // why the previous attempt is lost, if known
	losses       int           // of supervisors
	reportedWait string        // what the log may say that it waits for

	following atomic.Pointer[supervised] // whose output is being recorded, or nil
	recorded  atomic.Int64               // how much of that is

	result schema.StepResult
	err    error

	// waiting ends when a stop comes before the start.
	waiting context.Context //nolint:containedctx // it is a signal
	cancel  context.CancelFunc

	syncing sync.Mutex // one freeze or thaw at a time
	// launching says that it is about to have a process that takes orders; guarded by Runner.mu.
	launching bool

	mu        sync.Mutex
	s         *supervised // nil until started
	stopGrace *time.Duration
	exit      *supervisor.Exit
	release   func() // gives back what it has held of the host since before this worker, or nil

	recordSuppressed bool
}

func newRunning(ctx context.Context, arg schema.RunStep, recovers bool) *running {
	run := &running{arg: arg, recovers: recovers, done: make(chan struct{})}
	run.waiting, run.cancel = context.WithCancel(ctx)
	return run
}

func (r *running) finish(result schema.StepResult, err error) {
	r.cancel()
	r.releaseSlots()
	r.result, r.err = result, err
	close(r.done)
}

// holdSlots sets the function that gives back its part of the host once it has ended.
func (r *running) holdSlots(release func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.release = release
}

func (r *running) holdsSlots() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.release != nil
}

// releaseSlots gives back its part of the host.
func (r *running) releaseSlots() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.release != nil {
		r.release()
		r.release = nil
	}
}

// started sets the supervisor that carries out orders from here on. If a stop came earlier, it is
// the first.
func (r *running) started(s *supervised) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.s = s
	if r.stopGrace != nil {
		s.order(supervisor.Order{Do: supervisor.DoStop, GraceMS: r.stopGrace.Milliseconds()})
	}
}

// unstarted removes the supervisor: it has ended without having begun.
func (r *running) unstarted() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.s = nil
}

// stop asks the step to end; done tells when it has. The step does not start again.
func (r *running) stop(grace time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopGrace = &grace
	r.cancel()
	if r.s == nil {
		return
	}
	r.s.order(supervisor.Order{Do: supervisor.DoStop, GraceMS: grace.Milliseconds()})
}

// lose records that the attempt is lost, if err says so.
func (r *running) lose(err error) bool {
	why, lost := errors.AsType[lostError](err)
	if lost {
		r.lost = schema.Reason(why)
		r.losses++
	}
	return lost
}

// ackTimeout is how long a freeze or thaw may take; a slower supervisor is busy ending.
const ackTimeout = 5 * time.Second

// setFrozen freezes or thaws the step's processes.
func (r *running) setFrozen(frozen bool) {
	r.mu.Lock()
	s := r.s
	r.mu.Unlock()
	switch {
	case s == nil:
	case frozen:
		s.orderAndWait(supervisor.Order{Do: supervisor.DoFreeze}, supervisor.IsFrozen, ackTimeout)
	default:
		s.orderAndWait(supervisor.Order{Do: supervisor.DoThaw}, supervisor.IsThawed, ackTimeout)
	}
}

// ended records how the program ended. It returns false if nobody needs that, because the program
// was ended with its worker.
func (r *running) ended(exit *supervisor.Exit) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.exit = exit
	return !r.recordSuppressed
}

// recordLeftover records how many processes of an attempt whose supervisor was killed were ended, and how
// many could not be.
func (r *running) recordLeftover(killed, survivors int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.exit = &supervisor.Exit{Killed: killed, Survivors: survivors}
}

func (r *running) isRecordSuppressed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.recordSuppressed
}

// suppressRecord keeps the end of the step from being recorded.
func (r *running) suppressRecord() *supervised {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.recordSuppressed = true
	return r.s
}

// count is how many processes the end of the step ended, once it is done.
func (r *running) count() (killed, survivors int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.exit == nil {
		return 0, 0
	}
	return r.exit.Killed, r.exit.Survivors
}
