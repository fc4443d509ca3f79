package cli

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/holdfast/holdfast/schema"
)

const (
	runOne   = "11111111-3d1c-4b0e-9a53-0d7a3c1a2f10"
	runTwo   = "22222222-3d1c-4b0e-9a53-0d7a3c1a2f10"
	quick    = `{"steps": [{"id": "a", "shell": "true"}]}`
	aSession = "/api/sessions/" + scriptedID
)

func at(text string) schema.Time {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	return schema.Time{Time: t}
}

func TestRun_WrongUsageOfTheNewCommandsEndsWith2(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"session", "send"}, {"session", "send", scriptedID, "two", "words"}, {"session", "send", scriptedID, " "}, {"session", "send", scriptedID, "-"},
		{"session", "send", scriptedID, strings.Repeat("x", schema.MaxMessageBytes+1)},
		{"session", "run", scriptedID}, {"session", "run", scriptedID, "--plan", "/no/such/file"}, {"session", "run", "--plan", "-"},
		{"session", "fork"}, {"session", "fork", scriptedID, "--plan", "/no/such/file"}, {"session", "audit"}, {"session", "runs"},
		{"session", "rename", scriptedID}, {"session", "rename", scriptedID, " "},
		{"approval", "extend", otherID}, {"approval", "extend", otherID, "soon"}, {"approval", "extend", otherID, "0"}, {"approval", "extend", otherID, "-5m"},
		{"approval", "extend", otherID, "NaN"}, {"approval", "extend", otherID, "999999999"},
		{"approval", "resolve", otherID, "modified"}, {"approval", "resolve", otherID, "approved", "--command", "x"},
		{"approval", "resolve", otherID, "modified", "--command", "x", "--modifications", "{}"},
		{"approval", "resolve", otherID, "modified", "--plan-file", "/no/such/file"}, {"approval", "resolve", otherID, "modified", "--modifications", "/no/such/file"},
		{"session", "start", "--plan", "-", "--on-modified", "perhaps"}, {"session", "start", "--plan", "-", "--when-busy", "wait"},
		{"session", "start", "--plan", "-", "--run-timeout", "1ms"}, {"session", "start", "--plan", "-", "--session-ttl", "x"},
	} {
		r := run(t, []string{"HOLDFAST_URL=http://127.0.0.1:1"}, "", args...)
		if r.code != exitUsage || !strings.HasPrefix(r.errOut, "holdfast: ") || r.out != "" {
			t.Errorf("%v: exit code %d, stdout %q, stderr %q", args[:min(len(args), 3)], r.code, r.out, r.errOut)
		}
	}
	r := run(t, nil, "", "session", "start", "--plan", "-", "--when-busy", "wait")
	r.want(t, exitUsage, "--when-busy: allowed are enqueue, interrupt, reject (got wait)")
}

func TestSend_SaysItAndTellsItsNumber(t *testing.T) {
	t.Parallel()
	s := newScripted(t)
	s.on("POST "+aSession+"/messages", http.StatusAccepted, map[string]any{"number": 3, "status": "queued"})
	s.run("", "session", "send", scriptedID, "a finer grid").want(t, exitOK, "message 3 to session 3a04458c queued\n")
	s.wants("POST " + aSession + `/messages {"content":"a finer grid"}`)
	s.run("two\nlines\n", "session", "send", scriptedID).want(t, exitOK)
	s.wants("POST " + aSession + `/messages {"content":"two\nlines"}`)
	s.run("-", "session", "send", scriptedID, "-").want(t, exitOK)
	s.wants("POST " + aSession + `/messages {"content":"-"}`)
	if r := s.run("", "session", "send", scriptedID, "x", "--json"); r.out != `{"number":3,"status":"queued"}`+"\n" {
		t.Errorf("--json is %q", r.out)
	}
	s.refuses("POST "+aSession+"/messages", http.StatusConflict, "a run is under way", "", "session", "send", scriptedID, "x")
}

