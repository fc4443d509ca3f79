package worker_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/holdfast/holdfast/internal/testkit"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
)

// decide resolves the pending approval of a session.
func (w *world) decide(id string, r schema.Resolution, modifications string) schema.Approval {
	w.t.Helper()
	a := w.pending(id)
	c := schema.ResolveApproval{ApprovalID: a.ID, Resolution: r, Actor: "ada", Feedback: "mind the gap"}
	if modifications != "" {
		c.Modifications = json.RawMessage(modifications)
	}
	if _, err := w.update(id, schema.CommandResolveApproval, c); err != nil {
		w.t.Fatalf("%s: %v", r, err)
	}
	w.await(id, "decision", func([]schema.Event) bool {
		now, err := w.store.Approval(w.t.Context(), a.ID)
		return err == nil && now.Status != schema.ApprovalPending
	})
	return a
}

func (w *world) countTypes(id string, want schema.EventType) int {
	w.t.Helper()
	events, err := w.store.Events(w.t.Context(), id, store.EventFilter{Types: []schema.EventType{want}, Limit: 10_000})
	if err != nil {
		w.t.Fatal(err)
	}
	return len(events)
}

// awaitEnds waits until that many runs of the session have ended.
func (w *world) awaitEnds(id string, n int) []schema.Event {
	w.t.Helper()
	return w.await(id, fmt.Sprintf("end of run %d", n), func(events []schema.Event) bool {
		ended := 0
		for _, e := range events {
			switch e.Type {
			case schema.EventWorkflowCompleted, schema.EventWorkflowFailed, schema.EventWorkflowCancelled:
				ended++
			default:
			}
		}
		return ended >= n
	})
}

func TestModified_ThePlanThatAHumanWroteIsTheOneThatRuns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.session(schema.Config{ApprovalMode: schema.ApproveAfterPlanning}, `{"steps":[{"id":"a","shell":"echo planned"}]}`)
	w.decide(id, schema.ResolutionModified, `{"plan":{"steps":[{"id":"b","shell":"cat word"},{"id":"c","shell":"echo then","needs":["b"]}],"files":{"word":"edited\n"}}}`)
	again := w.decide(id, schema.ResolutionApproved, "")
	if !strings.Contains(again.Description, "edited by ada") || !strings.Contains(string(again.Context), `"cat word"`) {
		t.Errorf("asked again: %s %s", again.Description, again.Context)
	}
	events := w.awaitType(id, schema.EventWorkflowCompleted)
	if output(t, events, "b") != "edited\n" || output(t, events, "c") != "then\n" || output(t, events, "a") != "" {
		t.Fatalf("what ran is not what was edited:\n%s", logText(events))
	}
	if w.countTypes(id, schema.EventPlanUpdated) != 1 || w.countTypes(id, schema.EventDAGUpdated) != 1 {
		t.Errorf("the change of the plan is not told:\n%s", logText(events))
	}
}

func TestModified_AStepRunsTheCommandAndFilesThatAHumanWrote(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.session(schema.Config{OnModified: schema.OnModifiedApprove, Parallel: 1}, `{"steps":[
		{"id":"a","shell":"cat in.txt; echo kept > made.txt"},
		{"id":"b","shell":"cat in.txt","approval":true,"needs":["a"]},
		{"id":"c","shell":"exit 7","on_error":"ask","needs":["b"]}],"files":{"in.txt":"before\n","other.txt":"untouched\n"}}`)
	w.decide(id, schema.ResolutionModified, `{"shell":"cat in.txt other.txt made.txt; echo $WORD","env":{"WORD":"hello"},"files":{"in.txt":"after\n"}}`)
	recovery := w.decide(id, schema.ResolutionRetry, `{"shell":"echo fixed: $HOLDFAST_FEEDBACK"}`)
	if recovery.Type != schema.ApprovalErrorRecovery || !strings.Contains(recovery.Description, "exit code 7") {
		t.Errorf("asked %s: %s", recovery.Type, recovery.Description)
	}
	events := w.awaitType(id, schema.EventWorkflowCompleted)
	for step, want := range map[string]string{"a": "before\n", "b": "after\nuntouched\nkept\nhello\n", "c": "fixed: mind the gap\n"} {
		if got := output(t, events, step); got != want {
			t.Errorf("%s printed %q, want %q", step, got, want)
		}
	}
}

