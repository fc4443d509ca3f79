package store

import (
	"context"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/holdfast/holdfast/schema"
)

const (
	channel = "holdfast_feed"

	listenBackoffFirst = 50 * time.Millisecond
	listenBackoffMost  = 3 * time.Second
	listenIdle         = 15 * time.Second // after so long without a notice, ask whether the connection is alive
)

// Notice says that a session has changed: Head is the seq of its latest event. List says
// that what lists show changed too: created, deleted, renamed, status, phase, approvals,
// messages that wait, or the end of a run.
type Notice struct {
	SessionID string
	Head      int64
	List      bool
}

// Listen calls notify for each transaction that adds events, in the order of the commits,
// until ctx ends; then it returns nil. It holds a connection of its own and makes a new one when it
// breaks. Notices that fall between two connections are lost: connected is called after
// each connect, the first one too, once notices arrive again, for the caller to catch up.
// Both functions are called from one goroutine and should return soon: meanwhile notices
// wait in the connection.
func (s *Store) Listen(ctx context.Context, notify func(Notice), connected func()) error {
	for backoff := listenBackoffFirst; ; backoff = min(2*backoff, listenBackoffMost) {
		err := s.listenOnce(ctx, notify, func() {
			backoff = listenBackoffFirst
			connected()
		})
		wait := time.NewTimer(backoff/2 + rand.N(backoff/2))
		select {
		case <-ctx.Done():
			wait.Stop()
			return nil
		default:
			s.log.WarnContext(ctx, "feed connection lost", "error", err, "retry_in", backoff)
		}
		select {
		case <-ctx.Done():
		case <-wait.C:
		}
		wait.Stop()
	}
}

func (s *Store) listenOnce(ctx context.Context, notify func(Notice), connected func()) error {
	conn, err := pgx.ConnectConfig(ctx, s.pool.Config().ConnConfig)
	if err != nil {
		return failed("connect", err)
	}
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
		defer cancel()
		_ = conn.Close(end)
	}()
	if _, err := conn.Exec(ctx, `LISTEN `+channel); err != nil {
		return failed("listen", err)
	}
	connected()
	for {
		idle, cancel := context.WithTimeout(ctx, listenIdle)
		got, err := conn.WaitForNotification(idle)
		quiet := idle.Err() != nil && ctx.Err() == nil
		cancel()
		switch {
		case err == nil:
			if n, ok := parseNotice(got.Payload); ok {
				notify(n)
			}
		case quiet && !conn.IsClosed():
			alive, cancel := context.WithTimeout(ctx, connectTimeout)
			err = conn.Ping(alive)
			cancel()
			if err != nil {
				return failed("listen", err)
			}
		default:
			return failed("listen", err)
		}
	}
}

func parseNotice(payload string) (Notice, bool) {
	session, rest, _ := strings.Cut(payload, " ")
	number, flag, _ := strings.Cut(rest, " ")
	head, err := strconv.ParseInt(number, 10, 64)
	if err != nil || !schema.ValidID(session) {
		return Notice{}, false
	}
	return Notice{SessionID: session, Head: head, List: flag == "1"}, true
}
