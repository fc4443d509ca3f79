package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast/holdfast/internal/testkit"
)

// A session whose workflow somebody has ended shows it: the run has failed, for that reason, and
// what it ran is gone. The next run finds the session as it was.
func TestLostWorkflow_FailsTheRunAndTheSessionGoesOn(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	id := s.start(`{"steps":[
		{"id":"keep","shell":"echo kept > kept.txt"},
		{"id":"long","needs":["keep"],"shell":"while true; do date +%s.%N > beat; sleep 0.05; done"},
		{"id":"gate","needs":["keep"],"shell":"true","approval":true}]}`, nil)
	asked := s.awaitApproval(id)
	beat := filepath.Join(s.dir, "workspaces", id, "beat")
	s.until("the long step", func() bool { _, err := os.Stat(beat); return err == nil })
	if _, errs, code := s.run("", "temporal", "workflow", "terminate", "--address", s.temporal, "-w", "session-"+id, "--reason", "out of patience"); code != 0 {
		t.Fatal(errs)
	}
	watching := s.watch(id)
	failed := watching.awaitType("workflow_failed")
	if last := failed[len(failed)-1]; !strings.Contains(string(last.Data), "out of patience") {
		t.Fatalf("it failed with %s", last.Data)
	}
	now := s.awaitStatus(id, "failed")
	if len(now.Pending) != 0 {
		t.Fatalf("%+v is asked", now.Pending)
	}
	if a := s.approval(asked.ID); a.Status != "cancelled" {
		t.Fatalf("the approval is %s", a.Status)
	}
	s.until("the end of the long step", func() bool {
		before, _ := os.ReadFile(beat)
		time.Sleep(300 * time.Millisecond)
		after, _ := os.ReadFile(beat)
		return string(before) == string(after)
	})
	// Both ways to go on, each with a workflow that is gone.
	s.mustCall("POST", "/api/sessions/"+id+"/runs", obj{"plan": obj{"steps": []obj{{"id": "again", "shell": "cat kept.txt", "approval": true}}}}, nil)
	again := s.awaitApproval(id)
	s.mustCall("POST", "/api/approvals/"+again.ID+"/resolve", obj{"resolution": "approved"}, nil)
	s.awaitStatus(id, "completed")
	forget := func() { // as Temporal's retention does
		t.Helper()
		if _, errs, code := s.run("", "temporal", "workflow", "delete", "--address", s.temporal, "-w", "session-"+id); code != 0 {
			t.Fatal(errs)
		}
		s.until("the end of the workflow", func() bool {
			_, _, code := s.run("", "temporal", "workflow", "describe", "--address", s.temporal, "-w", "session-"+id)
			return code != 0
		})
	}
	forget()
	var said struct {
		Number int `json:"number"`
	}
	s.mustCall("POST", "/api/sessions/"+id+"/messages", obj{"content": "once more"}, &said)
	third := s.awaitApproval(id)
	if third.ID == again.ID || said.Number != 1 {
		t.Fatalf("message %d; asked %s after %s", said.Number, third.ID, again.ID)
	}
	s.mustCall("POST", "/api/approvals/"+third.ID+"/resolve", obj{"resolution": "approved"}, nil)
	s.awaitStatus(id, "completed")
	s.mustCall("POST", "/api/sessions/"+id+"/runs", obj{"plan": obj{"steps": []obj{{"id": "lost", "shell": "true", "approval": true}}}}, nil)
	s.awaitApproval(id)
	forget()
	s.awaitStatus(id, "failed")
	var runs struct {
		Runs []struct {
			Number int    `json:"number"`
			Status string `json:"status"`
			Error  string `json:"error"`
		} `json:"runs"`
	}
	s.mustCall("GET", "/api/sessions/"+id+"/runs", nil, &runs)
	if len(runs.Runs) != 4 || runs.Runs[0].Status != "failed" || !strings.Contains(runs.Runs[0].Error, "out of patience") ||
		runs.Runs[1].Status != "completed" || runs.Runs[2].Status != "completed" || !strings.Contains(runs.Runs[3].Error, "Temporal has no workflow") {
		t.Fatalf("%+v", runs.Runs)
	}
	seen := s.watch(id).awaitType("workflow_completed")
	if got := printed(t, seen, "again", 1); !strings.HasPrefix(got, "kept\n") {
		t.Fatalf("the next run printed %q", got)
	}
}

// until polls a condition.
func (s *stack) until(what string, ok func() bool) {
	s.t.Helper()
	testkit.Within(s.t, patience, what, func() string {
		if !ok() {
			return "it does not hold"
		}
		return ""
	})
}
