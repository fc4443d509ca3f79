package testkit_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/holdfast/holdfast/internal/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

const leaking = "HOLDFAST_TEST_LEAKING"

// TestMain_FailsWhenAGoroutineIsLeft checks it with this test alone, in another process.
func TestMain_FailsWhenAGoroutineIsLeft(t *testing.T) {
	t.Parallel()
	if os.Getenv(leaking) != "" {
		go func() { select {} }()
		return
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), leaking+"=1")
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "PASS\nafter all tests of the package: found unexpected goroutines") {
		t.Errorf("%v\n%s", err, out)
	}
}
