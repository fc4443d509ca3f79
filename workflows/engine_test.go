package workflows

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/holdfast/holdfast/schema"
)

func gated(id string, needs ...string) schema.OutlineStep {
	s := step(id, needs...)
	s.Approval = true
	return s
}

// resolveWith decides the pending approval of a step, or of the plan when it is "".
func resolveWith(t *testing.T, s *State, stepID string, r schema.Resolution, modifications string) {
	t.Helper()
	a := s.gateOf(stepID)
	if a == nil {
		t.Fatalf("nothing is asked about %q", stepID)
	}
	c := schema.ResolveApproval{ApprovalID: a.ApprovalID, Resolution: r, Modifications: json.RawMessage(modifications)}
	if _, err := s.Resolve(epoch, ada, c); err != nil {
		t.Fatalf("%s of %q: %v", r, stepID, err)
	}
	settle(s, epoch)
}

// revised carries the next edit out: the digests of the steps named by changed are new.
func revised(t *testing.T, s *State, changed ...string) {
	t.Helper()
	if s.NextEdit() == nil {
		t.Fatal("there is no edit to carry out")
	}
	o := schema.Outline{Digest: "new digest of the plan"}
	for i := range s.Run.Steps {
		step := s.Run.Steps[i].OutlineStep
		if slices.Contains(changed, step.ID) {
			step.Digest = "new " + step.Digest
		}
		o.Steps = append(o.Steps, step)
	}
	s.Revised(o, epoch)
	settle(s, epoch)
}

func TestModified_APlanIsAskedAboutAgainUnlessTheEditIsTheApproval(t *testing.T) {
	t.Parallel()
	for policy, approved := range map[schema.OnModified]bool{"": false, schema.OnModifiedAsk: false, schema.OnModifiedApprove: true} {
		s := newState(t, schema.Config{ApprovalMode: schema.ApproveAfterPlanning, OnModified: policy}, step("a"))
		settle(s, epoch)
		first := s.gateOf("").ApprovalID
		resolveWith(t, s, "", schema.ResolutionModified, `{"plan":{"steps":[{"id":"b","shell":"true"}]}}`)
		if s.gateOf("") != nil || startIDs(s, epoch) != nil {
			t.Fatal("something follows before the plan is changed")
		}
		if ask := s.Revise(s.NextEdit()); ask.ApprovalID != first || ask.StepID != "" || ask.Actor != "ada" {
			t.Fatalf("asked of the activity: %+v", ask)
		}
		s.Revised(schema.Outline{Digest: "other", Steps: []schema.OutlineStep{step("b")}}, epoch)
		recorded := settle(s, epoch)
		if approved {
			if got := startIDs(s, epoch); !slices.Equal(got, []string{"b"}) {
				t.Fatalf("%q: started %v, want the new step", policy, got)
			}
			continue
		}
		again := s.gateOf("")
		if again == nil || again.ApprovalID == first || again.Digest != "other" || startIDs(s, epoch) != nil {
			t.Fatalf("%q: asked again as %+v", policy, again)
		}
		if why := recorded[0].Open[0].Why; why != "edited by ada" {
			t.Fatalf("asked again because %q", why)
		}
	}
}

func TestModified_AStepIsAskedAboutAgainUnlessTheEditIsTheApproval(t *testing.T) {
	t.Parallel()
	for policy, approved := range map[schema.OnModified]bool{"": false, schema.OnModifiedApprove: true} {
		s := newState(t, schema.Config{OnModified: policy}, gated("a"))
		settle(s, epoch)
		resolveWith(t, s, "a", schema.ResolutionModified, `{"shell":"echo else"}`)
		revised(t, s, "a")
		if approved {
			if got := startIDs(s, epoch); !slices.Equal(got, []string{"a"}) {
				t.Fatalf("started %v, want a", got)
			}
			continue
		}
		if again := s.gateOf("a"); again == nil || again.Digest != "new digest of a" || again.Type != schema.ApprovalStep {
			t.Fatalf("asked again as %+v", again)
		}
		resolveWith(t, s, "a", schema.ResolutionApproved, "")
		i := s.Startable(epoch)
		if len(i) != 1 || s.Start(i[0]).Digest != "new digest of a" {
			t.Fatalf("what starts is not what was approved: %v", i)
		}
	}
}

