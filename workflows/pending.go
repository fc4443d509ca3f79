package workflows

import (
	"fmt"
	"slices"
	"time"

	"github.com/holdfast/holdfast/schema"
)

// What of State is not recorded yet, and the memory of past commands.

// Dirty reports whether Postgres is behind this state.
func (s *State) Dirty() bool {
	return !isEmpty(&s.Pending) || s.Projected != s.projection()
}

func (s *State) projection() Projected { return Projected{s.Status(), s.Phase(), s.ExpiresAt()} }

// TakePending returns the transition that brings Postgres up to date, or as much as one transition
// can hold: the rest stays pending, in order. Its key is a count, which identifies a repeated
// attempt to record it.
func (s *State) TakePending() schema.Transition { return s.takePending(maxTransition) }

func (s *State) takePending(limit int) schema.Transition {
	t := s.Pending
	s.Pending = schema.Transition{}
	if !fits(&t, limit) {
		t, s.Pending = divide(&t, limit, true)
	}
	s.Recorded++
	if isEmpty(&s.Pending) { // otherwise the shown state changes with the last part
		s.Projected = s.projection()
	}
	t.SessionID, t.RunID = s.Input.SessionID, s.Run.ID
	t.Key = fmt.Sprintf("transition/%s%d", s.generationPrefix(), s.Recorded)
	t.Status, t.Phase, t.CurrentStep = s.Projected.Status, s.Projected.Phase, s.CurrentStep()
	if at := s.Projected.ExpiresAt; !at.IsZero() {
		t.ExpiresAt = &at
	}
	return t
}

// generationPrefix is part of the names that this workflow derives by counting; "" for a session's first
// workflow.
func (s *State) generationPrefix() string {
	if s.Generation == "" {
		return ""
	}
	return s.Generation + "/"
}

// request is a command with an id.
type request interface {
	From() schema.Command
	RequestDigest() string
}

// Seen finds the answer to a command that was accepted before under the same request id. A
// different command under that id is a conflict.
func (s *State) Seen(name string, c request) (result schema.CommandResult, seen bool, err error) {
	id := c.From().RequestID
	if id == "" {
		return schema.CommandResult{}, false, nil
	}
	i := slices.IndexFunc(s.Requests, func(r RememberedRequest) bool { return r.ID == id })
	if i < 0 {
		return schema.CommandResult{}, false, nil
	}
	was := &s.Requests[i]
	switch {
	case was.Name != name:
		return schema.CommandResult{}, false, schema.Errorf(schema.CodeConflict,
			"request_id %q was used for the command %s; %s needs one of its own", id, was.Name, name)
	case was.Digest != "" && was.Digest != c.RequestDigest():
		return schema.CommandResult{}, false, schema.Errorf(schema.CodeConflict,
			"request_id %q was used for another %s; a new one needs a request_id of its own", id, name)
	}
	return was.Result, true, nil
}

// SeenBefore is Seen from before requests were compared.
func (s *State) SeenBefore(name string, c request) (result schema.CommandResult, seen bool) {
	id := c.From().RequestID
	i := slices.IndexFunc(s.Requests, func(r RememberedRequest) bool { return r.ID == id && r.Name == name })
	if id == "" || i < 0 {
		return schema.CommandResult{}, false
	}
	return s.Requests[i].Result, true
}

// Remember stores an accepted command; one without a request id is not stored.
func (s *State) Remember(name string, c request, result schema.CommandResult) {
	id := c.From().RequestID
	if id == "" {
		return
	}
	s.Requests = append(s.Requests, RememberedRequest{ID: id, Name: name, Digest: c.RequestDigest(), Result: result})
	if extra := len(s.Requests) - maxRequests; extra > 0 {
		s.Requests = slices.Delete(s.Requests, 0, extra)
	}
}

func (s *State) setStep(st *Step, status schema.StepStatus, reason string) {
	if st.Status == status {
		return
	}
	st.Status = status
	s.Pending.Steps = append(s.Pending.Steps, schema.StepChange{ID: st.ID, Status: status, Reason: reason})
}

func (s *State) note(t schema.EventType, stepID string, data any) {
	s.Pending.Notes = append(s.Pending.Notes, schema.Note{Type: t, StepID: stepID, Data: schema.Marshal(data)})
}

// audit records in the audit trail what a command did.
func (s *State) audit(now time.Time, by schema.Command, e schema.AuditEntry) {
	e.At, e.Actor, e.RequestID, e.Outcome = schema.Time{Time: now}, by.Actor, by.RequestID, schema.AuditTaken
	s.Pending.Audit = append(s.Pending.Audit, e)
}

// Ignored records a refused signal in the audit trail: nobody waits for its answer.
func (s *State) Ignored(now time.Time, by schema.Command, e schema.AuditEntry, why error) {
	s.audit(now, by, e)
	last := &s.Pending.Audit[len(s.Pending.Audit)-1]
	last.Outcome, last.Detail = schema.AuditIgnored, excerpt(why.Error())
	for _, sent := range []*string{&last.Actor, &last.RequestID, &last.ApprovalID, &last.StepID, (*string)(&last.Resolution)} {
		*sent = excerpt(*sent)
	}
}
