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
	channelTraces   = "holdfast_traces" // apart from the feed's, whose notices an older release reads to their end

	listenBackoffFirst = 50 * time.Millisecond
	listenBackoffMost  = 3 * time.Second
	listenIdle         = 15 * time.Second // check the connection after this long without a notice
)

// Notice says that a session has changed: Head is the seq of its latest event. List says that what
// lists show changed too: created, deleted, renamed, status, phase, approvals, waiting messages, or
// the end of a run.
type Notice struct {
	SessionID string
	Head      int64
	List      bool
}

// Listener receives changes that others make to the database, from one goroutine. Its functions
// should return soon, because notices wait in the connection meanwhile. Nil functions are not
// listened for.
type Listener struct {
	Notice   func(Notice)                 // a transaction changed a session; in commit order
	Viewers  func(sessionIDs []string)    // the viewers of these sessions have changed
	Replaced func(connectionIDs []string) // newer connections of the same clients replaced these
	// Traced says what made a session's log as long as head, as a traceparent. It comes before the notice of that.
	Traced    func(sessionID string, head int64, parent string)
	Connected func()
}

// Listen calls l until ctx ends; then it returns nil. It holds its own connection, past a pooler, and
// reconnects when that breaks. Notices between two connections are lost: Connected is called after each
// connect, including the first, once notices arrive again, so that the caller can catch up.
func (s *Store) Listen(ctx context.Context, l Listener) error {
	channels := make([]string, 0, 4)
	for name, wanted := range map[string]bool{channel: l.Notice != nil, channelViewers: l.Viewers != nil, channelReplaced: l.Replaced != nil, channelTraces: l.Traced != nil} {
		if wanted {
			channels = append(channels, name)
		}
	}
	lost := false
	for backoff := listenBackoffFirst; ; backoff = min(2*backoff, listenBackoffMost) {
		err := s.listenOnce(ctx, "LISTEN "+strings.Join(channels, "; LISTEN "), l, func() {
			backoff = listenBackoffFirst
			if lost {
				s.log.InfoContext(ctx, "feed connection found")
				lost = false
			}
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
			if !lost {
				s.log.WarnContext(ctx, "feed connection lost", "error", err)
				lost = true
			}
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
	defer closeConn(ctx, conn)
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
	case channelTraces:
		at := strings.LastIndexByte(payload, ' ')
		if n, ok := parseNotice(payload[:max(at, 0)]); ok {
			l.Traced(n.SessionID, n.Head, payload[at+1:])
		}
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