func TestSend_WatchEndsWithTheRunThatAnswersTheMessage(t *testing.T) {
	t.Parallel()
	s := newScripted(t)
	s.emit(runOne, begun(1, 0), printed("a", "long ago\n"))
	s.on("GET "+aSession, http.StatusOK, schema.Session{ID: scriptedID, HeadSeq: 2})
	s.onEach("POST "+aSession+"/messages", func(int) (int, any) {
		s.emit("", said(3, "a finer\ngrid"))
		s.emit(runOne, ended(schema.EventWorkflowFailed, schema.WorkflowFailedData{Error: "first"}))
		s.emit("22", begun(2, 2), ended(schema.EventWorkflowCancelled, schema.WorkflowCancelledData{Reason: "interrupted", Actor: "ada"}))
		s.emit(runTwo, begun(3, 3), ended(schema.EventWorkflowCompleted, schema.WorkflowCompletedData{}))
		s.emit("44", begun(4, 4))
		return http.StatusAccepted, map[string]any{"number": 3, "status": "queued"}
	})
	r := s.run("", "session", "send", scriptedID, "a finer\ngrid", "--watch")
	r.want(t, exitOK, "» message 3, ada: a finer\ngrid\n", "✗ failed: first", "▶ run 2  for message 2", "✗ interrupted by a message from ada", "▶ run 3  for message 3", "✓ completed")
	if strings.Contains(r.out, "long ago") || strings.Contains(r.out, "run 4") {
		t.Errorf("it shows what was before the message, or after its run: %s", r.out)
	}
	frames := s.run("", "session", "send", scriptedID, "a finer\ngrid", "--watch", "--json")
	frames.want(t, exitOK)
	lines := strings.Split(strings.TrimSpace(frames.out), "\n")
	var last schema.Event
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil || last.Type != schema.EventWorkflowCompleted || last.RunID != runTwo {
		t.Errorf("%v: the last frame is %s", err, lines[len(lines)-1])
	}
}

func TestSend_WatchEndsWhenTheMessageIsDropped(t *testing.T) {
	t.Parallel()
	s := newScripted(t)
	s.emit(runOne, begun(1, 0))
	s.on("GET "+aSession, http.StatusOK, schema.Session{ID: scriptedID, HeadSeq: 1})
	s.onEach("POST "+aSession+"/messages", func(int) (int, any) {
		s.emit("", said(1, "x"))
		s.emit(runOne, ended(schema.EventWorkflowCancelled, schema.WorkflowCancelledData{Actor: "ada"}))
		return http.StatusAccepted, map[string]any{"number": 1, "status": "queued"}
	})
	s.on("GET "+aSession+"/history", http.StatusOK, map[string]any{"messages": []schema.Message{{Number: 1, Status: schema.MessageDropped}}})
	s.run("", "session", "send", scriptedID, "x", "--watch").want(t, exitCancelled, "✗ cancelled by ada", "holdfast: the session ended before the message's turn came")
}

func TestRunNext_StartsARunOfAPlanAndWatchesThatOne(t *testing.T) {
	t.Parallel()
	s := newScripted(t)
	s.emit(runOne, begun(1, 0), ended(schema.EventWorkflowCompleted, nil))
	s.on("GET "+aSession, http.StatusOK, schema.Session{ID: scriptedID, HeadSeq: 2})
	s.onEach("POST "+aSession+"/runs", func(int) (int, any) {
		s.emit(runTwo, begun(2, 0), ended(schema.EventWorkflowFailed, schema.WorkflowFailedData{Error: "no"}))
		return http.StatusCreated, schema.Run{ID: runTwo, SessionID: scriptedID, Number: 2, Status: schema.SessionActive}
	})
	s.run(quick, "session", "run", scriptedID, "--plan", "-").want(t, exitOK, "run 2 of session 3a04458c\n")
	s.wants("POST " + aSession + `/runs {"plan":{"steps":[{"id":"a","shell":"true"}]}}`)
	s.run("", "session", "run", scriptedID, "--plan", writeFile(t, "p.json", quick), "--watch").want(t, exitError, "run 2 of session", "▶ run 2", "✗ failed: no")
	var answer schema.Run
	if err := json.Unmarshal([]byte(s.run(quick, "session", "run", scriptedID, "--plan", "-", "--json").out), &answer); err != nil || answer.ID != runTwo {
		t.Errorf("--json: %v, %+v", err, answer)
	}
	s.run("{\n\"steps\": []}", "session", "run", scriptedID, "--plan", "-").want(t, exitUsage, "<stdin>:2:10: steps: a plan needs at least one step", "the plan has 1 problem; nothing was started")
	s.refuses("POST "+aSession+"/runs", http.StatusConflict, "run 1 is under way", quick, "session", "run", scriptedID, "--plan", "-")
}

