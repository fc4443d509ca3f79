package store

import (
	"context"
	"database/sql"
	"errors"
	"strings"

	"github.com/uptrace/bun"

	"github.com/holdfast/holdfast/schema"
)

// SessionFilter selects sessions. The zero value of each field means any.
type SessionFilter struct {
	Status []schema.SessionStatus
	Mode   schema.Mode
	Owner  string
	Query  string // part of the name or the task, ignoring case
	Prefix string // of the id, schema.MinIDPrefix or more characters
	Limit  int    // DefaultPage when 0; at most MaxPage
	Cursor string // next of the previous page
}

func selectSessions(q *bun.SelectQuery) *bun.SelectQuery {
	return q.TableExpr("sessions AS s").Join("JOIN session_states AS t ON t.session_id = s.id").
		ColumnExpr("s.id, s.name, s.mode, s.owner, s.task, s.config, s.head_seq, s.version, s.forked_from, s.created_at, s.updated_at").
		ColumnExpr("t.status, t.current_phase, t.current_step, t.context_variables, t.expires_at").
		ColumnExpr("(SELECT count(*) FROM runs AS r WHERE r.session_id = s.id) AS runs").
		ColumnExpr("(SELECT count(*) FROM runs AS r JOIN steps AS st ON st.run_id = r.id WHERE r.session_id = s.id) AS steps").
		ColumnExpr("(SELECT count(*) FROM messages AS m WHERE m.session_id = s.id AND m.status = 'queued') AS queued").
		ColumnExpr("(SELECT count(*) FROM steps AS st WHERE st.status = 'failed' AND st.run_id = " +
			"(SELECT r.id FROM runs AS r WHERE r.session_id = s.id ORDER BY r.number DESC LIMIT 1)) AS failed_steps").
		Where("s.deleted_at IS NULL")
}

// Session reads one session with its plan, its pending approvals and its forks. It includes only
// short approval contexts.
func (s *Store) Session(ctx context.Context, id string) (schema.Session, error) {
	if !schema.ValidID(id) {
		return schema.Session{}, noSession(id)
	}
	session, err := sessionAlone(ctx, s.db, id)
	if err != nil {
		return schema.Session{}, err
	}
	open, err := s.openApprovals(ctx, []string{id}, true)
	if err != nil {
		return schema.Session{}, err
	}
	open[id].attach(&session)
	return session, nil
}

// sessionAlone reads one session without its approvals.
func sessionAlone(ctx context.Context, db reader, id string) (schema.Session, error) {
	var row sessionRow
	err := selectSessions(db.selectWith(id)).ColumnExpr("t.plan_data").
		ColumnExpr("ARRAY(SELECT f.id::text FROM sessions AS f WHERE f.forked_from = s.id AND f.deleted_at IS NULL ORDER BY f.created_at, f.id) AS forks").
		Where("s.id = $1").Scan(ctx, &row)
	if errors.Is(err, sql.ErrNoRows) {
		return schema.Session{}, noSession(id)
	}
	if err != nil {
		return schema.Session{}, failed("read a session", err)
	}
	return row.object()
}

// Sessions lists sessions, newest first. total counts everything that the filter selects; next is
// the cursor of the next page, "" on the last. The sessions carry no plan, and their approvals no
// context.
func (s *Store) Sessions(ctx context.Context, f SessionFilter) (list []schema.Session, total int, next string, err error) {
	limit := page(f.Limit)
	choose := func(q *bun.SelectQuery) (*bun.SelectQuery, error) {
		if len(f.Status) > 0 {
			q = q.Where("t.status IN (?)", bun.List(f.Status))
		}
		if f.Mode != "" {
			q = q.Where("s.mode = ?", f.Mode)
		}
		if f.Owner != "" {
			q = q.Where("s.owner = ?", clean(f.Owner))
		}
		if f.Query != "" {
			pattern := "%" + strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(clean(f.Query)) + "%"
			q = q.Where("(s.name ILIKE ? OR s.task ILIKE ?)", pattern, pattern)
		}
		return withIDPrefix(q, "s.id", f.Prefix)
	}
	q, err := choose(selectSessions(s.db.selectList()))
	if err != nil {
		return nil, 0, "", err
	}
	q = q.OrderExpr("s.created_at DESC, s.id DESC").Limit(int64(limit) + 1)
	if f.Cursor != "" {
		after, err := parseCursor(f.Cursor)
		if err != nil {
			return nil, 0, "", err
		}
		q = q.Where("(s.created_at, s.id) < (?, ?)", after.at, after.id)
	}
	var rows []sessionRow
	if err := q.Scan(ctx, &rows); err != nil {
		return nil, 0, "", failed("list sessions", err)
	}
	count, err := choose(s.db.selectList().TableExpr("sessions AS s").Join("JOIN session_states AS t ON t.session_id = s.id").
		ColumnExpr("count(*)").Where("s.deleted_at IS NULL"))
	if err != nil {
		return nil, 0, "", err
	}
	if err := count.Scan(ctx, &total); err != nil {
		return nil, 0, "", failed("count sessions", err)
	}
	if len(rows) > limit {
		rows = rows[:limit]
		next = pageEnd{at: rows[limit-1].CreatedAt, id: rows[limit-1].ID}.cursor()
	}
	list, err = sessionObjects(rows)
	if err != nil {
		return nil, 0, "", err
	}
	err = s.attachOpen(ctx, list)
	return list, total, next, err
}

func sessionObjects(rows []sessionRow) ([]schema.Session, error) {
	list := make([]schema.Session, 0, len(rows))
	for i := range rows {
		session, err := rows[i].object()
		if err != nil {
			return nil, err
		}
		list = append(list, session)
	}
	return list, nil
}

func (s *Store) attachOpen(ctx context.Context, list []schema.Session) error {
	ids := make([]string, 0, len(list))
	for i := range list {
		ids = append(ids, list[i].ID)
	}
	open, err := s.openApprovals(ctx, ids, false)
	if err != nil {
		return err
	}
	for i := range list {
		open[list[i].ID].attach(&list[i])
	}
	return nil
}

// CountSessions counts all sessions.
func (s *Store) CountSessions(ctx context.Context) (n int, err error) {
	err = s.pool.QueryRow(ctx, `SELECT count(*) FROM sessions WHERE deleted_at IS NULL`).Scan(&n)
	return n, failed("count sessions", err)
}