func TestMessage_StartsTheNextRunWithItsText(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.session(schema.Config{}, `{"steps":[{"id":"say","shell":"echo \"heard: $HOLDFAST_MESSAGE\"; sleep 0.2"}]}`)
	for _, text := range []string{"first", "approved"} {
		if _, err := w.update(id, schema.CommandMessage, schema.SendMessage{Content: text, Actor: "ada", RequestID: "request " + text}); err != nil {
			t.Fatal(err)
		}
	}
	// Repeating the request gives the same message.
	result, err := w.update(id, schema.CommandMessage, schema.SendMessage{Content: "first", Actor: "ada", RequestID: "request first"})
	if err != nil || !result.Repeated || result.Message != 1 {
		t.Fatalf("%+v, %v", result, err)
	}
	events := w.awaitEnds(id, 3)
	if got, want := output(t, events, "say"), "heard: \nheard: first\nheard: approved\n"; got != want {
		t.Fatalf("printed %q, want %q", got, want)
	}
	runs, err := w.store.Runs(t.Context(), id)
	if err != nil || len(runs) != 3 || runs[2].Message != "approved" {
		t.Fatalf("%+v, %v", runs, err)
	}
	messages, _, err := w.store.Messages(t.Context(), id, 10, "")
	if err != nil || len(messages) != 2 || messages[0].Status != schema.MessageTaken || messages[1].RunID != runs[2].ID {
		t.Fatalf("%+v, %v", messages, err)
	}
}

func TestMessage_InterruptsTheRunAndStartsTheNext(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.session(schema.Config{WhenBusy: schema.WhenBusyInterrupt}, `{"steps":[{"id":"s","shell":"echo run $HOLDFAST_MESSAGE; [ -n \"$HOLDFAST_MESSAGE\" ] || sleep 1000"}]}`)
	w.await(id, "output", func(events []schema.Event) bool { return output(t, events, "s") != "" })
	if _, err := w.update(id, schema.CommandMessage, schema.SendMessage{Content: "two", Actor: "ada"}); err != nil {
		t.Fatal(err)
	}
	events := w.awaitEnds(id, 2)
	if got := output(t, events, "s"); got != "run\nrun two\n" {
		t.Fatalf("printed %q", got)
	}
	if !strings.Contains(logText(events), `"reason":"interrupted","receipt":{"processes_killed":`) {
		t.Fatalf("the first run's end is not explained:\n%s", logText(events))
	}
}

func TestRun_TheNextOneTakesItsOwnPlan(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.session(schema.Config{}, `{"steps":[{"id":"a","shell":"echo one > kept.txt"}]}`)
	w.awaitEnds(id, 1)
	plan, problems := schema.ParsePlan([]byte(`{"steps":[{"id":"b","shell":"cat kept.txt"}]}`))
	if problems != nil {
		t.Fatal(problems)
	}
	digest, err := w.store.SavePlan(t.Context(), id, plan)
	if err != nil {
		t.Fatal(err)
	}
	result, err := w.update(id, schema.CommandRun, schema.StartRun{PlanDigest: digest, Actor: "ada"})
	if err != nil || result.RunNumber != 2 || result.RunID != schema.RunID(id, 2) {
		t.Fatalf("%+v, %v", result, err)
	}
	if got := output(t, w.awaitEnds(id, 2), "b"); got != "one\n" {
		t.Fatalf("printed %q: the workspace is the session's", got)
	}
	// A plan that the session never had fails the run, and the session lives on.
	if _, err := w.update(id, schema.CommandRun, schema.StartRun{PlanDigest: "no such plan", Actor: "ada"}); err != nil {
		t.Fatal(err)
	}
	events := w.awaitEnds(id, 3)
	if events[len(events)-1].Type != schema.EventWorkflowFailed {
		t.Fatalf("the log ends with\n%s", logText(events[len(events)-3:]))
	}
	if _, err := w.update(id, schema.CommandMessage, schema.SendMessage{Content: "again", Actor: "ada"}); err != nil {
		t.Fatal(err)
	}
	w.awaitEnds(id, 4)
}

