//go:build unix

package runner

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/holdfast/holdfast/activities/runner/sandbox"
	"github.com/holdfast/holdfast/activities/runner/supervisor"
	"github.com/holdfast/holdfast/activities/workspace"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
)

// stepsDir is the folder of all of them, in the data folder.
const stepsDir = "steps"

// stepDir is where a host keeps what it knows of a step that runs: a folder for each attempt.
func (r *Runner) stepDir(runID, stepID string) string {
	return filepath.Join(r.dataDir, stepsDir, runID, stepID)
}

// leftover is an attempt that was not recorded to its end: its supervisor runs, or has left
// an exit, or was killed.
type leftover struct {
	dir  string
	spec supervisor.Spec
}

// leftovers lists a step's, the latest first.
func (r *Runner) leftovers(runID, stepID string) []leftover {
	dir := r.stepDir(runID, stepID)
	entries, _ := os.ReadDir(dir) // none is the usual case
	var list []leftover
	for _, e := range entries {
		l := leftover{dir: filepath.Join(dir, e.Name())}
		var err error
		if l.spec, err = supervisor.ReadSpec(l.dir); err != nil {
			r.remove(l.dir) // its worker died before it started anything
			continue
		}
		list = append(list, l)
	}
	slices.SortFunc(list, func(a, b leftover) int { return b.spec.Attempt - a.spec.Attempt })
	return list
}

// attempt runs a step, or goes on with it, from its lock to its last record.
func (r *Runner) attempt(run *running, load Load) (schema.StepResult, error) {
	ask := run.ask
	for _, l := range r.leftovers(ask.RunID, ask.StepID) {
		if l.spec.Step.Execution != ask.Execution { // the workflow has gone on since
			r.dispose(l)
			continue
		}
		result, done, err := r.resume(run, l, load != nil)
		if done || err != nil {
			return result, err
		}
	}
	if load == nil {
		return schema.StepResult{}, errNothingToResume
	}
	for {
		result, err := r.begin(run, load)
		if _, lost := errors.AsType[lostError](err); !lost {
			return result, err
		}
	}
}

// maxLosses is how often a step starts again because its supervisor was killed. It may be the
// step that does it.
const maxLosses = 2

// errNothingToResume ends the recovery of a step that has to start again: that is for the
// workflow to say.
var errNothingToResume = errors.New("the step has to start again")

