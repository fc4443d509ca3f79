//go:build unix

package runner

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	// How often a failed start is tried again.
	faultFirstWait = 50 * time.Millisecond
	faultLongest   = 5 * time.Second
	// faultPatience is how long, unless something says that the problem will pass.
	faultPatience = time.Minute
)

// fault is why a program could not be started when the program is not to blame.
type fault struct {
	error

	shortage bool // of the host; it passes once somebody makes room
}

func (f *fault) Unwrap() error { return f.error }

func newFault(err error) *fault { return &fault{error: err, shortage: isShortage(err)} }

var errNoSupervisor = errors.New("the supervisor exited before starting the program")

// shortages are the system's errors when the host lacks something, or a disk does not work.
var shortages = []syscall.Errno{
	syscall.ENOSPC, syscall.EDQUOT, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EAGAIN, syscall.ENOBUFS, syscall.EIO, syscall.EROFS,
}

// isShortage checks an error, which may have come from another process as text.
func isShortage(err error) bool {
	return slices.ContainsFunc(shortages, func(e syscall.Errno) bool {
		return errors.Is(err, e) || strings.HasSuffix(err.Error(), ": "+e.Error())
	})
}

// isRace reports the errors of preparing a folder while another step works in it.
func isRace(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrExist) || errors.Is(err, syscall.ENOTEMPTY) || errors.Is(err, syscall.EBUSY) || errors.Is(err, syscall.ETXTBSY)
}

// waitsAgain is the shortest time between two log lines that say that steps wait for this host.
const waitsAgain = time.Minute

// waits records what a step waits for on this host, "" for nothing, and reports whether that is
// new. The log mentions only the first step: when a disk is full, all of them wait.
func (r *Runner) waits(run *running, why string) (news bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before, key := len(r.short), run.arg.Execution
	if r.short[key] == why {
		return false
	}
	if why == "" {
		delete(r.short, key)
		if len(r.short) == 0 && r.shortSaid {
			r.shortSaid = false
			r.o.Logger.Info("steps no longer wait for this host", "host", r.o.Host)
		}
		return true
	}
	r.short[key] = why
	if before == 0 && time.Since(r.shortAt) > waitsAgain {
		r.shortAt, r.shortSaid = time.Now(), true
		r.o.Logger.Warn("steps wait for this host", "host", r.o.Host, "reason", why,
			"session_id", run.arg.SessionID, "run_id", run.arg.RunID, "step_id", run.arg.StepID)
	}
	return true
}
