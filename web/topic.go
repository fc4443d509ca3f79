package web

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
)

// topic is a session that somebody watches: the latest frames of its log, read once.
//
// Locks are taken in the order hub.mu, topic.mu, conn.mu.
type topic struct {
	hub    *hub
	id     string
	pinned int // guarded by hub.mu

	mu      sync.Mutex
	ready   bool          // tail is known
	opening chan struct{} // closed when the read of the head under way is over
	tail    int64         // the latest seq that the ring holds, or held
	head    int64         // the latest seq that a notice has named
	reading bool          // follow runs
	dropped bool
	ring    ring
	pages   pages
	cursors map[*cursor]struct{}
}

func newTopic(h *hub, id string) *topic {
	return &topic{hub: h, id: id, cursors: map[*cursor]struct{}{}, pages: newPages()}
}

// open finds the head of the log, once for all who wait, and returns it.
func (t *topic) open(ctx context.Context) (int64, error) {
	for {
		t.mu.Lock()
		if t.ready {
			head := max(t.tail, t.head)
			t.mu.Unlock()
			return head, nil
		}
		if wait := t.opening; wait != nil {
			t.mu.Unlock()
			select {
			case <-wait:
				continue
			case <-ctx.Done():
				return 0, schema.Wrap(schema.CodeUnavailable, ctx.Err(), "the log could not be read in time; try again")
			}
		}
		done := make(chan struct{})
		t.opening = done
		t.mu.Unlock()
		head, err := t.hub.source.HeadSeq(ctx, t.id)
		t.mu.Lock()
		t.opening = nil
		close(done)
		if err == nil {
			t.ready, t.tail = true, head
			t.followLocked()
		}
		t.mu.Unlock()
		if err != nil {
			return 0, err //nolint:wrapcheck // a schema.Error
		}
	}
}

// confirm asks the log itself about a seq that is ahead of what was noticed.
func (t *topic) confirm(ctx context.Context, since int64) (int64, error) {
	head, err := t.hub.source.HeadSeq(ctx, t.id)
	if err != nil {
		return 0, err //nolint:wrapcheck // a schema.Error
	}
	if since > head {
		return 0, invalidField("frame.since", "the log has not come so far: its head is "+itoa(head), since)
	}
	t.noticed(head)
	return head, nil
}

func (t *topic) noticed(head int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.head = max(t.head, head)
	t.followLocked()
}

// recheck reads the head, for notices that may have been lost.
func (t *topic) recheck() {
	t.hub.start(func(ctx context.Context) {
		for ctx.Err() == nil {
			if !t.hub.acquire(ctx) {
				return
			}
			head, err := t.hub.source.HeadSeq(ctx, t.id)
			t.hub.release()
			if err == nil {
				t.noticed(head)
				return
			}
			if schema.CodeOf(err) == schema.CodeNotFound || t.isDropped() {
				return
			}
			pause(ctx)
		}
	})
}

func (t *topic) isDropped() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.dropped
}

// followLocked starts the one reader of the log's end when there is something to read.
func (t *topic) followLocked() {
	if t.ready && !t.reading && !t.dropped && t.head > t.tail {
		t.reading = true
		t.hub.start(t.follow)
	}
}

func (t *topic) follow(ctx context.Context) {
	for {
		t.mu.Lock()
		if t.dropped || t.head <= t.tail || ctx.Err() != nil {
			t.reading = false
			t.mu.Unlock()
			return
		}
		since := t.tail
		t.mu.Unlock()
		read, cancel := context.WithTimeout(ctx, logTimeout)
		events, err := t.hub.source.Events(read, t.id, store.EventFilter{Since: since, Limit: liveEvents, MaxBytes: pageBytes})
		cancel()
		if err != nil && schema.CodeOf(err) != schema.CodeNotFound {
			pause(ctx)
			continue
		}
		t.mu.Lock()
		if len(events) == 0 { // the session was deleted
			t.head = t.tail
		} else {
			t.addLocked(encodeEvents(events))
		}
		t.mu.Unlock()
	}
}

func (t *topic) addLocked(s *segment) {
	t.ring.add(s)
	t.tail = s.last()
	grown := len(s.buf) - t.ring.trim(t.hub.bound(ringBytes))
	if !t.dropped {
		t.hub.bytes.Add(int64(grown))
	}
	for c := range t.cursors {
		c.wake()
	}
}

func (t *topic) attach(since int64, wake func()) *cursor {
	c := &cursor{topic: t, wake: wake, hint: -1}
	c.pos.Store(since)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cursors[c] = struct{}{}
	return c
}

// cursor is a subscriber's place in a log. One goroutine at a time calls next.
type cursor struct {
	topic *topic
	wake  func()
	pos   atomic.Int64 // the latest seq that was handed out
	hint  int64        // where the page starts that pos came from, -1 for none; used by next alone
}

// detach ends a subscription.
func (c *cursor) detach() {
	t := c.topic
	t.mu.Lock()
	delete(t.cursors, c)
	t.mu.Unlock()
	t.hub.mu.Lock()
	defer t.hub.mu.Unlock()
	t.hub.dropIdle(t)
}

// lag is how many events there are after the cursor.
func (c *cursor) lag() int64 {
	c.topic.mu.Lock()
	defer c.topic.mu.Unlock()
	return max(0, max(c.topic.tail, c.topic.head)-c.pos.Load())
}

// next returns frames that follow, from memory or, for a cursor that is behind it, from the
// log; nil when there are none now. wake is called when there are more.
func (c *cursor) next(ctx context.Context, most int) []byte {
	t := c.topic
	pos := c.pos.Load()
	t.mu.Lock()
	if pos >= t.tail {
		t.mu.Unlock()
		return nil
	}
	s := t.ring.after(pos)
	t.mu.Unlock()
	if s == nil {
		var err error
		if s, c.hint, err = t.page(ctx, pos, c.hint); err != nil && schema.CodeOf(err) != schema.CodeNotFound {
			c.retryLater()
		}
		if s == nil {
			return nil
		}
	}
	frames, last := s.after(pos, most)
	c.pos.Store(last)
	t.hub.metrics.events.Add(last - pos)
	return frames
}

func (c *cursor) retryLater() {
	c.topic.hub.start(func(ctx context.Context) {
		pause(ctx)
		c.wake()
	})
}

// pause waits before a read is tried again.
func pause(ctx context.Context) {
	t := time.NewTimer(retryDelay)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
