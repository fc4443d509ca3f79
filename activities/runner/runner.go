//go:build unix

package runner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/holdfast/holdfast/activities/workspace"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
)

// Recorder keeps what steps did. Its methods may be repeated: each has its effect once.
type Recorder interface {
	BeginAttempt(ctx context.Context, b store.BeginAttempt) (store.BegunAttempt, error)
	AppendOutput(ctx context.Context, a store.AppendOutput) error
	FinishAttempt(ctx context.Context, f store.FinishAttempt) error
}

var _ Recorder = (*store.Store)(nil)

// Options configures a Runner.
type Options struct {
	Recorder Recorder
	DataDir  string // holds workspaces/ and locks/
	Host     string // the name of this host in attempts
	// Supervisor is the program that is started for each step, with the argument "supervise".
	Supervisor string
	Logger     *slog.Logger
}

// Runner runs the steps that this host's worker was given. Close it to end them.
type Runner struct {
	o    Options
	ctx  context.Context //nolint:containedctx // of everything that runs; it ends with Close, not with a caller
	end  context.CancelFunc
	runs sync.WaitGroup

	files     workspace.Tracker
	preparing sync.Mutex

	mu      sync.Mutex
	live    map[string]*running  // by execution
	frozen  map[string]bool      // run ids; what starts there waits
	thawed  *sync.Cond           // a run id left frozen
	stopped map[string]time.Time // run ids, and when; what starts there is refused
}

// New makes a runner.
func New(o Options) *Runner {
	r := &Runner{o: o, live: map[string]*running{}, frozen: map[string]bool{}, stopped: map[string]time.Time{}}
	r.thawed = sync.NewCond(&r.mu)
	r.ctx, r.end = context.WithCancel(context.Background())
	return r
}

// Close ends every step that runs here, without a word to the recorder: the next worker
// finds them cut and starts new attempts. It waits until nothing is left.
func (r *Runner) Close() {
	r.end()
	r.thawed.Broadcast()
	r.runs.Wait()
}

// ErrDetached says that the caller's context ended while the step went on.
var ErrDetached = errors.New("the step goes on without this caller")

// Load reads what a run carries out.
type Load func(ctx context.Context, runID string) (store.RunPlan, error)

// Run executes a step and waits for its end, or attaches to it when it runs already. What
// the step is comes from load, which is called once it may start, and not for one that runs.
// When ctx ends first the step goes on and Run returns [ErrDetached]; call Run again to
// attach, or Stop to end it.
func (r *Runner) Run(ctx context.Context, ask schema.RunStep, load Load) (schema.StepResult, error) {
	run, isNew, err := r.attach(ask)
	if err != nil {
		return schema.StepResult{Status: schema.AttemptCancelled, Reason: schema.ReasonCancelled}, nil //nolint:nilerr // stopped is a result
	}
	if isNew {
		r.runs.Go(func() { r.execute(run, load) })
	}
	select {
	case <-run.done:
		return run.result, run.err
	case <-ctx.Done():
		return schema.StepResult{}, ErrDetached
	}
}

var errStopped = errors.New("the run was stopped")

func (r *Runner) attach(ask schema.RunStep) (run *running, isNew bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if run, ok := r.live[ask.Execution]; ok {
		return run, false, nil
	}
	if _, ok := r.stopped[ask.RunID]; ok {
		return nil, false, errStopped
	}
	run = newRunning(ask)
	r.live[ask.Execution] = run
	return run, true, nil
}

// Lives reports whether this execution has a process here, or is about to.
func (r *Runner) Lives(execution string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, ok := r.live[execution]
	return ok
}

func (r *Runner) execute(run *running, load Load) {
	result, err := r.attempt(run, load)
	r.mu.Lock()
	delete(r.live, run.ask.Execution)
	r.mu.Unlock()
	run.finish(result, err)
}

// attempt runs the step from its lock to its last record.
func (r *Runner) attempt(run *running, load Load) (schema.StepResult, error) {
	ask := run.ask
	r.waitWhileFrozen(ask.RunID)
	of, err := load(r.ctx, ask.RunID)
	if err != nil {
		return schema.StepResult{}, err
	}
	step, ok := of.Plan.Step(ask.StepID)
	if !ok || of.Plan.StepDigest(step) != ask.Digest {
		return schema.StepResult{}, schema.Errorf(schema.CodeConflict, "step %q is not what was agreed on", ask.StepID)
	}
	lock, left, err := lockStep(r.ctx, r.o.DataDir, ask.RunID, ask.StepID)
	if err != nil {
		return schema.StepResult{}, err
	}
	clean := false
	defer func() { unlockStep(lock, clean) }()
	if left { // an attempt before lost its worker, and may have lost its supervisor with it
		if _, alive := killMarked(ask); alive > 0 {
			return schema.StepResult{}, fmt.Errorf("%d processes of an attempt before cannot be ended", alive)
		}
	}
	begin := store.BeginAttempt{
		SessionID: ask.SessionID, RunID: ask.RunID, StepID: ask.StepID, Execution: ask.Execution,
		Host: r.o.Host, Command: step.Command(),
	}
	if ask.Retry {
		begin.Reason = schema.ReasonRetry
	}
	begun, err := r.o.Recorder.BeginAttempt(r.ctx, begin)
	if err != nil {
		return schema.StepResult{}, err
	}
	if begun.Finished != nil {
		clean = true
		return resultOf(begun.Number, *begun.Finished), nil
	}
	end, files, err := r.process(run, &of, step, begun.Number, lock)
	if err != nil {
		return schema.StepResult{}, err
	}
	clean = true
	err = r.persist(func(ctx context.Context) error {
		return r.o.Recorder.FinishAttempt(ctx, store.FinishAttempt{
			SessionID: ask.SessionID, RunID: ask.RunID, StepID: ask.StepID, Attempt: begun.Number,
			End: end, StepStatus: stepStatus(end.Status, ask.Last), Files: files,
		})
	})
	return resultOf(begun.Number, end), err
}

