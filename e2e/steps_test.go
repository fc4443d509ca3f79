package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/holdfast/holdfast/internal/testkit"
)

// A program asks a human, with the network off; the question waits while every part of the
// system dies, and its answer reaches the same process.
func TestAsk_OutlivesEveryPartOfTheSystem(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	id := s.start(`{"steps":[{"id":"ask","shell":"answer=$(holdfast ask 'Which one?' --option red --option blue --timeout 10m); echo it is $answer, exit $?, attempt $HOLDFAST_ATTEMPT"}]}`, nil)
	a := s.awaitApproval(id)
	if a.Type != "program_ask" {
		t.Fatalf("%+v", a)
	}
	s.kill("worker")
	s.kill("temporal")
	s.kill("web")
	s.kill("postgres")
	seen := s.watch(id)
	seen.awaitType("step_reattached")
	if again := s.awaitApproval(id); again.ID != a.ID {
		t.Fatalf("the question %s became %s", a.ID, again.ID)
	}
	s.mustCall("POST", "/api/approvals/"+a.ID+"/resolve", obj{"resolution": "approved", "feedback": "blue"}, nil)
	if got := printed(t, seen.awaitType("workflow_completed"), "ask", 1); got != "it is blue, exit 0, attempt 1\n" {
		t.Fatalf("printed %q", got)
	}
}

func TestAsk_ExitsByTheAnswer(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	id := s.start(`{"steps":[{"id":"ask","shell":"holdfast ask 'Go on?'; echo no: $?; holdfast ask 'Quick!' --timeout 1s; echo late: $?; HOLDFAST_SOCKET= holdfast ask x; echo nobody: $?"}]}`, nil)
	a := s.awaitApproval(id)
	s.mustCall("POST", "/api/approvals/"+a.ID+"/resolve", obj{"resolution": "rejected", "feedback": "not today"}, nil)
	if got, want := printed(t, s.watch(id).awaitType("workflow_completed"), "ask", 1), "not today\nno: 1\n"; !strings.HasPrefix(got, want) ||
		!strings.Contains(got, "late: 2\n") || !strings.HasSuffix(got, "nobody: 3\n") {
		t.Fatalf("printed %q", got)
	}
}

// supervisorsOf are the processes that own the steps of a stack.
func supervisorsOf(t *testing.T, dir string) []int {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, e := range entries {
		args, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline")) // it has ended
		if pid, err := strconv.Atoi(e.Name()); err == nil && strings.Contains(string(args), "supervise\x00"+dir) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// Fifty steps print while what runs them is killed, one thing after the other: no line of an
// attempt is lost or doubled, and the events say what became of each. It has the machine to
// itself: fifty steps are enough for two cores.
func TestFiftySteps_LoseNoLine(t *testing.T) {
	const sessions = 50
	s := newStack(t)
	var viewers []*viewer
	for range sessions {
		viewers = append(viewers, s.watch(s.start(`{"steps":[{"id":"count","shell":"i=0; while [ ! -e stop ]; do i=$((i+1)); echo line $i; sleep 1; done; echo end"}]}`, nil)))
	}
	attempt := 1
	goesOn := func(says string) {
		t.Helper()
		for _, v := range viewers {
			v.await(says, func(seen []event) bool {
				return strings.Contains(text(seen), says) && strings.Count(printed(t, seen, "count", attempt), "\n") >= 3
			})
		}
	}
	killSupervisors := func() {
		t.Helper()
		list := supervisorsOf(t, s.dir)
		if len(list) != sessions {
			t.Errorf("there are %d supervisors to kill, want %d", len(list), sessions)
		}
		for _, pid := range list {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	startsAgain := func() {
		t.Helper()
		attempt++
		goesOn(fmt.Sprintf(`"attempt":%d,"reason":"supervisor_lost"`, attempt))
	}
	goesOn("step_started")
	s.kill("worker")
	goesOn("step_reattached")
	killSupervisors()
	startsAgain()
	s.kill("worker")
	killSupervisors()
	startsAgain()
	s.killTree()
	killSupervisors()
	s.up()
	startsAgain()
	for i, v := range viewers {
		if err := os.WriteFile(filepath.Join(s.dir, "workspaces", v.session, "stop"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		seen := v.awaitType("workflow_completed")
		for n := 1; n <= attempt; n++ {
			got := printed(t, seen, "count", n)
			body, ended := strings.CutSuffix(got, "end\n")
			if ended != (n == attempt) || body != countedTo(strings.Count(body, "\n")) {
				t.Errorf("attempt %d of session %d printed %q", n, i, got)
			}
		}
		if n := count(seen, "step_started"); n != attempt {
			t.Errorf("session %d had %d attempts, want %d", i, n, attempt)
		}
	}
	testkit.Within(t, patience, "the end of all supervisors", func() string {
		if left := supervisorsOf(t, s.dir); len(left) > 0 {
			return fmt.Sprint(left, " are left")
		}
		return ""
	})
}
