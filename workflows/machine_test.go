package workflows

import (
	"encoding/json"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/holdfast/holdfast/schema"
)

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

const testTimeout = 300 * time.Second

var ada = schema.Command{Actor: "ada"}

func newState(t *testing.T, config schema.Config, steps ...schema.OutlineStep) *State {
	t.Helper()
	s := NewState(schema.SessionInput{SessionID: "11111111-2222-4333-8444-555555555555", Config: config, ApprovalTimeout: testTimeout})
	for i := range steps {
		steps[i].Digest = "digest of " + steps[i].ID
	}
	s.Begun(schema.Outline{Digest: "digest of the plan", Steps: steps}, epoch)
	return s
}

func step(id string, needs ...string) schema.OutlineStep {
	return schema.OutlineStep{ID: id, Title: id, Needs: needs}
}

// settle advances until nothing is due and returns what was recorded.
func settle(s *State, now time.Time) []schema.Transition {
	var recorded []schema.Transition
	for s.Advance(now); s.Dirty(); s.Advance(now) {
		recorded = append(recorded, s.TakePending())
	}
	return recorded
}

func startIDs(s *State, now time.Time) []string {
	settle(s, now)
	var ids []string
	for _, i := range s.Startable(now) {
		ids = append(ids, s.Start(i).StepID)
	}
	return ids
}

func finish(s *State, id string, status schema.AttemptStatus, now time.Time) {
	i := slices.IndexFunc(s.Run.Steps, func(st Step) bool { return st.ID == id })
	code := 1
	if status == schema.AttemptSucceeded {
		code = 0
	}
	s.Finished(i, schema.StepResult{Status: status, Attempt: s.Run.Steps[i].Executions, ExitCode: &code}, now)
}

func statusOf(s *State, id string) schema.StepStatus { return s.step(id).Status }

func only(t *testing.T, s *State) schema.Asked {
	t.Helper()
	asked := s.PendingViews()
	if len(asked) != 1 {
		t.Fatalf("pending approvals: %+v, want one", asked)
	}
	return asked[0]
}

func decide(t *testing.T, s *State, r schema.Resolution, now time.Time) {
	t.Helper()
	if _, err := s.Resolve(now, ada, schema.ResolveApproval{ApprovalID: only(t, s).ApprovalID, Resolution: r, Feedback: "because"}); err != nil {
		t.Fatalf("resolve: %v", err)
	}
	settle(s, now)
}

func TestRun_StepsStartInOrderOfNeedsUpToParallel(t *testing.T) {
	t.Parallel()
	s := newState(t, schema.Config{Parallel: 2}, step("a"), step("b"), step("c"), step("d", "a", "b", "c"))
	if got := startIDs(s, epoch); !slices.Equal(got, []string{"a", "b"}) {
		t.Fatalf("first started %v, want a and b", got)
	}
	finish(s, "b", schema.AttemptSucceeded, epoch)
	if got := startIDs(s, epoch); !slices.Equal(got, []string{"c"}) {
		t.Fatalf("then started %v, want c", got)
	}
	finish(s, "a", schema.AttemptSucceeded, epoch)
	if got := startIDs(s, epoch); got != nil {
		t.Fatalf("started %v before c is done", got)
	}
	finish(s, "c", schema.AttemptSucceeded, epoch)
	if got := startIDs(s, epoch); !slices.Equal(got, []string{"d"}) {
		t.Fatalf("last started %v, want d", got)
	}
	finish(s, "d", schema.AttemptSucceeded, epoch)
	settle(s, epoch)
	if s.Status() != schema.SessionCompleted || s.Phase() != schema.PhaseIdle {
		t.Fatalf("ended as %s, %s", s.Status(), s.Phase())
	}
}

func TestRun_AFailedStepFailsTheRunAndSkipsTheRest(t *testing.T) {
	t.Parallel()
	s := newState(t, schema.Config{}, step("a"), step("b", "a"))
	startIDs(s, epoch)
	finish(s, "a", schema.AttemptFailed, epoch)
	recorded := settle(s, epoch)
	last := recorded[len(recorded)-1]
	if s.Status() != schema.SessionFailed || last.End == nil || last.End.Error != `step "a" failed: exit code 1` {
		t.Fatalf("status %s, end %+v", s.Status(), last.End)
	}
	if statusOf(s, "b") != schema.StepSkipped {
		t.Fatalf("b is %s, want skipped", statusOf(s, "b"))
	}
}

