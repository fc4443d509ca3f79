//go:build unix

package runner

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast/holdfast/activities/runner/sandbox"
	"github.com/holdfast/holdfast/activities/runner/supervisor"
	"github.com/holdfast/holdfast/activities/workspace"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
	"github.com/holdfast/holdfast/telemetry/traceparent"
)

// Store is the part of [store.Store] that steps need. Writes may be repeated: each takes effect
// once. It is an interface because fault tests put a layer between the runner and the real store
// that loses answers.
type Store interface {
	RunPlan(ctx context.Context, runID string) (store.RunPlan, error)
	BeginAttempt(ctx context.Context, b store.BeginAttempt) (store.BegunAttempt, error)
	AppendOutput(ctx context.Context, a store.AppendOutput) error
	FinishAttempt(ctx context.Context, f store.FinishAttempt) error
	Ended(ctx context.Context, runID, stepID, execution string) (schema.StepResult, bool, error)
	Suspended(ctx context.Context, sessionID string) (bool, error)
	Snapshot(ctx context.Context, sessionID string) (string, error)
}

var _ Store = (*store.Store)(nil)

// Asker takes programs' questions to people.
type Asker interface {
	// Ask asks and waits for the answer. Repeating it asks the same question. An error means that
	// nobody can be asked now.
	Ask(ctx context.Context, step *schema.RunStep, attempt int, ask supervisor.Ask) (supervisor.Answer, error)
}

// Options configures a Runner.
type Options struct {
	Store   Store
	Asker   Asker
	DataDir string // holds workspaces/, steps/ and locks/
	Host    string // the name of this host in attempts
	// Supervisor is the program to start for each step, with the argument "supervise".
	Supervisor string
	Logger     *slog.Logger

	Sandbox      sandbox.Mode
	SandboxPaths []string // visible to every step, read-only
	// NetworkRefused are the product's own places, which no step reaches, as
	// [schema.ParseNetworkRule] takes them.
	NetworkRefused []string
	Cgroup         string // where steps get their own groups; "" for none
	Slots          *Slots // nil for this host's
	Workspaces     *workspace.Manager

	SpoolBytes    int64         // how much of a step's output may wait on the disk; 0 for 64 MiB
	OrphanTimeout time.Duration // how long a step goes on without a worker; 0 for an hour
	OutputBytes   int64         // how much of an attempt's output is kept; an attempt that prints more is ended; 0 for all
	QuotaBytes    int64         // how much a step may keep on the disk; 0 for no limit
	QuotaFiles    int64         // the same
	CheckEvery    time.Duration // between checks whether a silent attempt is still the step's; 0 for half a minute
	// Started is told of each step's first program, once it is started here, with what it was asked by; optional.
	Started func(arg *schema.RunStep)
	// EndSteps makes Close end running steps. Otherwise they go on, for the next worker.
	EndSteps bool
}

const (
	defaultSpoolBytes    = 64 << 20
	defaultOrphanTimeout = time.Hour
	defaultCheckEvery    = 30 * time.Second
	// maxProcesses limits the processes and threads of a step.
	maxProcesses = 4096
	// endPatience is how long to wait for a supervisor to end.
	endPatience = 15 * time.Second
)

// Runner runs the steps given to this host's worker. Close it to let them go.
type Runner struct {
	o             Options
	name          string          // of this worker, among those that had the same steps
	dataDir       string          // absolute
	ctx           context.Context //nolint:containedctx // for everything that runs; it ends with Close, not with a caller
	cancel        context.CancelFunc
	owners        *os.File   // of the files of steps that run as nobody; nil where they do not
	folders       sync.Mutex // guards attempts' folders: none is made below one that is being removed
	runs          sync.WaitGroup
	mu            sync.Mutex
	closed        bool
	live          map[string]*running  // by execution
	frozen        map[string]bool      // run ids; what starts in them waits
	frozenVersion int                  // number of changes to frozen
	changed       *sync.Cond           // a run left frozen, or a launch is over
	short         map[string]string    // what steps wait for on this host, by execution
	shortAt       time.Time            // when the log last said so
	stopped       map[string]time.Time // run ids, and when; what starts in them is refused

	shortSaid     bool
	faultPatience time.Duration
	unrecorded    atomic.Bool // the log says that the store is down
}

