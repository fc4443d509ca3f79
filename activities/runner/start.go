//go:build unix

package runner

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/holdfast/holdfast/activities/runner/sandbox"
	"github.com/holdfast/holdfast/activities/runner/supervisor"
	"github.com/holdfast/holdfast/activities/workspace"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
)

// begin runs a new attempt.
func (r *Runner) begin(run *running) (schema.StepResult, error) {
	arg := run.arg
	if !r.waitWhileFrozen(run) {
		return r.resultNotStarted(run)
	}
	of, err := r.o.Store.RunPlan(r.ctx, arg.RunID)
	if err != nil {
		return schema.StepResult{}, err
	}
	step, ok := of.Plan.Step(arg.StepID)
	if !ok || of.Plan.StepDigest(step) != arg.Digest {
		// Its end may be recorded without having reached the workflow when somebody edited its
		// files.
		result, ended, err := r.o.Store.Ended(r.ctx, arg.RunID, arg.StepID, arg.Execution)
		if err == nil && !ended {
			err = schema.Errorf(schema.CodeConflict, "step %q has changed since it was approved", arg.StepID)
		}
		return result, err
	}
	release, err := r.o.Slots.Acquire(run.waiting, step.CPU, step.MemoryBytes())
	switch {
	case err != nil && run.waiting.Err() != nil:
		return r.resultNotStarted(run)
	case err != nil && schema.CodeOf(err) != schema.CodeInvalid:
		return schema.StepResult{}, err
	}
	tooMuch := err // more than this host has
	if tooMuch == nil {
		defer release()
	}
	lock, left, err := r.lockStep(run)
	if err != nil {
		return schema.StepResult{}, err
	}
	clean := false
	defer func() { unlockStep(lock, clean) }()
	if left { // an earlier attempt lost its worker, and perhaps its supervisor too
		if err := endMarked(arg); err != nil {
			return schema.StepResult{}, err
		}
	}
	begun, err := r.o.Store.BeginAttempt(r.traced(&arg), r.beginning(run, step))
	if err != nil {
		return schema.StepResult{}, err
	}
	if begun.Finished != nil {
		clean = true
		return resultOf(begun.Number, *begun.Finished), nil
	}
	p := pendingAttempt{of: &of, step: step, attempt: begun.Number, lock: lock, began: time.Now()}
	if tooMuch != nil {
		clean = true
		return r.finish(run, p.attempt, failedStart(tooMuch, p.began), nil, nil)
	}
	result, err := r.launch(run, &p)
	_, survivors := run.count()
	clean = err == nil && survivors == 0 // whatever is left is ended when the lock's file is found
	return result, err
}

// resultNotStarted is the result of a step that was ended before it began, by a stop or with the worker.
func (r *Runner) resultNotStarted(run *running) (schema.StepResult, error) {
	if r.ctx.Err() != nil || run.isRecordSuppressed() {
		return schema.StepResult{}, ErrClosed
	}
	return schema.StepResult{Status: schema.AttemptCancelled, Reason: schema.ReasonCancelled}, nil
}

func (r *Runner) beginning(run *running, step *schema.PlanStep) store.BeginAttempt {
	arg := &run.arg
	b := store.BeginAttempt{
		SessionID: arg.SessionID, RunID: arg.RunID, StepID: arg.StepID, Execution: arg.Execution, Host: r.o.Host,
		Command: step.Command(), Lost: run.lost,
	}
	if arg.Retry {
		b.Reason = schema.ReasonRetry
	}
	return b
}

// pendingAttempt is an attempt that has begun but has no process yet.
type pendingAttempt struct {
	of      *store.RunPlan
	step    *schema.PlanStep
	attempt int
	lock    *os.File
	began   time.Time
	started bool // a supervisor was, which may have ended before the program began
}

// launch starts an attempt, and follows it to its end. A start that fails through no fault of the
// program is retried with growing waits, and does not count; meanwhile the step's log says what it
// waits for.
func (r *Runner) launch(run *running, p *pendingAttempt) (schema.StepResult, error) {
	defer r.waits(run, "")
	var since time.Time // of the first of consecutive faults
	for wait := faultFirstWait; ; wait = min(2*wait, faultLongest) {
		result, err := r.tryLaunch(run, p)
		trouble, ok := errors.AsType[*fault](err)
		if !ok {
			return result, err
		}
		if since.IsZero() {
			since = time.Now()
		}
		switch {
		case run.waiting.Err() != nil:
			return r.cancelled(run, p)
		case !trouble.shortage && time.Since(since) > r.faultPatience:
			return r.finish(run, p.attempt, failedStart(trouble.error, p.began), nil, nil)
		}
		if err := r.waitToStart(run, p, trouble, wait); err != nil {
			return result, err
		}
	}
}

// cancelled ends an attempt without processes whose step was stopped. If the worker is ending, it
// leaves the attempt as it is.
func (r *Runner) cancelled(run *running, p *pendingAttempt) (schema.StepResult, error) {
	if r.ctx.Err() != nil || run.isRecordSuppressed() {
		return schema.StepResult{}, ErrClosed
	}
	end := store.AttemptEnd{Status: schema.AttemptCancelled, Reason: schema.ReasonCancelled, DurationMS: time.Since(p.began).Milliseconds()}
	return r.finish(run, p.attempt, end, nil, nil)
}

