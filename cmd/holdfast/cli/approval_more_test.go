package cli

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/holdfast/holdfast/schema"
)

const asked = "/api/approvals/" + otherID

func TestExtend_MovesTheDeadline(t *testing.T) {
	t.Parallel()
	s := newScripted(t)
	s.on("POST "+asked+"/extend", http.StatusOK, schema.Approval{ID: otherID, Status: schema.ApprovalPending, RemainingSeconds: 590})
	s.run("", "approval", "extend", otherID, "300").want(t, exitOK, "approval 9c0d58b4 extended: it expires in 9m 50s\n")
	s.wants("POST " + asked + `/extend {"seconds":300}`)
	s.run("", "approval", "extend", otherID, "1h30m").want(t, exitOK)
	s.wants("POST " + asked + `/extend {"seconds":5400}`)
	var answer schema.Approval
	if err := json.Unmarshal([]byte(s.run("", "approval", "extend", otherID, "5m", "--json").out), &answer); err != nil || answer.RemainingSeconds != 590 {
		t.Errorf("--json: %v, %+v", err, answer)
	}
	s.refuses("POST "+asked+"/extend", http.StatusGone, "the approval expired", "", "approval", "extend", otherID, "5m")
}

func TestApprovalList_SaysThatThereAreMore(t *testing.T) {
	t.Parallel()
	s := newScripted(t)
	pages := []approvalPage{
		{Approvals: []schema.Approval{{ID: otherID, Status: schema.ApprovalPending}}, Total: 3, NextCursor: "c1"},
		{Approvals: []schema.Approval{{ID: scriptedID, Status: schema.ApprovalExpired, Reopenable: true}}, Total: 3, NextCursor: "c2"},
		{Approvals: []schema.Approval{{ID: "1f3a0000-3d1c-4b0e-9a53-0d7a3c1a2f10", Status: schema.ApprovalPending}}, Total: 3},
	}
	s.onEach("GET /api/approvals", func(n int) (int, any) { return http.StatusOK, pages[(n-1)%3] })
	r := s.run("", "approval", "list", "--limit", "1")
	r.want(t, exitOK, "9c0d58b4")
	if r.errOut != "1 of 3; --all shows every one\n" {
		t.Errorf("stderr is %q", r.errOut)
	}
	s.wants("GET /api/approvals?limit=1&status=open ")
	pages = append(pages[1:], pages[0])
	pages[0].NextCursor, pages[1].NextCursor, pages[2].NextCursor = "c1", "c2", ""
	s = newScripted(t)
	s.onEach("GET /api/approvals", func(n int) (int, any) { return http.StatusOK, pages[(n-1)%3] })
	r = s.run("", "approval", "list", "--all")
	r.want(t, exitOK, "9c0d58b4", "3a04458c", "1f3a0000", "expired, resume to ask again")
	if r.errOut != "What has expired is asked again after `holdfast approval reopen ID`.\n" {
		t.Errorf("stderr is %q", r.errOut)
	}
	for _, cursor := range []string{"limit=200", "cursor=c1&limit=200", "cursor=c2&limit=200"} {
		s.wants("GET /api/approvals?" + cursor + "&status=open ")
	}
	var all approvalPage
	if err := json.Unmarshal([]byte(s.run("", "approval", "list", "--all", "--json").out), &all); err != nil || len(all.Approvals) != 3 || all.Total != 3 {
		t.Errorf("--all --json: %v, %+v", err, all)
	}
	s.run("", "approval", "list", "--limit", "201").want(t, exitUsage, "--limit is from 1 to 200 (got 201)")
}

type approvalPage struct {
	Approvals  []schema.Approval `json:"approvals"`
	Total      int               `json:"total"`
	NextCursor string            `json:"next_cursor,omitempty"`
}

func TestReopen_SaysWhatCannotBeReopened(t *testing.T) {
	t.Parallel()
	s := newScripted(t)
	s.on("POST "+asked+"/reopen", http.StatusAccepted, schema.Approval{ID: otherID, SessionID: scriptedID})
	s.run("", "approval", "reopen", otherID).want(t, exitOK, "approval 9c0d58b4 reopened: session 3a04458c goes on, and asks again\n")
	s.refuses("POST "+asked+"/reopen", http.StatusConflict, "the session is over: cancelled", "", "approval", "reopen", otherID)
}

