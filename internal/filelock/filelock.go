//go:build unix

// Package filelock locks files against other processes.
//
// The kernel releases a lock when the last process with the descriptor open is gone, however it
// ended: a child that inherits the descriptor holds the lock, too. Any package may import it.
//
// Imports: nothing of this module.
// Imported by: activities/runner, cmd/holdfast/stack, worker.
package filelock

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// ErrHeld says that somebody else holds the lock.
var ErrHeld = errors.New("the lock is held")

// Try opens the file at path, creating it if needed, and locks it. It fails with [ErrHeld] when
// somebody else holds the lock, or has just removed the file. Existed says that the file was
// there before, left by an earlier holder. Closing the file releases the lock.
func Try(path string) (file *os.File, existed bool, err error) {
	file, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		existed = true
		file, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	}
	if err != nil {
		return nil, existed, err
	}
	if err := lock(file, path); err != nil {
		_ = file.Close() // nothing was written
		return nil, existed, err
	}
	return file, existed, nil
}

func lock(file *os.File, path string) error {
	err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return ErrHeld
	}
	if err != nil {
		return fmt.Errorf("lock %s: %w", path, err)
	}
	locked, err := file.Stat()
	if err != nil {
		return err
	}
	if there, err := os.Stat(path); err != nil || !os.SameFile(there, locked) {
		return ErrHeld // the file was removed between opening and locking: this lock guards nothing
	}
	return nil
}
