package store

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// retentionLock is the advisory lock of the process that carries out retention.
const retentionLock = 0x686f6c64726574 // "holdret"

// isOver says, for a row s of sessions and its row t of session_states, that its latest run has been over for longer
// than $1 seconds.
const isOver = `t.status IN ('completed', 'failed', 'cancelled', 'expired')
	AND COALESCE((SELECT max(r.finished_at) FROM runs r WHERE r.session_id = s.id), s.updated_at) < now() - make_interval(secs => $1)`

// HoldRetention calls do while no other process does so, and reports whether it did. If the lock is
// lost with its connection, do stays correct; only work may be done twice.
func (s *Store) HoldRetention(ctx context.Context, do func(context.Context) error) (bool, error) {
	conn, err := pgx.ConnectConfig(ctx, s.direct.Copy())
	if err != nil {
		return false, failed("begin retention", err)
	}
	defer closeConn(ctx, conn)
	lock, err := lockIn(ctx, conn, `SELECT pg_try_advisory_xact_lock($1::bigint)`, retentionLock)
	if err != nil || lock == nil {
		return false, failed("begin retention", err)
	}
	defer lock.release(ctx)
	return true, do(ctx)
}

// sessionsThat lists the ids of sessions that meet a condition on s, of sessions, and t, of session_states.
func (s *Store) sessionsThat(ctx context.Context, condition string, args ...any) ([]string, error) {
	rows, err := s.pool.Query(ctx, `SELECT s.id::text FROM sessions s JOIN session_states t ON t.session_id = s.id WHERE `+condition, args...)
	if err != nil {
		return nil, failed("list sessions", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return ids, failed("list sessions", err)
}
