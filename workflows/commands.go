package workflows

import (
	"cmp"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/holdfast/holdfast/schema"
)

// The commands to a session that are not about an approval. Each has a check, which may refuse but
// changes nothing, and a move, which is legal whenever the check passes.

func (s *State) underWay(what string) error {
	switch {
	case s.Run.Ended != "":
		return schema.Errorf(schema.CodeConflict, "cannot %s: run %d of the session is %s", what, s.Run.Number, s.Run.Ended)
	case s.Cancel != nil:
		return schema.Errorf(schema.CodeConflict, "cannot %s: run %d of the session is being cancelled", what, s.Run.Number)
	}
	return nil
}

func (s *State) stillOpen(what string) error {
	if s.Closing || s.Expired {
		return schema.Errorf(schema.CodeConflict, "cannot %s: this session is over", what)
	}
	return nil
}

// checkSuspend refuses if there is nothing to suspend: no run is under way, and none waits.
func (s *State) checkSuspend() error {
	if s.waits() {
		return nil
	}
	return s.underWay("suspend")
}

// checkResume refuses if there is nothing to resume.
func (s *State) checkResume() error {
	if s.waits() {
		return nil
	}
	return s.underWay("resume")
}

// waits reports whether a run will begin once the session is not suspended.
func (s *State) waits() bool { return s.Run.Ended != "" && s.Busy() && s.stillOpen("") == nil }

// Suspend keeps anything new from starting, including the next run. A run must be under way or
// waiting.
func (s *State) Suspend(now time.Time, by schema.Command) (repeated bool, err error) {
	if err := s.checkSuspend(); err != nil {
		return false, err
	}
	if s.Suspended {
		return true, nil
	}
	s.pause(now)
	s.note(schema.EventWorkflowPaused, "", schema.WorkflowPausedData{Actor: by.Actor, Reason: "requested"})
	s.audit(now, by, schema.AuditEntry{Action: schema.CommandSuspend})
	return false, nil
}

// pause suspends the session and stops the run's clock.
func (s *State) pause(now time.Time) {
	s.Suspended, s.LastUsed = true, now
	if r := s.Run; r.Ended == "" && !r.Deadline.IsZero() {
		r.Remaining, r.Deadline = max(r.Deadline.Sub(now), time.Nanosecond), time.Time{}
	}
}

// Resume lets a suspended session go on; gates whose approval expired ask again.
func (s *State) Resume(now time.Time, by schema.Command) (repeated bool, err error) {
	if err := s.checkResume(); err != nil {
		return false, err
	}
	if !s.Suspended {
		return true, nil
	}
	s.Suspended = false
	if r := s.Run; r.Remaining > 0 {
		r.Deadline, r.Remaining = now.Add(r.Remaining), 0
	}
	s.note(schema.EventWorkflowResumed, "", schema.WorkflowResumedData{Actor: by.Actor})
	s.audit(now, by, schema.AuditEntry{Action: schema.CommandResume})
	return false, nil
}

// RequestCancel asks to stop everything in the run for good, and to drop all waiting messages.
func (s *State) RequestCancel(now time.Time, by schema.Command) (repeated bool, err error) {
	if err := s.checkCancel(); err != nil {
		return false, err
	}
	waiting := s.Next != nil || len(s.Queue) > 0
	underWay := s.Run.Ended == "" && (s.Cancel == nil || s.Cancel.Why != CancelAsked)
	if !waiting && !underWay {
		return true, nil
	}
	s.dropQueue(now)
	if underWay { // even if it is being stopped for another reason: now it is for good
		s.Cancel = &Cancelling{Actor: by.Actor}
	}
	s.audit(now, by, schema.AuditEntry{Action: schema.CommandCancel})
	return false, nil
}

// checkCancel refuses if there is nothing to cancel. Cancelling twice is fine.
func (s *State) checkCancel() error {
	if s.Busy() || s.Run.Ended == schema.SessionCancelled {
		return nil
	}
	return s.underWay("cancel")
}

