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
	channel         = "holdfast_feed"
	channelViewers  = "holdfast_viewers"
	channelReplaced = "holdfast_replaced"

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

// Listener is told what others do to the database, from one goroutine. Its functions should
// return soon: meanwhile notices wait in the connection. What is nil is not listened to.
type Listener struct {
	Notice    func(Notice)                 // a transaction has changed a session; in the order of the commits
	Viewers   func(sessionIDs []string)    // who views these has changed
	Replaced  func(connectionIDs []string) // newer connections of the same clients have replaced these
	Connected func()
}

// Listen tells l until ctx ends; then it returns nil. It holds a connection of its own,
// past a pooler, and makes a new one when it breaks. Notices that fall between two connections are lost:
// Connected is called after each connect, the first one too, once notices arrive again, for
// the caller to catch up.
func (s *Store) Listen(ctx context.Context, l Listener) error {
	channels := make([]string, 0, 3)
	for name, wanted := range map[string]bool{channel: l.Notice != nil, channelViewers: l.Viewers != nil, channelReplaced: l.Replaced != nil} {
		if wanted {
			channels = append(channels, name)
		}
	}
	for backoff := listenBackoffFirst; ; backoff = min(2*backoff, listenBackoffMost) {
		err := s.listenOnce(ctx, "LISTEN "+strings.Join(channels, "; LISTEN "), l, func() {
			backoff = listenBackoffFirst
			if l.Connected != nil {
				l.Connected()
			}
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

func (s *Store) listenOnce(ctx context.Context, listen string, l Listener, connected func()) error {
	conn, err := pgx.ConnectConfig(ctx, s.direct.Copy())
	if err != nil {
		return failed("connect", err)
	}
	defer hangUp(ctx, conn)
	if _, err := conn.Exec(ctx, listen, pgx.QueryExecModeSimpleProtocol); err != nil {
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
			l.hear(got.Channel, got.Payload)
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

func (l *Listener) hear(from, payload string) {
	switch from {
	case channel:
		if n, ok := parseNotice(payload); ok {
			l.Notice(n)
		}
	case channelViewers:
		l.Viewers(strings.Fields(payload))
	case channelReplaced:
		l.Replaced(strings.Fields(payload))
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