// process runs the program and records its output. An error means that this attempt is not
// ours any more, or that the worker is ending: it has no end to record.
func (r *Runner) process(run *running, of *store.RunPlan, step *schema.PlanStep, attempt int, lock *os.File) (store.AttemptEnd, []store.FileChange, error) {
	ask := run.ask
	dir, err := filepath.Abs(schema.WorkspaceDir(r.o.DataDir, ask.SessionID))
	if err != nil {
		return store.AttemptEnd{}, nil, err
	}
	started := time.Now()
	if err := r.prepare(dir, ask.RunID, of.Plan.Files); err != nil {
		return failedStart(err, started), nil, nil
	}
	if err := r.files.Begin(dir); err != nil {
		return failedStart(err, started), nil, nil
	}
	defer r.files.End(dir)
	p, err := startProcess(r.o.Supervisor, command{
		dir: dir, argv: step.Command(), env: environment(dir, step, ask, of.Message, attempt),
		sweep: func() (int, int) { return killMarked(ask) },
	}, lock)
	if err != nil {
		return failedStart(err, started), nil, nil
	}
	run.started(p, step.TimeoutDuration())
	defer run.timeout.stop()
	stopped := context.AfterFunc(r.ctx, func() { run.stop(0) })
	defer stopped()

	go closePipes(p)
	out := newPump(attempt, 2)
	go out.read(schema.Stdout, p.stdout)
	go out.read(schema.Stderr, p.stderr)
	err = out.flush(r.ctx, func(_ context.Context, batch int64, chunks []schema.OutputData) error {
		return r.persist(func(ctx context.Context) error {
			return r.o.Recorder.AppendOutput(ctx, store.AppendOutput{
				SessionID: ask.SessionID, RunID: ask.RunID, StepID: ask.StepID, Attempt: attempt, Batch: batch, Chunks: chunks,
			})
		})
	})
	if err != nil {
		r.o.Logger.Warn("attempt given up", "session_id", ask.SessionID, "run_id", ask.RunID, "step_id", ask.StepID, "attempt", attempt, "error", err)
		run.stop(0)
	}
	<-p.ended
	_, _ = p.stdout.Close(), p.stderr.Close()
	if err == nil {
		err = r.ctx.Err()
	}
	if err != nil {
		return store.AttemptEnd{}, nil, err
	}
	end := run.end(started)
	files, scanErr := r.files.Changes(dir)
	if scanErr != nil {
		r.o.Logger.Warn("workspace not listed", "session_id", ask.SessionID, "error", scanErr)
	}
	changes := make([]store.FileChange, len(files))
	for i, f := range files {
		changes[i] = store.FileChange{Path: f.Path, Size: f.Size, Created: f.Created}
	}
	return end, changes, nil
}

// pipePatience is how long a pipe may stay open after the supervisor has reported the end:
// only what nothing can end still holds it then.
const pipePatience = 5 * time.Second

// closePipes makes sure that the output ends when the program has, whoever holds its pipes.
func closePipes(p *process) {
	<-p.ended
	_ = p.stdout.SetReadDeadline(time.Now().Add(pipePatience))
	_ = p.stderr.SetReadDeadline(time.Now().Add(pipePatience))
}

// persist repeats a write until it is done: only an answer that will not change ends it, or
// the end of the worker.
func (r *Runner) persist(write func(ctx context.Context) error) error {
	const (
		firstWait = 20 * time.Millisecond
		longest   = time.Second
	)
	for wait := firstWait; ; wait = min(2*wait, longest) {
		err := write(r.ctx)
		if err == nil {
			return nil
		}
		if code := schema.CodeOf(err); code == schema.CodeStale || code == schema.CodeNotFound {
			return err
		}
		select {
		case <-r.ctx.Done():
			return r.ctx.Err()
		case <-time.After(wait):
		}
	}
}

// prepare puts the plan's files into the workspace: those that this run has not written yet. They are no changes of a
// step that runs meanwhile.
func (r *Runner) prepare(dir, runID string, files map[string]string) error {
	r.preparing.Lock() // for all sessions: it is short
	defer r.preparing.Unlock()
	written, err := workspace.Prepare(dir, runID, files)
	r.files.Known(dir, written)
	return err
}

// reasonOf says what is wrong without saying where on the server.
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