func TestRun_RetriesAfterABackoffAndThenGivesUp(t *testing.T) {
	t.Parallel()
	a := step("a")
	a.Retries = 1
	s := newState(t, schema.Config{}, a)
	startIDs(s, epoch)
	finish(s, "a", schema.AttemptFailed, epoch)
	if got := startIDs(s, epoch); got != nil {
		t.Fatalf("started %v during the backoff", got)
	}
	next, _ := s.NextDeadline(epoch)
	if next.Sub(epoch) != time.Second {
		t.Fatalf("backoff until %v, want 1 s", next.Sub(epoch))
	}
	if got := startIDs(s, next); len(got) != 1 {
		t.Fatalf("started %v after the backoff, want a", got)
	}
	finish(s, "a", schema.AttemptFailed, next)
	settle(s, next)
	if s.Status() != schema.SessionFailed {
		t.Fatalf("status %s, want failed", s.Status())
	}
}

func TestRun_OnErrorContinueSkipsDependentsAndGoesOnElsewhere(t *testing.T) {
	t.Parallel()
	a := step("a")
	a.OnError = schema.OnErrorContinue
	s := newState(t, schema.Config{Parallel: 1}, step("last", "b"), a, step("b", "a"), step("other"))
	startIDs(s, epoch)
	finish(s, "a", schema.AttemptFailed, epoch)
	if got := startIDs(s, epoch); !slices.Equal(got, []string{"other"}) {
		t.Fatalf("started %v, want the other branch", got)
	}
	finish(s, "other", schema.AttemptSucceeded, epoch)
	settle(s, epoch)
	if s.Status() != schema.SessionCompleted || statusOf(s, "b") != schema.StepSkipped || statusOf(s, "last") != schema.StepSkipped {
		t.Fatalf("session %s, b %s, last %s", s.Status(), statusOf(s, "b"), statusOf(s, "last"))
	}
}

func TestRun_SkippedStepsSayWhy(t *testing.T) {
	t.Parallel()
	s := newState(t, schema.Config{}, step("a"), step("b", "a"), step("c", "b"), step("d"), step("e", "d"))
	startIDs(s, epoch)
	finish(s, "a", schema.AttemptFailed, epoch)
	finish(s, "d", schema.AttemptSucceeded, epoch)
	why := map[string]string{}
	for _, tr := range settle(s, epoch) {
		for _, c := range tr.Steps {
			why[c.ID] = c.Reason
		}
	}
	want := map[string]string{
		"a": "", "b": `it needs "a", which failed`, "c": `it needs "b", which was skipped`, "e": `step "a" failed: exit code 1`,
	}
	if !reflect.DeepEqual(why, want) {
		t.Fatalf("reasons %v, want %v", why, want)
	}
}

func TestErrorRecovery_AsksAndFollowsTheAnswer(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		resolution schema.Resolution
		want       schema.StepStatus
		status     schema.SessionStatus
	}{
		{schema.ResolutionRetry, schema.StepReady, schema.SessionActive},
		{schema.ResolutionSkip, schema.StepSkipped, schema.SessionCompleted},
		{schema.ResolutionAbort, schema.StepFailed, schema.SessionFailed},
	} {
		t.Run(string(c.resolution), func(t *testing.T) {
			t.Parallel()
			s := newState(t, schema.Config{ApprovalMode: schema.ApproveOnError}, step("a"))
			startIDs(s, epoch)
			finish(s, "a", schema.AttemptFailed, epoch)
			settle(s, epoch)
			if a := only(t, s); a.Type != schema.ApprovalErrorRecovery {
				t.Fatalf("asked %s", a.Type)
			}
			decide(t, s, c.resolution, epoch)
			if statusOf(s, "a") != c.want || s.Status() != c.status {
				t.Fatalf("step %s, session %s; want %s, %s", statusOf(s, "a"), s.Status(), c.want, c.status)
			}
		})
	}
}