// New makes a runner. Recover brings it back to what is already running.
func New(o Options) (*Runner, error) {
	if o.SpoolBytes == 0 {
		o.SpoolBytes = defaultSpoolBytes
	}
	if o.OrphanTimeout == 0 {
		o.OrphanTimeout = defaultOrphanTimeout
	}
	if o.CheckEvery == 0 {
		o.CheckEvery = defaultCheckEvery
	}
	if o.Slots == nil {
		o.Slots = HostSlots()
	}
	dir, err := filepath.Abs(o.DataDir)
	if err != nil {
		return nil, err
	}
	r := &Runner{
		o: o, name: schema.NewID(), dataDir: dir, live: map[string]*running{}, frozen: map[string]bool{}, stopped: map[string]time.Time{},
		short: map[string]string{}, faultPatience: faultPatience,
	}
	if o.Sandbox != sandbox.Off {
		if r.owners, err = sandbox.Owners(o.Supervisor); err != nil {
			o.Logger.Debug("each step makes a user namespace for its files by itself", "error", err)
		}
	}
	r.changed = sync.NewCond(&r.mu)
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.runs.Go(r.reconcileFrozen)
	return r, nil
}

// Recover continues every step that an earlier worker of this host has left. It takes over their
// output from the first moment, before the workflow asks for them.
func (r *Runner) Recover() {
	if err := r.recover(); err != nil {
		r.o.Logger.Warn("cannot list the steps on this host", "error", err)
		r.runs.Go(func() {
			for wait := faultFirstWait; r.recover() != nil; wait = min(2*wait, faultLongest) {
				select {
				case <-time.After(wait):
				case <-r.ctx.Done():
					return
				}
			}
		})
	}
}

// recover may be called again after a failure.
func (r *Runner) recover() error {
	all := filepath.Join(r.dataDir, stepsDir)
	runs, err := os.ReadDir(all)
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // none is the usual case
		return err
	}
	var failed error
	for _, runDir := range runs {
		steps, err := os.ReadDir(filepath.Join(all, runDir.Name()))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			failed = errors.Join(failed, err)
		}
		for _, stepDir := range steps {
			list, err := r.leftovers(runDir.Name(), stepDir.Name())
			if err != nil {
				failed = errors.Join(failed, err)
			}
			if len(list) == 0 {
				continue
			}
			if run, isNew, err := r.attach(list[0].spec.Step, true); err == nil && isNew {
				r.occupy(run, &list[0].spec) // now, before a new step takes its place
				r.runs.Go(func() { r.execute(run) })
			}
		}
	}
	if failed == nil {
		r.sweepLocks()
	}
	return failed
}

// occupy makes a running step hold what it declared of the host.
func (r *Runner) occupy(run *running, spec *supervisor.Spec) {
	if !run.holdsSlots() {
		run.holdSlots(r.o.Slots.Occupy(spec.Sandbox.CPUs, spec.Sandbox.MemoryBytes))
	}
}

// EndOnClose makes Close end running steps, whatever the options say.
func (r *Runner) EndOnClose() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.o.EndSteps = true
}

// Close lets go of every step that runs here: they go on, and the next worker of this host finds
// them. With EndSteps it ends them instead, without telling the store: the next worker starts new
// attempts. It waits until that is done.
func (r *Runner) Close() {
	r.mu.Lock()
	r.closed = true
	var list []*running
	for _, run := range r.live {
		list = append(list, run)
	}
	end := r.o.EndSteps
	r.mu.Unlock()
	if end {
		each(list, r.endQuietly)
	}
	r.cancel()
	r.changed.Broadcast()
	r.runs.Wait()
	if r.owners != nil {
		_ = r.owners.Close()
	}
}

// ErrDetached says that the caller's context ended while the step went on.
var ErrDetached = errors.New("the step goes on without this caller")

