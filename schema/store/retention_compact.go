package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/holdfast/holdfast/schema"
)

// Limits of one step of compaction. A step is one transaction, so they also limit how long others may wait for
// it.
const (
	defaultCompactEvents = 20_000  // per step
	compactBytes         = 8 << 20 // and their data
	blockBytes           = 1 << 20 // of events' data in one block
)

// Compactable lists sessions whose latest run has been over for longer than after, and which have
// events that [Store.Compact] has not processed.
func (s *Store) Compactable(ctx context.Context, after time.Duration, limit int) ([]string, error) {
	return s.sessionsThat(ctx, `s.compacted_seq < s.head_seq AND s.deleted_at IS NULL AND `+isOver+` LIMIT $2`, after.Seconds(), page(limit))
}

// Compacted is the result of one compaction step.
type Compacted struct {
	Events int   // rows that were moved into blocks
	Blocks int   // blocks made
	Before int64 // bytes of the events' data
	After  int64 // bytes of the blocks
	More   bool  // whether there may be more to do
}

// Compact moves the next part of a session's output from rows to blocks, in one transaction. Seq,
// type, time and data of every event stay the same, and [Store.Events] reads them as before. It is
// meant for sessions whose run is over, but correct for any. Calling it twice, or in two processes
// at once, compacts once.
func (s *Store) Compact(ctx context.Context, sessionID string) (Compacted, error) {
	var done Compacted
	var from, head int64
	err := s.pool.QueryRow(ctx, `SELECT compacted_seq, head_seq FROM sessions WHERE id = $1 AND deleted_at IS NULL`, sessionID).Scan(&from, &head)
	if err != nil {
		return done, failed("compact a log", notFoundIfNoRows(err, noSession(sessionID)))
	}
	// Rows never change, and nobody else removes them: read and pack them before locking the session.
	events, err := s.Events(ctx, sessionID, EventFilter{
		Since: from, Until: head, Types: []schema.EventType{schema.EventOutput, schema.EventStepProgress}, Limit: s.compactEvents, MaxBytes: compactBytes,
	})
	if err != nil {
		return done, err
	}
	c := compaction{session: sessionID, from: from, upTo: head}
	if len(events) > 0 {
		c.upTo = events[len(events)-1].Seq
		done.More = c.upTo < head
	}
	c.pack(events)
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error { return c.write(ctx, tx) })
	if err != nil {
		return Compacted{}, failed("compact a log", err)
	}
	if c.overtaken {
		return Compacted{More: true}, nil
	}
	done.Blocks = len(c.packed)
	for i := range c.packed {
		done.Events += int(c.counts[i])
		done.Before += c.sizes[i]
		done.After += int64(len(c.packed[i]))
	}
	return done, nil
}

// compaction is one step: the columns of its blocks, and what they replace.
type compaction struct {
	session    string
	from, upTo int64
	overtaken  bool // another process has done it already

	firsts, lasts, sizes []int64
	counts               []int32
	types                []string // per block, separated by commas
	packed               [][]byte
	rows                 int64
	kept                 []int64 // the seqs of events that stay rows
}

func (c *compaction) pack(events []schema.Event) {
	c.kept = []int64{}
	var text []byte
	for len(events) > 0 {
		text = text[:0]
		b := block{}
		output, progress := false, false
		for len(events) > 0 && b.size < blockBytes {
			e := &events[0]
			events = events[1:]
			if !fitsLine(e) {
				c.kept = append(c.kept, e.Seq)
				continue
			}
			if b.events == 0 {
				b.first = e.Seq
			}
			b.last = e.Seq
			b.events++
			b.size += int64(len(e.Data))
			output = output || e.Type == schema.EventOutput
			progress = progress || e.Type == schema.EventStepProgress
			text = appendLine(text, e)
		}
		if b.events == 0 {
			continue
		}
		var types []string
		if output {
			types = append(types, string(schema.EventOutput))
		}
		if progress {
			types = append(types, string(schema.EventStepProgress))
		}
		c.firsts, c.lasts, c.sizes = append(c.firsts, b.first), append(c.lasts, b.last), append(c.sizes, b.size)
		c.counts, c.types = append(c.counts, int32(b.events)), append(c.types, strings.Join(types, ","))
		c.packed = append(c.packed, blockEncoder().EncodeAll(text, nil))
		c.rows += int64(b.events)
	}
}

// write replaces the rows with the blocks, all or none.
func (c *compaction) write(ctx context.Context, tx pgx.Tx) error {
	var at int64
	err := tx.QueryRow(ctx, `SELECT compacted_seq FROM sessions WHERE id = $1 FOR NO KEY UPDATE`, c.session).Scan(&at)
	if err != nil {
		return notFoundIfNoRows(err, noSession(c.session))
	}
	if c.overtaken = at != c.from; c.overtaken {
		return nil
	}
	if len(c.packed) > 0 {
		_, err = tx.Exec(ctx, `INSERT INTO event_blocks (session_id, first_seq, last_seq, events, size, types, packed)
			SELECT $1::uuid, b.first_seq, b.last_seq, b.events, b.size, string_to_array(b.types, ','), b.packed
			  FROM unnest($2::bigint[], $3::bigint[], $4::integer[], $5::bigint[], $6::text[], $7::bytea[])
			       AS b (first_seq, last_seq, events, size, types, packed)`,
			c.session, c.firsts, c.lasts, c.counts, c.sizes, c.types, c.packed)
		if err != nil {
			return fmt.Errorf("add blocks: %w", err)
		}
		tag, err := tx.Exec(ctx, `DELETE FROM events WHERE session_id = $1 AND seq > $2 AND seq <= $3 AND type IN ('output', 'step_progress')
			AND seq <> ALL ($4::bigint[])`, c.session, c.from, c.upTo, c.kept)
		if err != nil {
			return fmt.Errorf("remove rows: %w", err)
		}
		if tag.RowsAffected() != c.rows { // otherwise some events would be lost or doubled
			return fmt.Errorf("%d rows from %d to %d are in blocks, but there were %d", c.rows, c.from, c.upTo, tag.RowsAffected())
		}
	}
	_, err = tx.Exec(ctx, `UPDATE sessions SET compacted_seq = $2 WHERE id = $1`, c.session, c.upTo)
	return err
}
