package cli

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/holdfast/holdfast/internal/testkit"
	"github.com/holdfast/holdfast/schema"
)

func TestSession_GoesOnWithMessagesRunsAndForks(t *testing.T) {
	t.Parallel()
	in := install(t)
	id := in.begin(`{"steps": [{"id": "hear", "shell": "echo \"heard: ${HOLDFAST_MESSAGE-nothing}\""}, {"id": "after", "shell": "echo after", "needs": ["hear"]}]}`, "--name", "turns")
	in.run("", "session", "watch", id).want(t, exitOK, "heard: nothing", "✓ completed")

	in.run("", "session", "send", id, "a finer grid", "--watch").want(t, exitOK, "message 1 to session", "» message 1, local: a finer grid", "▶ run 2  for message 1", "heard: a finer grid\n", "✓ completed")
	in.run("", "session", "send", id, " ").want(t, exitUsage, "the message is empty")
	failing := writeFile(t, "next.json", `{"steps": [{"id": "fit", "shell": "exit 3", "on_error": "continue"}, {"id": "plot", "shell": "true", "needs": ["fit"]}, {"id": "other", "shell": "echo other"}]}`)
	in.run("", "session", "run", id, "--plan", failing, "--watch").want(t, exitFailedSteps, "run 3 of session", "✗ fit: exit code 3", "– plot: skipped (it needs \"fit\", which failed)", "other\n")

	in.run("", "session", "runs", id).want(t, exitOK, "a finer grid", "completed, 1 of 3 steps failed", "1 of 3, 1 failed, 1 skipped")
	in.run("", "session", "list").want(t, exitOK, "completed, 1 step failed")
	in.run("", "session", "show", id).want(t, exitOK, "completed, 1 step failed", "run 3  completed, 1 of 3 steps failed", `it needs "fit", which failed`, "3 runs in all")
	in.run("", "session", "show", id, "--run", "2").want(t, exitOK, "run 2  completed", "» a finer grid", "hear")

	r := in.run("", "session", "fork", id, "--run", "2", "--step", "hear", "--watch")
	r.want(t, exitOK, "⑂ forked from session "+id[:8]+", after hear", "● after", "✓ completed")
	if strings.Contains(r.out, "● hear") {
		t.Errorf("what had succeeded runs again: %s", r.out)
	}
	in.run("", "session", "fork", id, "--run", "3", "--step", "plot").want(t, exitError, "skipped")
	in.run("", "session", "fork", id, "--step", "gone").want(t, exitError, "gone")
	fork := strings.Fields(r.out)[1]
	in.run("", "session", "show", fork).want(t, exitOK, "turns (fork)", "forked from "+id)
	in.run("", "session", "show", id).want(t, exitOK, "forks       "+fork)

	in.run("", "session", "rename", id, "other turns").want(t, exitOK, "renamed")
	in.run("", "session", "list").want(t, exitOK, "other turns")
	in.run("", "session", "audit", id).want(t, exitOK, "message  ", "taken")
	var page struct {
		Audit []schema.AuditEntry `json:"audit"`
	}
	if err := json.Unmarshal([]byte(in.run("", "session", "audit", id, "--json").out), &page); err != nil || len(page.Audit) == 0 || page.Audit[0].Action == "" {
		t.Errorf("%v: %+v", err, page)
	}
}

func TestApproval_IsExtendedAndEdited(t *testing.T) {
	t.Parallel()
	in := install(t)
	id := in.begin(asking1, "--approval-timeout", "5m", "--on-modified", "approve")
	approval := in.asked(id)
	in.run("", "approval", "extend", approval[:8], "5m").want(t, exitOK, "extended: it expires in 9m ")
	in.run("", "approval", "extend", approval, "2592000").want(t, exitUsage, "holdfast: approval "+approval[:8]+": ")
	in.run("", "approval", "show", approval).want(t, exitOK, "then       suspend")
	in.run("", "approval", "resolve", approval, "modified", "--command", "echo edited").want(t, exitOK, "modified")
	in.run("", "session", "watch", id).want(t, exitOK, "5m more by", "! modified by", "✎ publish was edited by", "edited\n", "✓ completed")
	in.run("", "approval", "show", approval).want(t, exitOK, `changed    {"shell":"echo edited"}`)
	in.run("", "approval", "extend", approval, "5m").want(t, exitError, "approval "+approval[:8]+": ")

	// An edited plan is asked about again.
	id = in.begin(asking1, "--approval-mode", "after_planning")
	first := in.asked(id)
	in.run(quick1, "approval", "resolve", first, "modified", "--plan-file", "-").want(t, exitOK)
	second := first
	testkit.Eventually(t, "another approval", func() bool { second = in.asked(id); return second != first })
	in.run("", "approval", "resolve", second, "approved").want(t, exitOK)
	in.run("", "session", "watch", id).want(t, exitOK, "✎ the plan was edited by", "plan: only", "hello\n", "✓ completed")

	// A failed step is retried with another command.
	id = in.begin(`{"steps": [{"id": "fit", "shell": "exit 3", "on_error": "ask"}]}`)
	in.run("", "approval", "resolve", in.asked(id), "retry", "--feedback", "be kind", "--command", `echo "told: $HOLDFAST_FEEDBACK"`).want(t, exitOK)
	in.run("", "session", "watch", id).want(t, exitOK, "told: be kind\n", "✓ completed")
}

func TestApproval_ThatExpiredIsListedAndReopened(t *testing.T) {
	t.Parallel()
	in := install(t)
	id := in.begin(`{"steps": [{"id": "publish", "shell": "echo published", "approval": true}]}`, "--approval-timeout", "1s", "--on-timeout", "suspend")
	var expired string
	testkit.Eventually(t, "the question to expire", func() bool {
		var s schema.Session
		if err := json.Unmarshal([]byte(in.run("", "session", "show", id, "--json").out), &s); err == nil && len(s.ExpiredApprovals) > 0 {
			expired = s.ExpiredApprovals[0].ID
		}
		return expired != ""
	})
	command := "holdfast approval reopen " + expired[:8]
	in.run("", "approval", "list").want(t, exitOK, expired[:8], "expired, resume to ask again", "holdfast approval reopen ID")
	in.run("", "session", "list").want(t, exitOK, "suspended", "expired: "+command)
	in.run("", "session", "show", id).want(t, exitOK, "suspended", "expired: "+command)
	in.run("", "approval", "show", expired).want(t, exitOK, "expired, resume to ask again", command)
	in.run("", "approval", "resolve", expired, "approve").want(t, exitError, "the approval expired", command)
	in.run("", "approval", "reopen", expired[:8], "--json").want(t, exitOK, `"id":"`+expired+`"`)
	in.run("", "approval", "reopen", expired).want(t, exitOK, "approval "+expired[:8]+" reopened: session "+id[:8]+" goes on, and asks again")
	testkit.Eventually(t, "the question again", func() bool {
		var list approvals
		err := json.Unmarshal([]byte(in.run("", "approval", "list", "--session", id, "--status", "all", "--json").out), &list)
		return err == nil && len(list.Approvals) == 2
	})
	in.run("", "session", "cancel", id).want(t, exitOK)
}