// Run executes a step and waits for its end, or attaches to it if it is already running. It reads
// what the step does once the step may start. If ctx ends first, the step goes on and Run returns
// [ErrDetached]; call Run again to attach, or Stop to end it.
func (r *Runner) Run(ctx context.Context, arg schema.RunStep) (schema.StepResult, error) {
	for {
		run, isNew, err := r.attach(arg, false)
		if err != nil {
			return schema.StepResult{Status: schema.AttemptCancelled, Reason: schema.ReasonCancelled}, nil //nolint:nilerr // stopped is a result
		}
		if isNew {
			r.runs.Go(func() { r.execute(run) })
		}
		select {
		case <-run.done:
			if errors.Is(run.err, errNothingToResume) {
				continue // left by an earlier worker, and to be started again
			}
			if run.err != nil && r.ctx.Err() != nil {
				return run.result, fmt.Errorf("%w: %w", ErrClosed, run.err)
			}
			return run.result, run.err
		case <-ctx.Done():
			return schema.StepResult{}, ErrDetached
		}
	}
}

var errStopped = errors.New("the run was stopped")

// ErrClosed says that this worker is ending: the next one continues the step.
var ErrClosed = errors.New("this worker is ending")

// attach finds the execution, or makes it; recovers says that a new one may only continue what runs.
func (r *Runner) attach(arg schema.RunStep, recovers bool) (run *running, isNew bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if run, ok := r.live[arg.Execution]; ok {
		return run, false, nil
	}
	if _, ok := r.stopped[arg.RunID]; ok {
		return nil, false, errStopped
	}
	run = newRunning(r.ctx, arg, recovers)
	if r.closed {
		run.finish(schema.StepResult{}, ErrClosed)
		return run, false, nil
	}
	r.live[arg.Execution] = run
	return run, true, nil
}

// Lives reports whether this execution has a process here, or is about to.
func (r *Runner) Lives(execution string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, ok := r.live[execution]
	return ok
}

// Running lists what runs here.
func (r *Runner) Running() []schema.RunStep {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]schema.RunStep, 0, len(r.live))
	for _, run := range r.live {
		list = append(list, run.arg)
	}
	return list
}

func (r *Runner) execute(run *running) {
	result, err := r.attempt(run)
	r.mu.Lock()
	delete(r.live, run.arg.Execution)
	r.mu.Unlock()
	run.finish(result, err)
}

// traced is a context for what a step does, in the trace that the step belongs to.
func (r *Runner) traced(arg *schema.RunStep) context.Context {
	return traceparent.With(r.ctx, arg.Trace, "")
}

// persist repeats a call to the store about a step until it succeeds, fails for good, or the worker ends.
func (r *Runner) persist(arg *schema.RunStep, call func(ctx context.Context) error) error {
	const (
		firstWait = 20 * time.Millisecond
		longest   = time.Second
		sayAfter  = 10 * time.Second
	)
	began, ctx := time.Now(), r.traced(arg)
	for wait := firstWait; ; wait = min(2*wait, longest) {
		err := call(ctx)
		if err == nil {
			if r.unrecorded.CompareAndSwap(true, false) {
				r.o.Logger.Info("recording resumed", "host", r.o.Host)
			}
			return nil
		}
		if schema.IsPermanent(err) {
			return err
		}
		if r.ctx.Err() == nil && time.Since(began) > sayAfter && r.unrecorded.CompareAndSwap(false, true) {
			r.o.Logger.Warn("cannot record step output; steps go on, retrying", "host", r.o.Host, "error", err)
		}
		select {
		case <-r.ctx.Done():
			return r.ctx.Err()
		case <-time.After(wait):
		}
	}
}

// reasonOf describes an error without saying where on the server.
func reasonOf(err error) string {
	if e, ok := errors.AsType[*os.PathError](err); ok {
		return e.Err.Error()
	}
	return err.Error()
}

func failedStart(err error, started time.Time) store.AttemptEnd {
	return store.AttemptEnd{
		Status: schema.AttemptFailed, Reason: schema.ReasonStart, Message: "the step could not be prepared: " + reasonOf(err), DurationMS: time.Since(started).Milliseconds(),
	}
}

func stepStatus(s schema.AttemptStatus, last bool) schema.StepStatus {
	switch {
	case s == schema.AttemptSucceeded:
		return schema.StepSucceeded
	case s == schema.AttemptCancelled:
		return schema.StepCancelled
	case last:
		return schema.StepFailed
	default:
		return schema.StepReady
	}
}

func resultOf(number int, e store.AttemptEnd) schema.StepResult {
	return schema.StepResult{
		Status: e.Status, Attempt: number, ExitCode: e.ExitCode, Signal: e.Signal, Reason: e.Reason, Message: e.Message,
	}
}
