package workflows

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/holdfast/holdfast/schema"
)

// escalationFactor is how many times longer an escalated approval waits than at first, unless
// config.escalation_timeout is set.
const escalationFactor = 4

// requestApproval opens an approval about the plan or a step: a gate.
func (s *State) requestApproval(now time.Time, t schema.ApprovalType, st *Step) {
	s.ApprovalCount++
	a := Approval{OnTimeout: s.onTimeout(st)}
	a.Asked = schema.Asked{ApprovalID: schema.ApprovalID(s.generationPrefix()+s.Input.SessionID, s.ApprovalCount), Type: t, Digest: s.Run.Digest}
	why := s.whyAgain(st)
	if st != nil {
		a.StepID, a.Digest = st.ID, st.Digest
		s.setStep(st, schema.StepAwaitingApproval, "")
	}
	s.open(now, s.ApprovalTimeout(), a, schema.ApprovalOpen{Why: why})
}

// open adds a pending approval. o adds what only its record needs.
func (s *State) open(now time.Time, wait time.Duration, a Approval, o schema.ApprovalOpen) {
	a.Options, a.Status, a.AskedAt, a.RunNumber = a.Type.Options(), schema.ApprovalPending, now, s.Run.Number
	a.setDeadline(now.Add(wait))
	s.Approvals = append(s.Approvals, a)
	s.forgetOldApprovals()
	o.ID, o.Type, o.StepID, o.Options, o.Digest = a.ApprovalID, a.Type, a.StepID, a.Options, a.Digest
	o.CreatedAt, o.ExpiresAt, o.OnTimeout = now, a.Deadline, a.OnTimeout
	s.Pending.Open = append(s.Pending.Open, o)
}

func (a *Approval) setDeadline(t time.Time) {
	a.Deadline, a.ExpiresAt = t, schema.Time{Time: t}
}

// whyAgain says what happened to the last approval of the same subject when it is asked again.
func (s *State) whyAgain(st *Step) string {
	id := ""
	if st != nil {
		id = st.ID
	}
	for i := len(s.Approvals) - 1; i >= 0; i-- {
		a := &s.Approvals[i]
		if a.StepID != id || a.Type.AskedByStep() || a.RunNumber != s.Run.Number {
			continue
		}
		switch {
		case a.EditProblem != "":
			return "the edit of " + a.Actor + " could not be used: " + a.EditProblem
		case a.Status == schema.ApprovalVoid:
			return "its subject has changed"
		case a.Status == schema.ApprovalExpired:
			return "nobody answered in time"
		case a.Resolution == schema.ResolutionModified:
			return "edited by " + a.Actor
		}
		return ""
	}
	return ""
}