func TestFork_RunsOnlyWhatWasNotDone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.session(schema.Config{}, `{"steps":[{"id":"a","shell":"echo a"},{"id":"b","shell":"echo b","needs":["a"]},{"id":"c","shell":"echo c","needs":["b"]}]}`)
	w.awaitEnds(id, 1)
	fork, created, err := w.store.Fork(t.Context(), store.NewFork{ID: schema.NewID(), SourceID: id, StepID: "a", Name: "again", Actor: "bob"})
	if err != nil || !created {
		t.Fatal(created, err)
	}
	w.startWorkflow(fork.ID, fork.Config)
	events := w.awaitEnds(fork.ID, 1)
	if output(t, events, "a") != "" || output(t, events, "b") != "b\n" || output(t, events, "c") != "c\n" {
		t.Fatalf("the fork ran\n%s", logText(events))
	}
}

func TestAsk_OfARunningStepIsAnsweredWhileItRuns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.session(schema.Config{}, `{"steps":[{"id":"s","shell":"echo up; while [ ! -e go ]; do sleep 0.05; done"}]}`)
	w.await(id, "output", func(events []schema.Event) bool { return output(t, events, "s") != "" })
	result, err := w.update(id, schema.CommandAsk, schema.Ask{StepID: "s", Question: "Shall I?", RequestID: "1", TimeoutSeconds: 60})
	if err != nil {
		t.Fatal(err)
	}
	a := w.decide(id, schema.ResolutionApproved, "")
	if a.ID != result.ApprovalID || a.Description != "Shall I?" || a.Type != schema.ApprovalProgramAsk {
		t.Fatalf("asked %+v", a)
	}
	if _, err := w.update(id, schema.CommandCancel, schema.Command{Actor: "ada"}); err != nil {
		t.Fatal(err)
	}
	w.awaitEnds(id, 1)
}

func TestRunTimeout_StopsWhatRunsAndFailsTheRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.session(schema.Config{RunTimeout: "1s"}, `{"steps":[{"id":"s","shell":"sleep 1000"},{"id":"t","shell":"true","needs":["s"]}]}`)
	events := w.awaitType(id, schema.EventWorkflowFailed)
	if !strings.Contains(logText(events), `the run took longer than its 1s`) || !strings.Contains(logText(events), `"new_status":"cancelled","reason":"the run reached its time limit of 1s"`) {
		t.Fatalf("the log is\n%s", logText(events))
	}
}

func TestExpiry_CompletesTheWorkflowOfASessionThatNobodyUses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.session(schema.Config{SessionTTL: "1s"}, `{"steps":[{"id":"s","shell":"true"}]}`)
	w.await(id, "expiry", func([]schema.Event) bool {
		s, err := w.store.Session(t.Context(), id)
		return err == nil && s.Status == schema.SessionExpired
	})
	if err := w.temporal.GetWorkflow(t.Context(), schema.WorkflowID(id), "").Get(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := w.update(id, schema.CommandMessage, schema.SendMessage{Content: "hello"}); err == nil {
		t.Fatal("an expired session takes a message")
	}
}

func TestSignal_ThatIsRefusedStandsInTheAuditTrail(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.session(schema.Config{}, `{"steps":[{"id":"s","shell":"true","approval":true}]}`)
	a := w.pending(id)
	for i, r := range []schema.Resolution{schema.ResolutionSkip, schema.ResolutionApproved, schema.ResolutionRejected} {
		by := []string{"", schema.ActorRetention, schema.ActorHoldfast}[i] // names of the product's own belong to nobody
		if err := w.temporal.SignalWorkflow(t.Context(), schema.WorkflowID(id), "", schema.CommandResolveApproval, schema.ResolveApproval{ApprovalID: a.ID, Resolution: r, Actor: by}); err != nil {
			t.Fatal(err)
		}
	}
	w.awaitType(id, schema.EventWorkflowCompleted)
	var trail []schema.AuditEntry
	w.await(id, "audit trail", func([]schema.Event) bool {
		var err error
		trail, _, err = w.store.Audit(t.Context(), id, 0, 100)
		return err == nil && len(trail) == 4
	})
	if trail[0].Action != "start" {
		t.Errorf("it begins with %+v", trail[0])
	}
	trail = trail[1:]
	for i, want := range []schema.AuditOutcome{schema.AuditIgnored, schema.AuditTaken, schema.AuditIgnored} {
		e := trail[i]
		if e.Outcome != want || e.Actor != schema.ActorTemporal || e.ApprovalID != a.ID || e.Action != schema.CommandResolveApproval {
			t.Errorf("entry %d: %+v", i, e)
		}
	}
	if trail[1].Digest != a.Digest {
		t.Errorf("what was decided on is %q in the audit trail, %q in the approval", trail[1].Digest, a.Digest)
	}
}