// begin runs a new attempt.
func (r *Runner) begin(run *running, load Load) (schema.StepResult, error) {
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
	release, err := r.o.Slots.Acquire(run.waiting, step.CPU, step.MemoryBytes())
	switch {
	case err != nil && run.isDropped():
		return schema.StepResult{}, errClosed
	case err != nil && run.isHalted():
		return schema.StepResult{Status: schema.AttemptCancelled, Reason: schema.ReasonCancelled}, nil
	case err != nil && schema.CodeOf(err) != schema.CodeInvalid:
		return schema.StepResult{}, err
	}
	tooMuch := err // more than this host has
	if tooMuch == nil {
		defer release()
	}
	lock, left, err := lockStep(r.ctx, r.o.DataDir, ask.RunID, ask.StepID)
	if err != nil {
		return schema.StepResult{}, err
	}
	clean := false
	defer func() { unlockStep(lock, clean) }()
	if left { // an attempt before lost its worker, and may have lost its supervisor with it
		if err := endMarked(ask); err != nil {
			return schema.StepResult{}, err
		}
	}
	begun, err := r.o.Recorder.BeginAttempt(r.ctx, r.beginning(run, step))
	if err != nil {
		return schema.StepResult{}, err
	}
	if begun.Finished != nil {
		clean = true
		return resultOf(begun.Number, *begun.Finished), nil
	}
	started := time.Now()
	if tooMuch != nil {
		clean = true
		return r.finish(run, begun.Number, failedStart(tooMuch, started), nil, "")
	}
	var stay *workspace.Stay
	err = r.persist(func(ctx context.Context) (err error) { // the blob store may be away
		stay, err = r.o.Workspaces.Enter(ctx, workspace.Visit{SessionID: ask.SessionID, RunID: ask.RunID, Snapshot: of.Snapshot, Files: of.Plan.Files})
		if err != nil && schema.CodeOf(err) != schema.CodeUnavailable {
			return permanent{err}
		}
		return err
	})
	if r.ctx.Err() != nil {
		return schema.StepResult{}, r.ctx.Err()
	}
	var l leftover
	if err == nil {
		defer stay.Leave()
		l, err = r.prepare(run, stay.Dir, &of, step, begun.Number)
	}
	if err != nil {
		clean = true
		return r.finish(run, begun.Number, failedStart(err, started), nil, "")
	}
	s, err := startSupervisor(r.o.Supervisor, l.dir, lock)
	if err != nil {
		clean = true
		r.remove(l.dir)
		return r.finish(run, begun.Number, failedStart(err, started), nil, "")
	}
	defer s.detach()
	result, err := r.goOn(run, s, &l, stay, 0, nil)
	if run.lose(err) {
		r.remove(l.dir)
		if run.losses > maxLosses {
			end := store.AttemptEnd{Status: schema.AttemptFailed, Reason: schema.ReasonSupervisor, Message: "its supervisor was killed", DurationMS: time.Since(started).Milliseconds()}
			return r.finish(run, begun.Number, end, nil, "")
		}
	}
	clean = err == nil
	return result, err
}

func (r *Runner) beginning(run *running, step *schema.PlanStep) store.BeginAttempt {
	ask := &run.ask
	b := store.BeginAttempt{
		SessionID: ask.SessionID, RunID: ask.RunID, StepID: ask.StepID, Execution: ask.Execution, Host: r.o.Host,
		Command: step.Command(), Lost: run.lost,
	}
	if ask.Retry {
		b.Reason = schema.ReasonRetry
	}
	return b
}

// prepare makes the attempt's folder ready.
func (r *Runner) prepare(run *running, work string, of *store.RunPlan, step *schema.PlanStep, attempt int) (leftover, error) {
	ask := run.ask
	dir := filepath.Join(r.stepDir(ask.RunID, ask.StepID), strconv.Itoa(attempt))
	r.remove(dir) // a number that was given out and not used
	tmp := filepath.Join(dir, "tmp")
	if err := os.MkdirAll(tmp, 0o700); err != nil {
		return leftover{}, err
	}
	ask.Before = nil // it is recorded
	l := leftover{dir: dir, spec: supervisor.Spec{
		Step: ask, Attempt: attempt, TimeoutMS: step.TimeoutDuration().Milliseconds(), OrphanMS: r.o.OrphanTimeout.Milliseconds(),
		SpoolBytes: r.o.SpoolBytes, QuotaBytes: r.o.QuotaBytes, QuotaFiles: r.o.QuotaFiles,
		Sandbox: sandbox.Spec{
			Mode: r.o.Sandbox, Argv: step.Command(), Env: environment(work, step, ask, of.Message, attempt), Dir: work, Tmp: tmp,
			ReadOnly: append(ownProgram(), r.o.SandboxPaths...), Hidden: []string{r.dataDir}, Network: step.Networked(), MemoryBytes: step.MemoryBytes(), CPUs: step.CPU,
			Processes: maxProcesses, FileBytes: fileBytes(r.o.QuotaBytes), Cgroup: r.o.Cgroup,
		},
	}}
	return l, supervisor.WriteSpec(dir, &l.spec)
}

// fileBytes bounds one file of a workspace with a quota: a little over it, so that whoever
// looks at the workspace afterwards sees that it is too large.
func fileBytes(quota int64) int64 {
	if quota <= 0 {
		return 0
	}
	return quota + 1<<20
}