func TestErrorRecovery_AsksAgainAfterItsExpiryAndAResume(t *testing.T) {
	t.Parallel()
	s := newState(t, schema.Config{ApprovalMode: schema.ApproveOnError}, step("a"))
	startIDs(s, epoch)
	finish(s, "a", schema.AttemptFailed, epoch)
	settle(s, epoch)
	first := only(t, s).ApprovalID
	late := epoch.Add(testTimeout)
	settle(s, late)
	if s.Status() != schema.SessionSuspended || len(s.PendingViews()) != 0 {
		t.Fatalf("status %s with %d pending, want suspended with none", s.Status(), len(s.PendingViews()))
	}
	if _, err := s.Resume(epoch, ada); err != nil {
		t.Fatal(err)
	}
	settle(s, late)
	if again := only(t, s); again.ApprovalID == first || again.Type != schema.ApprovalErrorRecovery {
		t.Fatalf("asked again as %+v", again)
	}
}

func TestApproval_GatesThePlanThenEachStep(t *testing.T) {
	t.Parallel()
	s := newState(t, schema.Config{ApprovalMode: schema.ApproveAll}, step("a"))
	settle(s, epoch)
	if a := only(t, s); a.Type != schema.ApprovalPlan || s.Phase() != schema.PhaseAwaitingApproval || a.Digest != "digest of the plan" {
		t.Fatalf("asked %+v in phase %s", a, s.Phase())
	}
	if got := startIDs(s, epoch); got != nil {
		t.Fatalf("started %v before the plan was approved", got)
	}
	decide(t, s, schema.ResolutionApproved, epoch)
	if a := only(t, s); a.Type != schema.ApprovalStep || a.StepID != "a" || a.Digest != "digest of a" {
		t.Fatalf("asked %+v", a)
	}
	decide(t, s, schema.ResolutionApproved, epoch)
	if got := startIDs(s, epoch); !slices.Equal(got, []string{"a"}) {
		t.Fatalf("started %v, want a", got)
	}
}

func TestApproval_RejectedFailsTheRunWithWhoAndWhy(t *testing.T) {
	t.Parallel()
	s := newState(t, schema.Config{ApprovalMode: schema.ApproveAfterPlanning}, step("a"))
	settle(s, epoch)
	decide(t, s, schema.ResolutionRejected, epoch)
	if s.Status() != schema.SessionFailed || s.Run.Error != "the plan was rejected by ada: because" {
		t.Fatalf("status %s, error %q", s.Status(), s.Run.Error)
	}
}

func TestApproval_FirstDecisionWins(t *testing.T) {
	t.Parallel()
	s := newState(t, schema.Config{ApprovalMode: schema.ApproveAfterPlanning}, step("a"))
	settle(s, epoch)
	id := only(t, s).ApprovalID
	resolve := func(r schema.Resolution, now time.Time) (bool, error) {
		return s.Resolve(now, ada, schema.ResolveApproval{ApprovalID: id, Resolution: r})
	}
	if _, err := resolve(schema.ResolutionSkip, epoch); schema.CodeOf(err) != schema.CodeInvalid {
		t.Fatalf("skip: %v, want invalid", err)
	}
	if repeated, err := resolve(schema.ResolutionApproved, epoch); repeated || err != nil {
		t.Fatalf("first: %v, %v", repeated, err)
	}
	before := s.Pending
	if repeated, err := resolve(schema.ResolutionApproved, epoch); !repeated || err != nil {
		t.Fatalf("again: %v, %v, want a repetition", repeated, err)
	}
	if _, err := resolve(schema.ResolutionRejected, epoch); schema.CodeOf(err) != schema.CodeConflict {
		t.Fatalf("other: %v, want a conflict", err)
	}
	if !reflect.DeepEqual(before, s.Pending) {
		t.Fatal("a repetition or a refusal changed what is recorded")
	}
}

