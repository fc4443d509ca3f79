package testkit

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Supervisor is the variable that names an already built supervisor program.
const Supervisor = "HOLDFAST_TEST_SUPERVISOR"

// BuildSupervisor builds the program that a worker starts for each step, as it is shipped: with
// the race detector, which a test's own binary may have, each start would take a second. It
// returns the program's path and a function that removes it. It is for TestMain, and ends the
// process when it fails. A test binary started by another one gets the program from [Supervisor].
func BuildSupervisor() (program string, remove func()) {
	if program = os.Getenv(Supervisor); program != "" {
		return program, func() {}
	}
	dir, err := os.MkdirTemp("", "supervisor")
	if err == nil {
		err = os.Chmod(dir, 0o755) //nolint:gosec // steps are other users
	}
	program = filepath.Join(dir, "holdfast-supervisor")
	if err == nil {
		build := exec.Command("go", "build", "-trimpath", "-o", program, "github.com/holdfast/holdfast/cmd/holdfast-supervisor") //nolint:noctx // it ends
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		build.Stdout, build.Stderr = os.Stderr, os.Stderr
		err = build.Run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "build the supervisor:", err)
		os.Exit(1)
	}
	return program, func() { _ = os.RemoveAll(dir) }
}
