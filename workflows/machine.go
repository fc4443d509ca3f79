package workflows

import (
	"fmt"
	"time"

	"github.com/holdfast/holdfast/schema"
)

// The moves of a run. Each is a pure function of State and an instant; what has to be
// recorded gathers in State.Pending, what has to be started is asked with Startable.
//
//	pending ──► (awaiting_approval ──►) ready ──► running ──► succeeded
//	   │                  │               ▲          │  └───► failed ─► run fails, unless on_error: continue
//	   └── skipped ◄──────┴── rejected    └── retry ─┘        awaiting_approval (error_recovery)

// Begun takes in the outline of the plan that the run carries out.
func (s *State) Begun(o schema.Outline) {
	s.Run.Begun = true
	s.Run.Digest = o.Digest
	if s.Host == "" { // a later run finds the workspace where the first one left it
		s.Host = o.Host
	}
	s.Run.Steps = make([]Step, len(o.Steps))
	for i, step := range o.Steps {
		s.Run.Steps[i] = Step{OutlineStep: step, Status: schema.StepPending}
	}
	s.Shown.Phase = s.phaseAfterBegin()
}

// phaseAfterBegin is the phase that opening the run records.
func (s *State) phaseAfterBegin() schema.Phase {
	if s.Input.Config.ApprovalMode.AsksPlan() {
		return schema.PhasePlanning
	}
	return schema.PhaseExecuting
}

// Advance makes every move that is due: expiries, gates, skips, the end of the run.
func (s *State) Advance(now time.Time) {
	r := s.Run
	if !r.Begun || r.Ended != "" {
		return
	}
	s.expire(now)
	if s.Cancel != nil || s.Suspended {
		return
	}
	if r.Error == "" && !r.PlanApproved {
		s.gatePlan(now)
		if !r.PlanApproved {
			return
		}
	}
	if r.Error == "" {
		s.gateSteps(now)
	}
	s.finishIfOver(now)
}

func (s *State) gatePlan(now time.Time) {
	if !s.Input.Config.ApprovalMode.AsksPlan() {
		s.Run.PlanApproved = true
		return
	}
	if s.pendingFor("") == nil {
		s.ask(now, schema.ApprovalPlan, nil)
	}
}

// gateSteps asks about the steps whose turn has come and makes the others ready.
func (s *State) gateSteps(now time.Time) {
	for i := range s.Run.Steps {
		st := &s.Run.Steps[i]
		if st.Status == schema.StepAwaitingApproval && s.pendingFor(st.ID) == nil {
			s.ask(now, schema.ApprovalErrorRecovery, st) // the question before expired
			continue
		}
		if st.Status != schema.StepPending || !s.needsMet(st) {
			continue
		}
		if s.asksAbout(st) && !st.Approved {
			if s.pendingFor(st.ID) == nil {
				s.ask(now, schema.ApprovalStep, st)
			}
			continue
		}
		// Ready is worth an event only when the step has to wait for a free place; else it
		// is running a moment later.
		st.Status = schema.StepReady
		if s.readyBefore(i) >= s.Parallel() {
			s.Pending.Steps = append(s.Pending.Steps, schema.StepChange{ID: st.ID, Status: schema.StepReady})
		}
	}
}

func (s *State) readyBefore(i int) int {
	n := s.running()
	for j := range i {
		if s.Run.Steps[j].Status == schema.StepReady {
			n++
		}
	}
	return n
}

func (s *State) asksAbout(st *Step) bool {
	return st.Approval || s.Input.Config.ApprovalMode.AsksEachStep()
}

func (s *State) needsMet(st *Step) bool {
	for _, id := range st.Needs {
		need := s.step(id)
		switch {
		case need.Status == schema.StepSucceeded, need.Status == schema.StepSkipped:
		case need.Status == schema.StepFailed && need.OnError == schema.OnErrorContinue:
		default:
			return false
		}
	}
	return true
}

func (s *State) step(id string) *Step {
	for i := range s.Run.Steps {
		if s.Run.Steps[i].ID == id {
			return &s.Run.Steps[i]
		}
	}
	return nil
}

// finishIfOver ends the run when nothing of it can go on any more.
func (s *State) finishIfOver(now time.Time) {
	r := s.Run
	if s.running() > 0 {
		return
	}
	if r.Error != "" {
		s.cancelApprovals(now, "run_failed")
		s.skipRest(r.Error)
		s.end(schema.RunEnd{Status: schema.SessionFailed, Error: r.Error})
		return
	}
	for i := range r.Steps {
		if !r.Steps[i].Status.Final() {
			return
		}
	}
	s.end(schema.RunEnd{Status: schema.SessionCompleted})
}

func (s *State) skipRest(reason string) {
	for i := range s.Run.Steps {
		if st := &s.Run.Steps[i]; !st.Status.Final() {
			s.setStep(st, schema.StepSkipped, reason)
		}
	}
}

func (s *State) end(e schema.RunEnd) {
	s.Run.Ended = e.Status
	s.Suspended, s.Frozen, s.Cancel = false, false, nil
	s.Pending.End = &e
}

