package web

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
)

// topic is a session that somebody watches: the latest frames of its log, read once.
type topic struct {
	hub    *hub
	shard  *shard
	id     string
	pinned int // guarded by shard.mu

	mu      sync.Mutex
	ready   bool          // tail is known
	opening chan struct{} // closed when the read of the head under way is over
	tail    int64         // the latest seq that the ring holds, or held
	head    int64         // the latest seq that a notice has named
	due     bool          // the shard is to read the log's end, or does
	dropped bool
	ring    ring
	pages   pages
	cursors map[*cursor]struct{}
}

func newTopic(s *shard, id string) *topic {
	return &topic{hub: s.hub, shard: s, id: id, cursors: map[*cursor]struct{}{}, pages: newPages()}
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

// followLocked has the log's end read when there is something to read.
func (t *topic) followLocked() {
	if t.ready && !t.due && !t.dropped && t.head > t.tail {
		t.due = true
		t.shard.read(t)
	}
}

// end is the seq after which there is something to read.
func (t *topic) end() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.tail
}

func (t *topic) isDropped() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.dropped
}

// take adds what was read of the log's end, and reports whether that is all that can be done
// now. When it is not, the read is to be tried again, for which the topic stays due.
func (t *topic) take(tail *store.Tail, err error) (done bool) {
	var s *segment
	if err == nil && len(tail.Events) > 0 {
		s = encodeEvents(tail.Events)
	}
	if err == nil {
		err = tail.Err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.dropped:
		return true
	case s != nil:
		t.addLocked(s)
	case err == nil || schema.CodeOf(err) == schema.CodeNotFound: // the session was deleted
		t.head, err = t.tail, nil
	}
	if err != nil && t.head > t.tail {
		return false
	}
	t.due = false
	t.followLocked()
	return true
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
	t.shard.mu.Lock()
	defer t.shard.mu.Unlock()
	t.shard.dropIdle(t)
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
func pause(ctx context.Context) { sleep(ctx, retryDelay) }
