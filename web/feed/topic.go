package feed

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast/holdfast/internal/wait"
	"github.com/holdfast/holdfast/logs"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
	"github.com/holdfast/holdfast/schema/wire"
	"github.com/holdfast/holdfast/web/frame"
)

// topic is a session that somebody watches: the latest frames of its log, read once.
type topic struct {
	hub    *Hub
	shard  *shard
	id     string
	pinned int // guarded by shard.mu

	mu       sync.Mutex
	ready    bool          // tail is known
	opening  chan struct{} // closed when the read of the head under way is over
	tail     int64         // the latest seq that the ring holds, or held
	head     int64         // the latest seq that a notice has named
	due      bool          // the shard is to read the log's end, or does
	dropped  bool
	gone     bool // the session was deleted
	asking   bool // the shard looks whether it was
	askAgain bool // and has to look once more
	shared   sharedFrame
	ring     ring
	pages    pages
	cursors  map[*Cursor]struct{}
	causes   []cause // of events that are not read yet
}

func newTopic(s *shard, id string) *topic {
	return &topic{hub: s.hub, shard: s, id: id, cursors: map[*Cursor]struct{}{}, pages: newPages()}
}

// open finds the head of the log, once for all who wait, and returns it.
func (t *topic) open(ctx context.Context) (int64, error) {
	for {
		t.mu.Lock()
		if t.gone {
			t.mu.Unlock()
			return 0, schema.Errorf(schema.CodeNotFound, "there is no session %q", t.id)
		}
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
			return 0, err
		}
	}
}

// confirm asks the log itself about a seq that is ahead of what was noticed.
func (t *topic) confirm(ctx context.Context, since int64) (int64, error) {
	head, err := t.hub.source.HeadSeq(ctx, t.id)
	if err != nil {
		return 0, err
	}
	if since > head {
		return 0, &AheadError{head: head, seen: since}
	}
	t.noticed(head)
	return head, nil
}

// AheadError says that a client has seen more of a log than there is: the log was restored to an earlier state.
type AheadError struct{ head, seen int64 }

// Error implements error.
func (e *AheadError) Error() string {
	return fmt.Sprintf("the log ends at event %d, before event %d that this client has seen: it was restored to an earlier state; read it from the beginning", e.head, e.seen)
}

// Unwrap gives its code to errors.As.
func (e *AheadError) Unwrap() error { return schema.Errorf(schema.CodeCursorAhead, "%s", e.Error()) }

// Frame tells it to a client.
func (e *AheadError) Frame(sessionID, requestID string) []byte {
	return frame.New(wire.FrameError, sessionID, wire.ErrorData{
		Code: schema.CodeCursorAhead, Message: e.Error(), RequestID: requestID, SessionID: sessionID, Head: &e.head, Errors: []schema.FieldError{},
	})
}

// noticed takes in a head that a notice has named, and reports whether it is news.
func (t *topic) noticed(head int64) (news bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	news = head > max(t.head, t.tail)
	t.head = max(t.head, head)
	t.followLocked()
	return news
}

// ask reports whether somebody has to look if the session is still there: nobody does yet. Whoever does looks once more
// then, as it may have looked before.
func (t *topic) ask() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.asking {
		t.askAgain = true
		return false
	}
	t.asking = true
	return true
}

// answered reports whether somebody has asked while the answer was looked for.
func (t *topic) answered() (again bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	again, t.askAgain = t.askAgain, false
	t.asking = again
	return again
}

func (t *topic) deleted() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.deletedLocked()
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
		if lag := t.hub.Lag; lag != nil {
			lag(time.Since(tail.Events[len(tail.Events)-1].Timestamp.Time))
		}
		t.deliveredLocked()
	case schema.CodeOf(err) == schema.CodeNotFound:
		t.deletedLocked()
		err = nil
	case err == nil:
		t.head, t.causes = t.tail, nil
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

// deletedLocked tells every subscriber that the session is gone.
func (t *topic) deletedLocked() {
	t.head, t.causes = t.tail, nil
	if t.gone {
		return
	}
	t.gone = true
	bye := frame.New(wire.FrameSessionDeleted, t.id, wire.SessionDeletedData{SessionID: t.id})
	for c := range t.cursors {
		c.bye = bye
		c.wake()
	}
}

// found takes in where the log ends, as Postgres says, which was asked when the topic had read up to before. A log that is
// shorter than that was restored to an earlier state: what was read after it is of another history.
func (t *topic) found(head, before int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if head >= before || !t.ready || t.dropped {
		t.head = max(t.head, head)
		t.followLocked()
		return
	}
	t.hub.bytes.Add(-int64(t.ring.bytes + t.pages.bytes))
	loading := t.pages.loading
	t.ring, t.pages, t.head, t.tail, t.causes = ring{}, newPages(), head, head, nil
	t.pages.loading = loading // whoever waits for those goes on to do so
	for c := range t.cursors {
		if pos := c.pos.Load(); pos > head {
			c.bye = (&AheadError{head: head, seen: pos}).Frame(t.id, "")
			c.wake()
		}
	}
}

