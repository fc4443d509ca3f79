package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
	"github.com/holdfast/holdfast/schema/wire"
	"github.com/holdfast/holdfast/web/caller"
)

// The commands, as REST and the WebSocket share them. A key tells a repetition from a new
// command; an empty one makes every call a new command.

// Resolution is what a human has decided.
type Resolution struct {
	ApprovalID string
	Resolution schema.Resolution
	Feedback   string
	Changes    json.RawMessage // modifications
	At         string          // where the fields stand in the request: "body." or "frame."
}

// Resolve answers with the closed approval, or with a pending one when Postgres does not
// show the accepted answer yet.
func (s *Service) Resolve(ctx context.Context, r Resolution, key string) (schema.Approval, error) {
	a, err := s.Decide(ctx, r, key)
	if err != nil {
		return a, err
	}
	if a.Status != schema.ApprovalPending {
		return a, nil
	}
	wait, cancel := context.WithTimeout(ctx, SettleTimeout)
	defer cancel()
	s.Settle(wait, a.SessionID, func() (bool, error) {
		now, err := s.store.Approval(wait, r.ApprovalID)
		if err != nil {
			return false, err
		}
		a = now
		return now.Status != schema.ApprovalPending, nil
	})
	return a, r.otherwise(&a)
}

// Decide has the workflow take an answer in, without waiting for Postgres to show it.
func (s *Service) Decide(ctx context.Context, r Resolution, key string) (schema.Approval, error) {
	ctx, cancel := context.WithTimeout(ctx, CommandTimeout)
	defer cancel()
	a, err := s.store.Approval(ctx, r.ApprovalID)
	if err != nil {
		return a, err
	}
	if err := r.check(&a); err != nil {
		return a, err
	}
	command := schema.ResolveApproval{
		ApprovalID: r.ApprovalID, Resolution: r.Resolution, Feedback: r.Feedback, Modifications: wire.Given(r.Changes), Actor: caller.User(ctx), RequestID: key,
	}
	if err := s.Bind(ctx, key, schema.CommandResolveApproval, a.SessionID, command); err != nil {
		return a, err
	}
	if a.Status != schema.ApprovalPending {
		return a, r.otherwise(&a)
	}
	_, err = s.workflows.update(ctx, a.SessionID, schema.CommandResolveApproval, key, command)
	if err == nil {
		return a, nil
	}
	if now, closed := s.closedSince(ctx, &a, err); closed {
		return now, r.otherwise(&now)
	}
	return a, placed(s.noWorkflow(ctx, a.SessionID, err), r.At)
}

// check refuses what does not fit the approval, whatever has become of it.
func (r *Resolution) check(a *schema.Approval) error {
	if !slices.Contains(a.Options, r.Resolution) {
		return schema.InvalidField(r.At+"resolution", "allowed are "+schema.JoinResolutions(a.Options), string(r.Resolution))
	}
	if strings.ContainsRune(r.Feedback, 0) { // programs get it in their environment, which cannot hold one
		return schema.InvalidField(r.At+"feedback", schema.NoNUL, nil)
	}
	wrong := schema.CheckModifications(a.Type, r.Resolution, r.Changes)
	if len(wrong) == 0 && hasNUL(r.Changes) {
		wrong = []schema.FieldError{{Location: "modifications", Message: schema.NoNUL}}
	}
	if len(wrong) == 0 {
		return nil
	}
	return placed(schema.Invalid(wrong), r.At)
}

// closedSince looks whether an approval that a command was refused for, or that has no
// workflow any more, was closed in the meantime: Postgres knows by whom.
func (s *Service) closedSince(ctx context.Context, a *schema.Approval, err error) (schema.Approval, bool) {
	code := schema.CodeOf(err)
	if !errors.Is(err, errNoWorkflow) && code != schema.CodeConflict && code != schema.CodeExpired && code != schema.CodeNotFound {
		return *a, false
	}
	now, readErr := s.store.Approval(ctx, a.ID)
	return now, readErr == nil && now.Status != schema.ApprovalPending
}

