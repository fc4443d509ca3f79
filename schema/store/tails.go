package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/holdfast/holdfast/schema"
)

// Tail is the end of a session's log: everything after Since.
type Tail struct {
	SessionID string
	Since     int64

	// [Store.ReadTails] fills these in: events from Since + 1 on without gaps, and why the next one could not be read.
	// No event and no error means that there is none after Since. The data of the events must not be changed: it may
	// be shared with other readers.
	Events []schema.Event
	Err    error
}

const tailsQuery = `SELECT t.i, e.seq, e.type, COALESCE(e.run_id::text, ''), COALESCE(e.step_id, ''), e.at, e.size, e.data::text, e.packed
	  FROM unnest($1::uuid[], $2::bigint[]) WITH ORDINALITY AS t (session_id, since, i)
	  JOIN sessions s ON s.id = t.session_id AND s.deleted_at IS NULL
	 CROSS JOIN LATERAL (
		SELECT c.seq, c.type, c.run_id, c.step_id, c.at, c.size, c.data, c.packed, sum(c.size) OVER (ORDER BY c.seq ROWS UNBOUNDED PRECEDING) AS so_far
		  FROM (SELECT seq, type, run_id, step_id, at, size, data, packed FROM events
			 WHERE session_id = t.session_id AND seq > t.since ORDER BY seq LIMIT $3) c) e
	 WHERE e.so_far <= $4 OR e.so_far = e.size
	 ORDER BY t.i, e.seq`

// ReadTails reads the ends of many logs in one round trip, each with at most limit events and maxBytes of data, but at
// least one event. If the next event of a log is not a row, because it was compacted or does not exist, [Store.Events]
// reads that log. The error says that nothing was read; errors of one log are in its Err.
func (s *Store) ReadTails(ctx context.Context, tails []Tail, limit int, maxBytes int64) error {
	ids, since := make([]string, len(tails)), make([]int64, len(tails))
	for i := range tails {
		if !schema.ValidID(tails[i].SessionID) {
			return noSession(tails[i].SessionID)
		}
		ids[i], since[i] = tails[i].SessionID, tails[i].Since
		tails[i].Events, tails[i].Err = nil, nil
	}
	rows, err := s.pool.Query(ctx, tailsQuery, ids, since, limit, maxBytes)
	if err == nil {
		err = scanTails(rows, tails)
	}
	if err != nil {
		return failed("read the ends of logs", err)
	}
	for i := range tails {
		if t := &tails[i]; len(t.Events) == 0 && t.Err == nil {
			t.Events, t.Err = s.Events(ctx, t.SessionID, EventFilter{Since: t.Since, Limit: limit, MaxBytes: maxBytes})
		}
	}
	return nil
}

func scanTails(rows pgx.Rows, tails []Tail) error {
	defer rows.Close()
	for rows.Next() {
		var (
			number int64
			e      schema.Event
		)
		bad, err := scanEvent(rows, &e, &number)
		if err != nil {
			return err
		}
		t := &tails[number-1]
		switch next := t.Since + int64(len(t.Events)) + 1; {
		case t.Err != nil:
		case bad != nil:
			t.Err = bad
		case e.Seq == next: // what follows a gap is left for the next read
			e.SessionID = t.SessionID
			t.Events = append(t.Events, e)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read: %w", err)
	}
	return nil
}

// Heads returns the seqs of sessions' latest events. Sessions that do not exist are missing.
func (s *Store) Heads(ctx context.Context, sessionIDs []string) (map[string]int64, error) {
	for _, id := range sessionIDs {
		if !schema.ValidID(id) {
			return nil, noSession(id)
		}
	}
	rows, err := s.pool.Query(ctx, `SELECT id::text, head_seq FROM sessions WHERE id = ANY ($1::uuid[]) AND deleted_at IS NULL`,
		sessionIDs)
	if err != nil {
		return nil, failed("read the heads of logs", err)
	}
	heads := make(map[string]int64, len(sessionIDs))
	var (
		id   string
		head int64
	)
	_, err = pgx.ForEachRow(rows, []any{&id, &head}, func() error {
		heads[id] = head
		return nil
	})
	return heads, failed("read the heads of logs", err)
}
