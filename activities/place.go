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

// Hosts answers for this host as a whole: which steps run on it, and whether it takes more.
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
	active   map[string]activeStep // by execution
	lastEnd  time.Time             // when a step last ended or was refused
}

// activeStep is a step whose activity is here.
type activeStep struct {
	arg    schema.RunStep
	cancel context.CancelCauseFunc
	times  int // Temporal may send an execution again before the first call has noticed
}

// RunStep is the function of [schema.ActivityRunStep].
type RunStep func(ctx context.Context, arg schema.RunStep) (schema.StepResult, error)

const (
	capacityPoll    = 50 * time.Millisecond
	capacityTimeout = time.Second
)

var errDraining = errors.New("this host takes no new steps")

// Place takes a session that another host does not serve, if this one has a free place. If it has none
// within a second, the next host is asked, or this one again.
func (a *Hosts) Place(ctx context.Context, _ schema.Place) (schema.Placed, error) {
	timeout := time.NewTimer(capacityTimeout)
	defer timeout.Stop()
	poll := time.NewTicker(capacityPoll)
	defer poll.Stop()
	for {
		switch {
		case a.Draining():
			return schema.Placed{}, expectedError(schema.Errorf(schema.CodeHostDraining, "host %s takes no new steps", a.Host))
		case a.hasCapacity():
			return schema.Placed{Host: a.Host}, nil
		}
		select {
		case <-poll.C:
		case <-timeout.C:
			return schema.Placed{}, expectedError(schema.Errorf(schema.CodeUnavailable, "host %s is full", a.Host))
		case <-ctx.Done():
			return schema.Placed{}, context.Cause(ctx)
		}
	}
}

// Track wraps the running of steps: it keeps track of them, and a draining host refuses each that it
// does not already run.
func (a *Hosts) Track(run RunStep) RunStep {
	return func(ctx context.Context, arg schema.RunStep) (schema.StepResult, error) {
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		if !a.begin(arg, cancel) {
			return schema.StepResult{}, a.refusal()
		}
		defer a.end(arg.Execution)
		result, err := run(ctx, arg)
		if err != nil && errors.Is(context.Cause(ctx), errDraining) && !a.Lives(arg.Execution) {
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

func (a *Hosts) begin(arg schema.RunStep, cancel context.CancelCauseFunc) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.draining && !a.Lives(arg.Execution) {
		a.lastEnd = time.Now()
		return false
	}
	if a.active == nil {
		a.active = map[string]activeStep{}
	}
	a.active[arg.Execution] = activeStep{arg: arg, cancel: cancel, times: a.active[arg.Execution].times + 1}
	return true
}

func (a *Hosts) end(execution string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	t := a.active[execution]
	if t.times--; t.times > 0 {
		a.active[execution] = t
		return
	}
	delete(a.active, execution)
	a.lastEnd = time.Now()
}

// SinceLastEnd is how long ago a step last ended here. An ended step is often followed by the next of its
// session, which is better refused here than left waiting for a host that is gone.
func (a *Hosts) SinceLastEnd() time.Duration {
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
	for execution, t := range a.active {
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
	for _, t := range a.active {
		list = append(list, t.arg)
	}
	a.mu.Unlock()
	slices.SortFunc(list, func(a, b schema.RunStep) int {
		return cmp.Or(cmp.Compare(a.SessionID, b.SessionID), cmp.Compare(a.StepID, b.StepID), cmp.Compare(a.Execution, b.Execution))
	})
	return slices.CompactFunc(list, func(a, b schema.RunStep) bool { return a.Execution == b.Execution })
}

func (a *Hosts) hasCapacity() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.active) < a.MaxSteps
}