// The first decision wins, however it came: a starting worker hears both in one workflow task.
func TestSignal_ComesBeforeALaterUpdate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.session(schema.Config{}, `{"steps":[{"id":"s","shell":"true","approval":true}]}`)
	a := w.pending(id)
	w.stop()
	decision := func(r schema.Resolution) schema.ResolveApproval {
		return schema.ResolveApproval{ApprovalID: a.ID, Resolution: r, Actor: "ada"}
	}
	if err := w.temporal.SignalWorkflow(t.Context(), schema.WorkflowID(id), "", schema.CommandResolveApproval, decision(schema.ResolutionApproved)); err != nil {
		t.Fatal(err)
	}
	refused := make(chan error, 1)
	go func() {
		_, err := w.update(id, schema.CommandResolveApproval, decision(schema.ResolutionRejected))
		refused <- err
	}()
	w.start() // which takes longer than the update needs to arrive
	w.awaitType(id, schema.EventWorkflowCompleted)
	if app, ok := errors.AsType[*temporal.ApplicationError](<-refused); !ok || schema.Code(app.Type()) != schema.CodeConflict {
		t.Errorf("the later one was answered with %v", app)
	}
}

func TestApproval_RejectedFailsTheRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.session(schema.Config{ApprovalMode: schema.ApproveAfterPlanning}, `{"steps":[{"id":"s","shell":"true"}]}`)
	w.decide(id, schema.ResolutionRejected, "")
	events := w.awaitType(id, schema.EventWorkflowFailed)
	if !strings.Contains(logText(events), "the plan was rejected by ada: mind the gap") {
		t.Fatalf("the log is\n%s", logText(events))
	}
}

func TestApproval_ExpiresAndIsAskedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.session(schema.Config{ApprovalTimeoutSeconds: 1}, `{"steps":[{"id":"s","shell":"true","approval":true}]}`)
	w.awaitType(id, schema.EventWorkflowPaused)
	if _, err := w.update(id, schema.CommandResume, schema.Command{Actor: "ada"}); err != nil {
		t.Fatal(err)
	}
	if again := w.decide(id, schema.ResolutionApproved, ""); !strings.Contains(again.Description, "nobody answered in time") {
		t.Errorf("asked again: %s", again.Description)
	}
	w.awaitType(id, schema.EventWorkflowCompleted)
}

func TestApproval_EscalatesAndIsExtended(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.session(schema.Config{ApprovalTimeoutSeconds: 1, OnTimeout: schema.OnTimeoutEscalate, EscalationTimeout: "2s"}, `{"steps":[{"id":"s","shell":"true","approval":true}]}`)
	w.awaitType(id, schema.EventApprovalEscalated)
	a := w.pending(id)
	result, err := w.update(id, schema.CommandExtendApproval, schema.ExtendApproval{ApprovalID: a.ID, Seconds: 600, Actor: "ada", RequestID: "x"})
	if err != nil || a.EscalatedAt == nil || !result.ExpiresAt.After(a.ExpiresAt.Add(599*time.Second)) {
		t.Fatalf("%+v, %v, of %+v", result, err, a)
	}
	if again, err := w.update(id, schema.CommandExtendApproval, schema.ExtendApproval{ApprovalID: a.ID, Seconds: 600, Actor: "ada", RequestID: "x"}); err != nil || !again.Repeated {
		t.Fatalf("the same again: %+v, %v", again, err)
	}
	w.awaitType(id, schema.EventApprovalExtended)
	testkit.Never(t, time.Until(a.ExpiresAt.Time)+500*time.Millisecond, "it expired though it was extended", func() bool {
		return w.countTypes(id, schema.EventApprovalExpired) > 0
	})
	if now := w.decide(id, schema.ResolutionApproved, ""); now.ID != a.ID || now.RemainingSeconds < 500 {
		t.Fatalf("%+v", now)
	}
	w.awaitType(id, schema.EventWorkflowCompleted)
}

