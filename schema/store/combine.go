package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Limits of one transaction of flushes.
const (
	maxWriters        = 2       // transactions at once: while one commits, the next is filled
	appendCalls       = 64      // flushes in one transaction
	appendBytes       = 4 << 20 // and their data
	appendTimeout     = 30 * time.Second
	appendLockTimeout = time.Second // for a session's row, while other flushes wait with it
)

// combiner lets concurrent flushes of many attempts share a transaction: a commit costs the same
// for one line as for fifty, and so does everything after it. A flush that comes alone is written
// at once.
type combiner struct {
	pool    *pgxpool.Pool
	running sync.WaitGroup

	mu      sync.Mutex
	waiting []*appendCall
	writers int
}

// appendCall is one flush. It owns its rows until done is closed.
type appendCall struct {
	args    []any // of holdfast_append_output; the first one is the session
	session string
	size    int
	release func()

	done chan struct{}
	head int64
	err  error
}

// append waits for the flush and returns the function's answer. If ctx ends first, the flush may
// still be written.
func (c *combiner) append(ctx context.Context, call *appendCall) (int64, error) {
	call.done = make(chan struct{})
	c.mu.Lock()
	c.waiting = append(c.waiting, call)
	if c.writers < maxWriters {
		c.writers++
		c.running.Go(c.writeBatches)
	}
	c.mu.Unlock()
	select {
	case <-call.done:
		return call.head, call.err
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
}

// writeBatches writes waiting flushes until there are none.
func (c *combiner) writeBatches() {
	for {
		calls := c.nextBatch()
		if calls == nil {
			return
		}
		err := c.send(calls, appendLockTimeout)
		if _, refused := errors.AsType[*pgconn.PgError](err); !refused {
			for _, call := range calls {
				call.end(err)
			}
			continue
		}
		// Postgres refuses one of the flushes, or somebody holds a row that one needs. Each is sent on its own, so
		// that none fails because of another, and only its own sender waits for it.
		for _, call := range calls {
			c.running.Go(func() { call.end(c.send([]*appendCall{call}, appendTimeout)) })
		}
	}
}

func (a *appendCall) end(err error) {
	a.err = err
	a.release()
	close(a.done)
}

// nextBatch returns the flushes for the next transaction, or nil if there are none: then this
// writer is done.
func (c *combiner) nextBatch() []*appendCall {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, size := 0, 0
	for n < len(c.waiting) && n < appendCalls && (n == 0 || size+c.waiting[n].size <= appendBytes) {
		size += c.waiting[n].size
		n++
	}
	if n == 0 {
		c.writers--
		return nil
	}
	calls := c.waiting[:n:n]
	c.waiting = append([]*appendCall(nil), c.waiting[n:]...)
	return calls
}

// send writes flushes in one round trip and one transaction. It locks the rows of sessions in the
// order of their ids, so that two writers cannot deadlock, and waits for a row no longer than
// lockTimeout.
func (c *combiner) send(calls []*appendCall, lockTimeout time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), appendTimeout)
	defer cancel()
	slices.SortStableFunc(calls, func(x, y *appendCall) int { return cmp.Compare(x.session, y.session) })
	b := &pgx.Batch{}
	b.Queue(`SELECT set_config('lock_timeout', $1, true)`, strconv.FormatInt(lockTimeout.Milliseconds(), 10))
	for _, call := range calls {
		b.Queue(`SELECT holdfast_append_output($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`, call.args...).
			QueryRow(func(row pgx.Row) error { return row.Scan(&call.head) })
	}
	if err := c.pool.SendBatch(ctx, b).Close(); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}
