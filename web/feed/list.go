package feed

import (
	"context"
	"sync"

	"github.com/holdfast/holdfast/logs"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
	"github.com/holdfast/holdfast/schema/wire"
	"github.com/holdfast/holdfast/web/frame"
)

const (
	listBytes = 1 << 20 // of the latest changes that the list keeps for slow subscribers
	listLimit = 100     // sessions in a snapshot: the newest ones
)

// list is the feed of what lists of sessions show. A subscriber starts with a snapshot and
// goes on with changes; one that falls behind what is kept, or that may have missed some,
// starts over with a new snapshot. Changes are states, so one that is sent twice is harmless.
type list struct {
	hub *Hub

	mu      sync.Mutex
	cursors map[*ListCursor]struct{}
	ring    ring
	tail    int64           // the number of the latest change
	dirty   map[string]bool // sessions to read again; true when it is new
	reading bool

	snapMu sync.Mutex // one reads, the others take what it has read
	snap   []byte
	snapAt int64 // tail when snap was read; -1 for none
}

func newList(h *Hub) *list {
	return &list{hub: h, cursors: map[*ListCursor]struct{}{}, dirty: map[string]bool{}, snapAt: -1}
}

// ListCursor is a subscriber's place in the list's changes.
type ListCursor struct {
	list *list
	wake func()
	pos  int64 // -1: wants a snapshot; guarded by list.mu
}

// attach adds a subscriber. It gets a snapshot first.
func (l *list) attach(wake func()) *ListCursor {
	c := &ListCursor{list: l, wake: wake, pos: -1}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cursors[c] = struct{}{}
	return c
}

// Detach ends the subscription.
func (c *ListCursor) Detach() {
	l := c.list
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.cursors, c)
	if len(l.cursors) == 0 {
		l.forgetLocked()
	}
}

// forgetLocked makes every reader start over. Changes that nobody watches are not counted,
// so what was kept is of no use after them.
func (l *list) forgetLocked() {
	l.tail++
	l.ring = ring{}
	clear(l.dirty)
}

// restart follows a gap in the notices.
func (l *list) restart() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forgetLocked()
	for c := range l.cursors {
		c.pos = -1
		c.wake()
	}
}

func (l *list) noticed(n store.Notice) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.cursors) == 0 {
		return
	}
	l.dirty[n.SessionID] = l.dirty[n.SessionID] || n.Head == 0
	if !l.reading {
		l.reading = true
		l.hub.start(l.follow)
	}
}

func (l *list) follow(ctx context.Context) {
	for {
		l.mu.Lock()
		if len(l.dirty) == 0 || ctx.Err() != nil {
			l.reading = false
			l.mu.Unlock()
			return
		}
		dirty := l.dirty
		l.dirty = map[string]bool{}
		l.mu.Unlock()
		s := &segment{}
		total := l.count(ctx)
		for id, created := range dirty {
			frame, err := l.change(ctx, id, created, total)
			if err != nil {
				l.mu.Lock()
				l.dirty[id] = l.dirty[id] || created
				l.mu.Unlock()
				pause(ctx)
				continue
			}
			s.starts = append(s.starts, int32(len(s.buf)))
			s.buf = append(s.buf, frame...)
		}
		l.mu.Lock()
		if len(s.starts) > 0 {
			s.first = l.tail + 1
			l.tail = s.last()
			l.ring.add(s)
			l.ring.trim(listBytes)
		}
		for c := range l.cursors {
			c.wake()
		}
		l.mu.Unlock()
	}
}

// count returns how many sessions there are. They are counted once, when somebody asks first.
func (l *list) count(ctx context.Context) func() (int, error) {
	return sync.OnceValues(func() (int, error) {
		ctx, cancel := context.WithTimeout(ctx, ReadTimeout)
		defer cancel()
		return l.hub.source.CountSessions(ctx)
	})
}

func (l *list) change(ctx context.Context, id string, created bool, total func() (int, error)) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, ReadTimeout)
	defer cancel()
	session, err := l.hub.source.Session(ctx, id)
	switch {
	case schema.CodeOf(err) == schema.CodeNotFound:
		n, err := total()
		return frame.New(wire.FrameSessionDeleted, "", wire.SessionDeletedData{SessionID: id, Total: &n}), err
	case err != nil:
		return nil, err
	}
	if !created {
		return frame.New(wire.FrameSessionUpdated, "", wire.SessionData{Session: listed(session)}), nil
	}
	n, err := total()
	return frame.New(wire.FrameSessionCreated, "", wire.SessionData{Session: listed(session), Total: n}), err
}

// listed is a session as lists show it: without plan, context and what its approvals are
// about, which may be large.
func listed(s schema.Session) schema.Session {
	s.Plan, s.Context = nil, nil
	s.PendingApprovals, s.ExpiredApprovals = withoutContext(s.PendingApprovals), withoutContext(s.ExpiredApprovals)
	return s
}

func withoutContext(approvals []schema.Approval) []schema.Approval {
	out := make([]schema.Approval, len(approvals))
	for i, a := range approvals {
		a.LeaveOutContext()
		out[i] = a
	}
	return out
}

// Next returns frames for a subscriber, nil when there are none now. One goroutine at a
// time calls it.
func (c *ListCursor) Next(ctx context.Context, most int) []byte {
	l := c.list
	l.mu.Lock()
	if c.pos == l.tail {
		l.mu.Unlock()
		return nil
	}
	if c.pos >= 0 {
		if s := l.ring.after(c.pos); s != nil {
			frames, last := s.after(c.pos, most)
			c.pos = last
			l.mu.Unlock()
			return frames
		}
	}
	l.mu.Unlock()
	frame, number, err := l.snapshot(ctx)
	if err != nil {
		l.hub.start(func(ctx context.Context) {
			pause(ctx)
			c.wake()
		})
		return nil
	}
	l.mu.Lock()
	c.pos = number
	l.mu.Unlock()
	return frame
}

// snapshot reads the list, once for each number of changes.
func (l *list) snapshot(ctx context.Context) ([]byte, int64, error) {
	l.snapMu.Lock()
	defer l.snapMu.Unlock()
	l.mu.Lock()
	number := l.tail
	l.mu.Unlock()
	if l.snapAt == number {
		return l.snap, number, nil
	}
	ctx, cancel := context.WithTimeout(ctx, ReadTimeout)
	defer cancel()
	sessions, total, _, err := l.hub.source.Sessions(ctx, store.SessionFilter{Limit: listLimit})
	if err != nil {
		l.hub.log.DebugContext(ctx, "list of sessions not read", logs.Err(err))
		return nil, 0, err
	}
	for i := range sessions {
		sessions[i] = listed(sessions[i])
	}
	l.snap, l.snapAt = frame.New(wire.FrameSessions, "", wire.SessionsData{Sessions: sessions, Total: total}), number
	return l.snap, number, nil
}
