package sandbox

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/holdfast/holdfast/internal/testkit"
)

const (
	supervisorDir = "HOLDFAST_TEST_SANDBOX_DIR"
	enterCgroup   = "HOLDFAST_TEST_SANDBOX_CGROUP"
	supervisorTmp = "HOLDFAST_TEST_SANDBOX_TMP"
)

// beElsewhere makes this process what a Linux test started it as, and says whether it did.
var beElsewhere func() bool

// TestMain lets the test binary be init, and a supervisor that waits to be killed.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == initArg {
		os.Exit(Init())
	}
	if dir := os.Getenv(supervisorDir); dir != "" {
		runtime.LockOSThread()
		s := &Spec{Mode: Weakened, Argv: []string{"sh", "-c", "touch running; (setsid sleep 47.11 &); sleep 47.11"}, Env: []string{"PATH=/usr/bin:/bin"}, Dir: dir, Tmp: os.Getenv(supervisorTmp)}
		if _, err := s.Start(os.Args[0], os.Stdout, os.Stderr); err != nil {
			os.Exit(3)
		}
		time.Sleep(time.Minute) // it is killed before
		os.Exit(4)
	}
	if beElsewhere != nil && beElsewhere() {
		os.Exit(0)
	}
	if os.Getenv(enterCgroup) != "" {
		dir, err := EnterCgroup()
		again, _ := FindCgroup() // it is compared
		own, _ := os.ReadFile("/proc/self/cgroup")
		fmt.Printf("%s %v\n%s\n%s", dir, err, again, own) //nolint:forbidigo // for the test that started it
		os.Exit(0)
	}
	os.Exit(testkit.Main(m))
}

func TestParseMode_TakesTheFour(t *testing.T) {
	t.Parallel()
	for text, ok := range map[string]bool{"required": true, "isolated": true, "weakened": true, "best-effort": false, "off": true, "": false, "on": false} {
		if _, got := ParseMode(text); got != ok {
			t.Errorf("%q: got %t", text, got)
		}
	}
}

// running waits until the program of a spec says that it runs.
func running(t *testing.T, s *Spec) {
	t.Helper()
	testkit.Eventually(t, "a running program", func() bool { _, err := os.Stat(filepath.Join(s.Dir, "running")); return err == nil })
}
