package feed

import (
	"context"
	"hash/maphash"
	"slices"
	"sync"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
)

// shardCount is how many parts the hub has. Each has one reader of the ends of logs, so that
// many live sessions take few connections, and the busier they are the fewer queries.
const shardCount = 8

// shard is a part of the sessions that somebody watches. What happens to one takes no lock
// that sessions elsewhere need.
//
// Locks are taken in the order shard.mu, topic.mu, shard.due and conn.mu.
type shard struct {
	hub *Hub

	mu       sync.Mutex
	topics   map[string]*topic
	watchers map[string]map[chan struct{}]struct{}

	due     sync.Mutex
	behind  []*topic // with something to read; each is there once
	reading bool     // follow runs
}

func (h *Hub) shard(sessionID string) *shard {
	return &h.shards[maphash.String(h.seed, sessionID)%shardCount]
}

// Topics counts the sessions that somebody follows.
func (h *Hub) Topics() (n int) {
	for i := range h.shards {
		s := &h.shards[i]
		s.mu.Lock()
		n += len(s.topics)
		s.mu.Unlock()
	}
	return n
}

func (s *shard) notice(n store.Notice) {
	s.mu.Lock()
	t := s.topics[n.SessionID]
	nudge(s.watchers[n.SessionID])
	s.mu.Unlock()
	if t == nil {
		return
	}
	if news := t.noticed(n.Head); !news && n.List && t.ask() {
		// Lists show something else, and the log does not: most likely the session was deleted.
		s.hub.start(func(ctx context.Context) { s.recheck(ctx, []*topic{t}) })
	}
}

func nudge(watchers map[chan struct{}]struct{}) {
	for c := range watchers {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// connected looks for what may have been missed.
func (s *shard) connected() {
	s.mu.Lock()
	topics := make([]*topic, 0, len(s.topics))
	for _, t := range s.topics {
		topics = append(topics, t)
	}
	for _, waiting := range s.watchers {
		nudge(waiting)
	}
	s.mu.Unlock()
	if len(topics) > 0 {
		s.hub.start(func(ctx context.Context) { s.recheck(ctx, topics) })
	}
}

// recheck reads the heads of logs, for notices that may have been lost and for sessions that may have been deleted.
func (s *shard) recheck(ctx context.Context, topics []*topic) {
	var again []*topic
	for part := range slices.Chunk(topics, recheckTopics) {
		ids, before := make([]string, len(part)), make([]int64, len(part))
		for i, t := range part {
			ids[i], before[i] = t.id, t.end()
		}
		heads, err := s.heads(ctx, ids)
		for ; err != nil; heads, err = s.heads(ctx, ids) {
			if pause(ctx); ctx.Err() != nil {
				return
			}
		}
		for i, t := range part {
			if head, there := heads[t.id]; there {
				t.found(head, before[i])
			} else {
				t.deleted()
			}
			if t.answered() {
				again = append(again, t)
			}
		}
	}
	if len(again) > 0 {
		s.hub.start(func(ctx context.Context) { s.recheck(ctx, again) })
	}
}

func (s *shard) heads(ctx context.Context, ids []string) (map[string]int64, error) {
	ctx, cancel := context.WithTimeout(ctx, ReadTimeout)
	defer cancel()
	return s.hub.source.Heads(ctx, ids)
}

func (s *shard) watch(sessionID string) (notices <-chan struct{}, forget func()) {
	c := make(chan struct{}, 1)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.watchers[sessionID] == nil {
		s.watchers[sessionID] = map[chan struct{}]struct{}{}
	}
	s.watchers[sessionID][c] = struct{}{}
	return c, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.watchers[sessionID], c)
		if len(s.watchers[sessionID]) == 0 {
			delete(s.watchers, sessionID)
		}
	}
}

// pin returns the topic of a session, which stays until unpin.
func (s *shard) pin(sessionID string) *topic {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.topics[sessionID]
	if t == nil {
		t = newTopic(s, sessionID)
		s.topics[sessionID] = t
	}
	t.pinned++
	return t
}

// unpin lets go of a topic, and drops it when nobody watches it.
func (s *shard) unpin(t *topic) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t.pinned--
	s.dropIdle(t)
}

// dropIdle forgets a topic without subscribers. The caller holds s.mu.
func (s *shard) dropIdle(t *topic) {
	if t.pinned > 0 || s.topics[t.id] != t {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.cursors) > 0 {
		return
	}
	t.dropped = true
	s.hub.bytes.Add(-int64(t.ring.bytes + t.pages.bytes))
	delete(s.topics, t.id)
}

// read has the ends of these logs read. The caller has marked the topics as due.
func (s *shard) read(topics ...*topic) {
	s.due.Lock()
	defer s.due.Unlock()
	s.behind = append(s.behind, topics...)
	if !s.reading {
		s.reading = true
		s.hub.start(s.follow)
	}
}

// follow reads the ends of logs, of all that are due at once, until there is nothing to read.
func (s *shard) follow(ctx context.Context) {
	for {
		s.due.Lock()
		if len(s.behind) == 0 || ctx.Err() != nil {
			s.reading = false
			s.due.Unlock()
			return
		}
		topics := s.behind
		s.behind = nil
		if len(topics) > liveTopics {
			topics, s.behind = topics[:liveTopics:liveTopics], topics[liveTopics:]
		}
		s.due.Unlock()
		s.readTails(ctx, topics)
	}
}

func (s *shard) readTails(ctx context.Context, topics []*topic) {
	topics = slices.DeleteFunc(topics, (*topic).isDropped)
	if len(topics) == 0 {
		return
	}
	tails := make([]store.Tail, len(topics))
	for i, t := range topics {
		tails[i] = store.Tail{SessionID: t.id, Since: t.end()}
	}
	err := s.hub.readTails(ctx, tails)
	if err != nil && len(tails) > 1 && schema.CodeOf(err) != schema.CodeUnavailable {
		// It may be one of them: read each alone.
		for i := range tails {
			if alone := s.hub.readTails(ctx, tails[i:i+1]); alone != nil {
				tails[i].Err = alone
			}
		}
		err = nil
	}
	var again []*topic
	for i, t := range topics {
		if !t.take(&tails[i], err) {
			again = append(again, t)
		}
	}
	if len(again) > 0 {
		s.hub.start(func(ctx context.Context) {
			pause(ctx)
			s.read(again...)
		})
	}
}

func (h *Hub) readTails(ctx context.Context, tails []store.Tail) error {
	ctx, cancel := context.WithTimeout(ctx, ReadTimeout)
	defer cancel()
	return h.source.ReadTails(ctx, tails, liveEvents, int64(max(pageBytes/len(tails), liveBytes)))
}