func TestApproval_ExpiryFollowsItsPolicy(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		policy schema.OnTimeout
		status schema.SessionStatus
		step   schema.StepStatus
	}{
		{"", schema.SessionSuspended, schema.StepPending},
		{schema.OnTimeoutSuspend, schema.SessionSuspended, schema.StepPending},
		{schema.OnTimeoutReject, schema.SessionFailed, schema.StepSkipped},
		{schema.OnTimeoutApprove, schema.SessionActive, schema.StepReady},
	} {
		t.Run(string(c.policy), func(t *testing.T) {
			t.Parallel()
			a := step("a")
			a.Approval, a.OnTimeout = true, c.policy
			s := newState(t, schema.Config{}, a)
			settle(s, epoch)
			id := only(t, s).ApprovalID
			if deadline, _ := s.NextDeadline(epoch); deadline.Sub(epoch) != testTimeout {
				t.Fatalf("deadline in %v, want %v", deadline.Sub(epoch), testTimeout)
			}
			settle(s, epoch.Add(testTimeout-time.Nanosecond))
			only(t, s)
			late := epoch.Add(testTimeout)
			if _, err := s.Resolve(late, ada, schema.ResolveApproval{ApprovalID: id, Resolution: schema.ResolutionApproved}); schema.CodeOf(err) != schema.CodeExpired {
				t.Fatalf("a late decision: %v, want expired", err)
			}
			settle(s, late)
			if s.Status() != c.status || statusOf(s, "a") != c.step {
				t.Fatalf("session %s, step %s; want %s, %s", s.Status(), statusOf(s, "a"), c.status, c.step)
			}
			if _, err := s.Resolve(late, ada, schema.ResolveApproval{ApprovalID: id, Resolution: schema.ResolutionApproved}); schema.CodeOf(err) != schema.CodeExpired {
				t.Fatalf("a decision after the expiry: %v, want expired", err)
			}
		})
	}
}

func TestApproval_ResumeAsksAgainUnderANewID(t *testing.T) {
	t.Parallel()
	s := newState(t, schema.Config{ApprovalMode: schema.ApproveAfterPlanning}, step("a"))
	settle(s, epoch)
	first := only(t, s).ApprovalID
	late := epoch.Add(testTimeout)
	settle(s, late)
	if _, err := s.Resume(epoch, ada); err != nil {
		t.Fatal(err)
	}
	settle(s, late)
	a := only(t, s)
	if a.ApprovalID == first || a.ExpiresAt.Sub(late) != testTimeout {
		t.Fatalf("asked again as %+v", a)
	}
}

func TestSuspend_StartsNothingNewAndResumeGoesOn(t *testing.T) {
	t.Parallel()
	s := newState(t, schema.Config{}, step("a"), step("b", "a"))
	startIDs(s, epoch)
	if repeated, err := s.Suspend(epoch, ada); repeated || err != nil {
		t.Fatal(repeated, err)
	}
	if repeated, err := s.Suspend(epoch, ada); !repeated || err != nil {
		t.Fatal("a second suspend is a repetition", repeated, err)
	}
	finish(s, "a", schema.AttemptSucceeded, epoch)
	if got := startIDs(s, epoch); got != nil || s.Status() != schema.SessionSuspended {
		t.Fatalf("started %v while %s", got, s.Status())
	}
	if _, err := s.Resume(epoch, ada); err != nil {
		t.Fatal(err)
	}
	if got := startIDs(s, epoch); !slices.Equal(got, []string{"b"}) {
		t.Fatalf("started %v, want b", got)
	}
}

func TestStands_WhatItsHostRecordedIsWhatBecameOfAStep(t *testing.T) {
	t.Parallel()
	s := newState(t, schema.Config{}, step("a"), step("b", "a"))
	startIDs(s, epoch)
	if _, err := s.RequestCancel(epoch, ada); err != nil {
		t.Fatal(err)
	}
	recorded := schema.Recorded{Steps: []schema.StepChange{{ID: "a", Status: schema.StepSucceeded}, {ID: "b", Status: schema.StepCancelled}}}
	s.ReconcileRecorded(s.Run.ID, recorded)
	if statusOf(s, "a") != schema.StepRunning {
		t.Fatalf("a run that is not over: a is %s", statusOf(s, "a"))
	}
	s.Cancelled(schema.Receipt{}, epoch)
	s.ReconcileRecorded("another run", recorded)
	if statusOf(s, "a") != schema.StepCancelled {
		t.Fatalf("what was recorded of another run: a is %s", statusOf(s, "a"))
	}
	s.ReconcileRecorded(s.Run.ID, recorded)
	if statusOf(s, "a") != schema.StepSucceeded || statusOf(s, "b") != schema.StepCancelled {
		t.Fatalf("a is %s, b is %s", statusOf(s, "a"), statusOf(s, "b"))
	}
}

