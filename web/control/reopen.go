package control

import (
	"context"

	"github.com/holdfast/holdfast/schema"
)

// Reopen has a session ask again what nobody answered in time: it resumes the session that is suspended for it. Once that
// is done, doing it again changes nothing.
func (s *Service) Reopen(ctx context.Context, id, key string) (schema.Approval, error) {
	a, err := s.store.Approval(ctx, id)
	if err != nil {
		return a, err
	}
	if err := s.Bind(ctx, key, "reopen", id, nil); err != nil {
		return a, err
	}
	if !a.Reopenable {
		return a, s.reopened(ctx, &a)
	}
	if key != "" { // resume is another request than this one, and has its own
		key = schema.DeriveID("reopen", key)
	}
	_, err = s.Command(ctx, a.SessionID, schema.CommandResume, key)
	return a, err
}

// reopened is nil when the session of an expired approval goes on already, and else says why nothing can be reopened.
func (s *Service) reopened(ctx context.Context, a *schema.Approval) error {
	switch {
	case a.Status == schema.ApprovalPending:
		return schema.Errorf(schema.CodeConflict, "the approval still waits for an answer, until %s", a.ExpiresAt)
	case a.Status != schema.ApprovalExpired:
		return closedOtherwise(a, "")
	case a.Type.AskedByStep():
		return schema.Errorf(schema.CodeConflict, "the step that asked has gone on without an answer")
	case a.OnTimeout == schema.OnTimeoutReject || a.OnTimeout == schema.OnTimeoutApprove:
		return schema.Errorf(schema.CodeConflict, "nobody answered in time, and on_timeout, %s, has decided", a.OnTimeout)
	}
	run, err := s.store.Run(ctx, a.RunID)
	if err != nil {
		return err
	}
	switch {
	case run.Status.Final():
		return schema.Errorf(schema.CodeConflict, "the run that asked is over: %s", run.Status)
	case run.Status == schema.SessionSuspended:
		return schema.Errorf(schema.CodeConflict, "this was asked again since; look for the newer approval")
	default:
		return nil
	}
}
