package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/holdfast/holdfast/schema"
)

// DefaultEventLimit is how many events [Store.Events] returns if the filter has no limit.
const DefaultEventLimit = 1000

// EventFilter selects events of one session.
type EventFilter struct {
	Since    int64              // only seq > Since
	Until    int64              // only seq <= Until; 0 for no limit
	Types    []schema.EventType // only these; empty for all
	Limit    int                // at most this many; DefaultEventLimit when 0
	MaxBytes int64              // stop before the data exceeds this in total, but after at least one event; 0 for no limit
}

// The ways to ask for part of a log.
type eventsQuery int

const (
	queryRows        eventsQuery = iota // the rows; none if part of the answer is in blocks
	queryUncompacted                    // the rows, for types that are never in blocks
	queryMixed                          // the rows and, with MaxBytes, the first one beyond it: the rest is in blocks
)

// text is the query. Its first column is compacted_seq. Without a matching event it returns one row with seq 0,
// without a session none.
func (q eventsQuery) text(bounded bool) string {
	where := ""
	switch q {
	case queryRows:
		where = ` AND (SELECT compacted_seq FROM log) <= $2`
	case queryUncompacted: // so that the planner sees that events_story covers them
		where = ` AND e.type NOT IN ('output', 'step_progress')`
	case queryMixed:
	}
	text := `WITH log AS MATERIALIZED (SELECT compacted_seq, created_at FROM sessions WHERE id = $1 AND deleted_at IS NULL),
		e AS (SELECT e.seq, e.type, e.run_id, e.step_id, e.at, e.size, e.data, e.packed FROM events e
			 WHERE e.session_id = $1 AND e.seq > $2 AND e.seq <= $3
			   AND (cardinality($4::text[]) = 0 OR e.type = ANY ($4::text[]))` + where + `
			 ORDER BY e.seq LIMIT $5)`
	from, on := "e", "true"
	if bounded {
		text += `, summed AS (SELECT e.seq, e.type, e.run_id, e.step_id, e.at, e.size, e.data, e.packed, sum(e.size) OVER (ORDER BY e.seq ROWS UNBOUNDED PRECEDING) AS so_far FROM e)`
		from, on = "summed e", "(so_far <= $6 OR so_far = size)"
		if q == queryMixed {
			on = "so_far - size <= $6"
		}
	}
	return text + ` SELECT log.compacted_seq, COALESCE(e.seq, 0), COALESCE(e.type, ''), COALESCE(e.run_id::text, ''), COALESCE(e.step_id, ''),
		COALESCE(e.at, log.created_at), COALESCE(e.size, 0), e.data::text, e.packed FROM log LEFT JOIN ` + from + ` ON ` + on
}

// eventsQueries has the texts, without and with MaxBytes.
var eventsQueries = map[eventsQuery][2]string{
	queryRows:        {queryRows.text(false), queryRows.text(true)},
	queryUncompacted: {queryUncompacted.text(false), queryUncompacted.text(true)},
	queryMixed:       {queryMixed.text(false), queryMixed.text(true)},
}

func (f *EventFilter) kinds() []string {
	kinds := make([]string, 0, len(f.Types))
	for _, kind := range f.Types {
		kinds = append(kinds, string(kind))
	}
	return kinds
}

func (f *EventFilter) query(q eventsQuery, sessionID string) (text string, args []any) {
	text = eventsQueries[q][0]
	args = []any{sessionID, f.Since, f.Until, f.kinds(), f.Limit}
	if f.MaxBytes > 0 {
		text = eventsQueries[q][1]
		args = append(args, f.MaxBytes)
	}
	return text, args
}

// compactable reports whether events of a type move to blocks once their run is over.
func compactable(kind schema.EventType) bool {
	return kind == schema.EventOutput || kind == schema.EventStepProgress
}

// Events returns part of a session's log in the order of seq. Fewer events than Limit do not mean
// that the log has ended: compare the last seq with the head. No events means that there are none.
// The data of the events must not be changed: it may be shared with other readers.
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
	q := queryRows
	if len(f.Types) > 0 && !slices.ContainsFunc(f.Types, compactable) {
		q = queryUncompacted
	}
	text, args := f.query(q, sessionID)
	rows, err := s.pool.Query(ctx, text, args...)
	if err != nil {
		return nil, failed("read events", err)
	}
	events, compacted, err := scanEvents(rows, sessionID)
	if err == nil && q == queryRows && compacted > f.Since {
		events, err = s.eventsWithBlocks(ctx, sessionID, &f)
	}
	if err != nil {
		return nil, failed("read events", err)
	}
	return events, nil
}

// scanEvents reads the result of an [eventsQuery].
func scanEvents(rows pgx.Rows, session string) (events []schema.Event, compacted int64, err error) {
	defer rows.Close()
	events = []schema.Event{}
	found := false
	for rows.Next() {
		found = true
		e := schema.Event{SessionID: session}
		bad, err := scanEvent(rows, &e, &compacted)
		if err = errors.Join(err, bad); err != nil {
			return nil, 0, err
		}
		if e.Seq > 0 {
			events = append(events, e)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, 0, fmt.Errorf("read: %w", err)
	}
	if !found {
		return nil, 0, noSession(session)
	}
	bySeq := func(a, b schema.Event) int { return cmp.Compare(a.Seq, b.Seq) }
	if !slices.IsSortedFunc(events, bySeq) { // SQL guarantees no order for a join
		slices.SortFunc(events, bySeq)
	}
	return events, compacted, nil
}

// scanEvent reads a row: the query's own columns, then those of an event. bad says that the data is not what was
// written.
func scanEvent(rows pgx.Rows, e *schema.Event, own ...any) (bad, err error) {
	var (
		kind   string
		size   int32
		data   *string
		packed []byte
	)
	err = rows.Scan(append(own, &e.Seq, &kind, &e.RunID, &e.StepID, &e.Timestamp.Time, &size, &data, (*pgtype.DriverBytes)(&packed))...)
	if err != nil {
		return nil, fmt.Errorf("scan: %w", err)
	}
	e.Type = schema.EventType(kind)
	e.Timestamp.Time = e.Timestamp.UTC()
	if data != nil {
		e.Data = []byte(*data)
	} else if packed != nil {
		e.Data, bad = unpack(packed, size)
	}
	return bad, nil
}

// HeadSeq is the seq of a session's latest event, 0 before the first.
func (s *Store) HeadSeq(ctx context.Context, sessionID string) (int64, error) {
	if !schema.ValidID(sessionID) {
		return 0, noSession(sessionID)
	}
	var head int64
	err := s.pool.QueryRow(ctx, `SELECT head_seq FROM sessions WHERE id = $1 AND deleted_at IS NULL`,
		sessionID).Scan(&head)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, noSession(sessionID)
	}
	return head, failed("read the head of a log", err)
}

// AppendEvents adds events to a session's log.
type AppendEvents struct {
	SessionID string
	Key       string // identifies repetitions; required
	Events    []schema.NewEvent
}

// AppendEvents adds events that change no other row, once per key, and returns the head of the log.
func (s *Store) AppendEvents(ctx context.Context, a AppendEvents) (int64, error) {
	return s.inSessionTx(ctx, "append events", a.SessionID, "events:"+a.Key, nil, func(c *sessionTx) error {
		c.events = append(c.events, a.Events...)
		return nil
	})
}
