package embedded

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

var errShortStat = errors.New("too few fields in /proc/PID/stat")

// Owned identifies one process for good, by its pid and start time.
type Owned struct {
	Name  string `json:"name"`
	PID   int    `json:"pid"`
	Start uint64 `json:"start"`
}

// OwnedBy returns what identifies the process pid for good.
func OwnedBy(name string, pid int) (Owned, error) {
	start, err := StartTime(pid)
	return Owned{Name: name, PID: pid, Start: start}, err
}

// Alive reports whether this very process still runs.
func (o Owned) Alive() bool {
	if o.PID <= 1 {
		return false
	}
	start, err := StartTime(o.PID)
	return err == nil && start == o.Start
}

// End ends this very process, never another that has its pid now: with sig, and after grace with SIGKILL to its group.
// It reports whether there was anything to end.
func (o Owned) End(ctx context.Context, sig syscall.Signal, grace time.Duration) (bool, error) {
	if !o.Alive() {
		return false, nil
	}
	if err := syscall.Kill(o.PID, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return true, fmt.Errorf("end leftover %s (pid %d): %w", o.Name, o.PID, err)
	}
	if o.gone(ctx, grace) {
		return true, nil
	}
	for _, target := range []int{-o.PID, o.PID} {
		if err := syscall.Kill(target, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) && target > 0 {
			return true, fmt.Errorf("end leftover %s (pid %d): %w", o.Name, o.PID, err)
		}
	}
	if !o.gone(ctx, grace) {
		return true, fmt.Errorf("end leftover %s (pid %d): %w", o.Name, o.PID, os.ErrDeadlineExceeded)
	}
	return true, nil
}

func (o Owned) gone(ctx context.Context, within time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	return poll(ctx, nil, func(context.Context) error {
		if o.Alive() {
			return os.ErrDeadlineExceeded
		}
		return nil
	}) == nil
}

func sameDir(a, b string) bool {
	if target, err := filepath.EvalSymlinks(a); err == nil {
		a = target
	}
	if target, err := filepath.EvalSymlinks(b); err == nil {
		b = target
	}
	return filepath.Clean(a) == filepath.Clean(b)
}