// resume goes on with an attempt that another worker began, or this one before it lost the
// connection. done is false when a further attempt is needed; unless that is to follow now,
// what is known of this one stays.
func (r *Runner) resume(run *running, l leftover, mayBegin bool) (result schema.StepResult, done bool, err error) {
	s, lock, err := r.connect(l)
	if err != nil {
		return result, false, err
	}
	defer s.detach()
	defer func() {
		if lock != nil { // else the supervisor has it
			unlockStep(lock, false)
		}
	}()
	ask := run.ask
	begun, err := r.o.Recorder.BeginAttempt(r.ctx, store.BeginAttempt{
		SessionID: ask.SessionID, RunID: ask.RunID, StepID: ask.StepID, Execution: ask.Execution, Host: r.o.Host,
		Live: l.spec.Attempt, Worker: r.name,
	})
	code := schema.CodeOf(err)
	switch {
	case err != nil && code != schema.CodeStale && code != schema.CodeNotFound:
		return result, false, err
	case err != nil: // the run is over, and this should be
		r.end(s)
		r.remove(l.dir)
		return schema.StepResult{Status: schema.AttemptCancelled, Reason: schema.ReasonCancelled}, true, nil
	case begun.Finished != nil || begun.Number != l.spec.Attempt:
		r.end(s)
		r.remove(l.dir)
		if begun.Finished == nil {
			run.lost = schema.ReasonWorkerLost // an attempt has begun of which nothing is here
			return result, false, nil
		}
		return resultOf(begun.Number, *begun.Finished), true, nil
	}
	r.o.Logger.Info("step re-attached", "session_id", ask.SessionID, "run_id", ask.RunID, "step_id", ask.StepID, "attempt", begun.Number)
	suspended, err := r.o.Recorder.Suspended(r.ctx, ask.SessionID)
	if err != nil {
		return result, false, err
	}
	snapshot, err := r.o.Recorder.Snapshot(r.ctx, ask.SessionID)
	if err != nil {
		return result, false, err
	}
	stay, err := r.o.Workspaces.Return(workspace.Visit{SessionID: ask.SessionID, RunID: ask.RunID, Snapshot: snapshot})
	if err != nil {
		return result, false, err
	}
	defer stay.Leave()
	result, err = r.goOn(run, s, &l, stay, begun.SpoolOffset, &suspended)
	if run.lose(err) {
		if err := endMarked(ask); err != nil {
			return result, false, err
		}
		if mayBegin {
			r.remove(l.dir)
		}
		return result, false, nil
	}
	return result, true, err
}

// connect reaches the supervisor of a leftover. One that is gone has left its files: it is
// proven gone by its lock, which is the answer then.
func (r *Runner) connect(l leftover) (s *supervised, lock *os.File, err error) {
	ask := &l.spec.Step
	deadline := time.Now().Add(lockPatience)
	for {
		ctx, cancel := context.WithTimeout(r.ctx, time.Second)
		conn, dialErr := supervisor.Dial(ctx, l.dir)
		cancel()
		if dialErr == nil {
			return newSupervised(l.dir, conn), nil, nil
		}
		lock, _, err := tryLock(lockName(r.o.DataDir, ask.RunID, ask.StepID))
		if err == nil {
			return abandoned(l.dir), lock, nil
		}
		if r.ctx.Err() != nil || time.Now().After(deadline) {
			return nil, nil, fmt.Errorf("reach the supervisor of step %s: %w", ask.StepID, errors.Join(dialErr, err))
		}
		time.Sleep(lockPoll)
	}
}

