package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/uptrace/bun"

	"github.com/holdfast/holdfast/schema"
)

// ApprovalFilter selects approvals. The zero value of each field means any.
type ApprovalFilter struct {
	SessionID string
	Status    schema.ApprovalStatus
	Open      bool   // pending, or reopenable
	Prefix    string // of the id, schema.MinIDPrefix or more characters
	Brief     bool   // leave out long contexts
	Limit     int    // DefaultPage when 0; at most MaxPage
	Cursor    string // next of the previous page
}

// Limits on the contexts in a session, or in a brief list. A longer one is only in the approval itself: a session with
// a few steps that ask as much as they may would otherwise be many megabytes, which every viewer reads repeatedly.
const (
	briefContext  = 4 << 10  // of one approval
	briefContexts = 64 << 10 // of all together
)

// briefContextExpr is NULL where the context is too long. The stored form is no larger than the text, so most contexts
// need not be unpacked to find out.
var briefContextExpr = fmt.Sprintf(`CASE WHEN pg_column_size(a.context) > %[1]d THEN NULL WHEN octet_length(a.context::text) > %[1]d THEN NULL
	ELSE a.context END AS context`, briefContext)

// briefly converts a row, and leaves out its context if it exceeds left, the space that the answer still has for
// contexts.
func (r *approvalRow) briefly(left *int) schema.Approval {
	a := r.object()
	if len(a.Context) == 0 || len(a.Context) > *left {
		a.LeaveOutContext()
		return a
	}
	*left -= len(a.Context)
	return a
}

// The remaining time is by the database's clock, which all servers share, and 0 once the approval
// is closed.
const remainingExpr = `CASE WHEN a.status = 'pending'
	THEN GREATEST(0, EXTRACT(EPOCH FROM a.expires_at - clock_timestamp()))::double precision ELSE 0 END AS remaining`

// reopenableExpr says that nobody answered the approval in time, and that its session is suspended and asks again on
// resume. It excludes steps that ask for themselves, which go on without an answer; policies other than suspend, which
// have decided; and approvals that were asked again since or belong to an earlier run.
const reopenableExpr = `(a.status = 'expired' AND a.on_timeout NOT IN ('reject', 'approve') AND a.approval_type NOT IN ('program_ask', 'tool_call', 'budget')
	AND EXISTS (SELECT FROM session_states t WHERE t.session_id = a.session_id AND t.status = 'suspended')
	AND NOT EXISTS (SELECT FROM runs r, runs of WHERE of.id = a.run_id AND r.session_id = a.session_id AND r.number > of.number)
	AND NOT EXISTS (SELECT FROM approval_requests n WHERE n.session_id = a.session_id AND n.run_id = a.run_id AND n.step_id = a.step_id
		AND n.approval_type = a.approval_type AND (n.created_at, n.id) > (a.created_at, a.id)))`

func selectApprovals(q *bun.SelectQuery) *bun.SelectQuery {
	return q.TableExpr("approval_requests AS a").
		ColumnExpr("a.id, a.session_id, a.run_id, a.step_id, a.approval_type, a.description, a.options, a.digest, a.status").
		ColumnExpr("a.resolution, a.feedback, a.actor, a.created_at, a.expires_at, a.resolved_at").
		ColumnExpr("a.result, a.on_timeout, a.escalated_at").
		ColumnExpr(remainingExpr).ColumnExpr(reopenableExpr + " AS reopenable")
}

