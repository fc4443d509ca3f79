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
	"github.com/holdfast/holdfast/logs"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
)

// stepsDir is the folder of all steps, in the data folder.
const stepsDir = "steps"

// stepDir is where a host keeps what it knows about a running step: a folder for each attempt.
func (r *Runner) stepDir(runID, stepID string) string {
	return filepath.Join(r.dataDir, stepsDir, runID, stepID)
}

// leftover is an attempt whose end was not recorded: its supervisor runs, has left an exit, or was
// killed.
type leftover struct {
	dir  string
	spec supervisor.Spec
}

// leftovers lists a step's leftovers, latest first. An error means that they cannot be read now.
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

// unusable tells a missing or invalid spec from one that cannot be read now.
func unusable(err error) bool {
	_, system := errors.AsType[*fs.PathError](err)
	return err != nil && (!system || errors.Is(err, fs.ErrNotExist))
}

var errCleared = errors.New("not an attempt, or not yet")

// clear removes a folder without a spec: its worker died before it started anything. If the step is
// locked, somebody is about to write the spec, and the folder stays.
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

// leftoversAtLast retries until they can be read: a shortage of descriptors must not start a second
// attempt beside a running one.
func (r *Runner) leftoversAtLast(runID, stepID string) (list []leftover, err error) {
	for wait := faultFirstWait; ; wait = min(2*wait, faultLongest) {
		if list, err = r.leftovers(runID, stepID); err == nil {
			return list, nil
		}
		if wait == 4*faultFirstWait {
			r.o.Logger.WarnContext(logs.With(r.ctx, logs.Run(runID), logs.Step(stepID)), "cannot list the steps on this host", logs.Err(err))
		}
		select {
		case <-time.After(wait):
		case <-r.ctx.Done():
			return nil, err
		}
	}
}

// attempt runs or continues a step, from its lock to its last record.
func (r *Runner) attempt(run *running) (schema.StepResult, error) {
	arg := run.arg
	left, err := r.leftoversAtLast(arg.RunID, arg.StepID)
	if err != nil {
		return schema.StepResult{}, err
	}
	for _, l := range left {
		if l.spec.Step.Execution != arg.Execution { // the workflow has moved on since
			r.discard(l)
			continue
		}
		r.occupy(run, &l.spec)
		result, done, err := r.resume(run, l)
		if done || err != nil {
			return result, err
		}
	}
	run.releaseSlots() // a new attempt waits for its turn
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

// maxLosses is how often a step starts again because its supervisor was killed. The step itself may
// be the killer.
const maxLosses = 2

// errNothingToResume ends the recovery of a step that has to start again: only the workflow decides
// that.
var errNothingToResume = errors.New("the step must be restarted")

// resume continues an attempt that another worker began, or this one before it lost the connection.
// done is false if a new attempt is needed; unless that follows at once, what is known of this one
// stays.
func (r *Runner) resume(run *running, l leftover) (result schema.StepResult, done bool, err error) {
	if !r.mayReattach(run) {
		return result, false, ErrClosed
	}
	defer r.launched(run)
	s, lock, err := r.connect(l)
	if err != nil {
		return result, false, err
	}
	defer s.detach()
	// From here on orders reach it. Whether to freeze may be known here already, even if others are
	// down.
	run.started(s)
	if r.isFrozen(run.arg.RunID) {
		r.syncFrozen(run)
	}
	r.launched(run)
	defer func() {
		if lock != nil { // else the supervisor has it
			unlockStep(lock, false)
		}
	}()
	arg := run.arg
	// It runs, and stays this worker's while the store is down: nobody else follows it.
	var begun store.BegunAttempt
	err = r.persist(&arg, func(ctx context.Context) (err error) {
		begun, err = r.o.Store.BeginAttempt(ctx, store.BeginAttempt{
			SessionID: arg.SessionID, RunID: arg.RunID, StepID: arg.StepID, Execution: arg.Execution, Host: r.o.Host,
			Live: l.spec.Attempt, Worker: r.name,
		})
		return err
	})
	code := schema.CodeOf(err)
	switch {
	case err != nil && code != schema.CodeStale && code != schema.CodeNotFound:
		return result, false, err
	case err != nil: // the run is over, and so must this be
		r.end(s)
		r.remove(l.dir)
		return schema.StepResult{Status: schema.AttemptCancelled, Reason: schema.ReasonCancelled}, true, nil
	case begun.Finished != nil || begun.Number != l.spec.Attempt:
		r.end(s)
		r.remove(l.dir)
		if begun.Finished == nil {
			run.lost = schema.ReasonWorkerLost // an attempt has begun that has nothing here
			return result, false, nil
		}
		return resultOf(begun.Number, *begun.Finished), true, nil
	}
	run.reportedWait = "its worker" // and perhaps more that the previous worker had reported
	if err := r.persist(&arg, func(ctx context.Context) error { return r.loadFrozen(ctx, &arg) }); err != nil {
		return result, false, err
	}
	var snapshot string
	err = r.persist(&arg, func(ctx context.Context) (err error) {
		snapshot, err = r.o.Store.Snapshot(ctx, arg.SessionID)
		return err
	})
	if err != nil {
		return result, false, err
	}
	lease, err := r.o.Workspaces.Reacquire(workspace.Request{SessionID: arg.SessionID, RunID: arg.RunID, Snapshot: snapshot})
	if err != nil {
		return result, false, err
	}
	defer lease.Release()
	result, err = r.followAndRecord(run, s, &l, lease, begun.SpoolOffset)
	if _, never := errors.AsType[*fault](err); never {
		run.lost = schema.ReasonWorkerLost // it was never started, and this worker has not begun it
		return result, false, nil
	}
	if run.lose(err) {
		if err := endMarked(arg); err != nil {
			return result, false, err
		}
		if !run.recovers {
			r.remove(l.dir)
		}
		return result, false, nil
	}
	return result, true, err
}

// connect connects to the supervisor of a leftover. If the supervisor is gone, as its free lock
// proves, only its files are left, and connect returns the lock.
func (r *Runner) connect(l leftover) (s *supervised, lock *os.File, err error) {
	arg := &l.spec.Step
	deadline := time.Now().Add(lockPatience)
	for {
		ctx, cancel := context.WithTimeout(r.ctx, time.Second)
		conn, dialErr := supervisor.Dial(ctx, l.dir)
		cancel()
		if dialErr == nil {
			return newSupervised(l.dir, conn), nil, nil
		}
		lock, _, err := filelock.Try(lockName(r.o.DataDir, arg.RunID, arg.StepID))
		if err == nil {
			return abandoned(l.dir), lock, nil
		}
		if r.ctx.Err() != nil || time.Now().After(deadline) {
			return nil, nil, fmt.Errorf("reach the supervisor of step %s: %w", arg.StepID, errors.Join(dialErr, err))
		}
		time.Sleep(lockPoll)
	}
}
