package workflows

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/holdfast/holdfast/schema"
)

func say(s *State, text string) (int, error) {
	return s.Message(epoch, ada, schema.SendMessage{Content: text})
}

func TestMessage_WaitsForItsTurnAndDecidesNothing(t *testing.T) {
	t.Parallel()
	s := newState(t, schema.Config{}, gated("a"))
	settle(s, epoch)
	for i, text := range []string{"approved", "yes", "retry"} {
		if n, err := say(s, text); n != i+1 || err != nil {
			t.Fatal(n, err)
		}
	}
	settle(s, epoch)
	only(t, s)
	if s.StartNext() {
		t.Fatal("a run began beside the one under way")
	}
	decide(t, s, schema.ResolutionRejected, epoch) // the run fails; the queue goes on
	for i := range 3 {
		if !s.StartNext() || s.Run.Message != i+1 || s.Run.Number != i+2 {
			t.Fatalf("run %d answers message %d", s.Run.Number, s.Run.Message)
		}
		s.Begun(schema.Outline{}, epoch)
		settle(s, epoch)
	}
	if s.StartNext() || s.Busy() {
		t.Fatal("there is nothing left to answer")
	}
}

func TestMessage_WhileBusyFollowsWhenBusy(t *testing.T) {
	t.Parallel()
	s := newState(t, schema.Config{WhenBusy: schema.WhenBusyReject}, step("a"))
	if _, err := say(s, "hello"); schema.CodeOf(err) != schema.CodeConflict || !strings.Contains(err.Error(), "when_busy is reject") {
		t.Fatalf("reject: %v", err)
	}
	startIDs(s, epoch)
	finish(s, "a", schema.AttemptSucceeded, epoch)
	settle(s, epoch)
	if _, err := say(s, "hello"); err != nil {
		t.Fatalf("an idle session rejects: %v", err)
	}

	s = newState(t, schema.Config{WhenBusy: schema.WhenBusyInterrupt}, step("a"))
	startIDs(s, epoch)
	if _, err := say(s, "rather this"); err != nil || s.Cancel == nil {
		t.Fatalf("interrupt: %v, %+v", err, s.Cancel)
	}
	s.Cancelled(schema.Receipt{}, epoch)
	recorded := settle(s, epoch)
	if end := recorded[len(recorded)-1].End; end.Status != schema.SessionCancelled || end.Reason != "interrupted" {
		t.Fatalf("ended as %+v", end)
	}
	if !s.StartNext() || s.Run.Message != 1 {
		t.Fatalf("the message does not start the next run: %+v", s.Run)
	}
}