// goOn follows an attempt to its end and records it. frozen is what it is to be brought to,
// when that may have changed while no worker was here.
func (r *Runner) goOn(run *running, s *supervised, l *leftover, stay *workspace.Stay, offset int64, frozen *bool) (schema.StepResult, error) {
	ask, attempt := run.ask, l.spec.Attempt
	run.started(s)
	asking, stopAsking := context.WithCancel(r.ctx)
	defer stopAsking()
	go r.relayAsks(asking, &ask, attempt, s)
	if frozen != nil {
		run.bring(*frozen) // a supervisor that ended takes no orders, and needs none
	} else if r.isFrozen(ask.RunID) {
		run.bring(true)
	}
	exit, err := r.follow(&ask, s, attempt, offset)
	if err != nil {
		if code := schema.CodeOf(err); code == schema.CodeStale || code == schema.CodeNotFound {
			r.o.Logger.Warn("attempt given up", "session_id", ask.SessionID, "run_id", ask.RunID, "step_id", ask.StepID, "attempt", attempt, "error", err)
			r.end(s)
			r.remove(l.dir)
		}
		return schema.StepResult{}, err
	}
	if exit.Reason == schema.ReasonOrphaned {
		return schema.StepResult{}, lostError(exit.Reason)
	}
	if !run.ended(&exit) {
		return schema.StepResult{}, errClosed
	}
	result, err := r.keep(run, stay, attempt, endOf(&exit))
	if err == nil {
		r.remove(l.dir)
	}
	return result, err
}

// finish records the end of an attempt.
func (r *Runner) finish(run *running, attempt int, end store.AttemptEnd, files []store.FileChange, snapshot string) (schema.StepResult, error) {
	ask := &run.ask
	err := r.persist(func(ctx context.Context) error {
		return r.o.Recorder.FinishAttempt(ctx, store.FinishAttempt{
			SessionID: ask.SessionID, RunID: ask.RunID, StepID: ask.StepID, Attempt: attempt,
			End: end, StepStatus: stepStatus(end.Status, ask.Last), Files: files, Snapshot: snapshot,
		})
	})
	return resultOf(attempt, end), err
}

// dispose ends an attempt that nobody wants any more.
func (r *Runner) dispose(l leftover) {
	s, lock, err := r.connect(l)
	if err != nil {
		r.o.Logger.Warn("an old attempt cannot be ended", "run_id", l.spec.Step.RunID, "step_id", l.spec.Step.StepID, "error", err)
		return
	}
	r.end(s)
	r.remove(l.dir)
	if lock != nil {
		unlockStep(lock, false)
	}
}

// end ends what a supervisor runs, without a record, and waits for it.
func (r *Runner) end(s *supervised) {
	s.order(supervisor.Order{Do: supervisor.DoStop})
	go func() {
		for range s.asks { // nobody is asked any more, and the reports behind them are waited for
		}
	}()
	for deadline := time.After(endPatience); ; {
		select {
		case <-s.gone:
			return
		case <-s.changed: // what it printed is in nobody's way
			end, _, _ := s.look()
			s.order(supervisor.Order{Do: supervisor.DoConsumed, Offset: end})
		case <-deadline:
			return
		}
	}
}

// remove removes an attempt's folder, and the step's when it was the last one in it. What
// stays is found by the next start.
func (r *Runner) remove(dir string) {
	if err := removeAll(dir); err != nil {
		r.o.Logger.Warn("an attempt's folder stays", "error", err)
		return
	}
	_ = os.Remove(filepath.Dir(dir))               // not empty: another attempt is there
	_ = os.Remove(filepath.Dir(filepath.Dir(dir))) // or another step
}

// endOf is what is recorded of an exit.
func endOf(e *supervisor.Exit) store.AttemptEnd {
	status, reason := e.Status()
	return store.AttemptEnd{
		Status: status, Reason: reason, ExitCode: e.ExitCode, Signal: e.Signal, Message: cmp.Or(e.StartError, e.Message),
		CPUSeconds: e.CPUSeconds, MaxRSSBytes: e.MaxRSSBytes, ReadBytes: e.ReadBytes, WriteBytes: e.WriteBytes, DurationMS: e.DurationMS,
	}
}
