package control

import (
	"context"
	"fmt"
	"time"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/web/caller"
)

// Extend moves an approval's deadline by seconds. shown is false when Postgres does not
// show the new deadline yet; the approval that is returned has it all the same.
func (s *Service) Extend(ctx context.Context, id string, seconds float64, key string) (a schema.Approval, shown bool, err error) {
	a, deadline, err := s.moveDeadline(ctx, id, seconds, key)
	if err != nil {
		return a, false, err
	}
	wait, cancel := context.WithTimeout(ctx, SettleTimeout)
	defer cancel()
	s.Settle(wait, a.SessionID, func() (bool, error) {
		now, err := s.store.Approval(wait, id)
		if err != nil {
			return false, err
		}
		a = now
		shown = now.Status != schema.ApprovalPending || !now.ExpiresAt.Before(deadline)
		return shown, nil
	})
	if !shown {
		a.RemainingSeconds += deadline.Sub(a.ExpiresAt.Time).Seconds()
		a.ExpiresAt = schema.Time{Time: deadline}
	}
	return a, shown, nil
}

// moveDeadline has the workflow move it, and returns where to. A repetition is for the
// workflow to recognise: by now the approval may be closed, or its wait as long as it can be.
func (s *Service) moveDeadline(ctx context.Context, id string, seconds float64, key string) (schema.Approval, time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, CommandTimeout)
	defer cancel()
	a, err := s.store.Approval(ctx, id)
	if err != nil {
		return a, time.Time{}, err
	}
	if err := checkSeconds(seconds); err != nil {
		return a, time.Time{}, err
	}
	if key == "" {
		if err := extendable(&a, seconds); err != nil {
			return a, time.Time{}, err
		}
	}
	command := schema.ExtendApproval{ApprovalID: id, Seconds: seconds, Actor: caller.User(ctx), RequestID: key}
	if err := s.Bind(ctx, key, schema.CommandExtendApproval, a.SessionID, command); err != nil {
		return a, time.Time{}, err
	}
	result, err := s.workflows.update(ctx, a.SessionID, schema.CommandExtendApproval, key, command)
	if err != nil {
		if now, closed := s.closedSince(ctx, &a, err); closed {
			return now, time.Time{}, extendable(&now, seconds)
		}
		return a, time.Time{}, placed(s.noWorkflow(ctx, a.SessionID, err), "body.")
	}
	if result.ExpiresAt == nil {
		return a, a.ExpiresAt.Time, nil
	}
	return a, result.ExpiresAt.Time, nil
}

func checkSeconds(seconds float64) error {
	if seconds >= 1 && seconds <= schema.MaxApprovalTimeoutSeconds {
		return nil
	}
	return schema.InvalidField("body.seconds", fmt.Sprintf("this must be a number of seconds from 1 to %d", schema.MaxApprovalTimeoutSeconds), seconds)
}

// extendable says why an approval cannot be given so many more seconds.
func extendable(a *schema.Approval, seconds float64) error {
	if a.Status != schema.ApprovalPending {
		return closedOtherwise(a, "")
	}
	most := float64(schema.MaxApprovalTimeoutSeconds)
	if waits := a.ExpiresAt.Sub(a.CreatedAt.Time).Seconds(); waits+seconds > most {
		return schema.InvalidField("body.seconds", fmt.Sprintf(
			"an approval waits at most %d seconds, and this one waits %.0f already; at most %.0f can be added", schema.MaxApprovalTimeoutSeconds, waits, max(0, most-waits)), seconds)
	}
	return nil
}