// waitToStart records why the step waits, and waits for the next try or until the step is stopped.
// An error means that there will be no next try.
func (r *Runner) waitToStart(run *running, p *pendingAttempt, why *fault, wait time.Duration) error {
	arg := &run.arg
	text := "it cannot start yet: " + reasonOf(why.error)
	if r.waits(run, text) {
		run.reportedWait = text
		ctx, cancel := context.WithTimeout(r.ctx, faultLongest)
		err := r.o.Store.AppendOutput(ctx, store.AppendOutput{
			SessionID: arg.SessionID, RunID: arg.RunID, StepID: arg.StepID, Attempt: p.attempt,
			Progress: []schema.StepProgressData{{Attempt: p.attempt, Waiting: text}},
		})
		cancel()
		if code := schema.CodeOf(err); code == schema.CodeStale || code == schema.CodeNotFound {
			return err // no longer wanted
		}
	}
	select {
	case <-time.After(wait):
	case <-run.waiting.Done():
	}
	return nil
}

// tryLaunch makes one try. A [*fault] means that the program was never started.
func (r *Runner) tryLaunch(run *running, p *pendingAttempt) (schema.StepResult, error) {
	arg := &run.arg
	lease, err := r.o.Workspaces.Acquire(r.ctx, workspace.Request{SessionID: arg.SessionID, RunID: arg.RunID, Snapshot: p.of.Snapshot, Files: p.of.Plan.Files})
	switch {
	case r.ctx.Err() != nil:
		return schema.StepResult{}, r.ctx.Err()
	case schema.CodeOf(err) == schema.CodeUnavailable: // the blob store is down
		return schema.StepResult{}, &fault{error: err, shortage: true}
	case err != nil && (isShortage(err) || isRace(err)):
		return schema.StepResult{}, newFault(err)
	case err != nil:
		return r.finish(run, p.attempt, failedStart(err, p.began), nil, nil)
	}
	defer lease.Release()
	l, err := r.prepare(run, lease.Dir, p.of, p.step, p.attempt)
	if err != nil {
		return schema.StepResult{}, newFault(err)
	}
	if !r.mayLaunch(run) {
		r.remove(l.dir)
		return schema.StepResult{}, newFault(context.Cause(run.waiting))
	}
	defer r.launched(run)
	s, err := startSupervisor(r.o.Supervisor, l.dir, p.lock, r.owners)
	if err != nil {
		r.remove(l.dir)
		return schema.StepResult{}, newFault(err)
	}
	if r.o.Started != nil && p.attempt == 1 && !p.started && run.losses == 0 {
		r.o.Started(arg)
	}
	p.started = true
	defer s.detach()
	r.waits(run, "")
	run.started(s)
	result, err := r.followAndRecord(run, s, &l, lease, 0)
	if !run.lose(err) {
		return result, err
	}
	run.unstarted()
	if !supervisor.Began(l.dir) {
		r.remove(l.dir)
		run.losses-- // nothing was lost
		return result, newFault(errNoSupervisor)
	}
	r.remove(l.dir)
	run.recordLeftover(supervisor.KillMarked(marks(*arg)))
	switch {
	case run.waiting.Err() != nil: // it must not start again
		return r.cancelled(run, p)
	case run.losses > maxLosses:
		end := store.AttemptEnd{Status: schema.AttemptFailed, Reason: schema.ReasonSupervisor, Message: "its supervisor was killed", DurationMS: time.Since(p.began).Milliseconds()}
		return r.finish(run, p.attempt, end, nil, nil)
	default:
		return result, err
	}
}

// prepare prepares the attempt's folder.
func (r *Runner) prepare(run *running, work string, of *store.RunPlan, step *schema.PlanStep, attempt int) (leftover, error) {
	arg := run.arg
	dir := filepath.Join(r.stepDir(arg.RunID, arg.StepID), strconv.Itoa(attempt))
	r.remove(dir) // left by a number that was assigned but not used
	tmp := filepath.Join(dir, "tmp")
	if err := r.makeAll(tmp); err != nil {
		return leftover{}, err
	}
	arg.Before = nil // already recorded
	l := leftover{dir: dir, spec: supervisor.Spec{
		Step: arg, Attempt: attempt, TimeoutMS: step.TimeoutDuration().Milliseconds(), OrphanMS: r.o.OrphanTimeout.Milliseconds(),
		NetworkAllow: step.NetworkAllow(), NetworkRefused: r.o.NetworkRefused,
		SpoolBytes: r.o.SpoolBytes, OutputBytes: r.o.OutputBytes, QuotaBytes: r.o.QuotaBytes, QuotaFiles: r.o.QuotaFiles,
		Sandbox: sandbox.Spec{
			Mode: r.o.Sandbox, Argv: step.Command(), Env: environment(work, step, arg, of.Message, attempt), Dir: work, Tmp: tmp,
			ReadOnly: append(ownProgram(), r.o.SandboxPaths...), Hidden: []string{r.dataDir}, Network: step.Networked(), MemoryBytes: step.MemoryBytes(), CPUs: step.CPU,
			Processes: maxProcesses, FileBytes: fileBytes(r.o.QuotaBytes), Cgroup: r.o.Cgroup,
		},
	}}
	return l, supervisor.WriteSpec(dir, &l.spec)
}

// fileBytes limits one file of a workspace with a quota. It is a little over the quota, so that a
// later check of the workspace finds it too large.
func fileBytes(quota int64) int64 {
	if quota <= 0 {
		return 0
	}
	return quota + 1<<20
}
