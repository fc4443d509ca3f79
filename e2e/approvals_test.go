package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/holdfast/holdfast/internal/testkit"
)

// asking is a plan whose only step asks first.
const asking = `{"steps":[{"id":"publish","shell":"echo published","approval":true}]}`

// way is one of the ways to decide an approval. It reports whether the decision was taken.
type way struct {
	name   string
	decide func(s *stack, session, approval, resolution, feedback string) (taken bool, why string)
}

var ways = []way{
	{"REST", func(s *stack, _, id, resolution, feedback string) (bool, string) {
		status, p, err := s.call("POST", "/api/approvals/"+id+"/resolve", obj{"resolution": resolution, "feedback": feedback}, nil)
		if err != nil {
			s.t.Fatal(err)
		}
		return status == 200, fmt.Sprintf("%d %s: %s", status, p.Code, p.Detail)
	}},
	{"WebSocket", func(s *stack, _, id, resolution, feedback string) (bool, string) {
		f := s.frame(obj{"type": "resolve_approval", "approval_id": id, "resolution": resolution, "feedback": feedback, "request_id": "r1"})
		return f.Type == "accepted", string(f.Data)
	}},
	{"CLI", func(s *stack, _, id, resolution, feedback string) (bool, string) {
		out, errs, code := s.run("", "holdfast", "approval", "resolve", id, resolution, "--feedback", feedback)
		return code == 0, out + errs
	}},
	{"temporal update", func(s *stack, session, id, resolution, feedback string) (bool, string) {
		out, errs, code := s.run("", "temporal", "workflow", "update", "execute", "--address", s.temporal, "-w", "session-"+session,
			"--name", "resolve_approval", "--input", fmt.Sprintf(`{"approval_id":%q,"resolution":%q,"feedback":%q}`, id, resolution, feedback))
		return code == 0, out + errs
	}},
	{"temporal signal", func(s *stack, session, id, resolution, feedback string) (bool, string) {
		_, errs, code := s.run("", "temporal", "workflow", "signal", "--address", s.temporal, "-w", "session-"+session,
			"--name", "resolve_approval", "--input", fmt.Sprintf(`{"approval_id":%q,"resolution":%q,"feedback":%q}`, id, resolution, feedback))
		if code != 0 {
			s.t.Fatalf("signal: %s", errs)
		}
		// A signal has no answer: whether it was taken shows in the approval.
		taken := testkit.Poll(2*time.Second, func() bool {
			a := s.approval(id)
			return a.Status == "resolved" && a.Feedback == feedback
		})
		return taken, "a signal that comes late or contradicts is ignored: conflict, expired"
	}},
}

// frame sends one command over a socket of its own and returns its answer.
func (s *stack) frame(command obj) event {
	s.t.Helper()
	c, err := dial(s)
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
	if err := c.WriteJSON(command); err != nil {
		s.t.Fatal(err)
	}
	for {
		var e event
		if err := c.ReadJSON(&e); err != nil {
			s.t.Fatalf("no answer to %v: %v", command, err)
		}
		if e.Type == "accepted" || e.Type == "error" {
			return e
		}
	}
}

