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
	// A supervisor whose worker died needs at most this long to end its tree.
	lockPatience = 15 * time.Second
)

// lockName is the file of a step's lock.
func lockName(dataDir, runID, stepID string) string {
	return filepath.Join(dataDir, "locks", runID+"."+stepID)
}

// lockStep takes a step's lock on this host. The lock is free once no process of an earlier attempt
// is left: the supervisor inherits it and holds it until it exits, whether or not its worker lives.
// left says that an attempt did not finish.
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

// lockStep takes the lock of a step that is about to begin, as soon as the host has the resources.
func (r *Runner) lockStep(run *running) (lock *os.File, left bool, err error) {
	defer r.waits(run, "")
	for wait := faultFirstWait; ; wait = min(2*wait, faultLongest) {
		lock, left, err = lockStep(r.ctx, r.o.DataDir, run.arg.RunID, run.arg.StepID)
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

// unlockStep releases a step's lock. It removes the file only if nothing of the step is left: a
// file that stays says that something may be.
func unlockStep(f *os.File, clean bool) {
	if clean {
		_ = os.Remove(f.Name())
	}
	_ = f.Close()
}

// sweepLocks removes the locks that steps of earlier workers left: a step that went on without its
// worker keeps its lock file, since nobody saw it end.
func (r *Runner) sweepLocks() {
	locks, _ := os.ReadDir(filepath.Join(r.dataDir, "locks")) // none is the usual case
	for _, file := range locks {
		runID, stepID, _ := strings.Cut(file.Name(), ".")
		if _, err := os.Stat(r.stepDir(runID, stepID)); err == nil {
			continue // the step is being continued
		}
		lock, _, err := filelock.Try(lockName(r.dataDir, runID, stepID))
		if err != nil {
			continue // it is running
		}
		unlockStep(lock, endMarked(schema.RunStep{RunID: runID, StepID: stepID}) == nil)
	}
}