// placed says where in the request the fields stand that a refusal names.
func placed(err error, at string) error {
	e, ok := errors.AsType[*schema.Error](err)
	if !ok || len(e.Fields) == 0 {
		return err
	}
	fields := make([]schema.FieldError, len(e.Fields))
	for i, f := range e.Fields {
		fields[i] = schema.FieldError{Location: at + f.Location, Message: f.Message, Value: schema.Brief(f.Value)}
	}
	out := *e
	out.Fields = fields
	if e.Message == schema.Invalid(e.Fields).Message { // else it has words of its own
		out.Message = schema.Invalid(fields).Message
	}
	return &out
}

// hasNUL reports whether a string somewhere in a JSON value has a NUL in it.
func hasNUL(raw json.RawMessage) bool {
	if !bytes.Contains(raw, []byte(`\u0000`)) { // its only spelling in JSON
		return false
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	for {
		token, err := dec.Token()
		if err != nil {
			return false
		}
		if text, ok := token.(string); ok && strings.ContainsRune(text, 0) {
			return true
		}
	}
}

// otherwise says how an approval was closed, or nil when it was as r wants or is open. Other
// modifications, and another answer to a question of a step, are another decision.
func (r *Resolution) otherwise(a *schema.Approval) error {
	if a.Status != schema.ApprovalResolved || a.Resolution != r.Resolution ||
		schema.AnswerDigest(a.Type, a.Feedback, a.Modifications) == schema.AnswerDigest(a.Type, r.Feedback, r.Changes) {
		return closedOtherwise(a, r.Resolution)
	}
	what := "modifications"
	if a.Type.AskedByStep() {
		what = "answer"
	}
	return schema.Errorf(schema.CodeConflict, "the approval was already resolved: %s, with another %s,%s%s", a.Resolution, what, by(a.Actor), at(a.ResolvedAt))
}

// closedOtherwise says how an approval was closed, or nil when it was as wanted or is open.
func closedOtherwise(a *schema.Approval, wanted schema.Resolution) error {
	switch a.Status {
	case schema.ApprovalPending:
		return nil
	case schema.ApprovalResolved:
		if a.Resolution == wanted {
			return nil
		}
		return schema.Errorf(schema.CodeConflict, "the approval was already resolved: %s%s%s", a.Resolution, by(a.Actor), at(a.ResolvedAt))
	case schema.ApprovalExpired:
		how := ""
		if a.Reopenable {
			how = "; reopen it to be asked again"
		}
		return schema.Errorf(schema.CodeExpired, "the approval expired%s%s", at(&a.ExpiresAt), how)
	case schema.ApprovalCancelled:
		return schema.Errorf(schema.CodeConflict, "this answer is no longer needed: the run was cancelled%s", at(a.ResolvedAt))
	case schema.ApprovalVoid:
		return schema.Errorf(schema.CodeConflict, "what this was about has changed%s; look for the new approval", at(a.ResolvedAt))
	default:
		return schema.Errorf(schema.CodeConflict, "this approval is %s", a.Status)
	}
}

func by(actor string) string {
	if actor == "" {
		return ""
	}
	return " by " + actor
}

func at(t *schema.Time) string {
	if t == nil || t.IsZero() {
		return ""
	}
	return " at " + t.String()
}

// Command sends suspend, resume or cancel to the workflow.
func (s *Service) Command(ctx context.Context, sessionID, name, key string) (schema.CommandResult, error) {
	return s.tell(ctx, sessionID, name, key, schema.Command{Actor: caller.User(ctx), RequestID: key})
}

// tell sends a command to the workflow of a session that is known.
func (s *Service) tell(ctx context.Context, sessionID, name, key string, arg any) (schema.CommandResult, error) {
	ctx, cancel := context.WithTimeout(ctx, CommandTimeout)
	defer cancel()
	if _, err := s.store.HeadSeq(ctx, sessionID); err != nil {
		return schema.CommandResult{}, err
	}
	if err := s.Bind(ctx, key, name, sessionID, arg); err != nil {
		return schema.CommandResult{}, err
	}
	result, err := s.workflows.update(ctx, sessionID, name, key, arg)
	if errors.Is(err, errNoWorkflow) && s.revive(ctx, sessionID) == nil {
		result, err = s.workflows.update(ctx, sessionID, name, key, arg)
	}
	return result, s.noWorkflow(ctx, sessionID, err)
}

// CommandAndSettle waits until Postgres shows the status that the command led to.
func (s *Service) CommandAndSettle(ctx context.Context, sessionID, name, key string) (schema.Session, error) {
	var session schema.Session
	result, err := s.Command(ctx, sessionID, name, key)
	if err != nil {
		return session, err
	}
	wait, cancel := context.WithTimeout(ctx, SettleTimeout)
	defer cancel()
	s.Settle(wait, sessionID, func() (bool, error) {
		session, err = s.store.Session(wait, sessionID)
		over := session.Status.Final() && result.Status != schema.SessionSuspended // else a run that waits is held
		return err == nil && (session.Status == result.Status || over), err
	})
	if err != nil {
		session, err = s.store.Session(ctx, sessionID)
	}
	return session, err
}

// Cancel answers with the receipt once the processes are gone; nil when they were not in
// time.
func (s *Service) Cancel(ctx context.Context, sessionID, key string) (schema.Session, *schema.Receipt, error) {
	var (
		session schema.Session
		receipt *schema.Receipt
	)
	if _, err := s.Command(ctx, sessionID, schema.CommandCancel, key); err != nil {
		return session, nil, err
	}
	wait, done := context.WithTimeout(ctx, cancelTimeout)
	defer done()
	s.Settle(wait, sessionID, func() (bool, error) {
		now, err := s.store.Session(wait, sessionID)
		if err != nil || now.Status != schema.SessionCancelled {
			return false, err
		}
		session = now
		receipt, err = s.receipt(wait, sessionID)
		return receipt != nil, err
	})
	if session.ID == "" {
		var err error
		if session, err = s.store.Session(ctx, sessionID); err != nil {
			return session, nil, err
		}
	}
	return session, receipt, nil
}

// receipt reads what the latest cancel of a session did.
func (s *Service) receipt(ctx context.Context, sessionID string) (*schema.Receipt, error) {
	events, err := s.store.Events(ctx, sessionID, store.EventFilter{Types: []schema.EventType{schema.EventWorkflowCancelled}, Limit: maxReceipts})
	if err != nil || len(events) == 0 {
		return nil, err
	}
	var data schema.WorkflowCancelledData
	if err := json.Unmarshal(events[len(events)-1].Data, &data); err != nil {
		return nil, fmt.Errorf("read a receipt: %w", err)
	}
	return &data.Receipt, nil
}

// noWorkflow says what it means that Temporal has no open workflow of a session that
// Postgres knows: it was never started, or it is over.
func (s *Service) noWorkflow(ctx context.Context, sessionID string, err error) error {
	if !errors.Is(err, errNoWorkflow) {
		return err
	}
	session, readErr := s.store.Session(ctx, sessionID)
	switch {
	case readErr != nil:
		return readErr
	case session.Status == schema.SessionExpired:
		return schema.Errorf(schema.CodeConflict, "this session has expired, because nobody used it; fork it to go on")
	case NotBegun(&session):
		s.sweeper.wake()
		return schema.Wrap(schema.CodeUnavailable, err, "the session has not started yet; try again")
	default:
		s.reconciler.wake(sessionID)
		return schema.Wrap(schema.CodeUnavailable, err, "the session's workflow is gone, and is begun anew; try again")
	}
}

// NotBegun reports whether a session's workflow has done nothing yet, and may not even have
// been started. That its log is empty would not tell: a fork's has an entry from the start.
func NotBegun(session *schema.Session) bool {
	return !session.Status.Final() && session.Totals.Runs == 0
}

// Settle calls done after each notice of the session until it says so, at least every
// settlePoll. Errors of done are like a no: the command itself was accepted.
func (s *Service) Settle(ctx context.Context, sessionID string, done func() (bool, error)) {
	notices, forget := s.watch(sessionID)
	defer forget()
	poll := time.NewTicker(settlePoll)
	defer poll.Stop()
	for {
		if ok, _ := done(); ok {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-notices:
		case <-poll.C:
		}
	}
}