func (s *State) dropQueue(now time.Time) {
	for _, n := range s.Queue {
		s.Pending.Messages = append(s.Pending.Messages, schema.MessageChange{Number: n, Status: schema.MessageDropped, At: now})
	}
	s.Queue, s.Next = nil, nil
	if s.Run.Ended != "" { // what was suspended is gone
		s.Suspended = false
	}
}

// RequestClose ends the session for good because it was deleted, and cancels what runs.
func (s *State) RequestClose(now time.Time, by schema.Command) (repeated bool, err error) {
	repeated = s.Closing
	s.Closing = true
	s.dropQueue(now)
	if s.Run.Ended == "" && s.Cancel == nil {
		s.Cancel = &Cancelling{Actor: by.Actor}
	}
	return repeated, nil
}

// Over reports whether the workflow will never have anything to do again.
func (s *State) Over() bool { return (s.Closing || s.Expired) && s.Run.Ended != "" }

// Cancelled ends the run after everything in it was stopped.
func (s *State) Cancelled(receipt schema.Receipt, now time.Time) {
	c := *s.Cancel
	s.closePending(now, schema.ApprovalCancelled, "cancelled", func(*Approval) bool { return true })
	for i := range s.Run.Steps {
		if st := &s.Run.Steps[i]; !st.Status.Final() {
			s.setStep(st, schema.StepCancelled, s.cancelReason())
		}
	}
	end := schema.RunEnd{Status: schema.SessionCancelled, Actor: c.Actor, Reason: string(c.Why), Receipt: &receipt}
	switch c.Why {
	case CancelTimeout:
		end = schema.RunEnd{Status: schema.SessionFailed, Error: "the run took longer than its " + s.Input.Config.RunTimeout, Receipt: &receipt}
	case CancelExpired:
		end.Status = schema.SessionExpired
		s.Expired = true
		s.dropQueue(now)
	default:
	}
	s.end(now, end)
}

func (s *State) cancelReason() string {
	if s.Cancel == nil {
		return "the run was cancelled"
	}
	switch s.Cancel.Why {
	case CancelInterrupted:
		return "a message replaced the run"
	case CancelExpired:
		return "the session expired unused"
	case CancelTimeout:
		return "the run reached its time limit of " + s.Input.Config.RunTimeout
	default:
		return "the session was cancelled"
	}
}

// expireSession ends a session that nobody used for its time to live. It stops frozen steps first.
func (s *State) expireSession(now time.Time) {
	at := s.ExpiresAt()
	if at.IsZero() || at.After(now) {
		return
	}
	s.audit(now, schema.Command{Actor: schema.ActorHoldfast}, schema.AuditEntry{Action: "expire", Detail: "session_ttl"})
	if s.Run.Ended == "" {
		s.Cancel = &Cancelling{Actor: schema.ActorHoldfast, Why: CancelExpired}
		return
	}
	s.dropQueue(now)
	s.Expired = true
}

// CheckMessage refuses a message that cannot be accepted.
func (s *State) CheckMessage(c schema.SendMessage) error {
	size := len(c.Content)
	if c.Text != nil {
		size = c.Text.Bytes
	}
	switch {
	case c.Text != nil && (c.Content != "" || !schema.ValidID(c.Text.ID) || c.Text.Bytes <= 0):
		return invalid("a message has either content or a text that was stored before", "text", "the id and the size of a stored text", nil)
	case c.Text == nil && strings.TrimSpace(c.Content) == "":
		return invalid("a message is not empty", "content", "some text", c.Content)
	case size > schema.MaxMessageBytes:
		most := fmt.Sprintf("at most %d bytes", schema.MaxMessageBytes)
		return invalid("the message is too long: "+most, "content", most, size)
	case strings.ContainsRune(c.Content, 0) || !utf8.ValidString(c.Content):
		return invalid("a message is UTF-8 text without NUL", "content", "UTF-8 text without NUL", nil)
	}
	if err := s.stillOpen("take a message"); err != nil {
		return err
	}
	if s.Busy() && s.Input.Config.WhenBusy == schema.WhenBusyReject {
		return schema.Errorf(schema.CodeConflict, "the session is busy with run %d, and its config.when_busy is reject", s.Run.Number)
	}
	if len(s.Queue) >= schema.MaxQueuedMessages {
		return schema.Errorf(schema.CodeConflict, "%d messages are already queued; the limit is %d", len(s.Queue), schema.MaxQueuedMessages)
	}
	return nil
}

