package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// SnapshotOwner is what is known about the sessions that refer to a snapshot.
type SnapshotOwner struct {
	Live    bool      // one of them is not deleted, or its workflow has not ended yet
	EndedAt time.Time // when the last of them was both deleted and ended; zero when Live
}

// SnapshotOwners lists every snapshot that any session refers to: as the result of an attempt, as
// its current workspace, or as the one it began with.
func (s *Store) SnapshotOwners(ctx context.Context) (map[string]SnapshotOwner, error) {
	rows, err := s.pool.Query(ctx, `SELECT n.snapshot, bool_or(s.deleted_at IS NULL OR s.workflow_closed_at IS NULL),
		       COALESCE(max(greatest(s.deleted_at, s.workflow_closed_at)), now())
		  FROM (SELECT a.snapshot, r.session_id FROM attempts a JOIN runs r ON r.id = a.run_id
		        UNION ALL SELECT snapshot, session_id FROM session_states
		        UNION ALL SELECT base_snapshot, id FROM sessions) n
		  JOIN sessions s ON s.id = n.session_id
		 WHERE n.snapshot <> '' GROUP BY n.snapshot`)
	if err != nil {
		return nil, failed("list snapshots", err)
	}
	owners := map[string]SnapshotOwner{}
	var (
		digest string
		o      SnapshotOwner
	)
	_, err = pgx.ForEachRow(rows, []any{&digest, &o.Live, &o.EndedAt}, func() error {
		owners[digest] = o
		return nil
	})
	return owners, failed("list snapshots", err)
}

// Discarded returns which of the sessions were deleted, and had ended, longer ago than grace:
// nobody works in their folders now, nor ever will. Sessions unknown to the database are not
// included.
func (s *Store) Discarded(ctx context.Context, sessionIDs []string, grace time.Duration) ([]string, error) {
	rows, err := s.pool.Query(ctx, `SELECT id::text FROM sessions WHERE id = ANY ($1::uuid[])
		AND greatest(deleted_at, workflow_closed_at) < now() - make_interval(secs => $2) AND deleted_at IS NOT NULL AND workflow_closed_at IS NOT NULL`,
		sessionIDs, grace.Seconds())
	if err != nil {
		return nil, failed("list deleted sessions", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return ids, failed("list deleted sessions", err)
}
