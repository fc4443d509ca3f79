package workflows

import (
	"encoding/json"
	"slices"
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
	a := s.approvalFor(stepID)
	if a == nil {
		t.Fatalf("nothing is asked about %q", stepID)
	}
	c := schema.ResolveApproval{ApprovalID: a.ApprovalID, Resolution: r, Modifications: json.RawMessage(modifications)}
	if _, err := s.Resolve(epoch, ada, c); err != nil {
		t.Fatalf("%s of %q: %v", r, stepID, err)
	}
	settle(s, epoch)
}

// revised carries out the next edit: the steps in changed get new digests.
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
		first := s.approvalFor("").ApprovalID
		resolveWith(t, s, "", schema.ResolutionModified, `{"plan":{"steps":[{"id":"b","shell":"true"}]}}`)
		if s.approvalFor("") != nil || startIDs(s, epoch) != nil {
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
		again := s.approvalFor("")
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
		if again := s.approvalFor("a"); again == nil || again.Digest != "new digest of a" || again.Type != schema.ApprovalStep {
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
		for range 2 { // including its retry
			startIDs(s, now)
			finish(s, "a", schema.AttemptFailed, now)
			now = now.Add(time.Second)
		}
		settle(s, epoch)
		if g := s.approvalFor("a"); g == nil || g.Type != schema.ApprovalErrorRecovery {
			t.Fatalf("asked %+v", g)
		}
		resolveWith(t, s, "a", schema.ResolutionRetry, `{"shell":"echo else"}`)
		revised(t, s, "a")
		if g := s.approvalFor("a"); asks != (g != nil) {
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
	startIDs(s, epoch) // the only slot goes to "approved"; give it back
	s.step("approved").Status = schema.StepReady
	voided := []string{s.approvalFor("failing").ApprovalID, s.approvalFor("asked").ApprovalID}
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
		if g := s.approvalFor(id); g == nil || g.Type != want || g.Digest != "new digest of "+id {
			t.Errorf("%s is asked about again as %+v", id, g)
		}
	}
	if recorded[0].Close[0].Reason != "plan_changed" || s.approvalFor("free") != nil {
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
	if s.approvalFor("a") == nil || !strings.Contains(recorded[0].Open[0].Why, "too much of it") {
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
	id := s.approvalFor("a").ApprovalID
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

// The first decision stands: a different one is refused, even with the same resolution.
func TestResolve_AnotherAnswerIsAConflict(t *testing.T) {
	t.Parallel()
	edit, other := json.RawMessage(`{"shell":"echo 1","env":{"A":"1"}}`), json.RawMessage(`{"shell":"echo 2"}`)
	spelled := json.RawMessage(`{ "env": {"A": "1"}, "shell": "echo 1" }`)
	for name, c := range map[string]struct {
		about         schema.ApprovalType
		resolution    schema.Resolution
		first, second schema.ResolveApproval
		conflict      bool
	}{
		"another edit":             {schema.ApprovalStep, "modified", schema.ResolveApproval{Modifications: edit}, schema.ResolveApproval{Modifications: other}, true},
		"the same edit":            {schema.ApprovalStep, "modified", schema.ResolveApproval{Modifications: edit, Feedback: "a"}, schema.ResolveApproval{Modifications: spelled, Feedback: "b"}, false},
		"a retry with an edit":     {schema.ApprovalErrorRecovery, "retry", schema.ResolveApproval{}, schema.ResolveApproval{Modifications: edit}, true},
		"a retry without one":      {schema.ApprovalErrorRecovery, "retry", schema.ResolveApproval{Modifications: edit}, schema.ResolveApproval{}, true},
		"another answer":           {schema.ApprovalProgramAsk, "approved", schema.ResolveApproval{Feedback: "blue"}, schema.ResolveApproval{Feedback: "red"}, true},
		"the same answer":          {schema.ApprovalProgramAsk, "approved", schema.ResolveApproval{Feedback: "blue"}, schema.ResolveApproval{Feedback: "blue"}, false},
		"approved in other words":  {schema.ApprovalStep, "approved", schema.ResolveApproval{Feedback: "fine"}, schema.ResolveApproval{Feedback: "good"}, false},
		"other arguments":          {schema.ApprovalToolCall, "modified", schema.ResolveApproval{Modifications: json.RawMessage(`{"arguments":1}`)}, schema.ResolveApproval{Modifications: json.RawMessage(`{"arguments":2}`)}, true},
		"null for no modification": {schema.ApprovalStep, "approved", schema.ResolveApproval{}, schema.ResolveApproval{Modifications: json.RawMessage(`null`)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newState(t, schema.Config{}, step("a"))
			s.open(epoch, time.Minute, Approval{Asked: schema.Asked{ApprovalID: "x", Type: c.about, StepID: "a"}}, schema.ApprovalOpen{})
			for _, r := range []*schema.ResolveApproval{&c.first, &c.second} {
				r.ApprovalID, r.Resolution = "x", c.resolution
			}
			if repeated, err := s.Resolve(epoch, ada, c.first); repeated || err != nil {
				t.Fatal(repeated, err)
			}
			repeated, err := s.Resolve(epoch, schema.Command{Actor: "bob"}, c.second)
			if c.conflict && (schema.CodeOf(err) != schema.CodeConflict || !strings.Contains(err.Error(), "was already resolved as "+string(c.resolution)) || !strings.Contains(err.Error(), "by ada at ")) {
				t.Fatalf("%v, %v, want a conflict that says what stands", repeated, err)
			}
			if !c.conflict && (!repeated || err != nil) {
				t.Fatalf("%v, %v, want the same again", repeated, err)
			}
			s.approval("x").Answer = "" // from a release that did not keep it
			if repeated, err := s.Resolve(epoch, ada, c.second); !repeated || err != nil {
				t.Fatal("of an older release", repeated, err)
			}
		})
	}
}

// An edit that leaves the step as it was is still a decision.
func TestModified_WithWhatItWasBefore(t *testing.T) {
	t.Parallel()
	edit := schema.ResolveApproval{Resolution: schema.ResolutionModified, Modifications: json.RawMessage(`{"shell":"true"}`)}
	same := func(s *State) schema.Outline {
		return schema.Outline{Digest: s.Run.Digest, Steps: []schema.OutlineStep{s.Run.Steps[0].OutlineStep}}
	}

	s := newState(t, schema.Config{OnModified: schema.OnModifiedApprove}, gated("a"))
	settle(s, epoch)
	edit.ApprovalID = only(t, s).ApprovalID
	if _, err := s.Resolve(epoch, ada, edit); err != nil {
		t.Fatal(err)
	}
	s.Revised(same(s), epoch)
	if got := startIDs(s, epoch); !slices.Equal(got, []string{"a"}) {
		t.Fatalf("on_modified is approve, and started is %v; asked is %+v", got, s.PendingViews())
	}

	failing := gated("a")
	failing.Retries, failing.OnError = 1, schema.OnErrorAsk
	s = newState(t, schema.Config{}, failing)
	settle(s, epoch)
	decide(t, s, schema.ResolutionApproved, epoch)
	now := epoch
	for range 2 {
		startIDs(s, now)
		finish(s, "a", schema.AttemptFailed, now)
		now = now.Add(time.Minute)
		settle(s, now)
	}
	edit.ApprovalID, edit.Resolution = only(t, s).ApprovalID, schema.ResolutionRetry
	if _, err := s.Resolve(now, ada, edit); err != nil {
		t.Fatal(err)
	}
	s.Revised(same(s), now)
	if got := startIDs(s, now); !slices.Equal(got, []string{"a"}) {
		t.Fatalf("started %v after the retry; asked is %+v", got, s.PendingViews())
	}
	if !retriesLeft(s.step("a")) {
		t.Fatal("a person's retry gives the step its retries anew")
	}
}

func TestCheckAsk_BoundsTheContext(t *testing.T) {
	t.Parallel()
	s := newState(t, schema.Config{}, step("a"))
	startIDs(s, epoch)
	nested := func(n int) json.RawMessage {
		return json.RawMessage(strings.Repeat(`[`, n) + strings.Repeat(`]`, n))
	}
	c := schema.Ask{StepID: "a", Question: "Really?", RequestID: "1", Context: nested(schema.MaxJSONDepth)}
	if err := s.CheckAsk(c); err != nil {
		t.Fatal(err)
	}
	for _, deep := range []int{schema.MaxJSONDepth + 1, 9_999} {
		c.Context = nested(deep)
		if err := s.CheckAsk(c); schema.CodeOf(err) != schema.CodeInvalid {
			t.Errorf("%d deep: %v, want invalid", deep, err)
		}
	}
	c.Context = nil
	if _, _, err := s.AskHuman(epoch, ada, c); err != nil {
		t.Fatal(err)
	}
	if _, repeated, err := s.AskHuman(epoch, ada, c); !repeated || err != nil {
		t.Fatal(repeated, err)
	}
	c.Question = "Something else?"
	if _, _, err := s.AskHuman(epoch, ada, c); schema.CodeOf(err) != schema.CodeConflict {
		t.Fatalf("another question under the same request_id: %v, want a conflict", err)
	}
}