// Message accepts a user's message: it starts its own run once the earlier ones are done. It never
// decides an approval.
func (s *State) Message(now time.Time, by schema.Command, c schema.SendMessage) (number int, err error) {
	if err := s.CheckMessage(c); err != nil {
		return 0, err
	}
	if s.Input.Config.WhenBusy == schema.WhenBusyInterrupt && s.Run.Ended == "" && s.Cancel == nil {
		s.Cancel = &Cancelling{Actor: by.Actor, Why: CancelInterrupted}
	}
	s.Messages++
	s.Queue = append(s.Queue, s.Messages)
	s.Pending.Messages = append(s.Pending.Messages, schema.MessageChange{
		Number: s.Messages, Status: schema.MessageQueued, Content: c.Content, Text: c.Text, Actor: by.Actor, At: now,
	})
	s.audit(now, by, schema.AuditEntry{Action: schema.CommandMessage, Detail: fmt.Sprintf("message %d", s.Messages)})
	return s.Messages, nil
}

// CheckStartRun refuses a run while another one is under way or about to be.
func (s *State) CheckStartRun(c schema.StartRun) error {
	if len(c.PlanDigest) > schema.MaxDigestBytes {
		return invalid("plan_digest is not the digest of a plan", "plan_digest", "the digest of a plan that the session has", nil)
	}
	if err := s.stillOpen("start a run"); err != nil {
		return err
	}
	if s.Run.Ended == "" {
		return schema.Errorf(schema.CodeConflict, "cannot start a run: run %d is under way", s.Run.Number)
	}
	if s.Busy() {
		return schema.Errorf(schema.CodeConflict, "cannot start a run: run %d is about to start", s.Run.Number+1)
	}
	return nil
}

// StartRun requests the next run, and returns its number.
func (s *State) StartRun(now time.Time, by schema.Command, c schema.StartRun) (number int, err error) {
	if err := s.CheckStartRun(c); err != nil {
		return 0, err
	}
	s.Next = &NextRun{PlanDigest: c.PlanDigest}
	s.audit(now, by, schema.AuditEntry{Action: schema.CommandRun, Digest: c.PlanDigest, Detail: fmt.Sprintf("run %d", s.Run.Number+1)})
	return s.Run.Number + 1, nil
}

// StartNext starts the requested run, or that of the first waiting message. It reports whether there
// was one.
func (s *State) StartNext() bool {
	if s.Run.Ended == "" || s.Closing || s.Expired || s.Suspended {
		return false
	}
	next := Run{Number: s.Run.Number + 1}
	switch {
	case s.Next != nil:
		next.Digest = s.Next.PlanDigest
		s.Next = nil
	case len(s.Queue) > 0:
		next.Message, s.Queue = s.Queue[0], s.Queue[1:]
	default:
		return false
	}
	s.startRun(next)
	return true
}

// CheckAsk refuses a question that no running step can have asked.
func (s *State) CheckAsk(c schema.Ask) error { return cmp.Or(s.checkAsk(c), s.checkNewAsk(c)) }

