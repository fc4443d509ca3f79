package testkit_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/holdfast/holdfast/internal/testkit"
)

const inner = "HOLDFAST_TEST_SKIP_INNER"

// TestSkip_FailsWhereNothingMayBeSkipped checks that the same test skips, or fails with the reason.
func TestSkip_FailsWhereNothingMayBeSkipped(t *testing.T) {
	t.Parallel()
	switch os.Getenv(inner) {
	case "skip":
		testkit.Skip(t, "this host lacks a moon")
	case "exempt":
		testkit.SkipExempt(t, testkit.CgroupV2, "none here")
	}
	for _, c := range []struct {
		how, noSkip, want string
		ok                bool
	}{
		{"skip", "", "SKIP", true},
		{"skip", "1", "HOLDFAST_TEST_NO_SKIP is set: this host lacks a moon", false},
		{"exempt", "1", "SKIP", true},
	} {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.v", "-test.run=^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), inner+"="+c.how, testkit.NoSkip+"="+c.noSkip)
		out, err := cmd.CombinedOutput()
		if (err == nil) != c.ok || !strings.Contains(string(out), c.want) {
			t.Errorf("%+v: %v\n%s", c, err, out)
		}
	}
}