func TestApproval_EveryWayAndEveryAnswer(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	for _, w := range ways {
		t.Run(w.name+"/approve", func(t *testing.T) {
			t.Parallel()
			s := s.in(t)
			id := s.start(asking, nil)
			v := s.watch(id)
			a := s.awaitApproval(id)
			if taken, why := w.decide(s, id, a.ID, "approved", "looks good"); !taken {
				t.Fatal(why)
			}
			seen := v.awaitType("workflow_completed")
			if got := printed(t, seen, "publish", 1); got != "published\n" {
				t.Errorf("it printed %q", got)
			}
			if got := s.approval(a.ID); got.Status != "resolved" || got.Resolution != "approved" || got.Feedback != "looks good" || got.Actor == "" {
				t.Errorf("approval %+v", got)
			}
			if n := count(seen, "approval_received"); n != 1 {
				t.Errorf("%d decisions in the log, want 1", n)
			}
		})
		t.Run(w.name+"/reject", func(t *testing.T) {
			t.Parallel()
			s := s.in(t)
			id := s.start(asking, nil)
			v := s.watch(id)
			a := s.awaitApproval(id)
			if taken, why := w.decide(s, id, a.ID, "rejected", "not yet"); !taken {
				t.Fatal(why)
			}
			seen := v.awaitType("workflow_failed")
			if strings.Contains(text(seen), "published\\n") || !strings.Contains(text(seen), "not yet") {
				t.Errorf("rejected, and then:\n%s", text(seen))
			}
		})
		t.Run(w.name+"/twice", func(t *testing.T) {
			t.Parallel()
			s := s.in(t)
			id := s.start(asking, nil)
			a := s.awaitApproval(id)
			if taken, why := w.decide(s, id, a.ID, "approved", "first"); !taken {
				t.Fatal(why)
			}
			// Over a WebSocket and through Temporal the acceptance comes before the record.
			s.awaitStatus(id, "completed")
			if w.name != "temporal signal" { // whose answer to a repetition nobody can see
				if taken, why := w.decide(s, id, a.ID, "approved", "first"); !taken {
					t.Errorf("the same again: %s", why)
				}
			}
			if taken, why := w.decide(s, id, a.ID, "rejected", "second"); taken || !strings.Contains(why, "conflict") && !strings.Contains(why, "already resolved") {
				t.Errorf("another decision: taken %v, %s", taken, why)
			}
			if got := s.approval(a.ID); got.Resolution != "approved" || got.Feedback != "first" {
				t.Errorf("approval %+v, want the first decision", got)
			}
		})
		t.Run(w.name+"/late", func(t *testing.T) {
			t.Parallel()
			s := s.in(t)
			id := s.start(asking, obj{"approval_timeout_seconds": 1})
			a := s.awaitApproval(id)
			s.awaitStatus(id, "suspended")
			if taken, why := w.decide(s, id, a.ID, "approved", "late"); taken || !strings.Contains(why, "expired") {
				t.Errorf("late: taken %v, %s", taken, why)
			}
			if got := s.approval(a.ID); got.Status != "expired" {
				t.Errorf("approval %+v, want expired", got)
			}
		})
	}
}

// in is the same stack, reporting to a subtest.
func (s *stack) in(t *testing.T) *stack {
	c := *s
	c.t = t
	return &c
}

func TestApproval_TwoDecisionsAtOnceHaveOneWinner(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	for round := range 10 {
		id := s.start(asking, nil)
		a := s.awaitApproval(id)
		type answer struct {
			resolution string
			status     int
			p          problem
		}
		answers := make(chan answer)
		for _, resolution := range []string{"approved", "rejected"} {
			go func() {
				status, p, _ := s.call("POST", "/api/approvals/"+a.ID+"/resolve", obj{"resolution": resolution}, nil)
				answers <- answer{resolution, status, p}
			}()
		}
		first, second := <-answers, <-answers
		if first.status > second.status {
			first, second = second, first
		}
		if first.status != 200 || second.status != 409 {
			t.Fatalf("round %d: %+v and %+v, want one 200 and one 409", round, first, second)
		}
		if got := s.approval(a.ID); got.Resolution != first.resolution {
			t.Fatalf("round %d: %s won, the record says %s", round, first.resolution, got.Resolution)
		}
	}
}

func TestCommands_SuspendResumeCancelThroughEveryDoor(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	const sleeping = `{"steps":[{"id":"sleep","shell":"echo up; sleep 1000 & sleep 1000"}]}`
	doors := map[string]func(s *stack, id, command string) string{
		"REST": func(s *stack, id, command string) string {
			status, p, err := s.call("POST", "/api/sessions/"+id+"/"+command, obj{}, nil)
			if err != nil || status >= 300 {
				s.t.Fatal(command, status, p, err)
			}
			return ""
		},
		"WebSocket": func(s *stack, id, command string) string {
			if f := s.frame(obj{"type": command, "session_id": id, "request_id": command}); f.Type != "accepted" {
				s.t.Fatal(command, string(f.Data))
			}
			return ""
		},
		"CLI": func(s *stack, id, command string) string {
			out, errs, code := s.run("", "holdfast", "session", command, id)
			if code != 0 {
				s.t.Fatal(command, errs)
			}
			return out
		},
	}
	for name, do := range doors {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := s.in(t)
			id := s.start(sleeping, nil)
			v := s.watch(id)
			v.await("output", func(seen []event) bool { return printed(t, seen, "sleep", 1) == "up\n" })
			do(s, id, "suspend")
			s.awaitStatus(id, "suspended")
			do(s, id, "resume")
			s.awaitStatus(id, "active")
			do(s, id, "cancel")
			s.awaitStatus(id, "cancelled")
			seen := v.awaitType("workflow_cancelled")
			var data struct {
				Receipt struct {
					Killed    int `json:"processes_killed"`
					Survivors int `json:"survivors"`
				} `json:"receipt"`
			}
			if err := json.Unmarshal(seen[len(seen)-1].Data, &data); err != nil || data.Receipt.Killed < 3 || data.Receipt.Survivors != 0 {
				t.Errorf("receipt %+v, %v: want the shell and its two sleeps", data, err)
			}
		})
	}
}
