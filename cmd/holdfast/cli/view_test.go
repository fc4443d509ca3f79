package cli

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/holdfast/holdfast/cmd/holdfast/terminal"
	"github.com/holdfast/holdfast/schema"
)

const viewed = "0b54b8b4-3d1c-4b0e-9a53-0d7a3c1a2f10"

func newTestView(tty bool) (*view, *bytes.Buffer) {
	var b bytes.Buffer
	return &view{out: &b, notes: &b, style: terminal.Style{On: tty}, tty: tty, steps: map[string]*stepView{}, files: map[string]int64{}}, &b
}

func event(kind schema.EventType, step string, data any) schema.Event {
	return schema.Event{Type: kind, SessionID: viewed, StepID: step, Data: schema.Marshal(data)}
}

func printed(step, text string) schema.Event {
	return event(schema.EventOutput, step, schema.OutputData{Stream: schema.Stdout, Text: text})
}

func TestView_TellsASessionFromStartToEnd(t *testing.T) {
	t.Parallel()
	v, b := newTestView(false)
	code := 3
	for _, e := range []schema.Event{
		event(schema.EventWorkflowStarted, "", schema.WorkflowStartedData{RunNumber: 1}),
		event(schema.EventPlanProposed, "", schema.PlanProposedData{Plan: &schema.Plan{Steps: []schema.PlanStep{{ID: "simulate"}, {ID: "plot"}}}}),
		event(schema.EventWorkflowStateChanged, "", schema.WorkflowStateChangedData{}),
		event(schema.EventStepStarted, "simulate", schema.StepStartedData{Attempt: 1, Command: []string{"python3", "simulate.py"}}),
		printed("simulate", "one\ntw"), printed("simulate", "o\n10 %\r20 %\r"), printed("simulate", "30 %\n\x1b[31mred\x1b[0m"),
		event(schema.EventStepFailed, "simulate", schema.StepFailedData{Attempt: 1, ExitCode: &code, Reason: schema.ReasonExit, DurationMS: 1200}),
		event(schema.EventStepRetryBackoff, "simulate", schema.StepRetryBackoffData{Attempt: 2, BackoffMS: 1000}),
		event(schema.EventStepRetryStarted, "simulate", schema.StepRetryStartedData{Attempt: 2, Reason: schema.ReasonRetry}),
		event(schema.EventStepStarted, "simulate", schema.StepStartedData{Attempt: 2, Command: []string{"python3", "simulate.py"}}),
		event(schema.EventStepCompleted, "simulate", schema.StepCompletedData{Attempt: 2, DurationMS: 800, MaxRSSBytes: 12_000_000}),
		event(schema.EventApprovalReceived, "plot", schema.ApprovalReceivedData{Resolution: schema.ResolutionRejected, Actor: "ada", Feedback: "too\x1b]0;x\x07 red"}),
		event(schema.EventDAGNodeStatusChanged, "", schema.DAGNodeStatusChangedData{NodeID: "plot", NewStatus: schema.StepSkipped, Reason: "rejected"}),
		event(schema.EventWorkflowPaused, "", schema.WorkflowPausedData{Reason: "approval_expired"}),
		event(schema.EventWorkflowResumed, "", schema.WorkflowResumedData{Actor: "ada"}),
		event(schema.EventWorkflowFailed, "", schema.WorkflowFailedData{Error: "the step \"plot\" was rejected", DurationMS: 61_000}),
	} {
		v.event(e)
	}
	v.end()
	want := `▶ run 1
  plan: simulate, plot
● simulate  python3 simulate.py
one
two
30 %
red
✗ simulate: exit code 3  after 1.2s
  simulate: next attempt in 1s
↻ simulate: attempt 2
● simulate  python3 simulate.py  (attempt 2)
✓ simulate  800ms, 12 MB
! rejected by ada: too red
– plot: skipped (rejected)
‖ suspended: an approval expired; go on with ` + "`holdfast session resume 0b54b8b4`" + `
▶ resumed by ada
✗ failed: the step "plot" was rejected after 1m 1s
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

func TestView_NamesTheStepOfEachLineWhenSeveralRun(t *testing.T) {
	t.Parallel()
	v, b := newTestView(false)
	for _, id := range []string{"a", "long"} {
		v.event(event(schema.EventStepStarted, id, schema.StepStartedData{Attempt: 1, Command: []string{"x"}}))
	}
	for i := range 3 {
		v.event(printed("a", fmt.Sprintf("a%d\npar", i)))
		v.event(printed("long", fmt.Sprintf("tial %d\n", i)))
	}
	v.event(event(schema.EventStepCompleted, "a", schema.StepCompletedData{}))
	v.event(printed("long", "alone\n"))
	want := "● a  x\n● long  x\n" +
		"a    │ a0\nlong │ tial 0\na    │ para1\nlong │ tial 1\na    │ para2\nlong │ tial 2\na    │ par\n✓ a  0ms\nalone\n"
	if b.String() != want {
		t.Errorf("got\n%q\nwant\n%q", b.String(), want)
	}
}

func TestView_LetsAProgressBarMoveOnATerminalAndStopsWhatIsDangerous(t *testing.T) {
	t.Parallel()
	v, b := newTestView(true)
	v.event(event(schema.EventStepStarted, "a", schema.StepStartedData{Attempt: 1, Command: []string{"x"}}))
	b.Reset()
	v.event(printed("a", "\r\x1b[K\x1b[32m50 %\x1b]52;c;"))
	v.event(printed("a", "cm0=\x07\r60 %"))
	if got, want := b.String(), "\r\x1b[K\x1b[32m50 %\r60 %"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	b.Reset()
	v.notice("the connection was lost")
	if got := b.String(); !strings.HasPrefix(got, "\x1b[0m\n") {
		t.Errorf("a notice does not start on a line of its own, in its own colours: %q", got)
	}
}

func TestView_ShowsALineThatNeverEnds(t *testing.T) {
	t.Parallel()
	v, b := newTestView(false)
	for range 3 {
		v.event(printed("a", strings.Repeat("x", maxPartial/2)))
	}
	if b.Len() < maxPartial {
		t.Errorf("%d bytes are shown, the rest is held back", b.Len())
	}
}

func TestView_ShowsWhoIsAskedWhat(t *testing.T) {
	t.Parallel()
	v, b := newTestView(false)
	expires := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	v.event(event(schema.EventApprovalRequested, "", schema.ApprovalRequestedData{
		ApprovalID: viewed, Description: "Run \"plot\"?\n", ExpiresAt: schema.Time{Time: expires},
	}))
	v.event(event(schema.EventApprovalExpired, "", schema.ApprovalExpiredData{ApprovalID: viewed, Reason: "timeout"}))
	v.event(event(schema.EventApprovalExpired, "", schema.ApprovalExpiredData{ApprovalID: viewed, Reason: "cancelled"}))
	want := "? Run \"plot\"?  approval 0b54b8b4, until " + clock(expires) + "\n! approval 0b54b8b4 expired\n! approval 0b54b8b4 closed: cancelled\n"
	if b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
}

func TestView_TellsWhatPeopleDoToASession(t *testing.T) {
	t.Parallel()
	v, b := newTestView(false)
	until := schema.Time{Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	plan := &schema.Plan{Steps: []schema.PlanStep{{ID: "a", Shell: "new"}, {ID: "b", Shell: "x"}}}
	for _, e := range []schema.Event{
		event(schema.EventSessionForked, "", schema.SessionForkedData{SessionID: viewed, Direction: "from", StepID: "simulate", Actor: "ada"}),
		event(schema.EventAgentMessage, "", schema.AgentMessageData{Role: "user", Message: "a finer\ngrid\x1b[2J", Actor: "ada", Number: 2}),
		event(schema.EventWorkflowStarted, "", schema.WorkflowStartedData{RunNumber: 3, Message: 2}),
		event(schema.EventApprovalExtended, "", schema.ApprovalExtendedData{ApprovalID: viewed, ExpiresAt: until, Seconds: 300, Actor: "ada"}),
		event(schema.EventApprovalEscalated, "", schema.ApprovalEscalatedData{ApprovalID: viewed, ExpiresAt: until}),
		event(schema.EventPlanUpdated, "", schema.PlanUpdatedData{Plan: plan, StepID: "a", Actor: "ada"}),
		event(schema.EventPlanUpdated, "", schema.PlanUpdatedData{Plan: plan, Actor: "ada"}),
		event(schema.EventApprovalExpired, "", schema.ApprovalExpiredData{ApprovalID: viewed, Reason: "plan_changed"}),
		event(schema.EventApprovalExpired, "", schema.ApprovalExpiredData{ApprovalID: viewed, Reason: "timeout", OnTimeout: schema.OnTimeoutReject}),
		event(schema.EventDAGNodeStatusChanged, "", schema.DAGNodeStatusChangedData{NodeID: "a", NewStatus: schema.StepPending, Reason: "edited by ada"}),
		event(schema.EventDAGNodeStatusChanged, "", schema.DAGNodeStatusChangedData{NodeID: "a", NewStatus: schema.StepPending, Reason: "the edit was refused: no"}),
		event(schema.EventDAGNodeStatusChanged, "", schema.DAGNodeStatusChangedData{NodeID: "b", NewStatus: schema.StepSkipped, Reason: "a failed"}),
		event(schema.EventWorkflowCancelled, "", schema.WorkflowCancelledData{Reason: "interrupted", Actor: "ada"}),
		event(schema.EventWorkflowStarted, "", schema.WorkflowStartedData{RunNumber: 4}),
		event(schema.EventWorkflowStateChanged, "", schema.WorkflowStateChangedData{Status: schema.SessionExpired}),
		event(schema.EventWorkflowCancelled, "", schema.WorkflowCancelledData{Reason: "expired"}),
		event(schema.EventSessionForked, "", schema.SessionForkedData{SessionID: viewed, Direction: "to"}),
		event(schema.EventSessionRenamed, "", schema.SessionRenamedData{Name: "new"}),
	} {
		v.event(e)
	}
	at := clock(until.Time)
	want := `⑂ forked from session 0b54b8b4, after simulate by ada
» message 2, ada: a finer
grid
▶ run 3  for message 2
! approval 0b54b8b4: 5m more by ada, until ` + at + `
!! NOBODY HAS ANSWERED approval 0b54b8b4: the last deadline is ` + at + "; see `holdfast approval show 0b54b8b4`" + `
✎ a was edited by ada  new
✎ the plan was edited by ada  plan: a, b
! approval 0b54b8b4 is void: asked again because the plan has changed
! approval 0b54b8b4 expired, which counts as rejected
– a: pending (the edit was refused: no)
– b: skipped (a failed)
✗ interrupted by a message from ada; 0 processes ended, 0 left; 0 files kept
▶ run 4
✗ expired: nobody has used the session for its time to live; 0 processes ended, 0 left; 0 files kept
⑂ forked to session 0b54b8b4
  renamed: new
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
	// An idle session has no run whose end would say so.
	b.Reset()
	v.event(event(schema.EventWorkflowStateChanged, "", schema.WorkflowStateChangedData{Status: schema.SessionExpired}))
	if !strings.Contains(b.String(), "✗ expired") {
		t.Errorf("got %q", b.String())
	}
	loud, b := newTestView(true)
	loud.event(event(schema.EventApprovalEscalated, "", schema.ApprovalEscalatedData{ApprovalID: viewed}))
	if !strings.HasPrefix(b.String(), "\a\x1b[1m\x1b[31m!! NOBODY") {
		t.Errorf("it is not loud: %q", b.String())
	}
}