// checkNewAsk refuses what the previous release accepted: see [session.askOlder]. It does not
// refuse a question that was already asked.
func (s *State) checkNewAsk(c schema.Ask) error {
	if s.approval(schema.AskID(s.Run.ID, c.StepID, c.RequestID)) != nil {
		return nil
	}
	if s.openAsks(c.StepID) >= schema.MaxOpenAsks {
		return schema.Errorf(schema.CodeConflict, "cannot ask: step %q has %d open questions, which is the limit", c.StepID, schema.MaxOpenAsks)
	}
	if why := schema.JSONProblem(c.Context, schema.MaxAskContext); why != "" {
		return invalid("the context of a question: "+why, "context", why, nil)
	}
	return nil
}

func (s *State) checkAsk(c schema.Ask) error {
	if err := s.underWay("ask"); err != nil {
		return err
	}
	st := s.step(c.StepID)
	switch {
	case st == nil:
		return schema.Errorf(schema.CodeNotFound, "run %d has no step %q", s.Run.Number, c.StepID)
	case st.Status != schema.StepRunning && st.Status != schema.StepFrozen:
		return schema.Errorf(schema.CodeConflict, "cannot ask: step %q is %s", c.StepID, st.Status)
	case c.Type != "" && !c.Type.AskedByStep():
		const allowed = "allowed are program_ask, tool_call, budget"
		return invalid(fmt.Sprintf("a step does not ask for a %s; %s", c.Type, allowed), "approval_type", allowed, c.Type)
	case c.RequestID == "":
		return invalid("a question needs a request_id", "request_id", "a name that is the same when it is asked again", "")
	case len(c.Context) > schema.MaxAskContext:
		allowed := fmt.Sprintf("at most %d bytes", schema.MaxAskContext)
		return invalid("the context of a question has "+allowed, "context", allowed, len(c.Context))
	}
	q := schema.Question{Question: c.Question, TimeoutSeconds: c.TimeoutSeconds}
	if err := q.CheckWords(); err != nil {
		return err
	}
	switch c.OnTimeout {
	case "", schema.OnTimeoutReject, schema.OnTimeoutApprove, schema.OnTimeoutEscalate:
		return nil
	default:
		const allowed = "allowed are reject, approve, escalate"
		return invalid(fmt.Sprintf("on_timeout %q is not allowed for a question; %s", c.OnTimeout, allowed), "on_timeout", allowed, c.OnTimeout)
	}
}

// openAsks counts a step's unanswered questions.
func (s *State) openAsks(stepID string) int {
	n := 0
	for i := range s.Approvals {
		if a := &s.Approvals[i]; a.Status == schema.ApprovalPending && a.StepID == stepID && a.Type.AskedByStep() {
			n++
		}
	}
	return n
}

// AskHuman opens an approval that a running step asks for. The same request id is the same
// question.
func (s *State) AskHuman(now time.Time, by schema.Command, c schema.Ask) (a *Approval, repeated bool, err error) {
	if err := s.checkAsk(c); err != nil {
		return nil, false, err
	}
	id := schema.AskID(s.Run.ID, c.StepID, c.RequestID)
	if a := s.approval(id); a != nil {
		if a.Digest != c.Digest() {
			return nil, false, schema.Errorf(schema.CodeConflict, "step %q has asked another question under the request_id %q", c.StepID, c.RequestID)
		}
		return a, true, nil
	}
	if c.Type == "" {
		c.Type = schema.ApprovalProgramAsk
	}
	if c.OnTimeout == "" {
		c.OnTimeout = schema.OnTimeoutReject
	}
	wait := s.ApprovalTimeout()
	if c.TimeoutSeconds > 0 {
		wait = seconds(c.TimeoutSeconds)
	}
	asked := Approval{OnTimeout: c.OnTimeout}
	asked.Asked = schema.Asked{ApprovalID: id, Type: c.Type, StepID: c.StepID, Digest: c.Digest()}
	s.open(now, wait, asked, schema.ApprovalOpen{Description: c.Question, Context: c.Context})
	s.audit(now, by, schema.AuditEntry{Action: schema.CommandAsk, ApprovalID: id, StepID: c.StepID, Digest: c.Digest()})
	return s.approval(id), false, nil
}