// Startable lists the steps to start now, by index, at most as many as may run at once.
func (s *State) Startable(now time.Time) []int {
	if s.Suspended || s.Cancel != nil || s.Run.Error != "" || s.Run.Ended != "" {
		return nil
	}
	var list []int
	free := s.Parallel() - s.running()
	for i := range s.Run.Steps {
		st := &s.Run.Steps[i]
		if len(list) < free && st.Status == schema.StepReady && !st.NotBefore.After(now) {
			list = append(list, i)
		}
	}
	return list
}

// Start marks a step as running and says what the activity is asked. The activity records
// the start, in the same transaction as the attempt.
func (s *State) Start(i int) schema.RunStep {
	st := &s.Run.Steps[i]
	st.Status = schema.StepRunning
	st.Executions++
	return schema.RunStep{
		SessionID: s.Input.SessionID,
		RunID:     s.Run.ID,
		StepID:    st.ID,
		Execution: fmt.Sprintf("%s/%s/%d", s.Run.ID, st.ID, st.Executions),
		Digest:    st.Digest,
		Retry:     st.Executions > 1,
		Last:      !s.retriesLeft(st) && !s.asksOnError(st),
	}
}

func (s *State) retriesLeft(st *Step) bool { return st.Executions <= st.Retries }

func (s *State) asksOnError(st *Step) bool {
	mode := s.Input.Config.ApprovalMode
	return st.OnError == schema.OnErrorAsk ||
		(st.OnError == "" && (mode == schema.ApproveOnError || mode == schema.ApproveAll))
}

// Finished takes in what became of a step's execution.
func (s *State) Finished(i int, result schema.StepResult, now time.Time) {
	st := &s.Run.Steps[i]
	switch result.Status {
	case schema.AttemptSucceeded:
		st.Status = schema.StepSucceeded // recorded by the activity
	case schema.AttemptCancelled:
		s.setStep(st, schema.StepCancelled, "the session was cancelled")
	default:
		s.failed(st, result, now)
	}
}

func (s *State) failed(st *Step, result schema.StepResult, now time.Time) {
	switch {
	case s.Cancel != nil:
		s.setStep(st, schema.StepCancelled, "the session was cancelled")
	case s.retriesLeft(st):
		wait := retryBackoff(st.Executions)
		st.Status, st.NotBefore = schema.StepReady, now.Add(wait)
		s.note(schema.EventStepRetryBackoff, st.ID, schema.StepRetryBackoffData{Attempt: result.Attempt + 1, BackoffMS: wait.Milliseconds()})
	default:
		if st.Retries > 0 {
			s.note(schema.EventStepRetryExhausted, st.ID, schema.StepRetryExhaustedData{Attempts: result.Attempt})
		}
		if s.asksOnError(st) {
			st.Status = schema.StepReady // as the activity left it
			s.ask(now, schema.ApprovalErrorRecovery, st)
			return
		}
		s.setStep(st, schema.StepFailed, "")
		if st.OnError != schema.OnErrorContinue {
			s.fail(fmt.Sprintf("step %q failed: %s", st.ID, result.Describe()))
		}
	}
}

// fail keeps the first reason: later ones follow from it.
func (s *State) fail(why string) {
	if s.Run.Error == "" {
		s.Run.Error = why
	}
}

// Cancelled ends the run after everything of it was stopped.
func (s *State) Cancelled(receipt schema.Receipt, now time.Time) {
	actor := s.Cancel.Actor
	s.cancelApprovals(now, "cancelled")
	for i := range s.Run.Steps {
		if st := &s.Run.Steps[i]; !st.Status.Final() {
			s.setStep(st, schema.StepCancelled, "the session was cancelled")
		}
	}
	s.end(schema.RunEnd{Status: schema.SessionCancelled, Actor: actor, Receipt: &receipt})
}

// NextDeadline is the earliest instant at which Advance or Startable has something to do
// without anybody's command, and a word on what; the zero time when there is none.
func (s *State) NextDeadline(now time.Time) (time.Time, string) {
	var next time.Time
	var what string
	earlier := func(t time.Time, why string) {
		if t.After(now) && (next.IsZero() || t.Before(next)) {
			next, what = t, why
		}
	}
	if s.Run.Ended != "" {
		return next, what
	}
	for i := range s.Approvals {
		if a := &s.Approvals[i]; a.Status == schema.ApprovalPending {
			earlier(a.Deadline, string(a.Type)+" expires")
		}
	}
	if !s.Suspended {
		for i := range s.Run.Steps {
			if st := &s.Run.Steps[i]; st.Status == schema.StepReady {
				earlier(st.NotBefore, "retry of "+st.ID)
			}
		}
	}
	return next, what
}

// retryBackoff is the wait after the nth execution failed: 1 s doubling up to a minute.
func retryBackoff(n int) time.Duration {
	return min(time.Second<<min(n-1, 6), time.Minute)
}
