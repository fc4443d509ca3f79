package store

import (
	"context"
	"database/sql"
	"time"

	"github.com/uptrace/bun"

	"github.com/holdfast/holdfast/schema"
)

// DecidedApprovals is how many of a session's newest approvals a projection has besides the open ones.
const DecidedApprovals = 200

// Projection is a session as it was after the event with seq Seq, whole: what later events change can be folded into it.
type Projection struct {
	Seq       int64
	At        schema.Time       // when it was read, by the clock of the database
	Session   schema.Session    // its approvals are in Approvals
	Runs      []schema.Run      // the first one first
	Approvals []schema.Approval // every open one, and the newest of all; the newest first
	Names     map[string]string // of the sessions that it was forked from and into, by id; a deleted one is missing
}

// Projection reads a session with its runs and approvals at one moment, in one transaction. The rows of a session and
// its events change together, so that folding the events after Seq gives what the database has then.
//
// The session's current step is what its latest run's steps say, and long approval contexts are left out, as in
// [Store.Approvals]. An unknown session is [schema.CodeNotFound].
func (s *Store) Projection(ctx context.Context, id string) (Projection, error) {
	var p Projection
	if !schema.ValidID(id) {
		return p, noSession(id)
	}
	// The first statement decides which changes all of them see.
	once := &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true}
	err := s.db.RunInTx(ctx, once, func(ctx context.Context, bunTx bun.Tx) (err error) {
		tx := s.db.in(bunTx)
		if p.Session, err = sessionAlone(ctx, tx, id); err != nil {
			return err
		}
		p.Seq = p.Session.HeadSeq
		if p.Runs, err = runsOf(ctx, tx, id); err != nil {
			return err
		}
		p.Session.CurrentStep = currentStep(p.Runs)
		if p.Names, err = relatives(ctx, tx, id); err != nil {
			return err
		}
		p.Approvals, err = approvalsOf(ctx, tx, id)
		if err != nil {
			return err
		}
		var now time.Time
		err = tx.selectWith().ColumnExpr("clock_timestamp()").Scan(ctx, &now)
		p.At = timeOf(now)
		return err
	})
	return p, failed("read a session", err)
}

// approvalsOf reads the approvals of a projection.
func approvalsOf(ctx context.Context, db reader, session string) ([]schema.Approval, error) {
	var rows []approvalRow
	err := selectApprovals(db.selectWith(session, DecidedApprovals)).ColumnExpr(briefContextExpr).Where("a.session_id = $1").
		Where("(a.status = 'pending' OR "+reopenableExpr+` OR a.id IN (SELECT n.id FROM approval_requests AS n
			WHERE n.session_id = $1 ORDER BY n.created_at DESC, n.id DESC LIMIT $2))`).
		OrderExpr("a.created_at DESC, a.id DESC").Scan(ctx, &rows)
	if err != nil {
		return nil, failed("list approvals", err)
	}
	list := make([]schema.Approval, 0, len(rows))
	left := briefContexts
	for i := range rows {
		list = append(list, rows[i].briefly(&left))
	}
	return list, nil
}

// relatives reads the names of the sessions that one was forked from and into.
func relatives(ctx context.Context, db reader, session string) (map[string]string, error) {
	var rows []struct {
		ID   string `bun:"id"`
		Name string `bun:"name"`
	}
	err := db.selectWith(session).TableExpr("sessions AS s").ColumnExpr("s.id, s.name").Where("s.deleted_at IS NULL").
		Where("(s.forked_from = $1 OR s.id = (SELECT o.forked_from FROM sessions AS o WHERE o.id = $1))").Scan(ctx, &rows)
	if err != nil {
		return nil, failed("read the names of forks", err)
	}
	names := make(map[string]string, len(rows))
	for i := range rows {
		names[rows[i].ID] = rows[i].Name
	}
	return names, nil
}

// currentStep is the current one of the latest run.
func currentStep(runs []schema.Run) string {
	if len(runs) == 0 {
		return ""
	}
	latest := &runs[len(runs)-1]
	return schema.CurrentStep(func(yield func(string, schema.StepStatus) bool) {
		for i := range latest.Steps {
			if !yield(latest.Steps[i].ID, latest.Steps[i].Status) {
				return
			}
		}
	})
}
