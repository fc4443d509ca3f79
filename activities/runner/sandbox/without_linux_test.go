package sandbox

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/internal/testkit"
	"github.com/holdfast/holdfast/schema"
)

const without = "HOLDFAST_TEST_SANDBOX_WITHOUT"

// TestAll_WithoutUserNamespaces runs the tests of steps on a host without namespaces, as a normal
// user who gets none from the kernel, as in a container with its engine's own profile.
func TestAll_WithoutUserNamespaces(t *testing.T) {
	if os.Getenv(nested) != "" {
		return
	}
	if os.Geteuid() != 0 {
		testkit.Skip(t, "it takes root to take namespaces away from a user")
	}
	nobody := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 1}, {ContainerID: stepID, HostID: stepID, Size: 1}}
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), without+"=1", nested+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER, UidMappings: nobody, GidMappings: nobody, GidMappingsEnableSetgroups: true}
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "PASS") {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestAttack_HostWithoutNamespaces: steps are refused with advice on what to do, unless the
// operator gave isolation up.
func TestAttack_HostWithoutNamespaces(t *testing.T) {
	if os.Getenv(without) == "" {
		return // TestAll_WithoutUserNamespaces runs it
	}
	for _, mode := range []Mode{Isolated, Required} {
		s := newSpec(t, "touch", "ran")
		s.Mode = mode
		_, err := run(t, s)
		if schema.CodeOf(err) != schema.CodeUnsupported || !strings.Contains(err.Error(), "mount (") {
			t.Errorf("%s: %v", mode, err)
		}
		if _, err := os.Stat(s.Dir + "/ran"); err == nil {
			t.Errorf("%s: the program ran", mode)
		}
	}
	s := newSpec(t, "sh", "-c", "grep NoNewPrivs /proc/self/status; cat /etc/shadow 2>&1")
	s.Mode = Weakened
	res, err := run(t, s)
	if err != nil || !strings.Contains(res.out, "NoNewPrivs:\t1") || strings.Contains(res.out, "root:") {
		t.Errorf("%v: %+v", err, res)
	}
}
