package store

import (
	"context"
	"database/sql"
	"errors"

	"github.com/uptrace/bun"

	"github.com/holdfast/holdfast/schema"
)

// ApprovalFilter chooses approvals. The zero value of each field means any.
type ApprovalFilter struct {
	SessionID string
	Status    schema.ApprovalStatus
	Limit     int    // DefaultPage when 0; at most MaxPage
	Cursor    string // next of the page before
}

// The remaining time is by the clock that all servers share, and 0 once the approval is closed.
const remainingExpr = `CASE WHEN a.status = 'pending'
	THEN GREATEST(0, EXTRACT(EPOCH FROM a.expires_at - clock_timestamp()))::double precision ELSE 0 END AS remaining`

func (s *Store) selectApprovals() *bun.SelectQuery {
	return s.db.NewSelect().TableExpr("approval_requests AS a").
		ColumnExpr("a.id, a.session_id, a.run_id, a.step_id, a.approval_type, a.description, a.options, a.digest, a.status").
		ColumnExpr("a.resolution, a.feedback, a.actor, a.created_at, a.expires_at, a.resolved_at").
		ColumnExpr("a.result, a.on_timeout, a.escalated_at").
		ColumnExpr(remainingExpr)
}

// Approvals lists approvals, the newest first; next is the cursor of the page after this
// one, "" on the last. An unknown session is [schema.CodeNotFound].
func (s *Store) Approvals(ctx context.Context, f ApprovalFilter) (list []schema.Approval, next string, err error) {
	limit := page(f.Limit)
	q := s.selectApprovals().ColumnExpr("a.context").Join("JOIN sessions AS s ON s.id = a.session_id").
		Where("s.deleted_at IS NULL").OrderExpr("a.created_at DESC, a.id DESC").Limit(int64(limit) + 1)
	if f.SessionID != "" {
		if _, err := s.HeadSeq(ctx, f.SessionID); err != nil {
			return nil, "", err
		}
		q = q.Where("a.session_id = ?", f.SessionID)
	}
	if f.Status != "" {
		q = q.Where("a.status = ?", f.Status)
	}
	if f.Cursor != "" {
		after, err := parsePlace(f.Cursor)
		if err != nil {
			return nil, "", err
		}
		q = q.Where("(a.created_at, a.id) < (?, ?)", after.at, after.id)
	}
	var rows []approvalRow
	if err := q.Scan(ctx, &rows); err != nil {
		return nil, "", failed("list approvals", err)
	}
	if len(rows) > limit {
		rows = rows[:limit]
		next = place{at: rows[limit-1].CreatedAt, id: rows[limit-1].ID}.cursor()
	}
	list = make([]schema.Approval, 0, len(rows))
	for i := range rows {
		list = append(list, rows[i].object())
	}
	return list, next, nil
}

// Approval reads one approval.
func (s *Store) Approval(ctx context.Context, id string) (schema.Approval, error) {
	if !schema.ValidID(id) {
		return schema.Approval{}, noApproval(id)
	}
	var row approvalRow
	err := s.selectApprovals().ColumnExpr("a.context").Join("JOIN sessions AS s ON s.id = a.session_id").
		Where("s.deleted_at IS NULL").Where("a.id = ?", id).Scan(ctx, &row)
	if errors.Is(err, sql.ErrNoRows) {
		return schema.Approval{}, noApproval(id)
	}
	if err != nil {
		return schema.Approval{}, failed("read an approval", err)
	}
	return row.object(), nil
}

// pendingApprovals reads the open approvals of some sessions, the oldest first.
func (s *Store) pendingApprovals(ctx context.Context, sessions []string, contexts bool) (map[string][]schema.Approval, error) {
	pending := make(map[string][]schema.Approval)
	if len(sessions) == 0 {
		return pending, nil
	}
	q := s.selectApprovals().Where("a.session_id IN (?)", bun.List(sessions)).Where("a.status = ?", schema.ApprovalPending).
		OrderExpr("a.created_at, a.id")
	if contexts {
		q = q.ColumnExpr("a.context")
	}
	var rows []approvalRow
	if err := q.Scan(ctx, &rows); err != nil {
		return nil, failed("read approvals", err)
	}
	for i := range rows {
		approval := rows[i].object()
		if !contexts {
			approval.Context = emptyObject
		}
		pending[approval.SessionID] = append(pending[approval.SessionID], approval)
	}
	return pending, nil
}
