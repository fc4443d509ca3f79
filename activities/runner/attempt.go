//go:build unix

package runner

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/holdfast/holdfast/activities/runner/supervisor"
	"github.com/holdfast/holdfast/activities/workspace"
	"github.com/holdfast/holdfast/internal/filelock"
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

// leftovers lists a step's, the latest first. An error means that they cannot be read now.
func (r *Runner) leftovers(runID, stepID string) ([]leftover, error) {
	dir := r.stepDir(runID, stepID)
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // none is the usual case
		return nil, err
	}
	var list []leftover
	for _, e := range entries {
		l := leftover{dir: filepath.Join(dir, e.Name())}
		l.spec, err = supervisor.ReadSpec(l.dir)
		if unusable(err) {
			l.spec, err = r.clear(runID, stepID, l.dir)
		}
		switch {
		case errors.Is(err, errCleared):
		case err != nil:
			return nil, err
		default:
			list = append(list, l)
		}
	}
	slices.SortFunc(list, func(a, b leftover) int { return b.spec.Attempt - a.spec.Attempt })
	return list, nil
}

// unusable tells a spec that is not there, or is none, from one that cannot be read now.
func unusable(err error) bool {
	_, system := errors.AsType[*fs.PathError](err)
	return err != nil && (!system || errors.Is(err, fs.ErrNotExist))
}

var errCleared = errors.New("it is no attempt, or not yet")

// clear removes a folder without a spec: its worker died before it started anything. One whose
// step is locked is somebody's who is about to write it.
func (r *Runner) clear(runID, stepID, dir string) (supervisor.Spec, error) {
	lock, existed, err := filelock.Try(lockName(r.o.DataDir, runID, stepID))
	switch {
	case errors.Is(err, fs.ErrNotExist): // nobody has ever locked anything here
	case errors.Is(err, filelock.ErrHeld):
		return supervisor.Spec{}, errCleared
	case err != nil:
		return supervisor.Spec{}, err
	default:
		defer unlockStep(lock, !existed)
	}
	spec, err := supervisor.ReadSpec(dir) // nobody writes it now
	if unusable(err) {
		r.remove(dir)
		return spec, errCleared
	}
	return spec, err
}

// leftoversAtLast lists them as soon as they can be read: a host that is short of descriptors
// is no reason to start a second attempt beside one that runs.
func (r *Runner) leftoversAtLast(runID, stepID string) (list []leftover, err error) {
	for wait := faultFirstWait; ; wait = min(2*wait, faultLongest) {
		if list, err = r.leftovers(runID, stepID); err == nil {
			return list, nil
		}
		if wait == 4*faultFirstWait {
			r.o.Logger.Warn("what runs on this host cannot be read", "run_id", runID, "step_id", stepID, "error", err)
		}
		select {
		case <-time.After(wait):
		case <-r.ctx.Done():
			return nil, err
		}
	}
}

// attempt runs a step, or goes on with it, from its lock to its last record.
func (r *Runner) attempt(run *running) (schema.StepResult, error) {
	ask := run.ask
	left, err := r.leftoversAtLast(ask.RunID, ask.StepID)
	if err != nil {
		return schema.StepResult{}, err
	}
	for _, l := range left {
		if l.spec.Step.Execution != ask.Execution { // the workflow has gone on since
			r.dispose(l)
			continue
		}
		r.occupy(run, &l.spec)
		result, done, err := r.resume(run, l)
		if done || err != nil {
			return result, err
		}
	}
	run.vacate() // a new attempt waits for its turn
	if run.recovers {
		return schema.StepResult{}, errNothingToResume
	}
	for {
		result, err := r.begin(run)
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

// resume goes on with an attempt that another worker began, or this one before it lost the
// connection. done is false when a further attempt is needed; unless that is to follow now,
// what is known of this one stays.
func (r *Runner) resume(run *running, l leftover) (result schema.StepResult, done bool, err error) {
	if !r.comeBack(run) {
		return result, false, ErrClosed
	}
	defer r.launched(run)
	s, lock, err := r.connect(l)
	if err != nil {
		return result, false, err
	}
	defer s.detach()
	// From here on orders reach it; what it is to do may be known here already, whoever else is away.
	run.started(s)
	if r.isFrozen(run.ask.RunID) {
		r.align(run)
	}
	r.launched(run)
	defer func() {
		if lock != nil { // else the supervisor has it
			unlockStep(lock, false)
		}
	}()
	ask := run.ask
	// It runs, and stays this worker's while the store is away: nobody else follows it.
	var begun store.BegunAttempt
	err = r.persist(func(ctx context.Context) (err error) {
		begun, err = r.o.Store.BeginAttempt(ctx, store.BeginAttempt{
			SessionID: ask.SessionID, RunID: ask.RunID, StepID: ask.StepID, Execution: ask.Execution, Host: r.o.Host,
			Live: l.spec.Attempt, Worker: r.name,
		})
		return err
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
	run.told = "its worker" // and maybe more, which the worker before has said
	r.o.Logger.Info("step re-attached", "session_id", ask.SessionID, "run_id", ask.RunID, "step_id", ask.StepID, "attempt", begun.Number)
	if err := r.persist(func(ctx context.Context) error { return r.askWhetherFrozen(ctx, &ask) }); err != nil {
		return result, false, err
	}
	var snapshot string
	err = r.persist(func(ctx context.Context) (err error) {
		snapshot, err = r.o.Store.Snapshot(ctx, ask.SessionID)
		return err
	})
	if err != nil {
		return result, false, err
	}
	stay, err := r.o.Workspaces.Return(workspace.Visit{SessionID: ask.SessionID, RunID: ask.RunID, Snapshot: snapshot})
	if err != nil {
		return result, false, err
	}
	defer stay.Leave()
	result, err = r.goOn(run, s, &l, stay, begun.SpoolOffset)
	if _, never := errors.AsType[*fault](err); never {
		run.lost = schema.ReasonWorkerLost // it was never started, and this worker has not begun it
		return result, false, nil
	}
	if run.lose(err) {
		if err := endMarked(ask); err != nil {
			return result, false, err
		}
		if !run.recovers {
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
		lock, _, err := filelock.Try(lockName(r.o.DataDir, ask.RunID, ask.StepID))
		if err == nil {
			return abandoned(l.dir), lock, nil
		}
		if r.ctx.Err() != nil || time.Now().After(deadline) {
			return nil, nil, fmt.Errorf("reach the supervisor of step %s: %w", ask.StepID, errors.Join(dialErr, err))
		}
		time.Sleep(lockPoll)
	}
}
