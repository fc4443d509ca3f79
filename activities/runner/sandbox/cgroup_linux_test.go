package sandbox

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/internal/testkit"
)

// TestGroup_FreezesAndKills a whole step at once.
func TestGroup_FreezesAndKills(t *testing.T) {
	t.Parallel()
	parent, err := FindCgroup()
	if err != nil {
		testkit.SkipExempt(t, testkit.CgroupV2, err.Error())
	}
	g, err := NewGroup(parent, fmt.Sprintf("holdfast-test-%d", os.Getpid()))
	if err != nil {
		testkit.SkipExempt(t, testkit.CgroupV2, err.Error())
	}
	t.Cleanup(func() { _ = g.Kill(); _ = g.Remove() })
	cmd := exec.CommandContext(t.Context(), "sh", "-c", "while :; do echo; sleep 0.01; done")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.Open(g.path)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(dir.Fd())}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, 3)); err != nil {
		t.Fatal(err)
	}
	if err := g.Freeze(true); err != nil {
		t.Fatal(err)
	}
	if err := g.Freeze(false); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, 3)); err != nil {
		t.Fatal(err)
	}
	if len(g.Pids()) == 0 || g.CPU() < 0 || g.OOMKills() != 0 {
		t.Errorf("the group holds %v", g.Pids())
	}
	if err := g.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || ws.Signal() != syscall.SIGKILL {
		t.Errorf("it ended as %v", cmd.ProcessState)
	}
	if err := g.Remove(); err != nil {
		t.Error(err)
	}
}

// TestEnterCgroup_LeavesADelegatedGroupToTheSteps: the worker moves below it.
func TestEnterCgroup_LeavesADelegatedGroupToTheSteps(t *testing.T) {
	t.Parallel()
	parent, err := FindCgroup()
	if err != nil {
		testkit.SkipExempt(t, testkit.CgroupV2, err.Error())
	}
	for _, mark := range []bool{false, true} {
		g, err := NewGroup(parent, fmt.Sprintf("holdfast-test-%t-%d", mark, os.Getpid()))
		if err != nil {
			testkit.SkipExempt(t, testkit.CgroupV2, err.Error())
		}
		want := g.path
		if mark {
			if err := unix.Setxattr(g.path, "user.delegate", []byte("1"), 0); err != nil {
				testkit.SkipExempt(t, testkit.CgroupV2, "its groups take no marks: "+err.Error())
			}
			want += "/" + workerGroup
		}
		dir, err := os.Open(g.path)
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = []string{enterCgroup + "=1"}
		cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(dir.Fd())}
		out, err := cmd.Output()
		_ = dir.Close()
		_ = unix.Rmdir(filepath.Join(g.path, workerGroup)) // only if it is marked
		_ = g.Remove()
		mount, _ := cgroupMount() // it was there before
		if err != nil || !strings.HasPrefix(string(out), g.path+" <nil>\n"+g.path+"\n") || !strings.Contains(string(out), "0::"+strings.TrimPrefix(want, mount)+"\n") {
			t.Errorf("marked %t: got %q, %v", mark, out, err)
		}
	}
}

// TestStart_InAGroup: a step's group is made, used and reported.
func TestStart_InAGroup(t *testing.T) {
	t.Parallel()
	parent, err := FindCgroup()
	if err != nil {
		testkit.SkipExempt(t, testkit.CgroupV2, err.Error())
	}
	s := newSpec(t, "sh", "-c", "cat /proc/self/cgroup")
	s.Cgroup = parent
	res, err := run(t, s)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(res.out, "0::") || slices.ContainsFunc(res.missing, func(m Status) bool { return m.Layer == LayerCgroupFreeze }) {
		t.Errorf("got %q, missing %v", res.out, res.missing)
	}
}

// TestSweep_RemovesOldEmptyGroups and leaves those of steps that are starting.
func TestSweep_RemovesOldEmptyGroups(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	for _, name := range []string{"step-1-7", fmt.Sprintf("step-%d-7", time.Now().UnixNano()), "other", "step-x"} {
		if err := os.Mkdir(filepath.Join(parent, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	sweepGroups(parent)
	left, err := os.ReadDir(parent)
	if err != nil || len(left) != 3 {
		t.Errorf("got %v, %v", left, err)
	}
}