func TestModified_ARetryWithAnotherCommandIsAskedAboutOnlyWhereTheStepIs(t *testing.T) {
	t.Parallel()
	for _, asks := range []bool{false, true} {
		a := step("a")
		a.Approval, a.OnError, a.Retries = asks, schema.OnErrorAsk, 1
		s := newState(t, schema.Config{}, a)
		settle(s, epoch)
		if asks {
			resolveWith(t, s, "a", schema.ResolutionApproved, "")
		}
		now := epoch
		for range 2 { // its retry too
			startIDs(s, now)
			finish(s, "a", schema.AttemptFailed, now)
			now = now.Add(time.Second)
		}
		settle(s, epoch)
		if g := s.gateOf("a"); g == nil || g.Type != schema.ApprovalErrorRecovery {
			t.Fatalf("asked %+v", g)
		}
		resolveWith(t, s, "a", schema.ResolutionRetry, `{"shell":"echo else"}`)
		revised(t, s, "a")
		if g := s.gateOf("a"); asks != (g != nil) {
			t.Fatalf("a step that asks: %v, and asked again: %+v", asks, g)
		}
		if asks {
			resolveWith(t, s, "a", schema.ResolutionApproved, "")
		}
		list := s.Startable(epoch)
		if len(list) != 1 {
			t.Fatal("the retry does not start at once")
		}
		if ask := s.Start(list[0]); ask.Last || !ask.Retry {
			t.Fatalf("%+v: a retry has the step's retries anew", ask)
		}
	}
}

func TestModified_FilesTakeBackWhatWasAskedAndDecidedAboutOtherSteps(t *testing.T) {
	t.Parallel()
	failing := step("failing")
	failing.OnError = schema.OnErrorAsk
	s := newState(t, schema.Config{Parallel: 1}, failing, gated("edited"), gated("asked"), gated("approved"), step("free"))
	startIDs(s, epoch)
	finish(s, "failing", schema.AttemptFailed, epoch)
	settle(s, epoch)
	resolveWith(t, s, "approved", schema.ResolutionApproved, "")
	startIDs(s, epoch) // the one place goes to "approved"; give it back
	s.step("approved").Status = schema.StepReady
	voided := []string{s.gateOf("failing").ApprovalID, s.gateOf("asked").ApprovalID}
	resolveWith(t, s, "edited", schema.ResolutionModified, `{"files":{"in.txt":"new"}}`)
	s.Revised(schema.Outline{Digest: "d", Steps: renamed(s)}, epoch)
	recorded := settle(s, epoch)
	for _, id := range voided {
		if a := s.approval(id); a.Status != schema.ApprovalVoid {
			t.Errorf("%s of %s is %s, want void", a.Type, a.StepID, a.Status)
		}
		if _, err := s.Resolve(epoch, ada, schema.ResolveApproval{ApprovalID: id, Resolution: schema.ResolutionApproved}); schema.CodeOf(err) != schema.CodeConflict {
			t.Errorf("a decision on a void approval: %v", err)
		}
	}
	for id, want := range map[string]schema.ApprovalType{
		"failing": schema.ApprovalErrorRecovery, "edited": schema.ApprovalStep, "asked": schema.ApprovalStep, "approved": schema.ApprovalStep,
	} {
		if g := s.gateOf(id); g == nil || g.Type != want || g.Digest != "new digest of "+id {
			t.Errorf("%s is asked about again as %+v", id, g)
		}
	}
	if recorded[0].Close[0].Reason != "plan_changed" || s.gateOf("free") != nil {
		t.Errorf("closed with %q", recorded[0].Close[0].Reason)
	}
}

func renamed(s *State) []schema.OutlineStep {
	var steps []schema.OutlineStep
	for i := range s.Run.Steps {
		o := s.Run.Steps[i].OutlineStep
		o.Digest = "new " + o.Digest
		steps = append(steps, o)
	}
	return steps
}

