package workflows

import (
	"fmt"
	"slices"
	"time"

	"github.com/holdfast/holdfast/schema"
)

// The moves of a run. Each is a pure function of State and an instant. What must be recorded
// collects in State.Pending; Startable says what to start.
//
//	pending ──► (awaiting_approval ──►) ready ──► running ──► succeeded
//	   │                  │               ▲          │  └───► failed ─► run fails, unless on_error: continue
//	   └── skipped ◄──────┴── rejected    └── retry ─┘        awaiting_approval (error_recovery)

// Begun accepts the outline of the plan that the run carries out.
func (s *State) Begun(o schema.Outline, now time.Time) {
	r := s.Run
	r.Begun = true
	if s.Host == "" { // a later run finds the workspace where the first run left it
		s.Host = o.Host
	}
	s.setOutline(o)
	if limit := durationOr(s.Input.Config.RunTimeout, 0); limit > 0 {
		r.Deadline = now.Add(limit)
		if s.Suspended {
			r.Deadline, r.Remaining = time.Time{}, limit
		}
	}
	if o.Problem != "" {
		s.fail(o.Problem)
	}
	s.Projected.Phase = s.phaseAfterBegin()
}

func (s *State) setOutline(o schema.Outline) {
	s.Run.Digest = o.Digest
	s.Run.Steps, s.Run.stepIndexes = make([]Step, len(o.Steps)), nil
	for i, step := range o.Steps {
		s.Run.Steps[i] = Step{OutlineStep: step, Status: schema.StepPending}
		if step.Inherited {
			s.Run.Steps[i].Status = schema.StepSucceeded
		}
	}
}

// phaseAfterBegin is the phase recorded when the run opens.
func (s *State) phaseAfterBegin() schema.Phase {
	if s.Input.Config.ApprovalMode.AsksPlan() {
		return schema.PhasePlanning
	}
	return schema.PhaseExecuting
}

// Advance makes every move that is due: expiries, gates, skips, the end of the run.
func (s *State) Advance(now time.Time) {
	s.expireSession(now)
	r := s.Run
	if !r.Begun || r.Ended != "" {
		return
	}
	s.expire(now)
	s.expireRun(now)
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
		s.skipDependents()
		s.gateSteps(now)
	}
	s.finishIfOver(now)
}

// expireRun stops an overdue run.
func (s *State) expireRun(now time.Time) {
	if d := s.Run.Deadline; !d.IsZero() && !d.After(now) && s.Cancel == nil {
		s.Cancel = &Cancelling{Actor: schema.ActorHoldfast, Why: CancelTimeout}
	}
}

func (s *State) gatePlan(now time.Time) {
	if !s.Input.Config.ApprovalMode.AsksPlan() {
		s.Run.PlanApproved = true
		return
	}
	if s.approvalFor("") == nil && !s.beingEdited("") {
		s.requestApproval(now, schema.ApprovalPlan, nil)
	}
}

// gateSteps asks about the steps whose turn has come, or makes them ready.
func (s *State) gateSteps(now time.Time) {
	asked, edited := s.stepsAwaitingApproval(), s.edited()
	busy := s.running() // includes the steps before this one that are ready
	for i := range s.Run.Steps {
		st := &s.Run.Steps[i]
		if s.gateStep(now, st, asked[st.ID], edited[st.ID]) && busy >= s.Parallel() {
			s.Pending.Steps = append(s.Pending.Steps, schema.StepChange{ID: st.ID, Status: schema.StepReady})
		}
		if st.Status == schema.StepReady {
			busy++
		}
	}
}

// gateStep asks about one step, or makes it ready. Being ready needs an event only if the step has
// to wait for a free slot; otherwise it runs a moment later. So gateStep reports that the step has
// become ready, and does not record it.
func (s *State) gateStep(now time.Time, st *Step, asked, edited bool) (ready bool) {
	switch {
	case edited:
	case st.Status == schema.StepAwaitingApproval && !asked:
		s.requestApproval(now, schema.ApprovalErrorRecovery, st) // the previous question expired, or is void
	case st.Status != schema.StepPending || !s.needsMet(st):
	case s.asksAbout(st) && !st.Approved:
		if !asked {
			s.requestApproval(now, schema.ApprovalStep, st)
		}
	default:
		st.Status = schema.StepReady
		return true
	}
	return false
}

