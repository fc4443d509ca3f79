package testkit

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// Nobody is the user and group of a [AsNobody] process.
const Nobody = 65534

// AsNobody runs this test binary again, with these arguments, as a user without rights: with a
// home and temporary files of its own, in this working folder. The caller must be root.
func AsNobody(tb testing.TB, args ...string) *exec.Cmd {
	tb.Helper()
	dir := tb.TempDir()
	check := func(err error) {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
	}
	exe, home, tmp := filepath.Join(dir, "again.test"), filepath.Join(dir, "home"), filepath.Join(dir, "tmp")
	program, err := os.ReadFile(os.Args[0]) //nolint:gosec // this binary
	check(err)
	check(os.WriteFile(exe, program, 0o755)) //nolint:gosec // it must be executable
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		check(os.Chmod(d, 0o755)) //nolint:gosec // nobody must get there
	}
	check(os.Mkdir(home, 0o755)) //nolint:gosec // the same
	check(os.Mkdir(tmp, 0o700))
	check(os.Chown(tmp, Nobody, Nobody))
	here, err := os.Getwd()
	check(err)
	cmd := exec.CommandContext(tb.Context(), exe, args...)
	cmd.Dir = here
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "TMPDIR=" + tmp, NoSkip + "=" + os.Getenv(NoSkip)}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: Nobody, Gid: Nobody}}
	return cmd
}