func TestModified_AnEditThatCannotBeUsedIsAskedAboutAgainWithTheReason(t *testing.T) {
	t.Parallel()
	s := newState(t, schema.Config{}, gated("a"))
	settle(s, epoch)
	resolveWith(t, s, "a", schema.ResolutionModified, `{"shell":"echo else"}`)
	s.EditRefused("too much of it", epoch)
	recorded := settle(s, epoch)
	if s.gateOf("a") == nil || !strings.Contains(recorded[0].Open[0].Why, "too much of it") {
		t.Fatalf("asked again: %+v", recorded[0].Open)
	}
	if last := recorded[0].Audit[0]; last.Outcome != schema.AuditIgnored || last.Actor != "ada" || !strings.Contains(last.Detail, "too much of it") {
		t.Fatalf("audited %+v", last)
	}
}

func TestModifications_OnlyWhereTheyMeanSomething(t *testing.T) {
	t.Parallel()
	const plan, command = `{"plan":{"steps":[{"id":"b","shell":"true"}]}}`, `{"run":["echo"]}`
	for _, c := range []struct {
		about         schema.ApprovalType
		resolution    schema.Resolution
		modifications string
		ok            bool
	}{
		{schema.ApprovalPlan, schema.ResolutionModified, plan, true},
		{schema.ApprovalPlan, schema.ResolutionModified, ``, false},
		{schema.ApprovalPlan, schema.ResolutionModified, `null`, false},
		{schema.ApprovalPlan, schema.ResolutionModified, command, false},
		{schema.ApprovalPlan, schema.ResolutionModified, `{"plan":{"steps":[]}}`, false},
		{schema.ApprovalPlan, schema.ResolutionApproved, plan, false},
		{schema.ApprovalStep, schema.ResolutionModified, command, true},
		{schema.ApprovalStep, schema.ResolutionModified, `{"command":"echo else"}`, true},
		{schema.ApprovalStep, schema.ResolutionModified, `{"command":["echo","else"]}`, true},
		{schema.ApprovalStep, schema.ResolutionModified, `{"command":7}`, false},
		{schema.ApprovalStep, schema.ResolutionModified, plan, false},
		{schema.ApprovalStep, schema.ResolutionModified, `{"run":["echo"],"shell":"echo"}`, false},
		{schema.ApprovalStep, schema.ResolutionModified, `{}`, false},
		{schema.ApprovalStep, schema.ResolutionModified, `{"timeout":"soon"}`, false},
		{schema.ApprovalStep, schema.ResolutionModified, `{"files":{"../out":"x"}}`, false},
		{schema.ApprovalErrorRecovery, schema.ResolutionRetry, command, true},
		{schema.ApprovalErrorRecovery, schema.ResolutionRetry, ``, true},
		{schema.ApprovalErrorRecovery, schema.ResolutionSkip, command, false},
		{schema.ApprovalToolCall, schema.ResolutionModified, `{"arguments":{"a":1}}`, true},
		{schema.ApprovalToolCall, schema.ResolutionModified, command, false},
	} {
		if errs := schema.CheckModifications(c.about, c.resolution, json.RawMessage(c.modifications)); c.ok != (errs == nil) {
			t.Errorf("%s, %s, %s: %+v", c.about, c.resolution, c.modifications, errs)
		}
	}
}

func TestResolution_IsAllowedOnlyWhereItMeansSomething(t *testing.T) {
	t.Parallel()
	allowed := map[schema.ApprovalType]string{
		schema.ApprovalPlan: "approved rejected modified", schema.ApprovalStep: "approved rejected modified", schema.ApprovalToolCall: "approved rejected modified",
		schema.ApprovalErrorRecovery: "retry skip abort", schema.ApprovalProgramAsk: "approved rejected", schema.ApprovalBudget: "approved rejected",
	}
	for about, words := range allowed {
		for _, r := range schema.Resolutions {
			s := newState(t, schema.Config{}, step("a"))
			s.open(epoch, time.Minute, Approval{Asked: schema.Asked{ApprovalID: "x", Type: about, StepID: "a"}}, schema.ApprovalOpen{})
			_, _, err := s.CheckResolve(epoch, schema.ResolveApproval{ApprovalID: "x", Resolution: r, Modifications: json.RawMessage(`{}`)})
			fits := slices.Contains(strings.Fields(words), string(r))
			named := err != nil && strings.Contains(err.Error(), "does not resolve a "+string(about))
			if fits == named {
				t.Errorf("%s of a %s: %v", r, about, err)
			}
		}
	}
}

