package workflows

import (
	"fmt"
	"slices"
	"time"

	"github.com/holdfast/holdfast/schema"
)

// ask opens an approval about the plan, or about a step.
func (s *State) ask(now time.Time, t schema.ApprovalType, st *Step) {
	s.Asked++
	a := Approval{Deadline: now.Add(s.ApprovalTimeout()), OnTimeout: s.onTimeout(st)}
	a.Asked = schema.Asked{
		ApprovalID: schema.ApprovalID(s.Input.SessionID, s.Asked),
		Type:       t, Digest: s.Run.Digest, Options: t.Options(),
		Status: schema.ApprovalPending, ExpiresAt: schema.Time{Time: a.Deadline},
	}
	if st != nil {
		a.StepID, a.Digest = st.ID, st.Digest
		s.setStep(st, schema.StepAwaitingApproval, "")
	}
	s.Approvals = append(s.Approvals, a)
	s.forgetOldApprovals()
	s.Pending.Open = append(s.Pending.Open, schema.ApprovalOpen{
		ID: a.ApprovalID, Type: t, StepID: a.StepID, Options: a.Options, Digest: a.Digest,
		CreatedAt: now, ExpiresAt: a.Deadline, OnTimeout: a.OnTimeout,
	})
}

func (s *State) onTimeout(st *Step) schema.OnTimeout {
	switch {
	case st != nil && st.OnTimeout != "":
		return st.OnTimeout
	case s.Input.Config.OnTimeout != "":
		return s.Input.Config.OnTimeout
	default:
		return schema.OnTimeoutSuspend
	}
}

func (s *State) forgetOldApprovals() {
	closed := 0
	for i := range s.Approvals {
		if s.Approvals[i].Status != schema.ApprovalPending {
			closed++
		}
	}
	s.Approvals = slices.DeleteFunc(s.Approvals, func(a Approval) bool {
		if a.Status == schema.ApprovalPending || closed <= maxClosedApprovals {
			return false
		}
		closed--
		return true
	})
}

func (s *State) pendingApproval() *Approval {
	for i := range s.Approvals {
		if s.Approvals[i].Status == schema.ApprovalPending {
			return &s.Approvals[i]
		}
	}
	return nil
}

// pendingFor finds the pending approval about a step, or about the plan when stepID is "".
func (s *State) pendingFor(stepID string) *Approval {
	for i := range s.Approvals {
		if a := &s.Approvals[i]; a.Status == schema.ApprovalPending && a.StepID == stepID {
			return a
		}
	}
	return nil
}

// CheckResolve says whether a decision can be taken at this instant: nil when it can, or
// when it repeats the one that was taken (repeated). It changes nothing.
func (s *State) CheckResolve(now time.Time, c schema.ResolveApproval) (a *Approval, repeated bool, err error) {
	i := slices.IndexFunc(s.Approvals, func(a Approval) bool { return a.ApprovalID == c.ApprovalID })
	if i < 0 {
		return nil, false, schema.Errorf(schema.CodeNotFound, "this session has no approval %q", c.ApprovalID)
	}
	a = &s.Approvals[i]
	switch a.Status {
	case schema.ApprovalResolved:
		if a.Resolution == c.Resolution {
			return a, true, nil
		}
		return nil, false, schema.Errorf(schema.CodeConflict, "approval %s was already resolved as %s by %s at %s", a.ApprovalID, a.Resolution, a.Actor, schema.Time{Time: a.ClosedAt})
	case schema.ApprovalExpired:
		return nil, false, schema.Errorf(schema.CodeExpired, "approval %s expired at %s", a.ApprovalID, a.ExpiresAt)
	case schema.ApprovalPending:
	default:
		return nil, false, schema.Errorf(schema.CodeConflict, "approval %s is %s", a.ApprovalID, a.Status)
	}
	if !a.Deadline.After(now) {
		return nil, false, schema.Errorf(schema.CodeExpired, "approval %s expired at %s", a.ApprovalID, a.ExpiresAt)
	}
	if !slices.Contains(a.Options, c.Resolution) {
		return nil, false, &schema.Error{
			Code:    schema.CodeInvalid,
			Message: fmt.Sprintf("%q does not resolve a %s; allowed are %s", c.Resolution, a.Type, schema.JoinResolutions(a.Options)),
			Fields:  []schema.FieldError{{Location: "resolution", Message: "allowed are " + schema.JoinResolutions(a.Options), Value: c.Resolution}},
		}
	}
	return a, false, nil
}

// Resolve takes a decision: the first one wins, the same again changes nothing, another
// one or a late one is refused.
func (s *State) Resolve(now time.Time, c schema.ResolveApproval) (repeated bool, err error) {
	a, repeated, err := s.CheckResolve(now, c)
	if err != nil || repeated {
		return repeated, err
	}
	a.Actor = c.Actor
	a.Resolution = c.Resolution
	s.closeApproval(a, schema.ApprovalClose{
		Status: schema.ApprovalResolved, Resolution: c.Resolution, Feedback: c.Feedback, Actor: c.Actor, At: now,
	})
	s.follow(a, c.Resolution, byWhom(c))
	return false, nil
}

func byWhom(c schema.ResolveApproval) string {
	if c.Feedback == "" {
		return "by " + c.Actor
	}
	return "by " + c.Actor + ": " + c.Feedback
}

