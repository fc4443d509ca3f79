package store

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// retentionLock is the advisory lock of whoever carries retention out.
const retentionLock = 0x686f6c64726574 // "holdret"

// isOver says, of a row s of sessions and its row t of session_states, that its latest run is over for longer than $1
// seconds.
const isOver = `t.status IN ('completed', 'failed', 'cancelled', 'expired')
	AND COALESCE((SELECT max(r.finished_at) FROM runs r WHERE r.session_id = s.id), s.updated_at) < now() - make_interval(secs => $1)`

// HoldRetention runs do while no other process runs one, and reports whether it did. What do
// does stays right when the lock is lost with its connection; only work may be done twice.
func (s *Store) HoldRetention(ctx context.Context, do func(context.Context) error) (bool, error) {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return false, failed("begin retention", err)
	}
	defer conn.Release()
	var held bool
	if err := conn.QueryRow(ctx, `SELECT pg_try_advisory_lock($1::bigint)`, int64(retentionLock)).Scan(&held); err != nil || !held {
		return false, failed("begin retention", err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
		defer cancel()
		if _, err := conn.Exec(ctx, `SELECT pg_advisory_unlock($1::bigint)`, int64(retentionLock)); err != nil {
			_ = conn.Conn().Close(ctx) // which does the same
		}
	}()
	return true, do(ctx)
}

// sessionsThat lists the ids of sessions for which a condition on s, of sessions, and t, of session_states, holds.
func (s *Store) sessionsThat(ctx context.Context, condition string, args ...any) ([]string, error) {
	rows, err := s.pool.Query(ctx, `SELECT s.id::text FROM sessions s JOIN session_states t ON t.session_id = s.id WHERE `+condition, args...)
	if err != nil {
		return nil, failed("list sessions", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return ids, failed("list sessions", err)
}
