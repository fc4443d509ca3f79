package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/holdfast/holdfast/schema"
)

const (
	purgeEvents = 20_000 // rows per step
	purgeBlocks = 100    // blocks per step
)

// Outdated lists sessions whose latest run has been over for longer than after, oldest first.
func (s *Store) Outdated(ctx context.Context, after time.Duration, limit int) ([]string, error) {
	return s.sessionsThat(ctx, `s.deleted_at IS NULL AND `+isOver+` ORDER BY s.updated_at LIMIT $2`, after.Seconds(), page(limit))
}

// DeleteOutdated is [Store.DeleteSession] for a session whose latest run has still been over for
// longer than after; deleted reports whether that was so. The audit trail has "retention" as the
// actor.
func (s *Store) DeleteOutdated(ctx context.Context, sessionID string, after time.Duration) (deleted bool, err error) {
	var over bool
	_, err = s.inSessionTx(ctx, "delete a session", sessionID, "", func(c *sessionTx) {
		c.reads.Queue(`SELECT EXISTS (SELECT FROM sessions s JOIN session_states t ON t.session_id = s.id WHERE s.id = $2 AND `+isOver+`)`,
			after.Seconds(), sessionID).QueryRow(func(row pgx.Row) error { return row.Scan(&over) })
	}, func(c *sessionTx) error {
		if c.deleted || !over {
			return errNothing
		}
		deleted = true
		c.delete(schema.ActorRetention)
		return nil
	})
	return deleted && err == nil, err
}

// Purgeable lists deleted sessions that still have some of their log, once nobody needs it: the
// workflow is known to end, and the deletion is longer ago than grace. Sessions in except are left
// out.
func (s *Store) Purgeable(ctx context.Context, grace time.Duration, except []string, limit int) ([]string, error) {
	return s.sessionsThat(ctx, `s.deleted_at < now() - make_interval(secs => $1) AND s.workflow_closed_at IS NOT NULL
		AND s.purged_seq < s.head_seq AND s.id <> ALL ($3::uuid[]) ORDER BY s.deleted_at LIMIT $2`, grace.Seconds(), page(limit), append([]string{}, except...))
}

// Purged is the result of one purge step.
type Purged struct {
	Events int64 // rows
	Blocks int64
	More   bool // whether there is more to do
}

// Purge removes part of the log of a deleted session for good: rows, blocks, and archived blocks.
// The session's row and its audit trail stay. A step that was cut off is repeated by the next one.
func (s *Store) Purge(ctx context.Context, sessionID string) (Purged, error) {
	var done Purged
	var head int64
	err := s.pool.QueryRow(ctx, `SELECT head_seq FROM sessions WHERE id = $1 AND deleted_at IS NOT NULL`, sessionID).Scan(&head)
	if err != nil {
		return done, failed("remove a log", notFoundIfNoRows(err, schema.Errorf(schema.CodeNotFound, "there is no deleted session %q", sessionID)))
	}
	tag, err := s.pool.Exec(ctx, `DELETE FROM events WHERE session_id = $1
		AND seq IN (SELECT seq FROM events WHERE session_id = $1 ORDER BY seq LIMIT $2)`, sessionID, purgeEvents)
	if err != nil {
		return done, failed("remove a log", err)
	}
	done.Events = tag.RowsAffected()
	if done.Blocks, err = s.purgeBlocks(ctx, sessionID); err != nil {
		return done, failed("remove a log", err)
	}
	if done.More = done.Events == purgeEvents || done.Blocks == purgeBlocks; done.More {
		return done, nil
	}
	// Anything written since, by a worker that had not heard of the deletion, is left for the next
	// time.
	_, err = s.pool.Exec(ctx, `WITH keys AS (DELETE FROM applied_keys WHERE session_id = $1)
		UPDATE sessions SET purged_seq = $2 WHERE id = $1`, sessionID, head)
	return done, failed("remove a log", err)
}

// purgeBlocks removes blocks from the archive before it removes the rows that point to them.
func (s *Store) purgeBlocks(ctx context.Context, sessionID string) (int64, error) {
	rows, err := s.pool.Query(ctx, `SELECT first_seq, last_seq, blob IS NOT NULL FROM event_blocks
		WHERE session_id = $1 ORDER BY last_seq LIMIT $2`, sessionID, purgeBlocks)
	if err != nil {
		return 0, fmt.Errorf("list blocks: %w", err)
	}
	b := block{session: sessionID}
	var (
		archived bool
		lasts    []int64
		keys     []string
	)
	_, err = pgx.ForEachRow(rows, []any{&b.first, &b.last, &archived}, func() error {
		if archived && s.archive == nil {
			return schema.Errorf(schema.CodeUnsupported, "this store has no archive")
		}
		lasts, keys = append(lasts, b.last), append(keys, b.archiveKey())
		return nil
	})
	if err != nil {
		return 0, err
	}
	for _, key := range keys {
		if s.archive == nil {
			break
		}
		if err := s.archive.DeleteObject(ctx, key); err != nil {
			return 0, err
		}
	}
	tag, err := s.pool.Exec(ctx, `DELETE FROM event_blocks WHERE session_id = $1 AND last_seq = ANY ($2::bigint[])`, sessionID, lasts)
	if err != nil {
		return 0, fmt.Errorf("remove blocks: %w", err)
	}
	return tag.RowsAffected(), nil
}
