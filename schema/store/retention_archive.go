package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/holdfast/holdfast/schema"
)

const archiveBlocks = 32 // that one step takes

// Archived is what a step of archiving did.
type Archived struct {
	Blocks int
	Bytes  int64
	More   bool // whether there may be more to do
}

// ArchiveBlocks moves some blocks that are older than after from Postgres to the archive. A
// block is in the archive before Postgres lets go of it; one that was put there by a process
// that died is put there again.
func (s *Store) ArchiveBlocks(ctx context.Context, after time.Duration) (Archived, error) {
	var done Archived
	if s.archive == nil {
		return done, schema.Errorf(schema.CodeUnsupported, "this store has no archive")
	}
	rows, err := s.pool.Query(ctx, `SELECT session_id::text, first_seq, last_seq FROM event_blocks
		WHERE blob IS NULL AND created_at < now() - make_interval(secs => $1) ORDER BY created_at LIMIT $2`, after.Seconds(), archiveBlocks)
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
		size, err := s.archiveBlock(ctx, &blocks[i])
		if err != nil {
			return done, err
		}
		done.Blocks++
		done.Bytes += size
	}
	done.More = len(blocks) == archiveBlocks
	return done, nil
}

// archiveBlock returns how many bytes it took out of Postgres.
func (s *Store) archiveBlock(ctx context.Context, b *block) (int64, error) {
	var packed []byte
	err := s.pool.QueryRow(ctx, `SELECT packed FROM event_blocks WHERE session_id = $1 AND last_seq = $2`, b.session, b.last).Scan(&packed)
	if missing(err, nil) == nil && packed == nil {
		return 0, nil // another process has archived or removed it
	}
	if err != nil {
		return 0, failed("read a block", err)
	}
	key := b.archiveKey()
	if err := s.archive.WriteObject(ctx, key, packed); err != nil {
		return 0, err
	}
	tag, err := s.pool.Exec(ctx, `UPDATE event_blocks SET blob = $3, packed = NULL WHERE session_id = $1 AND last_seq = $2`, b.session, b.last, key)
	if err != nil {
		return 0, failed("record an archived block", err)
	}
	if tag.RowsAffected() == 0 { // its session was removed meanwhile
		return 0, s.archive.DeleteObject(ctx, key)
	}
	return int64(len(packed)), nil
}
