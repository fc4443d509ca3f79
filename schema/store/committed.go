package store

import (
	"context"
	"time"

	"github.com/holdfast/holdfast/schema"
)

// Committed is what one transaction has changed in a session. Output and progress of steps are not told.
type Committed struct {
	SessionID string
	Created   bool                 // the session is new
	Actor     string               // who has created it
	Was       schema.SessionStatus // before a transition; "" of any other change
	Events    []schema.NewEvent
	Closed    []ClosedApproval
}

// ClosedApproval is an approval that a transaction has closed.
type ClosedApproval struct {
	Type   schema.ApprovalType
	Status schema.ApprovalStatus
	Waited time.Duration
}

// created tells of a new session.
func (s *Store) created(ctx context.Context, id, actor string) {
	if s.committed != nil {
		s.committed(ctx, Committed{SessionID: id, Created: true, Actor: actor})
	}
}

// tell tells of a change that was committed.
func (s *Store) tell(ctx context.Context, c *sessionTx) {
	if s.committed != nil && len(c.events) > 0 {
		s.committed(ctx, Committed{SessionID: c.session, Was: c.was, Events: c.events, Closed: c.closed})
	}
}