func (s *State) onTimeout(st *Step) schema.OnTimeout {
	if st == nil {
		return s.Input.Config.OnTimeoutOf("")
	}
	return s.Input.Config.OnTimeoutOf(st.OnTimeout)
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

// approvalFor finds the pending approval that a step waits for; stepID "" is the plan.
func (s *State) approvalFor(stepID string) *Approval {
	for i := range s.Approvals {
		if a := &s.Approvals[i]; a.Status == schema.ApprovalPending && a.StepID == stepID && !a.Type.AskedByStep() {
			return a
		}
	}
	return nil
}

// stepsAwaitingApproval lists the steps that wait for a pending approval; "" is the plan.
func (s *State) stepsAwaitingApproval() map[string]bool {
	waiting := map[string]bool{}
	for i := range s.Approvals {
		if a := &s.Approvals[i]; a.Status == schema.ApprovalPending && !a.Type.AskedByStep() {
			waiting[a.StepID] = true
		}
	}
	return waiting
}

// pendingByID finds a pending approval by its id, or says why it is not pending.
func (s *State) pendingByID(now time.Time, id string) (*Approval, error) {
	a := s.approval(id)
	switch {
	case a == nil:
		return nil, schema.Errorf(schema.CodeNotFound, "this session has no approval %q", id)
	case a.Status == schema.ApprovalResolved:
		return nil, schema.Errorf(schema.CodeConflict, "approval %s was already resolved as %s by %s at %s", id, a.Resolution, a.Actor, schema.Time{Time: a.ClosedAt})
	case a.Status == schema.ApprovalExpired, a.Status == schema.ApprovalPending && !a.Deadline.After(now):
		return nil, schema.Errorf(schema.CodeExpired, "approval %s expired at %s", id, a.ExpiresAt)
	case a.Status == schema.ApprovalVoid:
		return nil, schema.Errorf(schema.CodeConflict, "approval %s is void: its subject has changed; look for the new approval", id)
	case a.Status != schema.ApprovalPending:
		return nil, schema.Errorf(schema.CodeConflict, "approval %s is %s", id, a.Status)
	}
	return a, nil
}

func (s *State) approval(id string) *Approval {
	i := slices.IndexFunc(s.Approvals, func(a Approval) bool { return a.ApprovalID == id })
	if i < 0 {
		return nil
	}
	return &s.Approvals[i]
}

// CheckResolve says whether a decision can be accepted now: nil if it can, or if it repeats the one
// that was accepted (repeated). It changes nothing.
func (s *State) CheckResolve(now time.Time, c schema.ResolveApproval) (a *Approval, repeated bool, err error) {
	a, repeated, err = s.checkResolve(now, c)
	if err == nil && !repeated {
		err = s.checkFeedbackHeld(c)
	}
	if err != nil {
		return nil, false, err
	}
	return a, repeated, nil
}

// checkFeedbackHeld refuses what the previous release accepted: see [session.resolveOlder].
func (s *State) checkFeedbackHeld(c schema.ResolveApproval) error {
	if c.Feedback == "" || s.feedbackHeld()+encodedSize(c.Feedback) <= maxFeedbackHeld {
		return nil
	}
	return invalid("too much feedback is waiting for steps that have not run", "feedback", "a few words until those steps have run", nil)
}

func (s *State) checkResolve(now time.Time, c schema.ResolveApproval) (a *Approval, repeated bool, err error) {
	if a := s.approval(c.ApprovalID); a != nil && a.Status == schema.ApprovalResolved && a.Resolution == c.Resolution {
		if a.Answer != "" && a.Answer != schema.AnswerDigest(a.Type, c.Feedback, c.Modifications) {
			return nil, false, otherAnswer(a)
		}
		return a, true, nil
	}
	a, err = s.pendingByID(now, c.ApprovalID)
	if err != nil {
		return nil, false, err
	}
	if !slices.Contains(a.Options, c.Resolution) {
		allowed := "allowed are " + schema.JoinResolutions(a.Options)
		return nil, false, invalid(fmt.Sprintf("%q does not resolve a %s; %s", c.Resolution, a.Type, allowed), "resolution", allowed, c.Resolution)
	}
	if n := utf8.RuneCountInString(c.Feedback); n > schema.MaxFeedback {
		most := fmt.Sprintf("at most %d characters", schema.MaxFeedback)
		return nil, false, invalid("the feedback is too long: "+most, "feedback", most, n)
	}
	if strings.ContainsRune(c.Feedback, 0) { // the step gets it in its environment
		return nil, false, invalid("feedback is text without NUL", "feedback", "text without NUL", nil)
	}
	if errs := schema.CheckShape(a.Type, c.Resolution, c.Modifications); errs != nil { // the rest is checked where the edit is carried out
		return nil, false, wrongModifications(errs)
	}
	return a, false, nil
}

func wrongModifications(errs []schema.FieldError) error {
	return &schema.Error{Code: schema.CodeInvalid, Message: errs[0].Location + ": " + errs[0].Message, Fields: errs}
}

var errOtherAnswer = errors.New("another answer with the same resolution")

func otherAnswer(a *Approval) error {
	what := "modifications"
	if a.Type.AskedByStep() {
		what = "answer"
	}
	return &schema.Error{
		Code: schema.CodeConflict, Cause: errOtherAnswer,
		Message: fmt.Sprintf("approval %s was already resolved as %s, with another %s, by %s at %s", a.ApprovalID, a.Resolution, what, a.Actor, schema.Time{Time: a.ClosedAt}),
	}
}

func invalid(message, field, allowed string, value any) error {
	return &schema.Error{
		Code: schema.CodeInvalid, Message: message,
		Fields: []schema.FieldError{{Location: field, Message: allowed, Value: value}},
	}
}

// Resolve accepts a decision. The first one wins, a repetition changes nothing, and a different or
// late one is refused.
func (s *State) Resolve(now time.Time, by schema.Command, c schema.ResolveApproval) (repeated bool, err error) {
	a, repeated, err := s.checkResolve(now, c)
	if err != nil || repeated {
		return repeated, err
	}
	a.Actor = by.Actor
	a.Resolution = c.Resolution
	a.Answer = schema.AnswerDigest(a.Type, c.Feedback, c.Modifications)
	s.closeApproval(a, schema.ApprovalClose{
		Status: schema.ApprovalResolved, Resolution: c.Resolution, Feedback: c.Feedback, Actor: by.Actor, Modifications: c.Modifications, At: now,
	})
	s.audit(now, by, schema.AuditEntry{
		Action: schema.CommandResolveApproval, ApprovalID: a.ApprovalID, StepID: a.StepID, Resolution: c.Resolution, Digest: a.Digest, Detail: c.Feedback,
	})
	switch {
	case a.Type.AskedByStep(): // the step acts on it
	case len(c.Modifications) > 0 && string(c.Modifications) != "null":
		s.Edits = append(s.Edits, Edit{
			ApprovalID: a.ApprovalID, StepID: a.StepID, Actor: by.Actor, Retry: a.Type == schema.ApprovalErrorRecovery, Modifications: c.Modifications,
		})
		s.setFeedback(a.StepID, c.Feedback)
	default:
		s.setFeedback(a.StepID, c.Feedback)
		s.applyResolution(a, c.Resolution, byWhom(by.Actor, c.Feedback))
	}
	return false, nil
}

// setFeedback keeps feedback about a step for its next execution.
func (s *State) setFeedback(stepID, feedback string) {
	if st := s.step(stepID); st != nil {
		st.Feedback = feedback
	}
}

func byWhom(actor, feedback string) string {
	if feedback == "" {
		return "by " + actor
	}
	return "by " + actor + ": " + feedback
}

// applyResolution does what the resolution of a gate implies.
func (s *State) applyResolution(a *Approval, r schema.Resolution, why string) {
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
		s.resetRetries(st)
		s.setStep(st, schema.StepReady, "")
	case r == schema.ResolutionSkip:
		s.setStep(st, schema.StepSkipped, "skipped "+why)
	case r == schema.ResolutionAbort:
		s.setStep(st, schema.StepFailed, "abandoned "+why)
		s.fail(fmt.Sprintf("step %q failed and was abandoned %s", st.ID, why))
	}
}

