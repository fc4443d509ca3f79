//go:build !linux

package sandbox

import (
	"errors"
	"os"
	"syscall"
)

const elsewhere = "this requires Linux: here a step is an ordinary process with the worker's rights"

// Child is a started program.
type Child struct {
	Pid     int
	Missing []Status
	Group   *Group   // nil
	Link    *os.File // nil
}

// Group is a cgroup; there are none here.
type Group struct{}

// Freeze, Kill and the others exist so that callers need no build tags.
func (*Group) Freeze(bool) error { return errors.ErrUnsupported }
func (*Group) Kill() error       { return errors.ErrUnsupported }
func (*Group) OOMKills() int64   { return 0 }
func (*Group) PeakMemory() int64 { return 0 }
func (*Group) Remove() error     { return nil }

// FindCgroup finds none.
func FindCgroup() (string, error) { return "", errors.ErrUnsupported }

// EnterCgroup finds none.
func EnterCgroup() (string, error) { return "", errors.ErrUnsupported }

// Start starts the program as a process in its own session, unless Mode refuses that.
func (s *Spec) Start(_ string, stdout, stderr *os.File) (*Child, error) {
	missing := Probe("")
	if err := s.refusal(missing); err != nil {
		return nil, err
	}
	pid, err := s.startPlain(&syscall.SysProcAttr{Setsid: true}, stdout, stderr)
	if err != nil {
		return nil, err
	}
	return &Child{Pid: pid, Missing: missing}, nil
}

// Outcome is never known here: wait for Pid instead.
func (*Child) Outcome() (Outcome, bool) { return Outcome{}, false }

// Segments are unknown.
func (*Child) Segments() int64 { return 0 }

// Close has nothing to remove.
func (*Child) Close() error { return nil }

// Owners exists on Linux only.
func Owners(string) (*os.File, error) { return nil, nil } //nolint:nilnil // there is nothing to make

// InheritOwners finds nothing.
func InheritOwners(int) *os.File { return nil }

// Init exists on Linux only.
func Init() int { return 2 }

// Probe says that there are no layers.
func Probe(string) []Status {
	var out []Status
	for _, l := range Layers() {
		out = append(out, Status{Layer: l, Why: elsewhere})
	}
	return out
}