func TestFork_NamesTheStepTheRunAndThePlan(t *testing.T) {
	t.Parallel()
	s := newScripted(t)
	s.on("GET "+aSession+"/runs", http.StatusOK, map[string]any{"runs": []schema.Run{{ID: runOne, Number: 1}, {ID: runTwo, Number: 2}}})
	s.on("POST "+aSession+"/fork", http.StatusCreated, schema.Session{ID: otherID, ForkedFrom: scriptedID})
	s.run("", "session", "fork", scriptedID).want(t, exitOK, "session "+otherID+"\n"+s.URL+"/sessions/"+otherID+"\n")
	s.wants("POST " + aSession + `/fork {"attended":true}`)
	s.run(quick, "session", "fork", scriptedID, "--step", "a", "--run", "2", "--plan", "-", "--name", "again").want(t, exitOK)
	s.wants("POST " + aSession + `/fork {"step_id":"a","run_id":"` + runTwo + `","plan":{"steps":[{"id":"a","shell":"true"}]},"name":"again","attended":true}`)
	s.run("", "session", "fork", scriptedID, "--run", "1111").want(t, exitOK)
	s.wants("POST " + aSession + `/fork {"run_id":"` + runOne + `","attended":true}`)
	s.run("", "session", "fork", scriptedID, "--run", "7").want(t, exitError, `there is no run "7": the session's runs are 1 to 2`)
	s.run(`{"steps": [`, "session", "fork", scriptedID, "--plan", "-").want(t, exitUsage, "<stdin>:1:12: this is not JSON", "nothing was forked")
	var answer schema.Session
	if err := json.Unmarshal([]byte(s.run("", "session", "fork", scriptedID, "--json").out), &answer); err != nil || answer.ForkedFrom != scriptedID {
		t.Errorf("--json: %v, %+v", err, answer)
	}
	s.refuses("POST "+aSession+"/fork", http.StatusConflict, `the step "a" is running`, "", "session", "fork", scriptedID, "--step", "a")
}

func TestAudit_IsATableOfWhoAskedForWhat(t *testing.T) {
	t.Parallel()
	s := newScripted(t)
	first := []schema.AuditEntry{
		{At: at("2026-11-22T01:59:00Z"), Actor: "grace", Action: "start", Outcome: schema.AuditTaken},
		{At: at("2026-11-22T02:00:00Z"), Actor: "ada", Action: schema.CommandResolveApproval, Outcome: schema.AuditTaken, ApprovalID: otherID, StepID: "plot", Resolution: schema.ResolutionRejected, Detail: "too\nred"},
	}
	second := []schema.AuditEntry{{At: at("2026-11-22T02:01:00Z"), Action: schema.CommandSuspend, Outcome: schema.AuditIgnored, Detail: "the run is over"}}
	s.onEach("GET "+aSession+"/audit", func(n int) (int, any) {
		if n%2 == 1 {
			return http.StatusOK, map[string]any{"audit": first, "next_cursor": "more"}
		}
		return http.StatusOK, map[string]any{"audit": second}
	})
	r := s.run("", "session", "audit", scriptedID)
	r.want(t, exitOK, "TIME", "ACTOR", "ACTION", "WHAT", "OUTCOME", "grace  start             -                                         taken\n", "ada    resolve approval  rejected plot approval 9c0d58b4: too red  taken\n", "-      suspend           the run is over ", "ignored\n")
	s.wants("GET " + aSession + "/audit?cursor=more&limit=200 ")
	if r := s.run("", "session", "audit", scriptedID, "--json"); !strings.Contains(r.out, `"next_cursor":"more"`) || strings.Count(r.out, "\n") != 1 || !strings.Contains(r.errOut, "There are more: holdfast session audit") {
		t.Errorf("--json is %q, with %q", r.out, r.errOut)
	}
	s.refuses("GET "+aSession+"/audit", http.StatusNotFound, "there is no session "+scriptedID, "", "session", "audit", scriptedID)
}