func TestRetry_AfterABackoff(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.session(schema.Config{}, `{"steps":[{"id":"s","shell":"echo try $HOLDFAST_ATTEMPT; [ $HOLDFAST_ATTEMPT = 2 ]","retries":2},{"id":"t","shell":"exit 1","on_error":"continue"},{"id":"u","shell":"true","needs":["t"]}]}`)
	events := w.awaitType(id, schema.EventWorkflowCompleted)
	if got := output(t, events, "s"); got != "try 1\ntry 2\n" {
		t.Fatalf("printed %q", got)
	}
	if !strings.Contains(logText(events), `"node_id":"u","old_status":"pending","new_status":"skipped","reason":"it needs \"t\", which failed"`) {
		t.Fatalf("the skipped step is not explained:\n%s", logText(events))
	}
}

// Commands that arrive before the run is open wait for it.
func TestSuspend_BeforeTheFirstRunIsOpen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.stop()
	id := w.session(schema.Config{}, `{"steps":[{"id":"s","shell":"echo late"}]}`)
	for _, name := range []string{schema.CommandSuspend, schema.CommandMessage} {
		if err := w.temporal.SignalWorkflow(t.Context(), schema.WorkflowID(id), "", name, schema.SendMessage{Content: "hello", Actor: "ada"}); err != nil {
			t.Fatal(err)
		}
	}
	w.start()
	w.awaitType(id, schema.EventWorkflowPaused)
	if s, err := w.store.Session(t.Context(), id); err != nil || s.Status != schema.SessionSuspended || s.QueuedMessages != 1 {
		t.Fatalf("%+v, %v", s, err)
	}
	if _, err := w.update(id, schema.CommandResume, schema.Command{Actor: "ada"}); err != nil {
		t.Fatal(err)
	}
	w.awaitEnds(id, 2)
}

// Twenty people talk to one session at the same moment: Temporal takes ten updates at once.
func TestPressure_EveryCommandIsAnsweredTruly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.session(schema.Config{}, `{"steps":[{"id":"s","shell":"true","approval":true}]}`)
	w.pending(id)
	const people = 40
	answers := make(chan int, people)
	for i := range people {
		go func() {
			result, err := w.update(id, schema.CommandMessage, schema.SendMessage{Content: strconv.Itoa(i), Actor: "ada", RequestID: fmt.Sprint("person ", i)})
			if err != nil {
				t.Errorf("person %d: %v", i, err)
			}
			answers <- result.Message
		}()
	}
	numbers := map[int]bool{}
	for range people {
		numbers[<-answers] = true
	}
	if len(numbers) != people || numbers[0] {
		t.Fatalf("%d different numbers for %d messages", len(numbers), people)
	}
	w.await(id, "messages", func([]schema.Event) bool {
		s, err := w.store.Session(t.Context(), id)
		return err == nil && s.QueuedMessages == people
	})
	if _, err := w.update(id, schema.CommandCancel, schema.Command{Actor: "ada"}); err != nil {
		t.Fatal(err)
	}
	w.awaitEnds(id, 1)
	testkit.Never(t, 200*time.Millisecond, "a run began after the one that was cancelled: the queue was not empty", func() bool {
		return w.countTypes(id, schema.EventWorkflowStarted) != 1
	})
}

func (w *world) startWorkflow(id string, config schema.Config) {
	w.t.Helper()
	_, err := w.temporal.ExecuteWorkflow(w.t.Context(), client.StartWorkflowOptions{ID: schema.WorkflowID(id), TaskQueue: schema.TaskQueueSessions},
		schema.WorkflowType, schema.SessionInput{SessionID: id, Config: config, Mode: schema.ModeRunbook, ApprovalTimeout: 300 * time.Second, HostTimeout: w.hostTimeout}, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { w.replay(id) })
}

// Each timer wakes its session, and a session may take thousands of decisions.
func TestTimers_DecisionsDoNotPileThemUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.session(schema.Config{ApprovalMode: schema.ApproveBeforeEachStep, Parallel: 1}, `{"steps":[{"id":"a","run":["true"]},{"id":"b","run":["true"],"needs":["a"]},{"id":"c","run":["true"],"needs":["b"]},{"id":"d","run":["true"],"needs":["c"]}]}`)
	for range 4 {
		w.decide(id, schema.ResolutionApproved, "")
	}
	w.awaitType(id, schema.EventWorkflowCompleted)
	timers := 0
	for _, e := range w.histories(t.Context(), id)[0].GetEvents() {
		if e.GetTimerStartedEventAttributes() != nil {
			timers++
		}
	}
	if timers != 1 {
		t.Fatalf("%d timers for four decisions, want the first one alone", timers)
	}
}
