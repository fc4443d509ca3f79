package sandbox

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

const socketVar = "HOLDFAST_SOCKET"

func getenv(env []string, name string) string {
	for _, kv := range slices.Backward(env) { // the last one counts
		if value, ok := strings.CutPrefix(kv, name+"="); ok {
			return value
		}
	}
	return ""
}

func setenv(env []string, name, value string) []string {
	out := make([]string, 0, len(env)+1)
	for _, kv := range env {
		if !strings.HasPrefix(kv, name+"=") {
			out = append(out, kv)
		}
	}
	return append(out, name+"="+value)
}

// insideEnv is the program's environment in a root of its own.
func (s *Spec) insideEnv() []string {
	env := setenv(s.Env, "TMPDIR", "/tmp")
	var path []string
	for _, dir := range filepath.SplitList(getenv(env, "PATH")) {
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			path = append(path, dir)
		}
	}
	return setenv(env, "PATH", strings.Join(path, string(filepath.ListSeparator)))
}

// outsideEnv is the program's environment in the host's root.
func (s *Spec) outsideEnv() []string {
	env := s.Env
	if s.Tmp != "" {
		env = setenv(env, "TMPDIR", s.Tmp)
	}
	if rest, ok := strings.CutPrefix(getenv(env, socketVar), SocketDir); ok && s.Socket != "" {
		env = setenv(env, socketVar, s.Socket+rest)
	}
	return env
}

// lookPath finds a program as execvp does: in the environment's PATH, relative to dir.
func lookPath(name, dir string, env []string) (string, error) {
	_ = os.Chdir(dir)                                              // if it cannot, the start itself fails
	if err := os.Setenv("PATH", getenv(env, "PATH")); err != nil { // this process belongs to the step alone
		return "", err
	}
	path, err := exec.LookPath(name)
	if execErr, ok := errors.AsType[*exec.Error](err); ok {
		err = execErr.Err
	}
	if pathErr, ok := errors.AsType[*os.PathError](err); ok {
		err = pathErr.Err
	}
	return path, err
}
