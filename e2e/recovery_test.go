package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

const lines = 60

// counting prints 1 to [lines], twenty lines a second.
var counting = fmt.Sprintf(`{"steps":[{"id":"count","shell":"i=1; while [ $i -le %d ]; do echo line $i; i=$((i+1)); sleep 0.05; done"}]}`, lines)

func countedTo(n int) string {
	var b strings.Builder
	for i := 1; i <= n; i++ {
		fmt.Fprintf(&b, "line %d\n", i)
	}
	return b.String()
}

// Every row of the design's recovery table, by SIGKILL, in the middle of a step and in the
// middle of an approval at the same time.
func TestRecovery(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		dies string
		kill func(*stack)
		back bool // a worker comes back to the step, which went on without one
	}{
		{"web", func(s *stack) { s.kill("web") }, false},
		{"temporal", func(s *stack) { s.kill("temporal") }, false},
		{"postgres", func(s *stack) { s.kill("postgres") }, false},
		{"worker", func(s *stack) { s.kill("worker") }, true},
		{"up", func(s *stack) { s.killUp(); s.up() }, true},
		{"the whole tree", func(s *stack) { s.killTree(); s.up() }, true},
		{"all children at once", func(s *stack) {
			for _, name := range []string{"postgres", "temporal", "worker", "web"} {
				s.kill(name)
			}
		}, true},
	} {
		t.Run(c.dies, func(t *testing.T) {
			t.Parallel()
			s := newStack(t)
			counter := s.start(counting, nil)
			asking := s.start(`{"steps":[{"id":"publish","shell":"echo published","approval":true}]}`, nil)
			counted, asked := s.watch(counter), s.watch(asking)
			before := s.awaitApproval(asking)
			started := time.Now()
			counted.await("some lines", func(seen []event) bool { return strings.Count(printed(t, seen, "count", 1), "\n") >= 10 })

			c.kill(s)

			seen := counted.awaitType("workflow_completed")
			if all := printed(t, seen, "count", 1); all != countedTo(lines) {
				t.Errorf("it printed %q", all)
			}
			if n := count(seen, "step_started"); n != 1 {
				t.Errorf("%d attempts, want 1:\n%s", n, text(seen))
			}
			if came := count(seen, "step_reattached") > 0; came != c.back {
				t.Errorf("a worker came back to the step: %v, want %v:\n%s", came, c.back, text(seen))
			}

			after := s.awaitApproval(asking)
			elapsed := time.Since(started).Seconds()
			if after.ID != before.ID {
				t.Errorf("approval %s became %s", before.ID, after.ID)
			}
			if lost := before.Remaining - elapsed - after.Remaining; lost > 5 || lost < -5 {
				t.Errorf("%.1f s remained, %.1f s later %.1f s", before.Remaining, elapsed, after.Remaining)
			}
			s.mustCall("POST", "/api/approvals/"+before.ID+"/resolve", obj{"resolution": "approved"}, nil)
			seen = asked.awaitType("workflow_completed")
			if got := printed(t, seen, "publish", 1); got != "published\n" {
				t.Errorf("it printed %q", got)
			}
			if n := count(seen, "approval_requested"); n != 1 {
				t.Errorf("asked %d times, want once", n)
			}
			for _, v := range []*viewer{counted, asked} {
				if got := s.awaitStatus(v.session, "completed"); got.HeadSeq != int64(len(v.snapshot())) {
					t.Errorf("the viewer saw %d events, the log has %d", len(v.snapshot()), got.HeadSeq)
				}
			}
		})
	}
}

// An approval that runs out while nobody is there to see it is expired all the same.
func TestApproval_ExpiresWhileEverythingIsDown(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	id := s.start(`{"steps":[{"id":"a","shell":"echo a","approval":true}]}`, obj{"approval_timeout_seconds": 2})
	a := s.awaitApproval(id)
	s.killTree()
	time.Sleep(time.Duration(a.Remaining*float64(time.Second)) + 100*time.Millisecond) // its time passes
	s.up()
	s.awaitStatus(id, "suspended")
	if got := s.approval(a.ID); got.Status != "expired" || got.Remaining != 0 {
		t.Fatalf("approval %+v, want expired", got)
	}
	s.mustCall("POST", "/api/sessions/"+id+"/resume", obj{}, nil)
	again := s.awaitApproval(id)
	if again.ID == a.ID {
		t.Fatal("resume did not ask anew")
	}
	s.mustCall("POST", "/api/approvals/"+again.ID+"/resolve", obj{"resolution": "approved"}, nil)
	s.awaitStatus(id, "completed")
}

// processesOf are the programs of a session's steps, as the host sees them.
func processesOf(t *testing.T, id string) []int {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		env, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "environ")) // it has ended
		if strings.Contains(string(env), "HOLDFAST_SESSION_ID="+id) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// A deletion ends what runs, even when the web process that took it in dies at once.
func TestDelete_EndsWhatRunsWhateverDies(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	id := s.start(`{"steps":[{"id":"sleep","shell":"echo up; sleep 1000"}]}`, nil)
	s.watch(id).await("output", func(seen []event) bool { return printed(t, seen, "sleep", 1) == "up\n" })
	if len(processesOf(t, id)) == 0 {
		t.Fatal("the step cannot be found")
	}
	s.kill("temporal") // so that the deletion cannot be passed on at once
	if status, p, err := s.call("DELETE", "/api/sessions/"+id, nil, nil); err != nil || status != 204 {
		t.Fatal(status, p, err)
	}
	s.kill("web")
	s.until("the end of the deleted session's step", func() bool { return len(processesOf(t, id)) == 0 })
	if status, p, _ := s.call("GET", "/api/sessions/"+id, nil, nil); status != 404 && status != 0 {
		t.Fatal(status, p)
	}
}