func (t *topic) attach(since int64, wake func()) *Cursor {
	c := &Cursor{topic: t, wake: wake, hint: -1}
	c.pos.Store(since)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cursors[c] = struct{}{}
	if t.gone { // since it was opened
		c.bye = frame.New(wire.FrameSessionDeleted, t.id, wire.SessionDeletedData{SessionID: t.id})
	}
	return c
}

// Cursor is a subscriber's place in a log. One goroutine at a time calls next.
type Cursor struct {
	topic *topic
	wake  func()
	pos   atomic.Int64 // the latest seq that was handed out
	hint  int64        // where the page starts that pos came from, -1 for none; used by next alone
	bye   []byte       // the frame that ends the subscription, once it is to end; guarded by topic.mu
	over  bool         // it was handed out; used by next and its caller alone
}

// SessionID is whose log it is.
func (c *Cursor) SessionID() string { return c.topic.id }

// Over reports whether the frame that ends the subscription was handed out. It is for the caller of
// Next.
func (c *Cursor) Over() bool { return c.over }

// sharedFrame is the latest that a topic's followers share.
type sharedFrame struct {
	frame   []byte
	head    int64
	version int
	made    time.Time
}

// Shared returns a frame that all followers of the session share. It is made anew when the log has
// another head or the frame another version, and when it is older than maxAge.
func (c *Cursor) Shared(version int, maxAge time.Duration, encode func(head int64) []byte) []byte {
	t := c.topic
	t.mu.Lock()
	defer t.mu.Unlock()
	head := max(t.tail, t.head)
	if s := &t.shared; s.frame == nil || s.head != head || s.version != version || time.Since(s.made) > maxAge {
		*s = sharedFrame{frame: encode(head), head: head, version: version, made: time.Now()}
	}
	return t.shared.frame
}

// Detach ends a subscription.
func (c *Cursor) Detach() {
	t := c.topic
	t.mu.Lock()
	delete(t.cursors, c)
	t.mu.Unlock()
	t.shard.mu.Lock()
	defer t.shard.mu.Unlock()
	t.shard.dropIdle(t)
}

// Lag is how many events there are after the cursor.
func (c *Cursor) Lag() int64 {
	c.topic.mu.Lock()
	defer c.topic.mu.Unlock()
	return max(0, max(c.topic.tail, c.topic.head)-c.pos.Load())
}

// Next returns frames that follow, from memory or, for a cursor that is behind it, from the
// log; nil when there are none now. wake is called when there are more.
func (c *Cursor) Next(ctx context.Context, most int) []byte {
	t := c.topic
	pos := c.pos.Load()
	t.mu.Lock()
	s := t.ring.after(pos)
	if c.bye != nil && (s == nil || pos >= t.tail) { // nothing else of the log can be read
		bye := c.bye
		if c.over {
			bye = nil
		}
		c.over = true
		t.mu.Unlock()
		return bye
	}
	if pos >= t.tail {
		t.mu.Unlock()
		return nil
	}
	t.mu.Unlock()
	if s == nil {
		var err error
		s, c.hint, err = t.page(ctx, pos, c.hint)
		if lost, ok := errors.AsType[*store.RangeError](err); ok && lost.From > pos+1 || ok && lost.To <= pos {
			c.hint = pos // the page began before: what is lost of it may not concern this reader
			s, c.hint, err = t.page(ctx, pos, c.hint)
		}
		if lost, ok := errors.AsType[*store.RangeError](err); ok {
			return c.skip(ctx, lost, pos)
		}
		switch {
		case schema.CodeOf(err) == schema.CodeNotFound:
			t.mu.Lock()
			t.deletedLocked()
			t.mu.Unlock()
		case err != nil:
			c.retryLater()
		}
		if s == nil {
			return nil
		}
	}
	frames, last := s.after(pos, most)
	c.pos.Store(last)
	t.hub.delivered.Add(last - pos)
	t.hub.sent.Add(int64(len(frames)))
	return frames
}

// skip goes on after a stretch that cannot be read, and says which it is.
func (c *Cursor) skip(ctx context.Context, lost *store.RangeError, pos int64) []byte {
	to := max(lost.To, pos+1)
	c.pos.Store(to)
	c.hint = to
	c.topic.hub.log.ErrorContext(ctx, "a part of a log cannot be read", logs.Session(c.topic.id), slog.Int64("from_seq", pos+1), slog.Int64("to_seq", to), logs.Err(lost))
	return frame.New(wire.FrameError, c.topic.id, wire.ErrorData{
		Code: schema.CodeRange, SessionID: c.topic.id, FromSeq: pos + 1, ToSeq: to, Errors: []schema.FieldError{},
		Message: fmt.Sprintf("events %d to %d of this log cannot be read; it goes on after them", pos+1, to),
	})
}

func (c *Cursor) retryLater() {
	c.topic.hub.start(func(ctx context.Context) {
		pause(ctx)
		c.wake()
	})
}

// pause waits before a read is tried again.
func pause(ctx context.Context) { wait.For(ctx, retryDelay) }
