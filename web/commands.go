package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/holdfast/holdfast/schema"
)

// The commands, as REST and the WebSocket share them. A key tells a repetition from a new
// command; an empty one makes every call a new command.

// resolution is what a human has decided.
type resolution struct {
	ApprovalID string
	Resolution schema.Resolution
	Feedback   string
	Changes    json.RawMessage // modifications
	At         string          // where the fields stand in the request: "body." or "frame."
}

// resolve answers with the closed approval, or with a pending one when Postgres does not
// show the accepted answer yet.
func (s *Server) resolve(ctx context.Context, r resolution, key string) (schema.Approval, error) {
	a, err := s.decide(ctx, r, key)
	if err != nil {
		return a, err
	}
	if a.Status != schema.ApprovalPending {
		return a, nil
	}
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	s.settle(ctx, a.SessionID, func() (bool, error) {
		now, err := s.store.Approval(ctx, r.ApprovalID)
		if err != nil {
			return false, err //nolint:wrapcheck // settle ignores it
		}
		a = now
		return now.Status != schema.ApprovalPending, nil
	})
	return a, closedOtherwise(&a, r.Resolution)
}

// decide has the workflow take an answer in, without waiting for Postgres to show it.
func (s *Server) decide(ctx context.Context, r resolution, key string) (schema.Approval, error) {
	a, err := s.store.Approval(ctx, r.ApprovalID)
	if err != nil {
		return a, err //nolint:wrapcheck // a schema.Error
	}
	if len(r.Changes) > 0 && string(r.Changes) != jsonNull {
		return a, schema.Errorf(schema.CodeUnsupported, "modifications are not available on this server; reject with feedback instead")
	}
	if !slices.Contains(a.Options, r.Resolution) {
		return a, invalidField(r.At+"resolution", "allowed are "+schema.JoinResolutions(a.Options), string(r.Resolution))
	}
	if a.Status != schema.ApprovalPending {
		return a, closedOtherwise(&a, r.Resolution)
	}
	_, err = s.control.update(ctx, a.SessionID, schema.CommandResolveApproval, key, schema.ResolveApproval{
		ApprovalID: r.ApprovalID, Resolution: r.Resolution, Feedback: r.Feedback, Actor: userOf(ctx), RequestID: key,
	})
	if err == nil {
		return a, nil
	}
	// It may have been closed since: Postgres knows by whom.
	if code := schema.CodeOf(err); errors.Is(err, errNoWorkflow) || code == schema.CodeConflict || code == schema.CodeExpired || code == schema.CodeNotFound {
		if now, readErr := s.store.Approval(ctx, r.ApprovalID); readErr == nil && now.Status != schema.ApprovalPending {
			return now, closedOtherwise(&now, r.Resolution)
		}
	}
	return a, s.noWorkflow(ctx, a.SessionID, err)
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
		return schema.Errorf(schema.CodeExpired, "the approval expired%s", at(&a.ExpiresAt))
	case schema.ApprovalCancelled:
		return schema.Errorf(schema.CodeConflict, "nobody needs this answer any more: the run was cancelled%s", at(a.ResolvedAt))
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

// command sends suspend, resume or cancel to the workflow.
func (s *Server) command(ctx context.Context, sessionID, name, key string) (schema.CommandResult, error) {
	if _, err := s.store.HeadSeq(ctx, sessionID); err != nil {
		return schema.CommandResult{}, err //nolint:wrapcheck // a schema.Error
	}
	result, err := s.control.update(ctx, sessionID, name, key, schema.Command{Actor: userOf(ctx), RequestID: key})
	return result, s.noWorkflow(ctx, sessionID, err)
}

// commandAndSettle waits until Postgres shows the status that the command led to.
func (s *Server) commandAndSettle(ctx context.Context, sessionID, name, key string) (schema.Session, error) {
	var session schema.Session
	result, err := s.command(ctx, sessionID, name, key)
	if err != nil {
		return session, err
	}
	wait, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	s.settle(wait, sessionID, func() (bool, error) {
		session, err = s.store.Session(wait, sessionID)
		return err == nil && (session.Status == result.Status || session.Status.Final()), err
	})
	if err != nil {
		session, err = s.store.Session(ctx, sessionID)
	}
	return session, err //nolint:wrapcheck // a schema.Error
}

// cancel answers with the receipt once the processes are gone; nil when they were not in
// time.
func (s *Server) cancel(ctx context.Context, sessionID, key string) (schema.Session, *schema.Receipt, error) {
	var (
		session schema.Session
		receipt *schema.Receipt
	)
	if _, err := s.command(ctx, sessionID, schema.CommandCancel, key); err != nil {
		return session, nil, err
	}
	wait, done := context.WithTimeout(ctx, cancelTimeout)
	defer done()
	s.settle(wait, sessionID, func() (bool, error) {
		now, err := s.store.Session(wait, sessionID)
		if err != nil || now.Status != schema.SessionCancelled {
			return false, err //nolint:wrapcheck // settle ignores it
		}
		session = now
		receipt, err = s.receipt(wait, sessionID)
		return receipt != nil, err
	})
	if session.ID == "" {
		var err error
		if session, err = s.store.Session(ctx, sessionID); err != nil {
			return session, nil, err //nolint:wrapcheck // a schema.Error
		}
	}
	return session, receipt, nil
}

// receipt reads what the latest cancel of a session did.
func (s *Server) receipt(ctx context.Context, sessionID string) (*schema.Receipt, error) {
	events, err := s.store.Events(ctx, sessionID, eventsOf(schema.EventWorkflowCancelled))
	if err != nil || len(events) == 0 {
		return nil, err //nolint:wrapcheck // a schema.Error
	}
	var data schema.WorkflowCancelledData
	if err := json.Unmarshal(events[len(events)-1].Data, &data); err != nil {
		return nil, fmt.Errorf("read a receipt: %w", err)
	}
	return &data.Receipt, nil
}

// noWorkflow says what it means that Temporal has no open workflow of a session that
// Postgres knows: it was never started, or it is over.
func (s *Server) noWorkflow(ctx context.Context, sessionID string, err error) error {
	if !errors.Is(err, errNoWorkflow) {
		return err
	}
	head, readErr := s.store.HeadSeq(ctx, sessionID)
	switch {
	case readErr != nil:
		return readErr //nolint:wrapcheck // a schema.Error
	case head == 0:
		s.sweeper.wake()
		return schema.Wrap(schema.CodeUnavailable, err, "the session has not started yet; try again")
	default:
		return schema.Errorf(schema.CodeConflict, "this session is over")
	}
}

// settle calls done after each notice of the session until it says so, at least every
// settlePoll. Errors of done are like a no: the command itself was accepted.
func (s *Server) settle(ctx context.Context, sessionID string, done func() (bool, error)) {
	notices, forget := s.hub.watch(sessionID)
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