func TestCancel_ClosesEverythingAndStaysFinal(t *testing.T) {
	t.Parallel()
	b := step("b")
	b.Approval = true
	s := newState(t, schema.Config{}, step("a"), b, step("c", "b"))
	startIDs(s, epoch)
	if repeated, err := s.RequestCancel(epoch, ada); repeated || err != nil {
		t.Fatal(repeated, err)
	}
	if _, err := s.Suspend(epoch, ada); schema.CodeOf(err) != schema.CodeConflict {
		t.Fatalf("suspend while cancelling: %v, want a conflict", err)
	}
	s.Cancelled(schema.Receipt{ProcessesKilled: 1}, epoch)
	settle(s, epoch)
	for _, id := range []string{"a", "b", "c"} {
		if statusOf(s, id) != schema.StepCancelled {
			t.Fatalf("%s is %s, want cancelled", id, statusOf(s, id))
		}
	}
	if len(s.PendingViews()) != 0 || s.Status() != schema.SessionCancelled {
		t.Fatalf("%d pending, status %s", len(s.PendingViews()), s.Status())
	}
	if repeated, err := s.RequestCancel(epoch, ada); !repeated || err != nil {
		t.Fatal("a second cancel is a repetition", repeated, err)
	}
	for name, do := range map[string]func(time.Time, schema.Command) (bool, error){"suspend": s.Suspend, "resume": s.Resume} {
		if _, err := do(epoch, ada); schema.CodeOf(err) != schema.CodeConflict {
			t.Fatalf("%s of a cancelled session: %v, want a conflict", name, err)
		}
	}
}

func TestState_RemembersABoundedNumberOfRequestsAndApprovals(t *testing.T) {
	t.Parallel()
	s := newState(t, schema.Config{ApprovalMode: schema.ApproveAfterPlanning}, step("a"))
	now := epoch
	for i := range 300 {
		s.Remember("suspend", schema.Command{RequestID: schema.NewID()}, schema.CommandResult{})
		settle(s, now)
		now = now.Add(testTimeout)
		settle(s, now)
		if _, err := s.Resume(epoch, ada); err != nil {
			t.Fatal(i, err)
		}
	}
	if len(s.Requests) > maxRequests || len(s.Approvals) > maxClosedApprovals+2 {
		t.Fatalf("%d requests and %d approvals remembered", len(s.Requests), len(s.Approvals))
	}
}

// A field that JSON drops would be lost at the first continue-as-new.
func TestState_EveryFieldSurvivesContinueAsNew(t *testing.T) {
	t.Parallel()
	var s State
	fill(reflect.ValueOf(&s).Elem(), 1)
	var back State
	if err := json.Unmarshal(schema.Marshal(s), &back); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(s, back) {
		t.Fatalf("before %+v\nafter  %+v", s, back)
	}
}

// fill gives every field a non-zero value.
func fill(v reflect.Value, n int64) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(epoch.Add(time.Duration(n) * time.Second)))
			return
		}
		for i := range v.NumField() {
			if !v.Type().Field(i).IsExported() { // derived from the others
				continue
			}
			fill(v.Field(i), n+int64(i))
		}
	case reflect.Slice:
		if v.Type() == reflect.TypeFor[json.RawMessage]() {
			v.Set(reflect.ValueOf(json.RawMessage(`{"n":1}`)))
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			fill(v.Index(i), n+int64(i))
		}
	case reflect.String:
		v.SetString("text" + string(rune('a'+n%26)))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Float64:
		v.SetFloat(float64(n) + 0.5)
	default:
		v.SetInt(n + 1)
	}
}

func TestRun_CountsTheStepsThatFailed(t *testing.T) {
	t.Parallel()
	on := func(id string) schema.OutlineStep {
		st := step(id)
		st.OnError = schema.OnErrorContinue
		return st
	}
	s := newState(t, schema.Config{Parallel: 3}, on("a"), on("b"), on("c"), step("d", "a"))
	startIDs(s, epoch)
	finish(s, "a", schema.AttemptFailed, epoch)
	finish(s, "b", schema.AttemptSucceeded, epoch)
	finish(s, "c", schema.AttemptFailed, epoch)
	recorded := settle(s, epoch)
	if end := recorded[len(recorded)-1].End; end == nil || end.Status != schema.SessionCompleted || end.Steps != 4 || end.FailedSteps != 2 {
		t.Fatalf("%+v", end)
	}
}
