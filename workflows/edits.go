package workflows

import (
	"slices"
	"time"

	"github.com/holdfast/holdfast/schema"
)

// The moves of State around modifications: a human edits what an approval asked about, an activity
// changes the plan, and the result is asked about again, unless config.on_modified says that
// editing is approving.

// beingEdited reports whether an edit of the step, or of the plan if stepID is "", was accepted but
// not carried out yet.
func (s *State) beingEdited(stepID string) bool {
	return slices.ContainsFunc(s.Edits, func(e Edit) bool { return e.StepID == stepID })
}

// edited lists the steps with an edit that was accepted but not carried out yet; "" is the plan.
func (s *State) edited() map[string]bool {
	steps := make(map[string]bool, len(s.Edits))
	for i := range s.Edits {
		steps[s.Edits[i].StepID] = true
	}
	return steps
}

// NextEdit is the edit to carry out now, nil if there is none.
func (s *State) NextEdit() *Edit {
	if len(s.Edits) == 0 || s.Run.Ended != "" || s.Cancel != nil {
		return nil
	}
	return &s.Edits[0]
}

// Revise is the argument of the activity that carries out an edit.
func (s *State) Revise(e *Edit) schema.Revise {
	return schema.Revise{
		SessionID: s.Input.SessionID, RunID: s.Run.ID, StepID: e.StepID, ApprovalID: e.ApprovalID,
		Key: "revise/" + e.ApprovalID, Actor: e.Actor, Modifications: e.Modifications,
	}
}

// changesNothing reports whether the first of the edits leaves its step as it was.
func (s *State) changesNothing(o schema.Outline) bool {
	st := s.step(s.Edits[0].StepID)
	return st != nil && slices.ContainsFunc(o.Steps, func(step schema.OutlineStep) bool { return step.ID == st.ID && step.Digest == st.Digest })
}

// Revised accepts the outline of the plan after the first of the edits. An edit that leaves the
// step as it was still counts: it lets the step run, or retries it.
func (s *State) Revised(o schema.Outline, now time.Time) { s.revised(o, now, true) }

// revised is Revised; an older release ignored an edit that left the step as it was.
func (s *State) revised(o schema.Outline, now time.Time, countsAlways bool) {
	e := s.Edits[0]
	s.Edits = slices.Delete(s.Edits, 0, 1)
	settled := s.Input.Config.OnModified == schema.OnModifiedApprove
	if e.StepID == "" {
		s.setOutline(o)
		s.Run.PlanApproved = settled
		return
	}
	s.Run.Digest = o.Digest
	for i := range o.Steps {
		st := s.step(o.Steps[i].ID)
		same := st != nil && st.Digest == o.Steps[i].Digest
		if st == nil || (same && (st.ID != e.StepID || !countsAlways)) {
			continue
		}
		st.OutlineStep = o.Steps[i]
		if st.ID != e.StepID {
			s.changedUnder(st, now)
			continue
		}
		st.Approved = settled || (same && st.Approved)
		if e.Retry {
			s.resetRetries(st)
		}
	}
	s.resetToGate(s.step(e.StepID), "edited by "+e.Actor)
}

// resetToGate puts a step before its gate again, or makes it ready if it has none.
func (s *State) resetToGate(st *Step, why string) {
	if st.Status.Final() {
		return
	}
	if s.asksAbout(st) && !st.Approved {
		s.setStep(st, schema.StepPending, why)
		return
	}
	s.setStep(st, schema.StepReady, "")
}

// changedUnder withdraws the question or decision about a step whose files somebody changed by
// editing another one. A step that already runs goes on as it is.
func (s *State) changedUnder(st *Step, now time.Time) {
	const why = "plan_changed"
	if st.Status.Final() || st.Status == schema.StepRunning || st.Status == schema.StepFrozen {
		return
	}
	gate := s.approvalFor(st.ID)
	if gate != nil {
		s.closeApproval(gate, schema.ApprovalClose{Status: schema.ApprovalVoid, Reason: why, At: now})
	}
	switch {
	case s.beingEdited(st.ID): // its own edit decides
	case gate != nil && gate.Type == schema.ApprovalStep, st.Approved && s.asksAbout(st):
		st.Approved = false
		s.setStep(st, schema.StepPending, "its files were changed")
	}
}

// EditRefused drops the first of the edits, which would make the plan invalid. Its gate asks again.
func (s *State) EditRefused(why string, now time.Time) {
	e := s.Edits[0]
	s.Edits = slices.Delete(s.Edits, 0, 1)
	s.Ignored(now, schema.Command{Actor: e.Actor}, schema.AuditEntry{
		Action: schema.CommandResolveApproval, ApprovalID: e.ApprovalID, StepID: e.StepID, Resolution: schema.ResolutionModified,
	}, schema.Errorf(schema.CodeInvalid, "%s", why))
	if a := s.approval(e.ApprovalID); a != nil {
		a.EditProblem = why
	}
	if st := s.step(e.StepID); st != nil && !e.Retry {
		s.setStep(st, schema.StepPending, "the edit was refused: "+why)
	}
}
