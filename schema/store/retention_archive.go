package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/holdfast/holdfast/schema"
)

const (
	archiveBlocks   = 32 // per step
	archiveRefusals = 3  // in a row, after which a step ends
)

// Archived is the result of one archiving step.
type Archived struct {
	Blocks int
	Bytes  int64
	Failed []ArchiveFailure
	More   bool // whether there may be more to do
}

// ArchiveFailure is a block that could not be archived. It is retried less and less often, and
// delays no other block.
type ArchiveFailure struct {
	SessionID   string
	First, Last int64 // the events of the block
	Err         error
}

// ArchiveBlocks moves some blocks that are older than after from Postgres to the archive. A block
// is in the archive before it is removed from Postgres; one that a process archived before it died
// is archived again. The error says that Postgres is down; blocks that the archive refuses are in
// Failed.
func (s *Store) ArchiveBlocks(ctx context.Context, after time.Duration) (Archived, error) {
	var done Archived
	if s.archive == nil {
		return done, schema.Errorf(schema.CodeUnsupported, "this store has no archive")
	}
	rows, err := s.pool.Query(ctx, `SELECT session_id::text, first_seq, last_seq FROM event_blocks
		WHERE blob IS NULL AND created_at < now() - make_interval(secs => $1)
		  AND (archive_not_before IS NULL OR archive_not_before < now()) ORDER BY created_at LIMIT $2`, after.Seconds(), archiveBlocks)
	if err != nil {
		return done, failed("list blocks", err)
	}
	blocks, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (b block, err error) {
		err = row.Scan(&b.session, &b.first, &b.last)
		return b, err
	})
	if err != nil {
		return done, failed("list blocks", err)
	}
	for i := range blocks {
		b := &blocks[i]
		size, refused, err := s.archiveBlock(ctx, b)
		if err == nil && refused != nil && ctx.Err() == nil {
			done.Failed = append(done.Failed, ArchiveFailure{b.session, b.first, b.last, refused})
			_, err = s.pool.Exec(ctx, `UPDATE event_blocks SET archive_failures = archive_failures + 1,
				archive_not_before = now() + least(interval '1 minute' * 2 ^ least(archive_failures, 12), interval '6 hours')
				WHERE session_id = $1 AND last_seq = $2`, b.session, b.last)
			if err == nil && len(done.Failed) == archiveRefusals && done.Blocks == 0 {
				return done, nil // not the block's fault: the archive is down
			}
			if err == nil {
				continue
			}
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return done, failed("archive a block", err)
		}
		done.Blocks++
		done.Bytes += size
	}
	done.More = len(blocks) == archiveBlocks
	return done, nil
}

// archiveBlock returns how many bytes it moved out of Postgres, or why the archive refused them.
func (s *Store) archiveBlock(ctx context.Context, b *block) (size int64, refused, err error) {
	var packed []byte
	err = s.pool.QueryRow(ctx, `SELECT packed FROM event_blocks WHERE session_id = $1 AND last_seq = $2`, b.session, b.last).Scan(&packed)
	if notFoundIfNoRows(err, nil) == nil && packed == nil {
		return 0, nil, nil // another process has archived or removed it
	}
	if err != nil {
		return 0, nil, failed("read a block", err)
	}
	key := b.archiveKey()
	if err := s.archive.WriteObject(ctx, key, packed); err != nil {
		return 0, err, nil
	}
	tag, err := s.pool.Exec(ctx, `UPDATE event_blocks SET blob = $3, packed = NULL WHERE session_id = $1 AND last_seq = $2`, b.session, b.last, key)
	if err != nil {
		return 0, nil, failed("record an archived block", err)
	}
	if tag.RowsAffected() == 0 { // its session was removed meanwhile
		return 0, s.archive.DeleteObject(ctx, key), nil
	}
	return int64(len(packed)), nil, nil
}