// Approvals lists approvals, newest first; next is the cursor of the next page, "" on the last. An
// unknown session is [schema.CodeNotFound].
func (s *Store) Approvals(ctx context.Context, f ApprovalFilter) (list []schema.Approval, next string, err error) {
	limit := page(f.Limit)
	context := "a.context"
	if f.Brief {
		context = briefContextExpr
	}
	q := selectApprovals(s.db.selectList()).ColumnExpr(context).Join("JOIN sessions AS s ON s.id = a.session_id").
		Where("s.deleted_at IS NULL").OrderExpr("a.created_at DESC, a.id DESC").Limit(int64(limit) + 1)
	if f.SessionID != "" {
		if _, err := s.HeadSeq(ctx, f.SessionID); err != nil {
			return nil, "", err
		}
	}
	q, err = f.narrow(q)
	if err != nil {
		return nil, "", err
	}
	if f.Cursor != "" {
		after, err := parseCursor(f.Cursor)
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
		next = pageEnd{at: rows[limit-1].CreatedAt, id: rows[limit-1].ID}.cursor()
	}
	list = make([]schema.Approval, 0, len(rows))
	left := briefContexts
	for i := range rows {
		if f.Brief {
			list = append(list, rows[i].briefly(&left))
		} else {
			list = append(list, rows[i].object())
		}
	}
	return list, next, nil
}

// CountApprovals counts the approvals that a filter selects, on all pages.
func (s *Store) CountApprovals(ctx context.Context, f ApprovalFilter) (n int, err error) {
	q, err := f.narrow(s.db.selectList().TableExpr("approval_requests AS a").ColumnExpr("count(*)").Join("JOIN sessions AS s ON s.id = a.session_id").
		Where("s.deleted_at IS NULL"))
	if err != nil {
		return 0, err
	}
	if err := q.Scan(ctx, &n); err != nil {
		return 0, failed("count approvals", err)
	}
	return n, nil
}

func (f *ApprovalFilter) narrow(q *bun.SelectQuery) (*bun.SelectQuery, error) {
	if f.SessionID != "" {
		q = q.Where("a.session_id = ?", f.SessionID)
	}
	if f.Status != "" {
		q = q.Where("a.status = ?", f.Status)
	}
	if f.Open {
		q = q.Where("(a.status = 'pending' OR " + reopenableExpr + ")")
	}
	return withIDPrefix(q, "a.id", f.Prefix)
}

// Approval reads one approval.
func (s *Store) Approval(ctx context.Context, id string) (schema.Approval, error) {
	if !schema.ValidID(id) {
		return schema.Approval{}, noApproval(id)
	}
	var row approvalRow
	err := selectApprovals(s.db.selectWith(id)).ColumnExpr("a.context").Join("JOIN sessions AS s ON s.id = a.session_id").
		Where("s.deleted_at IS NULL").Where("a.id = $1").Scan(ctx, &row)
	if errors.Is(err, sql.ErrNoRows) {
		return schema.Approval{}, noApproval(id)
	}
	if err != nil {
		return schema.Approval{}, failed("read an approval", err)
	}
	return row.object(), nil
}

// openApprovals are the approvals of a session that somebody can act on, oldest first.
type openApprovals struct{ pending, expired []schema.Approval }

// openApprovals reads the pending and reopenable approvals of some sessions, with as many of their contexts as an
// answer holds.
func (s *Store) openApprovals(ctx context.Context, sessions []string, contexts bool) (map[string]*openApprovals, error) {
	open := make(map[string]*openApprovals)
	if len(sessions) == 0 {
		return open, nil
	}
	q := selectApprovals(s.db.selectWith(sessions)).Where("a.session_id = ANY($1::uuid[])").Where("(a.status = 'pending' OR " + reopenableExpr + ")").
		OrderExpr("a.created_at, a.id")
	if contexts {
		q = q.ColumnExpr(briefContextExpr)
	}
	var rows []approvalRow
	if err := q.Scan(ctx, &rows); err != nil {
		return nil, failed("read approvals", err)
	}
	left := briefContexts
	for i := range rows {
		approval := rows[i].briefly(&left)
		of := open[approval.SessionID]
		if of == nil {
			of = &openApprovals{}
			open[approval.SessionID] = of
		}
		if approval.Status == schema.ApprovalPending {
			of.pending = append(of.pending, approval)
		} else {
			of.expired = append(of.expired, approval)
		}
	}
	return open, nil
}

// attach adds them to their session.
func (o *openApprovals) attach(to *schema.Session) {
	if o == nil {
		return
	}
	if o.pending != nil {
		to.PendingApprovals = o.pending
	}
	if o.expired != nil {
		to.ExpiredApprovals = o.expired
	}
}
