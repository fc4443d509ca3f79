//go:build unix

package runner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/holdfast/holdfast/internal/filelock"
	"github.com/holdfast/holdfast/schema"
)

const (
	lockPoll = 5 * time.Millisecond
	// A supervisor whose worker died needs this long, at the very most, to end its tree.
	lockPatience = 15 * time.Second
)

// lockName is the file of a step's lock.
func lockName(dataDir, runID, stepID string) string {
	return filepath.Join(dataDir, "locks", runID+"."+stepID)
}

// lockStep takes a step's lock on this host. It is free once no process of an attempt before
// is left: the supervisor inherits it and holds it until it exits, whatever became of its
// worker. Left says that one did not come to its end.
func lockStep(ctx context.Context, dataDir, runID, stepID string) (lock *os.File, left bool, err error) {
	name := lockName(dataDir, runID, stepID)
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return nil, false, fmt.Errorf("make the lock folder: %w", err)
	}
	deadline := time.Now().Add(lockPatience)
	for {
		f, existed, err := filelock.Try(name)
		left = left || existed
		if err == nil {
			return f, left, nil
		}
		if !errors.Is(err, filelock.ErrHeld) || time.Now().After(deadline) {
			return nil, false, fmt.Errorf("lock step %s on this host: %w", stepID, err)
		}
		select {
		case <-ctx.Done():
			return nil, false, context.Cause(ctx)
		case <-time.After(lockPoll):
		}
	}
}

// lockStep takes the lock of a step that is to begin, as soon as the host has what that takes.
func (r *Runner) lockStep(run *running) (lock *os.File, left bool, err error) {
	defer r.waits(run, "")
	for wait := faultFirstWait; ; wait = min(2*wait, faultLongest) {
		lock, left, err = lockStep(r.ctx, r.o.DataDir, run.ask.RunID, run.ask.StepID)
		if err == nil || !isShortage(err) || errors.Is(err, filelock.ErrHeld) {
			return lock, left, err
		}
		r.waits(run, "it cannot start yet: "+reasonOf(err))
		select {
		case <-time.After(wait):
		case <-run.waiting.Done():
			return nil, false, err
		}
	}
}

// unlockStep gives a step's lock back. The file goes only when nothing of the step is left:
// one that stays says that something may be.
func unlockStep(f *os.File, clean bool) {
	if clean {
		_ = os.Remove(f.Name())
	}
	_ = f.Close()
}

// sweepLocks removes the locks that steps of earlier workers left: what went on without its
// worker keeps its lock's file, since nobody was there to see it end.
func (r *Runner) sweepLocks() {
	locks, _ := os.ReadDir(filepath.Join(r.dataDir, "locks")) // none is the usual case
	for _, file := range locks {
		runID, stepID, _ := strings.Cut(file.Name(), ".")
		if _, err := os.Stat(r.stepDir(runID, stepID)); err == nil {
			continue // the step is gone on with
		}
		lock, _, err := filelock.Try(lockName(r.dataDir, runID, stepID))
		if err != nil {
			continue // it runs
		}
		unlockStep(lock, endMarked(schema.RunStep{RunID: runID, StepID: stepID}) == nil)
	}
}
