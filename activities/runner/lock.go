//go:build unix

package runner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

const (
	lockPoll = 5 * time.Millisecond
	// A supervisor whose worker died needs this long, at the very most, to end its tree.
	lockPatience = 15 * time.Second
)

// lockStep takes a step's lock on this host. It is free once no process of an attempt before
// is left: the supervisor inherits it and holds it until it exits, whatever became of its
// worker.
func lockStep(ctx context.Context, dataDir, runID, stepID string) (*os.File, error) {
	dir := filepath.Join(dataDir, "locks")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the lock folder: %w", err)
	}
	name := filepath.Join(dir, runID+"."+stepID)
	deadline := time.Now().Add(lockPatience)
	for {
		f, err := tryLock(name)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) || time.Now().After(deadline) {
			return nil, fmt.Errorf("lock step %s on this host: %w", stepID, err)
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(lockPoll):
		}
	}
}

// tryLock fails with EWOULDBLOCK when somebody else holds the lock, or has just removed the
// file that it was on.
func tryLock(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, err
	}
	locked, err := f.Stat()
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	if there, err := os.Stat(name); err != nil || !os.SameFile(there, locked) {
		_ = f.Close()
		return nil, unix.EWOULDBLOCK
	}
	return f, nil
}

// unlockStep removes a step's lock once nothing of the step is left to hold it.
func unlockStep(f *os.File) {
	_ = os.Remove(f.Name())
	_ = f.Close()
}