// resetRetries gives a step the retries of its plan again, without backoff.
func (s *State) resetRetries(st *Step) { st.NotBefore, st.RetryBase = time.Time{}, st.Executions }

// CheckExtend says whether the deadline of an approval can be moved by that much.
func (s *State) CheckExtend(now time.Time, c schema.ExtendApproval) (*Approval, error) {
	a, err := s.pendingByID(now, c.ApprovalID)
	if err != nil {
		return nil, err
	}
	most := a.AskedAt.Add(schema.MaxApprovalTimeoutSeconds * time.Second).Sub(a.Deadline).Seconds()
	if !(c.Seconds >= 1 && c.Seconds <= most) { // written so that NaN is refused
		allowed := fmt.Sprintf("from 1 to %.0f: an approval waits for 30 days at most", max(most, 0))
		return nil, invalid("seconds must be "+allowed, "seconds", allowed, c.Seconds)
	}
	return a, nil
}

// Extend moves the deadline of a pending approval.
func (s *State) Extend(now time.Time, by schema.Command, c schema.ExtendApproval) (*Approval, error) {
	a, err := s.CheckExtend(now, c)
	if err != nil {
		return nil, err
	}
	a.setDeadline(a.Deadline.Add(seconds(c.Seconds)))
	s.Pending.Extend = append(s.Pending.Extend, schema.ApprovalExtend{
		ID: a.ApprovalID, StepID: a.StepID, ExpiresAt: a.Deadline, Actor: by.Actor, Seconds: c.Seconds, At: now,
	})
	s.audit(now, by, schema.AuditEntry{
		Action: schema.CommandExtendApproval, ApprovalID: a.ApprovalID, StepID: a.StepID, Digest: a.Digest, Detail: fmt.Sprintf("by %g s", c.Seconds),
	})
	return a, nil
}

