package store

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/holdfast/holdfast/schema"
)

// DefaultEventLimit is how many events [Store.Events] returns when the filter does not say.
const DefaultEventLimit = 1000

// EventFilter chooses events of one session.
type EventFilter struct {
	Since    int64              // only seq > Since
	Until    int64              // only seq <= Until; 0 for no bound
	Types    []schema.EventType // only these; empty for all
	Limit    int                // at most this many; DefaultEventLimit when 0
	MaxBytes int64              // stop before the data is larger than this in all, but after one event at least; 0 for no bound
}

// Events returns a part of a session's log in the order of seq. Fewer events than Limit do
// not mean that the log has ended: compare the last seq with the head.
func (s *Store) Events(ctx context.Context, sessionID string, f EventFilter) ([]schema.Event, error) {
	if !schema.ValidID(sessionID) {
		return nil, noSession(sessionID)
	}
	if f.Until <= 0 {
		f.Until = math.MaxInt64
	}
	if f.Limit <= 0 {
		f.Limit = DefaultEventLimit
	}
	kinds := make([]string, 0, len(f.Types))
	for _, kind := range f.Types {
		kinds = append(kinds, string(kind))
	}
	query := `SELECT e.seq, e.type, COALESCE(e.run_id::text, ''), COALESCE(e.step_id, ''), e.at, e.size, e.data::text, e.packed
		  FROM sessions s JOIN events e ON e.session_id = s.id
		 WHERE s.id = $1 AND s.deleted_at IS NULL AND e.seq > $2 AND e.seq <= $3
		   AND (cardinality($4::text[]) = 0 OR e.type = ANY ($4::text[]))
		 ORDER BY e.seq LIMIT $5`
	args := []any{pgx.QueryExecModeCacheStatement, sessionID, f.Since, f.Until, kinds, f.Limit}
	if f.MaxBytes > 0 {
		query = `WITH chosen AS (
			SELECT e.seq, e.type, e.run_id, e.step_id, e.at, e.size, e.data, e.packed
			  FROM sessions s JOIN events e ON e.session_id = s.id
			 WHERE s.id = $1 AND s.deleted_at IS NULL AND e.seq > $2 AND e.seq <= $3
			   AND (cardinality($4::text[]) = 0 OR e.type = ANY ($4::text[]))
			 ORDER BY e.seq LIMIT $5),
		summed AS (SELECT seq, type, run_id, step_id, at, size, data, packed, sum(size) OVER (ORDER BY seq ROWS UNBOUNDED PRECEDING) AS so_far FROM chosen)
		SELECT seq, type, COALESCE(run_id::text, ''), COALESCE(step_id, ''), at, size, data::text, packed
		  FROM summed WHERE so_far <= $6 OR so_far = size ORDER BY seq`
		args = append(args, f.MaxBytes)
	}
	rows, err := s.pool.Query(ctx, query, args...)
	if err != nil {
		return nil, failed("read events", err)
	}
	events, err := scanEvents(rows, sessionID)
	if err != nil {
		return nil, failed("read events", err)
	}
	if len(events) == 0 {
		if _, err := s.HeadSeq(ctx, sessionID); err != nil {
			return nil, err
		}
	}
	return events, nil
}

func scanEvents(rows pgx.Rows, session string) ([]schema.Event, error) {
	defer rows.Close()
	events := []schema.Event{}
	for rows.Next() {
		e := schema.Event{SessionID: session}
		var (
			kind   string
			size   int32
			data   *string
			packed []byte
		)
		if err := rows.Scan(&e.Seq, &kind, &e.RunID, &e.StepID, &e.Timestamp.Time, &size, &data, (*pgtype.DriverBytes)(&packed)); err != nil {
			return nil, fmt.Errorf("scan: %w", err)
		}
		e.Type = schema.EventType(kind)
		e.Timestamp.Time = e.Timestamp.UTC()
		if data != nil {
			e.Data = []byte(*data)
		} else {
			text, err := unpack(packed, size)
			if err != nil {
				return nil, err
			}
			e.Data = text
		}
		events = append(events, e)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	return events, nil
}

// HeadSeq is the seq of a session's latest event, 0 before the first.
func (s *Store) HeadSeq(ctx context.Context, sessionID string) (int64, error) {
	if !schema.ValidID(sessionID) {
		return 0, noSession(sessionID)
	}
	var head int64
	err := s.pool.QueryRow(ctx, `SELECT head_seq FROM sessions WHERE id = $1 AND deleted_at IS NULL`,
		pgx.QueryExecModeCacheStatement, sessionID).Scan(&head)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, noSession(sessionID)
	}
	return head, failed("read the head of a log", err)
}

// AppendEvents adds events to a session's log.
type AppendEvents struct {
	SessionID string
	Key       string // tells repetitions apart; required
	Events    []schema.NewEvent
}

// AppendEvents adds events that change no other row, once for each key, and returns the
// head of the log.
func (s *Store) AppendEvents(ctx context.Context, a AppendEvents) (int64, error) {
	return s.change(ctx, "append events", a.SessionID, "events:"+a.Key, nil, func(c *change) error {
		c.events = append(c.events, a.Events...)
		return nil
	})
}