func TestRename_ReadsAgainOnceWhenItWasChangedMeanwhile(t *testing.T) {
	t.Parallel()
	s := newScripted(t)
	s.onEach("GET "+aSession, func(n int) (int, any) { return http.StatusOK, schema.Session{ID: scriptedID, Version: int64(n)} })
	s.onEach("PATCH "+aSession, func(n int) (int, any) {
		if n == 1 {
			return http.StatusConflict, schema.Problem{Detail: "the session has changed"}
		}
		return http.StatusOK, schema.Session{ID: scriptedID, Name: "new"}
	})
	s.run("", "session", "rename", scriptedID, " new ").want(t, exitOK, "session 3a04458c renamed\n")
	s.wants("PATCH " + aSession + ` {"version":1,"name":"new"}`)
	s.wants("PATCH " + aSession + ` {"version":2,"name":"new"}`)
	var answer schema.Session
	if err := json.Unmarshal([]byte(s.run("", "session", "rename", scriptedID, "new", "--json").out), &answer); err != nil || answer.Name != "new" {
		t.Errorf("--json: %v, %+v", err, answer)
	}
	s.refuses("PATCH "+aSession, http.StatusConflict, "the session has changed", "", "session", "rename", scriptedID, "new")
}

func TestRuns_AreListedAndShown(t *testing.T) {
	t.Parallel()
	s := newScripted(t)
	finished, expires := at("2026-11-22T02:00:05Z"), schema.Time{Time: time.Now().Add(50 * time.Hour)}
	runs := []schema.Run{
		{ID: runOne, Number: 1, Status: schema.SessionFailed, StartedAt: at("2026-11-22T02:00:00Z"), FinishedAt: &finished, Error: "fit failed", Message: "a finer grid", Steps: []schema.Step{
			{ID: "simulate", Status: schema.StepSucceeded}, {ID: "fit", Status: schema.StepFailed}, {ID: "plot", Title: "Plot", Status: schema.StepSkipped, Reason: "fit failed"},
		}},
		{ID: runTwo, Number: 2, Status: schema.SessionActive, StartedAt: finished, Steps: []schema.Step{{ID: "again", Status: schema.StepRunning}}},
	}
	s.on("GET "+aSession+"/runs", http.StatusOK, map[string]any{"runs": runs})
	s.on("GET /api/runs/"+runOne, http.StatusOK, runs[0])
	s.on("GET "+aSession, http.StatusOK, schema.Session{
		ID: scriptedID, Name: "survey", Status: schema.SessionActive, ForkedFrom: otherID, Forks: []string{runOne}, QueuedMessages: 1, ExpiresAt: &expires,
		PendingApprovals: []schema.Approval{{ID: otherID, Description: "Retry?", EscalatedAt: &finished, Options: schema.ApprovalErrorRecovery.Options()}},
	})
	s.on("GET "+aSession+"/history", http.StatusOK, map[string]any{"messages": []schema.Message{
		{Number: 1, Content: "done", Status: schema.MessageTaken}, {Number: 2, Content: "and then", Status: schema.MessageQueued},
	}})
	s.run("", "session", "runs", scriptedID).want(t, exitOK, "RUN", "STEPS", "MESSAGE", "1    11111111  failed  1 of 3, 1 failed, 1 skipped", "5s ", "a finer grid\n", "2    22222222  active  0 of 1 ")
	if r := s.run("", "session", "runs", scriptedID, "--json"); r.out != string(schema.Marshal(map[string]any{"runs": runs}))+"\n" {
		t.Errorf("--json is %q", r.out)
	}
	r := s.run("", "session", "show", scriptedID)
	r.want(t, exitOK, "forked from "+otherID, "forks       "+runOne, "expires     in 2d 1h, unless somebody uses it", "1 message queued\n  2  and then\n",
		"run 2  active", "again", "? approval 9c0d58b4 escalated Retry?", "holdfast approval resolve 9c0d58b4 retry", "2 runs in all: holdfast session runs 3a04458c")
	if strings.Contains(r.out, "simulate") {
		t.Errorf("an earlier run is shown: %s", r.out)
	}
	s.run("", "session", "show", scriptedID, "--run", "1").want(t, exitOK, "run 1  failed  5s\n  » a finer grid\n  fit failed\n", "Plot  (fit failed)")
	if r := s.run("", "session", "show", scriptedID, "--run", "1", "--json"); r.out != string(schema.Marshal(runs[0]))+"\n" {
		t.Errorf("--run --json is %q", r.out)
	}
	s.run("", "session", "show", scriptedID, "--run", "3").want(t, exitError, `there is no run "3"`)
	s.refuses("GET "+aSession+"/runs", http.StatusNotFound, "there is no session "+scriptedID, "", "session", "runs", scriptedID)
}

