package activities

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"go.temporal.io/sdk/temporal"

	"github.com/holdfast/holdfast/schema"
)

// Hosts answers for this host as a whole: which steps it has taken, and whether it takes more.
type Hosts struct {
	// Host is its name.
	Host string
	// MaxSteps is how many steps it takes at a time.
	MaxSteps int
	// Lives reports whether an execution has a process here, or is about to.
	Lives func(execution string) bool
	// Live lists all of them: some may be from an earlier worker, and not requested yet.
	Live func() []schema.RunStep

	mu       sync.Mutex
	draining bool
	taken    map[string]taken // by execution
	lastEnd  time.Time        // when a step last ended or was refused
}

// taken is a step whose activity is here.
type taken struct {
	ask    schema.RunStep
	cancel context.CancelCauseFunc
	times  int // Temporal may send an execution again before the first call has noticed
}

// RunStep is the function of [schema.ActivityRunStep].
type RunStep func(ctx context.Context, ask schema.RunStep) (schema.StepResult, error)

const (
	roomPoll     = 50 * time.Millisecond
	roomPatience = time.Second
)

var errDraining = errors.New("this host takes no new steps")

// Place takes a session that another host does not serve, if this one has room. If it has none
// within a second, the next host is asked, or this one again.
func (a *Hosts) Place(ctx context.Context, _ schema.Place) (schema.Placed, error) {
	patience := time.NewTimer(roomPatience)
	defer patience.Stop()
	poll := time.NewTicker(roomPoll)
	defer poll.Stop()
	for {
		switch {
		case a.Draining():
			return schema.Placed{}, usual(schema.Errorf(schema.CodeHostDraining, "host %s takes no new steps", a.Host))
		case a.hasRoom():
			return schema.Placed{Host: a.Host}, nil
		}
		select {
		case <-poll.C:
		case <-patience.C:
			return schema.Placed{}, usual(schema.Errorf(schema.CodeUnavailable, "host %s is full", a.Host))
		case <-ctx.Done():
			return schema.Placed{}, context.Cause(ctx)
		}
	}
}

// Take wraps the running of steps: it keeps track of them, and a draining host refuses each that it
// does not already run.
func (a *Hosts) Take(run RunStep) RunStep {
	return func(ctx context.Context, ask schema.RunStep) (schema.StepResult, error) {
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		if !a.begin(ask, cancel) {
			return schema.StepResult{}, a.refusal()
		}
		defer a.end(ask.Execution)
		result, err := run(ctx, ask)
		if err != nil && errors.Is(context.Cause(ctx), errDraining) && !a.Lives(ask.Execution) {
			return schema.StepResult{}, a.refusal()
		}
		return result, err
	}
}

// refusal is final for this host: the session looks for another.
func (a *Hosts) refusal() error {
	err := schema.Errorf(schema.CodeHostDraining, "host %s takes no new steps", a.Host)
	return temporal.NewApplicationErrorWithOptions(err.Error(), string(schema.CodeHostDraining), temporal.ApplicationErrorOptions{
		NonRetryable: true, Category: temporal.ApplicationErrorCategoryBenign, Cause: err,
	})
}

func (a *Hosts) begin(ask schema.RunStep, cancel context.CancelCauseFunc) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.draining && !a.Lives(ask.Execution) {
		a.lastEnd = time.Now()
		return false
	}
	if a.taken == nil {
		a.taken = map[string]taken{}
	}
	a.taken[ask.Execution] = taken{ask: ask, cancel: cancel, times: a.taken[ask.Execution].times + 1}
	return true
}

func (a *Hosts) end(execution string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	t := a.taken[execution]
	if t.times--; t.times > 0 {
		a.taken[execution] = t
		return
	}
	delete(a.taken, execution)
	a.lastEnd = time.Now()
}

// Quiet is how long ago a step last ended here. An ended step is often followed by the next of its
// session, which is better refused here than left waiting for a host that is gone.
func (a *Hosts) Quiet() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return time.Since(a.lastEnd)
}

// Drain stops the host from taking new steps. A step that waits for its session to be resumed has
// not begun, and goes elsewhere.
func (a *Hosts) Drain() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.draining = true
	for execution, t := range a.taken {
		if !a.Lives(execution) {
			t.cancel(errDraining)
		}
	}
}

// Draining reports whether [Hosts.Drain] was called.
func (a *Hosts) Draining() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.draining
}

// Running lists the steps on this host, by session and step.
func (a *Hosts) Running() []schema.RunStep {
	list := a.Live()
	a.mu.Lock()
	for _, t := range a.taken {
		list = append(list, t.ask)
	}
	a.mu.Unlock()
	slices.SortFunc(list, func(a, b schema.RunStep) int {
		return cmp.Or(cmp.Compare(a.SessionID, b.SessionID), cmp.Compare(a.StepID, b.StepID), cmp.Compare(a.Execution, b.Execution))
	})
	return slices.CompactFunc(list, func(a, b schema.RunStep) bool { return a.Execution == b.Execution })
}

func (a *Hosts) hasRoom() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.taken) < a.MaxSteps
}