// expire closes overdue approvals and applies their policy.
func (s *State) expire(now time.Time) {
	for i := range s.Approvals {
		a := &s.Approvals[i]
		if a.Status != schema.ApprovalPending || a.Deadline.After(now) {
			continue
		}
		if a.OnTimeout == schema.OnTimeoutEscalate && !a.Escalated {
			s.escalate(a, now)
			continue
		}
		s.closeApproval(a, schema.ApprovalClose{Status: schema.ApprovalExpired, Reason: "timeout", OnTimeout: a.OnTimeout, At: now})
		s.audit(now, schema.Command{Actor: schema.ActorHoldfast}, schema.AuditEntry{
			Action: "expire", ApprovalID: a.ApprovalID, StepID: a.StepID, Digest: a.Digest, Detail: "on_timeout: " + string(a.OnTimeout),
		})
		const why = "because nobody answered in time"
		recovery := a.Type == schema.ApprovalErrorRecovery
		switch {
		case a.Type.AskedByStep(): // the step acts on it
		case a.OnTimeout == schema.OnTimeoutReject && recovery:
			s.applyResolution(a, schema.ResolutionAbort, why)
		case a.OnTimeout == schema.OnTimeoutReject:
			s.applyResolution(a, schema.ResolutionRejected, why)
		case a.OnTimeout == schema.OnTimeoutApprove && recovery:
			s.applyResolution(a, schema.ResolutionSkip, why)
		case a.OnTimeout == schema.OnTimeoutApprove:
			s.applyResolution(a, schema.ResolutionApproved, why)
		default:
			s.resetExpiredGate(a)
			if !s.Suspended && s.Cancel == nil {
				s.pause(now)
				s.note(schema.EventWorkflowPaused, "", schema.WorkflowPausedData{Reason: schema.PausedApprovalExpired})
			}
		}
	}
}

// escalate gives a pending approval its second, longer period.
func (s *State) escalate(a *Approval, now time.Time) {
	a.Escalated = true
	a.setDeadline(now.Add(durationOr(s.Input.Config.EscalationTimeout, escalationFactor*a.Deadline.Sub(a.AskedAt))))
	s.Pending.Extend = append(s.Pending.Extend, schema.ApprovalExtend{
		ID: a.ApprovalID, StepID: a.StepID, ExpiresAt: a.Deadline, Escalates: true, At: now,
	})
}

// resetExpiredGate resets a step to its gate, which asks again when the session is resumed.
func (s *State) resetExpiredGate(a *Approval) {
	if st := s.step(a.StepID); st != nil && a.Type == schema.ApprovalStep {
		s.setStep(st, schema.StepPending, "its approval expired")
	}
}

// closePending closes the pending approvals that which selects, without an answer.
func (s *State) closePending(now time.Time, status schema.ApprovalStatus, reason string, which func(*Approval) bool) {
	for i := range s.Approvals {
		if a := &s.Approvals[i]; a.Status == schema.ApprovalPending && which(a) {
			s.closeApproval(a, schema.ApprovalClose{Status: status, Reason: reason, At: now})
		}
	}
}

func (s *State) closeApproval(a *Approval, c schema.ApprovalClose) {
	a.Status, a.ClosedAt = c.Status, c.At
	c.ID, c.StepID = a.ApprovalID, a.StepID
	s.Pending.Close = append(s.Pending.Close, c)
}