func TestMessage_TheQueueHasABoundAndACancelEmptiesIt(t *testing.T) {
	t.Parallel()
	s := newState(t, schema.Config{}, step("a"))
	for range schema.MaxQueuedMessages {
		if _, err := say(s, "more"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := say(s, "more"); schema.CodeOf(err) != schema.CodeConflict {
		t.Fatalf("one too many: %v", err)
	}
	settle(s, epoch)
	if _, err := s.RequestCancel(epoch, ada); err != nil {
		t.Fatal(err)
	}
	if n := len(s.Pending.Messages); n != schema.MaxQueuedMessages || s.Pending.Messages[0].Status != schema.MessageDropped {
		t.Fatalf("%d messages dropped", n)
	}
	s.Cancelled(schema.Receipt{}, epoch)
	settle(s, epoch)
	if s.StartNext() {
		t.Fatal("a cancelled session goes on by itself")
	}
}

func TestMessage_BadOnesChangeNothing(t *testing.T) {
	t.Parallel()
	s := newState(t, schema.Config{}, step("a"))
	for _, text := range []string{"", " \n", "nul\x00", "\xff", strings.Repeat("x", schema.MaxMessageBytes+1)} {
		if _, err := say(s, text); schema.CodeOf(err) != schema.CodeInvalid {
			t.Errorf("%.10q: %v", text, err)
		}
	}
	if s.Messages != 0 || len(s.Pending.Messages)+len(s.Pending.Audit) != 0 {
		t.Fatal("something was taken in")
	}
}

func TestRun_TheNextOneStartsOnlyWhenNoneIsUnderWay(t *testing.T) {
	t.Parallel()
	s := newState(t, schema.Config{}, step("a"))
	if _, err := s.StartRun(epoch, ada, schema.StartRun{}); schema.CodeOf(err) != schema.CodeConflict {
		t.Fatalf("beside run 1: %v", err)
	}
	startIDs(s, epoch)
	finish(s, "a", schema.AttemptSucceeded, epoch)
	settle(s, epoch)
	if n, err := s.StartRun(epoch, ada, schema.StartRun{PlanDigest: "d"}); n != 2 || err != nil {
		t.Fatal(n, err)
	}
	if _, err := s.StartRun(epoch, ada, schema.StartRun{}); schema.CodeOf(err) != schema.CodeConflict {
		t.Fatalf("beside run 2, which is about to start: %v", err)
	}
	settle(s, epoch)
	if !s.StartNext() || s.Run.Number != 2 || s.Run.Digest != "d" || s.Status() != schema.SessionActive {
		t.Fatalf("%+v", s.Run)
	}
}

func TestRun_OverItsTimeIsStoppedAndFails(t *testing.T) {
	t.Parallel()
	s := newState(t, schema.Config{RunTimeout: "10m"}, step("a"))
	startIDs(s, epoch)
	settle(s, epoch.Add(10*time.Minute-time.Nanosecond))
	if s.Cancel != nil {
		t.Fatal("stopped too early")
	}
	at, why := s.NextDeadline(epoch)
	if at.Sub(epoch) != 10*time.Minute || why != "the run's time is over" {
		t.Fatalf("wakes at %v for %q", at, why)
	}
	settle(s, at)
	if s.Cancel == nil {
		t.Fatal("not stopped")
	}
	s.Cancelled(schema.Receipt{}, at)
	recorded := settle(s, at)
	end := recorded[len(recorded)-1].End
	if end.Status != schema.SessionFailed || end.Error != "the run took longer than its 10m" || statusOf(s, "a") != schema.StepCancelled {
		t.Fatalf("ended as %+v, a %s", end, statusOf(s, "a"))
	}
}

func TestRun_ItsTimeStandsStillWhileSuspended(t *testing.T) {
	t.Parallel()
	s := newState(t, schema.Config{RunTimeout: "10m"}, step("a"))
	startIDs(s, epoch)
	at := epoch.Add(4 * time.Minute)
	if _, err := s.Suspend(at, ada); err != nil {
		t.Fatal(err)
	}
	at = at.Add(time.Hour)
	settle(s, at)
	if _, err := s.Resume(at, ada); err != nil {
		t.Fatal(err)
	}
	settle(s, at)
	if next, _ := s.NextDeadline(at); next.Sub(at) != 6*time.Minute {
		t.Fatalf("%v left, want 6 minutes", next.Sub(at))
	}
}

func TestExpiry_EndsASessionThatNobodyUses(t *testing.T) {
	t.Parallel()
	s := newState(t, schema.Config{SessionTTL: "48h"}, step("a"))
	startIDs(s, epoch)
	if !s.ExpiresAt().IsZero() {
		t.Fatal("a busy session expires")
	}
	finish(s, "a", schema.AttemptSucceeded, epoch)
	recorded := settle(s, epoch)
	if at := recorded[len(recorded)-1].ExpiresAt; at == nil || at.Sub(epoch) != 48*time.Hour {
		t.Fatalf("shown to expire at %v", at)
	}
	settle(s, epoch.Add(48*time.Hour))
	if s.Status() != schema.SessionExpired || !s.Over() {
		t.Fatalf("status %s", s.Status())
	}
	if _, err := say(s, "hello"); schema.CodeOf(err) != schema.CodeConflict {
		t.Fatalf("a message to it: %v", err)
	}

	s = newState(t, schema.Config{}, step("a"))
	s.Input.SessionTTL = time.Hour // the server's, because the session has none
	startIDs(s, epoch)
	if _, err := s.Suspend(epoch, ada); err != nil {
		t.Fatal(err)
	}
	settle(s, epoch.Add(time.Hour))
	if s.Cancel == nil || s.Cancel.Why != CancelExpired {
		t.Fatal("what is frozen is not stopped")
	}
	s.Cancelled(schema.Receipt{ProcessesKilled: 1}, epoch)
	recorded = settle(s, epoch)
	if end := recorded[len(recorded)-1].End; end.Status != schema.SessionExpired || s.Status() != schema.SessionExpired || !s.Over() {
		t.Fatalf("ended as %+v, %s", end, s.Status())
	}
}

func TestAsk_OfARunningStepIsTheSameHoweverOftenAndEndsWithIt(t *testing.T) {
	t.Parallel()
	s := newState(t, schema.Config{}, step("a"), step("b", "a"))
	c := schema.Ask{StepID: "a", Question: "Really?", RequestID: "1", TimeoutSeconds: 10}
	if _, _, err := s.AskHuman(epoch, ada, c); schema.CodeOf(err) != schema.CodeConflict {
		t.Fatalf("a step that does not run asks: %v", err)
	}
	startIDs(s, epoch)
	first, repeated, err := s.AskHuman(epoch, ada, c)
	if err != nil || repeated || first.Type != schema.ApprovalProgramAsk || first.Deadline.Sub(epoch) != 10*time.Second {
		t.Fatal(first, repeated, err)
	}
	again, repeated, err := s.AskHuman(epoch, ada, c)
	if err != nil || !repeated || again.ApprovalID != first.ApprovalID {
		t.Fatal(again, repeated, err)
	}
	if recorded := settle(s, epoch); len(recorded[0].Open) != 1 || recorded[0].Open[0].Description != "Really?" || statusOf(s, "a") != schema.StepRunning {
		t.Fatalf("recorded %+v", recorded)
	}
	c.RequestID = "2"
	if _, _, err := s.AskHuman(epoch, ada, c); err != nil {
		t.Fatal(err)
	}
	if len(s.PendingViews()) != 2 {
		t.Fatal("several questions may wait at once")
	}
	finish(s, "a", schema.AttemptSucceeded, epoch)
	recorded := settle(s, epoch)
	if len(s.PendingViews()) != 0 || recorded[0].Close[0].Reason != "step_ended" {
		t.Fatalf("after the step: %+v", recorded[0].Close)
	}
	for name, bad := range map[string]schema.Ask{
		"no question": {StepID: "b", RequestID: "1"}, "no name": {StepID: "b", Question: "?"}, "no such step": {StepID: "z", Question: "?", RequestID: "1"},
		"not a step's": {StepID: "b", Question: "?", RequestID: "1", Type: schema.ApprovalPlan}, "suspend": {StepID: "b", Question: "?", RequestID: "1", OnTimeout: schema.OnTimeoutSuspend},
	} {
		startIDs(s, epoch)
		if _, _, err := s.AskHuman(epoch, ada, bad); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestFailure_InARunThatHasFailedIsNeitherRetriedNorAskedAbout(t *testing.T) {
	t.Parallel()
	b := step("b")
	b.Retries, b.OnError = 3, schema.OnErrorAsk
	s := newState(t, schema.Config{Parallel: 2}, step("a"), b)
	startIDs(s, epoch)
	finish(s, "a", schema.AttemptFailed, epoch)
	settle(s, epoch)
	if s.Run.Ended != "" {
		t.Fatal("the run ended while b runs")
	}
	finish(s, "b", schema.AttemptFailed, epoch)
	settle(s, epoch)
	if s.Status() != schema.SessionFailed || statusOf(s, "b") != schema.StepFailed || s.Run.Error != `step "a" failed: exit code 1` {
		t.Fatalf("session %s, b %s, %q", s.Status(), statusOf(s, "b"), s.Run.Error)
	}
}

func TestFeedback_ReachesTheExecutionThatTheDecisionLedTo(t *testing.T) {
	t.Parallel()
	s := newState(t, schema.Config{ApprovalMode: schema.ApproveOnError}, step("a"))
	startIDs(s, epoch)
	finish(s, "a", schema.AttemptFailed, epoch)
	settle(s, epoch)
	decide(t, s, schema.ResolutionRetry, epoch)
	if ask := s.Start(s.Startable(epoch)[0]); ask.Feedback != "because" {
		t.Fatalf("%+v", ask)
	}
}

// A step goes on when its files are edited meanwhile. If its worker then dies, what would start
// again is different, so it goes through its gate again.
func TestFiles_ChangedUnderAStepWhoseWorkerDiesAreAskedAbout(t *testing.T) {
	t.Parallel()
	for _, asks := range []bool{false, true} {
		a := step("a")
		a.Approval = asks
		s := newState(t, schema.Config{}, a, gated("b"))
		settle(s, epoch)
		if asks {
			resolveWith(t, s, "a", schema.ResolutionApproved, "")
		}
		startIDs(s, epoch)
		resolveWith(t, s, "b", schema.ResolutionModified, `{"files":{"in.txt":"new"}}`)
		revised(t, s, "a", "b")
		if statusOf(s, "a") != schema.StepRunning {
			t.Fatalf("a is %s", statusOf(s, "a"))
		}
		s.Finished(0, schema.StepResult{Status: schema.AttemptLost, Reason: schema.ReasonChanged}, epoch)
		settle(s, epoch)
		if g := s.approvalFor("a"); asks != (g != nil) {
			t.Fatalf("asks %v, asked %+v", asks, g)
		}
		if got := startIDs(s, epoch); asks == (got != nil) {
			t.Fatalf("asks %v, started %v", asks, got)
		}
	}
}

func TestCancel_OfAnInterruptedRunIsForGood(t *testing.T) {
	t.Parallel()
	s := newState(t, schema.Config{WhenBusy: schema.WhenBusyInterrupt}, step("a"))
	startIDs(s, epoch)
	if _, err := say(s, "rather this"); err != nil {
		t.Fatal(err)
	}
	if repeated, err := s.RequestCancel(epoch, schema.Command{Actor: "bob"}); repeated || err != nil {
		t.Fatal(repeated, err)
	}
	s.Cancelled(schema.Receipt{}, epoch)
	recorded := settle(s, epoch)
	if end := recorded[len(recorded)-1].End; end.Reason != "" || end.Actor != "bob" || s.StartNext() {
		t.Fatalf("ended as %+v", end)
	}
}

func TestRequests_AreRememberedWithTheirAnswer(t *testing.T) {
	t.Parallel()
	s := newState(t, schema.Config{}, step("a"))
	message := func(i int) schema.SendMessage {
		return schema.SendMessage{Content: fmt.Sprint("message ", i), Actor: "ada", RequestID: strconv.Itoa(i)}
	}
	for i := range maxRequests + 10 {
		s.Remember(schema.CommandMessage, message(i), schema.CommandResult{Message: i})
	}
	last := message(maxRequests + 9)
	last.Actor = "bob" // whoever repeats it
	if r, seen, err := s.Seen(schema.CommandMessage, last); !seen || err != nil || r.Message != maxRequests+9 || len(s.Requests) != maxRequests {
		t.Fatalf("%+v, %v, %v, %d remembered", r, seen, err, len(s.Requests))
	}
	for name, c := range map[string]request{
		schema.CommandMessage: schema.SendMessage{Content: "another", RequestID: "100"},
		schema.CommandRun:     schema.StartRun{RequestID: "100"},
		schema.CommandSuspend: schema.Command{RequestID: "100"},
	} {
		if _, seen, err := s.Seen(name, c); seen || schema.CodeOf(err) != schema.CodeConflict || !strings.Contains(err.Error(), `request_id "100" was used for`) {
			t.Errorf("%s: %v, %v", name, seen, err)
		}
	}
	if _, seen, err := s.Seen(schema.CommandMessage, schema.SendMessage{Content: "another"}); seen || err != nil {
		t.Error("without a request id", seen, err)
	}
	s.Requests[len(s.Requests)-1].Digest = "" // from a release that kept no digests
	if _, seen, err := s.Seen(schema.CommandMessage, schema.SendMessage{Content: "another", RequestID: last.RequestID}); !seen || err != nil {
		t.Error("of an older release", seen, err)
	}
}

// Every part of each command counts, and nothing else does.
func TestRequests_AreTheSameOnlyWhenTheyAskForTheSame(t *testing.T) {
	t.Parallel()
	base := schema.ResolveApproval{ApprovalID: "a", Resolution: "modified", Feedback: "f", Modifications: json.RawMessage(`{"run":["x"],"env":{"A":"1"}}`), RequestID: "1"}
	same := base
	same.Actor, same.Modifications = "somebody", json.RawMessage(` { "env": {"A": "\u0031"}, "run": ["x"] } `)
	if base.RequestDigest() != same.RequestDigest() {
		t.Error("another spelling is another request")
	}
	question := schema.Ask{StepID: "a", Question: "q", Context: json.RawMessage(`{"a":1}`)}
	all := map[string]string{}
	for name, c := range map[string]request{
		"resolve": base, "another approval": schema.ResolveApproval{ApprovalID: "b"}, "another resolution": schema.ResolveApproval{ApprovalID: "b", Resolution: "approved"},
		"other modifications": schema.ResolveApproval{ApprovalID: "b", Modifications: json.RawMessage(`{"a":1}`)},
		"large number":        schema.ResolveApproval{ApprovalID: "b", Modifications: json.RawMessage(`{"a":9007199254740993}`)},
		"larger by one":       schema.ResolveApproval{ApprovalID: "b", Modifications: json.RawMessage(`{"a":9007199254740992}`)},
		"extend":              schema.ExtendApproval{ApprovalID: "b", Seconds: 1}, "extend more": schema.ExtendApproval{ApprovalID: "b", Seconds: 2},
		"ask": question, "ask of another step": schema.Ask{StepID: "b", Question: "q"}, "ask for long": schema.Ask{StepID: "b", Question: "q", TimeoutSeconds: 1},
		"message": schema.SendMessage{Content: "x"}, "run": schema.StartRun{PlanDigest: "x"}, "run of the latest": schema.StartRun{},
	} {
		digest := c.RequestDigest()
		if other, taken := all[digest]; taken && name != "run of the latest" {
			t.Errorf("%s is the same as %s", name, other)
		}
		all[digest] = name
	}
}

func TestSuspend_HoldsWhatWaitsForItsTurn(t *testing.T) {
	t.Parallel()
	ended := func(t *testing.T) *State {
		s := newState(t, schema.Config{SessionTTL: "1h"}, step("a"))
		startIDs(s, epoch)
		finish(s, "a", schema.AttemptSucceeded, epoch)
		settle(s, epoch)
		if _, err := s.Suspend(epoch, ada); schema.CodeOf(err) != schema.CodeConflict {
			t.Fatalf("nothing waits: %v, want a conflict", err)
		}
		return s
	}
	waits := map[string]func(s *State) error{
		"a message": func(s *State) error {
			_, err := say(s, "go on")
			return err
		},
		"a run": func(s *State) error {
			_, err := s.StartRun(epoch, ada, schema.StartRun{})
			return err
		},
	}
	for name, ask := range waits {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			held := func() *State {
				s := ended(t)
				if err := ask(s); err != nil {
					t.Fatal(err)
				}
				if repeated, err := s.Suspend(epoch, ada); repeated || err != nil {
					t.Fatal(repeated, err)
				}
				settle(s, epoch)
				if repeated, err := s.Suspend(epoch, ada); !repeated || err != nil {
					t.Fatal(repeated, err)
				}
				if s.Status() != schema.SessionSuspended || s.Phase() != schema.PhaseIdle || s.StartNext() {
					t.Fatalf("%s, %s", s.Status(), s.Phase())
				}
				return s
			}
			s := held()
			if repeated, err := s.Resume(epoch, ada); repeated || err != nil || !s.StartNext() || s.Run.Number != 2 || s.Status() != schema.SessionActive {
				t.Fatal("after resume", repeated, err, s.Run.Number, s.Status())
			}
			s = held()
			if repeated, err := s.RequestCancel(epoch, ada); repeated || err != nil || s.Status() != schema.SessionCompleted || s.StartNext() || s.Busy() {
				t.Fatal("after cancel", repeated, err, s.Status())
			}
			s = held()
			if _, err := s.RequestClose(epoch, ada); err != nil || !s.Over() || s.StartNext() {
				t.Fatal("after close", err, s.Over())
			}
			s = held()
			late := epoch.Add(2 * time.Hour)
			recorded := settle(s, late)
			if s.Status() != schema.SessionExpired || !s.Over() || s.Busy() {
				t.Fatal("after its time", s.Status(), s.Over())
			}
			if name == "a message" && recorded[len(recorded)-1].Messages[0].Status != schema.MessageDropped {
				t.Fatalf("%+v", recorded)
			}
		})
	}
}
