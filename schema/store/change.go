package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/telemetry/traceparent"
)

// errNothing ends a change that has nothing to write: it was already made.
var errNothing = errors.New("nothing to write")

// sessionTx is one transaction on one session. It first locks the session's row, so that changes to a session happen one
// after the other and cannot deadlock. It takes three round trips: the lock with all reads, all writes, the commit.
type sessionTx struct {
	session string
	head    int64     // before the change
	deleted bool      // the session was deleted; what its workers still write is stored all the same
	now     time.Time // of its rows and its events, by the clock of the database, in whole milliseconds
	trace   string    // what the change belongs to, as a traceparent; "" if that is not traced
	list    bool      // what lists show has changed
	key     string    // of the first event

	reads  *pgx.Batch
	writes *pgx.Batch
	events []schema.NewEvent
	closed []ClosedApproval
	was    schema.SessionStatus // before a transition
}

// event adds an event. Events keep the order of the calls.
func (c *sessionTx) event(kind schema.EventType, run, step string, data any) {
	c.events = append(c.events, schema.NewEvent{Type: kind, RunID: run, StepID: step, Data: data})
}

// inSessionTx makes one change to a session. read queues what the decision needs; decide looks at it and queues rows and events. If
// decide returns errNothing, nothing is written and the answer is the current head. A key that was applied before has
// the same effect, before decide.
func (s *Store) inSessionTx(ctx context.Context, op, session, key string, read func(*sessionTx), decide func(*sessionTx) error) (int64, error) {
	if !schema.ValidID(session) {
		return 0, noSession(session)
	}
	c := &sessionTx{session: session, key: clean(key), trace: traceparent.Of(ctx), reads: &pgx.Batch{}, writes: &pgx.Batch{}}
	head, err := s.transact(ctx, c, read, decide)
	switch {
	case errors.Is(err, errNothing):
		return c.head, nil
	case errors.Is(err, pgx.ErrNoRows):
		return 0, noSession(session)
	case err != nil:
		return 0, failed(op, err)
	default:
		return head, nil
	}
}

func (s *Store) transact(ctx context.Context, c *sessionTx, read func(*sessionTx), decide func(*sessionTx) error) (head int64, err error) {
	fresh := true
	c.reads.BeginTx(pgx.TxOptions{})
	c.reads.Queue(`SELECT head_seq, deleted_at IS NOT NULL, date_trunc('milliseconds', clock_timestamp()) FROM sessions WHERE id = $1::uuid FOR NO KEY UPDATE`, c.session).
		QueryRow(func(row pgx.Row) error { return row.Scan(&c.head, &c.deleted, &c.now) })
	if c.key != "" {
		c.reads.Queue(`SELECT NOT EXISTS (SELECT FROM applied_keys WHERE session_id = $1::uuid AND key = $2)`, c.session, c.key).
			QueryRow(func(row pgx.Row) error { return row.Scan(&fresh) })
		c.writes.Queue(`INSERT INTO applied_keys (session_id, key) VALUES ($1::uuid, $2)`, c.session, c.key)
	}
	if read != nil {
		read(c)
	}
	results := s.pool.SendBatch(ctx, c.reads)
	err = results.Close()
	tx := results.Tx()
	defer func() {
		if tx != nil && err != nil {
			undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
			defer cancel()
			_ = tx.Rollback(undo) // the first error says more
		}
	}()
	if err != nil {
		return 0, fmt.Errorf("read: %w", err)
	}
	if !fresh {
		return 0, errNothing
	}
	if err := decide(c); err != nil {
		return 0, err
	}
	pack := newPacker()
	defer pack.release()
	c.finish(pack)
	if err := tx.SendBatch(ctx, c.writes).Close(); err != nil {
		return 0, fmt.Errorf("write: %w", err)
	}
	if err := tx.Commit(ctx); err != nil {
		return 0, fmt.Errorf("commit: %w", err)
	}
	s.tell(ctx, c)
	return c.head + int64(len(c.events)), nil
}

// finish queues the events, the new head and the notice.
func (c *sessionTx) finish(pack *packer) {
	head := c.head + int64(len(c.events))
	if len(c.events) > 0 {
		var kinds, runs, steps []string
		for i := range c.events {
			e := &c.events[i]
			kinds = append(kinds, string(e.Type))
			runs = append(runs, e.RunID)
			steps = append(steps, e.StepID)
			pack.add(schema.Marshal(e.Data))
		}
		sizes, data, packed := pack.columns()
		c.writes.Queue(`INSERT INTO events (session_id, seq, type, run_id, step_id, idem_key, at, size, data, packed)
			SELECT $1::uuid, $2::bigint + e.i, e.type, NULLIF(e.run, '')::uuid, NULLIF(e.step, ''),
			       CASE WHEN e.i = 1 THEN NULLIF($3::text, '') END, $10::timestamptz, e.size, NULLIF(e.data, '')::json, e.packed
			  FROM unnest($4::text[], $5::text[], $6::text[], $7::integer[], $8::text[], $9::bytea[])
			       WITH ORDINALITY AS e (type, run, step, size, data, packed, i)`,
			c.session, c.head, c.key, kinds, runs, steps, sizes, data, packed, c.now)
	}
	c.writes.Queue(`UPDATE sessions SET head_seq = $2::bigint, updated_at = $3::timestamptz WHERE id = $1::uuid`, c.session, head, c.now)
	if c.trace != "" && len(c.events) > 0 { // before the notice that makes others read the events
		c.writes.Queue(`SELECT pg_notify($1, $2)`, channelTraces, c.session+" "+strconv.FormatInt(head, 10)+" "+c.trace)
	}
	c.writes.Queue(`SELECT pg_notify($1, $2)`, channel, notice(c.session, head, c.list))
}

// notice is the payload of a notification; see [Notice].
func notice(session string, head int64, list bool) string {
	flag := " 0"
	if list {
		flag = " 1"
	}
	return session + " " + strconv.FormatInt(head, 10) + flag
}