func (s *State) running() int {
	n := 0
	for i := range s.Run.Steps {
		if st := s.Run.Steps[i].Status; st == schema.StepRunning || st == schema.StepFrozen {
			n++
		}
	}
	return n
}

func (s *State) asksAbout(st *Step) bool { return s.Input.Config.AsksFirst(st.Approval) }

func (s *State) needsMet(st *Step) bool {
	return !slices.ContainsFunc(st.Needs, func(id string) bool {
		need := s.step(id)
		return need == nil || need.Status != schema.StepSucceeded
	})
}

// skipDependents skips every step that can never run because one that it needs did not succeed and
// never will, and in turn the steps that need it. It looks at each step and each need once: first
// at what a step needs, then at the step.
func (s *State) skipDependents() {
	visited := make([]bool, len(s.Run.Steps))
	var visit func(i int)
	visit = func(i int) {
		st := &s.Run.Steps[i]
		if visited[i] || st.Status != schema.StepPending {
			return
		}
		visited[i] = true
		for _, id := range st.Needs {
			j, ok := s.stepIndex(id)
			if !ok {
				continue
			}
			visit(j)
			if need := s.Run.Steps[j].Status; need.Final() && need != schema.StepSucceeded {
				s.setStep(st, schema.StepSkipped, fmt.Sprintf("it needs %q, which %s", id, wasWhat(need)))
				return
			}
		}
	}
	for i := range s.Run.Steps {
		visit(i)
	}
}

func wasWhat(s schema.StepStatus) string {
	if s == schema.StepFailed {
		return "failed"
	}
	return "was " + string(s)
}

func (s *State) step(id string) *Step {
	if i, ok := s.stepIndex(id); ok {
		return &s.Run.Steps[i]
	}
	return nil
}

// stepIndex is a step's index among those of the run.
func (s *State) stepIndex(id string) (int, bool) {
	r := s.Run
	if r.stepIndexes == nil {
		r.stepIndexes = make(map[string]int, len(r.Steps))
		for i := range r.Steps {
			r.stepIndexes[r.Steps[i].ID] = i
		}
	}
	i, ok := r.stepIndexes[id]
	return i, ok
}

// finishIfOver ends the run if nothing in it can go on. A failed run asks nothing more, except
// through steps that still run.
func (s *State) finishIfOver(now time.Time) {
	r := s.Run
	if r.Error != "" {
		s.closePending(now, schema.ApprovalCancelled, "run_failed", func(a *Approval) bool { return !a.Type.AskedByStep() })
	}
	if s.running() > 0 {
		return
	}
	if r.Error != "" {
		s.skipDependents()
		s.skipRest(r.Error)
		s.end(now, schema.RunEnd{Status: schema.SessionFailed, Error: r.Error})
		return
	}
	for i := range r.Steps {
		if !r.Steps[i].Status.Final() {
			return
		}
	}
	s.end(now, schema.RunEnd{Status: schema.SessionCompleted})
}

func (s *State) skipRest(reason string) {
	for i := range s.Run.Steps {
		if st := &s.Run.Steps[i]; !st.Status.Final() {
			s.setStep(st, schema.StepSkipped, reason)
		}
	}
}

func (s *State) end(now time.Time, e schema.RunEnd) {
	s.Run.Ended = e.Status
	e.Steps = len(s.Run.Steps)
	for i := range s.Run.Steps {
		if s.Run.Steps[i].Status == schema.StepFailed {
			e.FailedSteps++
		}
	}
	s.Suspended, s.Frozen, s.Cancel, s.Edits = false, false, nil, nil
	s.LastUsed = now
	s.Pending.End = &e
}

// ReconcileRecorded accepts what was recorded of a run that is over. If a step's host had recorded its end
// before it was stopped, that end counts, whatever was reported here.
func (s *State) ReconcileRecorded(runID string, of schema.Recorded) {
	if s.Run.ID != runID || s.Run.Ended == "" {
		return
	}
	for _, recorded := range of.Steps {
		if st := s.step(recorded.ID); st != nil && recorded.Status.Final() {
			st.Status = recorded.Status
		}
	}
}

