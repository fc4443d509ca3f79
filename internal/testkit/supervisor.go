package testkit

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Supervisor is the variable that names an already built supervisor program.
const Supervisor = "HOLDFAST_TEST_SUPERVISOR"

// WithSupervisor has [Main] build the program that a worker starts for each step, and put its path in target. It is built as
// it is shipped: with the race detector, which a test's own binary may have, each start would take a second. A test binary
// started by another one gets the program from [Supervisor].
func WithSupervisor(target *string) Option {
	return func() (remove func() error, err error) {
		if *target = os.Getenv(Supervisor); *target != "" {
			return nil, nil
		}
		dir, err := os.MkdirTemp("", "supervisor")
		if err != nil {
			return nil, fmt.Errorf("folder of the supervisor: %w", err)
		}
		remove = func() error { return os.RemoveAll(dir) }
		if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // steps are other users
			return remove, fmt.Errorf("folder of the supervisor: %w", err)
		}
		*target = filepath.Join(dir, "holdfast-supervisor")
		build := exec.Command("go", "build", "-trimpath", "-o", *target, "github.com/holdfast/holdfast/cmd/holdfast-supervisor") //nolint:noctx // it ends
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		build.Stdout, build.Stderr = os.Stderr, os.Stderr
		if err := build.Run(); err != nil {
			return remove, fmt.Errorf("build the supervisor: %w", err)
		}
		return remove, nil
	}
}