func TestStart_SendsEveryConfigFlag(t *testing.T) {
	t.Parallel()
	s := newScripted(t)
	s.on("POST /api/sessions", http.StatusCreated, schema.Session{ID: scriptedID})
	s.run(quick, "session", "start", "--plan", "-", "--on-timeout", "escalate", "--escalation-timeout", "90m", "--on-modified", "approve",
		"--run-timeout", "2h", "--when-busy", "interrupt", "--session-ttl", "720h").want(t, exitOK, "session "+scriptedID)
	s.wants(`POST /api/sessions {"mode":"runbook","plan":{"steps":[{"id":"a","shell":"true"}]},"config":{"on_timeout":"escalate","escalation_timeout":"1h30m",` +
		`"on_modified":"approve","run_timeout":"2h","when_busy":"interrupt","session_ttl":"720h"},"attended":true}`)
}

func TestStart_WatchEndsWithTheFirstRun(t *testing.T) {
	t.Parallel()
	s := newScripted(t)
	s.onEach("POST /api/sessions", func(int) (int, any) {
		s.emit(runOne, begun(1, 0), ended(schema.EventWorkflowFailed, schema.WorkflowFailedData{Error: "no"}))
		s.emit(runTwo, begun(2, 1)) // somebody was quicker
		return http.StatusCreated, schema.Session{ID: scriptedID}
	})
	s.run("", "session", "start", "--plan", writeFile(t, "p.json", quick), "--watch").want(t, exitError, "✗ failed: no")
}

func TestWatch_ARunWithFailedStepsHasACodeOfItsOwn(t *testing.T) {
	t.Parallel()
	s := newScripted(t)
	s.emit(runOne, begun(1, 0), ended(schema.EventWorkflowCompleted, schema.WorkflowCompletedData{DurationMS: 1200, Steps: 6, FailedSteps: 6}))
	s.on("GET "+aSession, http.StatusOK, schema.Session{ID: scriptedID, HeadSeq: 2, Status: schema.SessionCompleted, FailedSteps: 6})
	s.run("", "session", "watch", scriptedID).want(t, exitFailedSteps, "⚠ completed, 6 of 6 steps failed")
	s.run("", "session", "watch", scriptedID, "--json").want(t, exitFailedSteps, `"failed_steps":6`)
	s.run("", "session", "watch", scriptedID, "--since", "2").want(t, exitFailedSteps)
	s.emit(runTwo, begun(2, 0), ended(schema.EventWorkflowCompleted, schema.WorkflowCompletedData{Steps: 6}))
	s.run("", "session", "watch", scriptedID).want(t, exitOK, "✓ completed")
}
