//go:build unix

package runner

import (
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/holdfast/holdfast/activities/runner/supervisor"
	"github.com/holdfast/holdfast/activities/workspace"
	"github.com/holdfast/holdfast/logs"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
)

// followAndRecord follows an attempt to its end and records it.
func (r *Runner) followAndRecord(run *running, s *supervised, l *leftover, lease *workspace.Lease, offset int64) (schema.StepResult, error) {
	arg, attempt := run.arg, l.spec.Attempt
	asking, stopAsking := context.WithCancel(r.traced(&arg))
	defer stopAsking()
	go r.relayAsks(asking, &arg, attempt, s)
	r.syncFrozen(run) // a supervisor that ended takes no orders, and needs none
	r.launched(run)
	exit, err := r.follow(run, s, attempt, offset)
	if why, ok := errors.AsType[unrecordable](err); ok {
		r.end(s)
		end := store.AttemptEnd{Status: schema.AttemptFailed, Reason: schema.ReasonOutput, Message: why.Error()}
		return r.settle(run, l, lease, end)
	}
	if err != nil {
		if code := schema.CodeOf(err); code == schema.CodeStale || code == schema.CodeNotFound {
			r.o.Logger.InfoContext(about(r.ctx, &arg, logs.Attempt(attempt)), "attempt abandoned", logs.Err(err))
			r.end(s)
			r.remove(l.dir)
		}
		return schema.StepResult{}, err
	}
	if exit.Reason == schema.ReasonOrphaned {
		return schema.StepResult{}, lostError(exit.Reason)
	}
	if !run.ended(&exit) {
		return schema.StepResult{}, ErrClosed
	}
	if exit.Fault {
		run.unstarted()
		r.remove(l.dir)
		return schema.StepResult{}, newFault(errors.New(exit.StartError))
	}
	return r.settle(run, l, lease, endOf(&exit))
}

// settle saves what an attempt has left, records its end and forgets it here.
func (r *Runner) settle(run *running, l *leftover, lease *workspace.Lease, end store.AttemptEnd) (schema.StepResult, error) {
	result, err := r.keep(run, lease, l.spec.Attempt, end)
	if err == nil {
		r.remove(l.dir)
	}
	return result, err
}

// finish records the end of an attempt; saved is nil if it has left no workspace.
func (r *Runner) finish(run *running, attempt int, end store.AttemptEnd, files []store.FileChange, saved *workspace.Saved) (schema.StepResult, error) {
	arg := &run.arg
	f := store.FinishAttempt{
		SessionID: arg.SessionID, RunID: arg.RunID, StepID: arg.StepID, Attempt: attempt,
		End: end, StepStatus: stepStatus(end.Status, arg.Last), Files: files,
	}
	if saved != nil {
		f.Snapshot = saved.Digest
	}
	err := r.persist(arg, func(ctx context.Context) error {
		if saved != nil {
			if err := saved.Hold(ctx); err != nil {
				return err
			}
		}
		return r.o.Store.FinishAttempt(ctx, f)
	})
	return resultOf(attempt, end), err
}

// discard ends an attempt that is no longer wanted.
func (r *Runner) discard(l leftover) {
	s, lock, err := r.connect(l)
	if err != nil {
		r.o.Logger.WarnContext(about(r.ctx, &l.spec.Step, logs.Attempt(l.spec.Attempt)), "cannot end an old attempt", logs.Err(err))
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
		for range s.asks { // nobody answers now, but the reports after the questions are needed
		}
	}()
	for deadline := time.After(endPatience); ; {
		select {
		case <-s.gone:
			return
		case <-s.changed: // its output does not matter
			s.order(supervisor.Order{Do: supervisor.DoConsumed, Offset: s.look().end})
		case <-deadline:
			return
		}
	}
}

// makeAll makes a folder of an attempt. The folders above it are not removed meanwhile.
func (r *Runner) makeAll(dir string) error {
	r.folders.Lock()
	defer r.folders.Unlock()
	return os.MkdirAll(dir, 0o700)
}

// remove removes an attempt's folder, and the step's if it was the last one in it. The next start
// finds what stays.
func (r *Runner) remove(dir string) {
	if err := removeAll(dir); err != nil {
		r.o.Logger.Warn("cannot remove an attempt's folder", "error", err)
		return
	}
	r.folders.Lock()
	defer r.folders.Unlock()
	_ = os.Remove(filepath.Dir(dir))               // not empty: another attempt is there
	_ = os.Remove(filepath.Dir(filepath.Dir(dir))) // or another step
}

// endOf is the record of an exit.
func endOf(e *supervisor.Exit) store.AttemptEnd {
	status, reason := e.Status()
	return store.AttemptEnd{
		Status: status, Reason: reason, ExitCode: e.ExitCode, Signal: e.Signal, Message: cmp.Or(e.StartError, e.Message),
		CPUSeconds: e.CPUSeconds, MaxRSSBytes: e.MaxRSSBytes, ReadBytes: e.ReadBytes, WriteBytes: e.WriteBytes, DurationMS: e.DurationMS,
	}
}