// Startable lists the steps to start now, by index, up to the parallel limit.
func (s *State) Startable(now time.Time) []int {
	if s.Suspended || s.Frozen || s.Cancel != nil || len(s.Edits) > 0 || s.Run.Error != "" || s.Run.Ended != "" {
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

// Start marks a step as running and returns the activity's argument. The activity records the
// start, in the same transaction as the attempt.
func (s *State) Start(i int) schema.RunStep {
	st := &s.Run.Steps[i]
	st.Status, st.Started = schema.StepRunning, st.Digest
	st.Executions++
	return schema.RunStep{
		SessionID: s.Input.SessionID,
		RunID:     s.Run.ID,
		StepID:    st.ID,
		Execution: fmt.Sprintf("%s/%s/%d", s.Run.ID, st.ID, st.Executions),
		Digest:    st.Digest,
		Retry:     st.Executions > 1,
		Feedback:  st.Feedback,
		Last:      s.lastExecution(st),
	}
}

// lastExecution reports whether a failure of the current execution is final.
func (s *State) lastExecution(st *Step) bool { return !retriesLeft(st) && !s.asksOnError(st) }

func retriesLeft(st *Step) bool { return st.Executions-st.RetryBase <= st.Retries }

func (s *State) asksOnError(st *Step) bool { return s.Input.Config.AsksOnError(st.OnError) }

// Finished accepts the outcome of a step's execution. Its open questions are closed.
func (s *State) Finished(i int, result schema.StepResult, now time.Time) {
	st := &s.Run.Steps[i]
	s.closePending(now, schema.ApprovalCancelled, "step_ended", func(a *Approval) bool { return a.StepID == st.ID })
	switch result.Status {
	case schema.AttemptSucceeded:
		st.Status = schema.StepSucceeded // recorded by the activity
	case schema.AttemptCancelled:
		s.setStep(st, schema.StepCancelled, s.cancelReason())
	default:
		s.failed(st, result, now)
	}
}

func (s *State) failed(st *Step, result schema.StepResult, now time.Time) {
	switch {
	case s.Cancel != nil && s.lastExecution(st):
		s.setStep(st, schema.StepFailed, "") // its host recorded this before it heard of the cancel
	case s.Cancel != nil:
		s.setStep(st, schema.StepCancelled, s.cancelReason())
	case result.Reason == schema.ReasonChanged && s.Run.Error == "":
		st.Approved = false
		s.resetToGate(st, "its files were changed while it ran, and its worker died")
	case s.Run.Error != "":
		s.setStep(st, schema.StepFailed, "") // the run goes no further: no retry, no question
	case retriesLeft(st):
		wait := retryBackoff(st.Executions - st.RetryBase)
		st.NotBefore = now.Add(wait)
		if st.Digest != st.Started { // its files were edited meanwhile: nobody approved what would run now
			st.Approved = false
		}
		s.resetToGate(st, "its files were changed")
		s.note(schema.EventStepRetryBackoff, st.ID, schema.StepRetryBackoffData{Attempt: result.Attempt + 1, BackoffMS: wait.Milliseconds()})
	default:
		if st.Retries > 0 {
			s.note(schema.EventStepRetryExhausted, st.ID, schema.StepRetryExhaustedData{Attempts: result.Attempt})
		}
		if s.asksOnError(st) {
			s.requestApproval(now, schema.ApprovalErrorRecovery, st)
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

// NextDeadline is the earliest instant at which Advance or Startable has something to do without a
// command, and a word on what; the zero time if there is none.
func (s *State) NextDeadline(now time.Time) (time.Time, string) {
	var next time.Time
	var what string
	earlier := func(t time.Time, why string) {
		if t.After(now) && (next.IsZero() || t.Before(next)) {
			next, what = t, why
		}
	}
	earlier(s.ExpiresAt(), "the session expires")
	if s.Run.Ended != "" {
		return next, what
	}
	earlier(s.Run.Deadline, "the run's time is over")
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
