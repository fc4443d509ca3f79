//go:build unix

package sandbox

import (
	"fmt"
	"os"
	"syscall"
)

// startPlain starts the program as the worker's own process, with its rights.
func (s *Spec) startPlain(sys *syscall.SysProcAttr, stdout, stderr *os.File) (pid int, err error) {
	env := s.outsideEnv()
	path, err := lookPath(s.Argv[0], s.Dir, env)
	if err != nil {
		return 0, &StartError{Name: s.Argv[0], Err: err}
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return 0, fmt.Errorf("open %s: %w", os.DevNull, err)
	}
	defer null.Close()
	pid, err = syscall.ForkExec(path, s.Argv, &syscall.ProcAttr{
		Dir: s.Dir, Env: env, Files: []uintptr{null.Fd(), stdout.Fd(), stderr.Fd()}, Sys: sys,
	})
	if err != nil {
		return 0, &StartError{Name: s.Argv[0], Err: err}
	}
	return pid, nil
}
