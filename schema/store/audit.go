package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/holdfast/holdfast/schema"
)

// Audit reads who asked a session for what, oldest first: entries with an ID greater than after, 0
// for the first page. next is the value of after for the next page, 0 on the last.
func (s *Store) Audit(ctx context.Context, sessionID string, after int64, limit int) (list []schema.AuditEntry, next int64, err error) {
	if _, err := s.HeadSeq(ctx, sessionID); err != nil {
		return nil, 0, err
	}
	limit = page(limit)
	rows, err := s.pool.Query(ctx, `SELECT id, session_id::text, COALESCE(run_id::text, ''), step_id, approval_id, at, actor, action, outcome,
			resolution, digest, detail, request_id
		  FROM audit_log WHERE session_id = $1::uuid AND id > $2 ORDER BY id LIMIT $3`, sessionID, after, limit+1)
	if err != nil {
		return nil, 0, failed("read the audit trail", err)
	}
	list, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (schema.AuditEntry, error) {
		var e schema.AuditEntry
		err := row.Scan(&e.ID, &e.SessionID, &e.RunID, &e.StepID, &e.ApprovalID, &e.At.Time, &e.Actor, &e.Action, &e.Outcome,
			&e.Resolution, &e.Digest, &e.Detail, &e.RequestID)
		e.At = timeOf(e.At.Time)
		return e, err
	})
	if err != nil {
		return nil, 0, failed("read the audit trail", err)
	}
	if len(list) > limit {
		list = list[:limit]
		next = list[limit-1].ID
	}
	return list, next, nil
}

// audit adds an entry to the session's audit trail. An entry without a time gets that of the change.
func (c *sessionTx) audit(e *schema.AuditEntry) {
	dated := *e
	if dated.At.IsZero() {
		dated.At.Time = c.now
	}
	queueAudit(c.writes, c.session, &dated)
}

// queueAudit adds an entry to a session's audit trail. An entry without a time gets the database's.
func queueAudit(b *pgx.Batch, session string, e *schema.AuditEntry) {
	run := e.RunID
	if !schema.ValidID(run) {
		run = ""
	}
	outcome := e.Outcome
	if outcome == "" {
		outcome = schema.AuditTaken
	}
	var at *time.Time
	if !e.At.IsZero() {
		at = &e.At.Time
	}
	b.Queue(`INSERT INTO audit_log (session_id, run_id, step_id, approval_id, at, actor, action, outcome, resolution, digest, detail, request_id)
		VALUES ($1::uuid, NULLIF($2::text, '')::uuid, $3, $4, COALESCE($5::timestamptz, now()), $6, $7, $8, $9, $10, $11, $12)`,
		session, run, clean(e.StepID), clean(e.ApprovalID), at, clean(e.Actor), clean(e.Action), clean(string(outcome)),
		clean(string(e.Resolution)), clean(e.Digest), clean(e.Detail), clean(e.RequestID))
}