// follow does what a resolution means.
func (s *State) follow(a *Approval, r schema.Resolution, why string) {
	st := s.step(a.StepID)
	switch {
	case a.Type == schema.ApprovalPlan && r == schema.ResolutionApproved:
		s.Run.PlanApproved = true
	case a.Type == schema.ApprovalPlan:
		s.fail("the plan was rejected " + why)
	case r == schema.ResolutionApproved:
		st.Approved = true
		s.setStep(st, schema.StepReady, "")
	case r == schema.ResolutionRejected:
		s.setStep(st, schema.StepSkipped, "rejected "+why)
		s.fail(fmt.Sprintf("step %q was rejected %s", st.ID, why))
	case r == schema.ResolutionRetry:
		st.NotBefore = time.Time{}
		s.setStep(st, schema.StepReady, "")
	case r == schema.ResolutionSkip:
		s.setStep(st, schema.StepSkipped, "skipped "+why)
	case r == schema.ResolutionAbort:
		s.setStep(st, schema.StepFailed, "given up "+why)
		s.fail(fmt.Sprintf("step %q failed and was given up %s", st.ID, why))
	}
}

// expire closes the approvals whose time is over and does what their policy says.
func (s *State) expire(now time.Time) {
	for i := range s.Approvals {
		a := &s.Approvals[i]
		if a.Status != schema.ApprovalPending || a.Deadline.After(now) {
			continue
		}
		s.closeApproval(a, schema.ApprovalClose{Status: schema.ApprovalExpired, Reason: "timeout", OnTimeout: a.OnTimeout, At: now})
		const why = "because nobody answered in time"
		recovery := a.Type == schema.ApprovalErrorRecovery
		switch {
		case a.OnTimeout == schema.OnTimeoutReject && recovery:
			s.follow(a, schema.ResolutionAbort, why)
		case a.OnTimeout == schema.OnTimeoutReject:
			s.follow(a, schema.ResolutionRejected, why)
		case a.OnTimeout == schema.OnTimeoutApprove && recovery:
			s.follow(a, schema.ResolutionSkip, why)
		case a.OnTimeout == schema.OnTimeoutApprove:
			s.follow(a, schema.ResolutionApproved, why)
		default:
			s.askAgainLater(a)
			if !s.Suspended && s.Cancel == nil {
				s.Suspended = true
				s.note(schema.EventWorkflowPaused, "", schema.WorkflowPausedData{Reason: "approval_expired"})
			}
		}
	}
}

// askAgainLater puts a step back to where its gate asks again once the session is resumed.
func (s *State) askAgainLater(a *Approval) {
	if st := s.step(a.StepID); st != nil && a.Type == schema.ApprovalStep {
		s.setStep(st, schema.StepPending, "its approval expired")
	}
}

func (s *State) cancelApprovals(now time.Time, reason string) {
	for i := range s.Approvals {
		if a := &s.Approvals[i]; a.Status == schema.ApprovalPending {
			s.closeApproval(a, schema.ApprovalClose{Status: schema.ApprovalCancelled, Reason: reason, At: now})
		}
	}
}

func (s *State) closeApproval(a *Approval, c schema.ApprovalClose) {
	a.Status, a.ClosedAt = c.Status, c.At
	c.ID, c.StepID = a.ApprovalID, a.StepID
	s.Pending.Close = append(s.Pending.Close, c)
}

// Suspend stops anything new from starting. The session must be under way.
func (s *State) Suspend(actor string) (repeated bool, err error) {
	if err := s.underWay("suspend"); err != nil {
		return false, err
	}
	if s.Suspended {
		return true, nil
	}
	s.Suspended = true
	s.note(schema.EventWorkflowPaused, "", schema.WorkflowPausedData{Actor: actor, Reason: "requested"})
	return false, nil
}

// Resume lets a suspended session go on; gates whose approval expired ask again.
func (s *State) Resume(actor string) (repeated bool, err error) {
	if err := s.underWay("resume"); err != nil {
		return false, err
	}
	if !s.Suspended {
		return true, nil
	}
	s.Suspended = false
	s.note(schema.EventWorkflowResumed, "", schema.WorkflowResumedData{Actor: actor})
	return false, nil
}

// RequestCancel asks for everything of the run to be stopped for good.
func (s *State) RequestCancel(actor string) (repeated bool, err error) {
	if err := s.checkCancel(); err != nil {
		return false, err
	}
	if s.Run.Ended != "" || s.Cancel != nil {
		return true, nil
	}
	s.Cancel = &Cancelling{Actor: actor}
	return false, nil
}

func (s *State) checkCancel() error {
	if s.Run.Ended != "" && s.Run.Ended != schema.SessionCancelled {
		return s.underWay("cancel")
	}
	return nil
}

// RequestClose ends the session for good, because it was deleted: what runs is cancelled.
func (s *State) RequestClose(actor string) (repeated bool, err error) {
	repeated = s.Closing
	s.Closing = true
	if s.Run.Ended == "" && s.Cancel == nil {
		s.Cancel = &Cancelling{Actor: actor}
	}
	return repeated, nil
}

func (s *State) underWay(what string) error {
	switch {
	case s.Run.Ended != "":
		return schema.Errorf(schema.CodeConflict, "cannot %s: run %d of the session is %s", what, s.Run.Number, s.Run.Ended)
	case s.Cancel != nil:
		return schema.Errorf(schema.CodeConflict, "cannot %s: the session is being cancelled", what)
	}
	return nil
}