func TestResolve_CarriesWhatIsToBeDifferent(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kind schema.ApprovalType
		args []string
		body string
	}{
		{schema.ApprovalPlan, []string{"modified", "--plan-file", writeFile(t, "p.json", quick)}, `{"resolution":"modified","modifications":{"plan":{"steps":[{"id":"a","shell":"true"}]}}}`},
		{schema.ApprovalStep, []string{"modified", "--command", "echo 'a' > b"}, `{"resolution":"modified","modifications":{"shell":"echo 'a' > b"}}`},
		{schema.ApprovalStep, []string{"modified", "--modifications", ` {"timeout": "2h"}`, "-m", "slow"}, `{"resolution":"modified","feedback":"slow","modifications":{"timeout":"2h"}}`},
		{schema.ApprovalErrorRecovery, []string{"retry", "--feedback", "more memory", "--command", "fit --low"}, `{"resolution":"retry","feedback":"more memory","modifications":{"shell":"fit --low"}}`},
		{schema.ApprovalErrorRecovery, []string{"retry", "--modifications", writeFile(t, "m.json", `{"env": {"N": "2"}}`)}, `{"resolution":"retry","modifications":{"env":{"N":"2"}}}`},
		{schema.ApprovalErrorRecovery, []string{"retry"}, `{"resolution":"retry"}`},
		{schema.ApprovalToolCall, []string{"modified", "--modifications", "-"}, `{"resolution":"modified","modifications":{"arguments":{"n":2}}}`},
	} {
		s := newScripted(t)
		s.on("GET "+asked, http.StatusOK, schema.Approval{ID: otherID, Type: c.kind})
		s.on("POST "+asked+"/resolve", http.StatusOK, schema.Approval{ID: otherID})
		s.run(`{"arguments": {"n": 2}}`, append([]string{"approval", "resolve", otherID}, c.args...)...).want(t, exitOK, "approval 9c0d58b4 "+c.args[0])
		s.wants("POST " + asked + "/resolve " + c.body)
	}
}

func TestResolve_SaysWhereTheModificationsAreWrong(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kind schema.ApprovalType
		args []string
		want []string
	}{
		{schema.ApprovalStep, []string{"--modifications", "{\"shell\": \"x\",\n \"run\": [\"y\"]}"}, []string{"--modifications:1:11: shell: a step is either run or shell", "the modifications have 1 problem; nothing was decided"}},
		{schema.ApprovalStep, []string{"--modifications", "-"}, []string{"<stdin>:2:10: env: this cannot be a string"}},
		{schema.ApprovalStep, []string{"--modifications", "{"}, []string{"--modifications:1:1: this is not JSON"}},
		{schema.ApprovalStep, []string{"--plan-file", "-"}, []string{`<stdin>:1:1: the field "steps" is missing`}},
		{schema.ApprovalStep, []string{"--plan-file", writeFile(t, "p.json", quick)}, []string{"--plan-file changes a plan, and this approval is a step_approval"}},
		{schema.ApprovalPlan, []string{"--command", "x"}, []string{"--command changes a step, and this approval is a plan_approval"}},
		{schema.ApprovalPlan, []string{"--modifications", `{"plan": {"steps": []}}`}, []string{"--modifications:1:20: plan.steps: a plan needs at least one step"}},
	} {
		s := newScripted(t)
		s.on("GET "+asked, http.StatusOK, schema.Approval{ID: otherID, Type: c.kind})
		r := s.run("{\n  \"env\": \"x\"}", append([]string{"approval", "resolve", otherID, "modified"}, c.args...)...)
		r.want(t, exitUsage, c.want...)
	}
	newScripted(t).refuses("POST "+asked+"/resolve", http.StatusConflict, "the approval was already resolved: rejected", "", "approval", "resolve", otherID, "modified", "--command", "x")
}

func TestShowApproval_SaysWhatATimeoutDoesAndWhatWasChanged(t *testing.T) {
	t.Parallel()
	s := newScripted(t)
	escalated := at("2026-11-22T02:00:00Z")
	s.on("GET "+asked, http.StatusOK, schema.Approval{ID: otherID, Status: schema.ApprovalPending, OnTimeout: schema.OnTimeoutEscalate, Options: schema.ApprovalStep.Options()})
	s.run("", "approval", "show", otherID).want(t, exitOK, "then       escalate: it is asked more urgently", "answers    approved, rejected, modified")
	s = newScripted(t)
	s.on("GET "+asked, http.StatusOK, schema.Approval{
		ID: otherID, Status: schema.ApprovalResolved, Resolution: schema.ResolutionModified, EscalatedAt: &escalated, Modifications: []byte(`{"shell":"x"}`),
	})
	s.run("", "approval", "show", otherID).want(t, exitOK, "escalated ", `changed    {"shell":"x"}`)
}