func TestExtend_MovesTheDeadlineWithinItsBounds(t *testing.T) {
	t.Parallel()
	s := newState(t, schema.Config{}, gated("a"))
	settle(s, epoch)
	id := s.gateOf("a").ApprovalID
	for _, seconds := range []float64{0, -1, 0.5, schema.MaxApprovalTimeoutSeconds, 1e300} {
		if _, err := s.Extend(epoch, ada, schema.ExtendApproval{ApprovalID: id, Seconds: seconds}); schema.CodeOf(err) != schema.CodeInvalid {
			t.Errorf("by %g: %v, want invalid", seconds, err)
		}
	}
	if _, err := s.Extend(epoch, ada, schema.ExtendApproval{ApprovalID: id, Seconds: 60}); err != nil {
		t.Fatal(err)
	}
	recorded := settle(s, epoch)
	late := epoch.Add(testTimeout + time.Minute)
	if e := recorded[0].Extend[0]; !e.ExpiresAt.Equal(late) || e.Actor != "ada" || e.Seconds != 60 || e.Escalates {
		t.Fatalf("recorded %+v", e)
	}
	settle(s, late.Add(-time.Nanosecond))
	only(t, s)
	settle(s, late)
	if _, err := s.Extend(late, ada, schema.ExtendApproval{ApprovalID: id, Seconds: 60}); schema.CodeOf(err) != schema.CodeExpired {
		t.Fatalf("after its end: %v, want expired", err)
	}
}

func TestEscalate_GivesASecondLongerTimeAndThenSuspends(t *testing.T) {
	t.Parallel()
	for text, longer := range map[string]time.Duration{"": 4 * testTimeout, "7m": 7 * time.Minute} {
		s := newState(t, schema.Config{OnTimeout: schema.OnTimeoutEscalate, EscalationTimeout: text}, gated("a"))
		settle(s, epoch)
		first := epoch.Add(testTimeout)
		recorded := settle(s, first)
		if e := recorded[0].Extend[0]; !e.Escalates || !e.ExpiresAt.Equal(first.Add(longer)) {
			t.Fatalf("escalated %+v", e)
		}
		if a := only(t, s); !a.Escalated || s.Status() != schema.SessionActive {
			t.Fatalf("%+v in a session that is %s", a, s.Status())
		}
		settle(s, first.Add(longer))
		if s.Status() != schema.SessionSuspended || len(s.PendingViews()) != 0 {
			t.Fatalf("in the end %s with %d pending", s.Status(), len(s.PendingViews()))
		}
	}
}

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
	if s.TakeNext() {
		t.Fatal("a run began beside the one under way")
	}
	decide(t, s, schema.ResolutionRejected, epoch) // the run fails; the queue goes on
	for i := range 3 {
		if !s.TakeNext() || s.Run.Message != i+1 || s.Run.Number != i+2 {
			t.Fatalf("run %d answers message %d", s.Run.Number, s.Run.Message)
		}
		s.Begun(schema.Outline{}, epoch)
		settle(s, epoch)
	}
	if s.TakeNext() || s.Busy() {
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
	if !s.TakeNext() || s.Run.Message != 1 {
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
	if s.TakeNext() {
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
	if !s.TakeNext() || s.Run.Number != 2 || s.Run.Digest != "d" || s.Status() != schema.SessionActive {
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
	s.Input.SessionTTL = time.Hour // the server's, where the session says nothing
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

// A step goes on when its files are edited under it. When its worker dies then, what would
// start again is something else, so it goes through its gate again.
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
		if g := s.gateOf("a"); asks != (g != nil) {
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
	if end := recorded[len(recorded)-1].End; end.Reason != "" || end.Actor != "bob" || s.TakeNext() {
		t.Fatalf("ended as %+v", end)
	}
}

func TestRequests_AreRememberedWithTheirAnswer(t *testing.T) {
	t.Parallel()
	s := newState(t, schema.Config{}, step("a"))
	for i := range maxRequests + 10 {
		s.Remember("message", strconv.Itoa(i), schema.CommandResult{Message: i})
	}
	if r, seen := s.Seen("message", strconv.Itoa(maxRequests+9)); !seen || r.Message != maxRequests+9 || len(s.Requests) != maxRequests {
		t.Fatalf("%+v, %v, %d remembered", r, seen, len(s.Requests))
	}
	if _, seen := s.Seen("run", "100"); seen {
		t.Fatal("another command has the same request id")
	}
}
