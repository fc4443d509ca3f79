package web

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast/holdfast/logs"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
)

// Bounds of the feed.
const (
	ringBytes      = 4 << 20   // of one topic's latest frames
	ringBytesTight = 256 << 10 // the same once all topics together hold hubBytes
	hubBytes       = 256 << 20
	pageEvents     = 128     // events of one read from the log
	pageBytes      = 2 << 20 // and their data, but for a single larger event
	pagesBytes     = 4 << 20 // of one topic's pages of older frames
	catchUps       = 4       // reads of older pages at the same time, so that they leave connections to others
	liveEvents     = 512     // events of one read of a log's end
	logTimeout     = 10 * time.Second
	retryDelay     = 300 * time.Millisecond
)

// eventSource is what the feed reads.
type eventSource interface {
	Listen(ctx context.Context, notify func(store.Notice), connected func()) error
	Events(ctx context.Context, sessionID string, f store.EventFilter) ([]schema.Event, error)
	HeadSeq(ctx context.Context, sessionID string) (int64, error)
	Session(ctx context.Context, id string) (schema.Session, error)
	Sessions(ctx context.Context, f store.SessionFilter) ([]schema.Session, int, string, error)
}

var _ eventSource = (*store.Store)(nil)

// hub turns notices into frames: one LISTEN for the instance, one topic for each session
// that somebody watches, and the list.
type hub struct {
	source  eventSource
	log     *slog.Logger
	metrics *metrics
	list    *list
	bytes   atomic.Int64  // held by all rings
	catchUp chan struct{} // a semaphore

	reading sync.Mutex      // guards the start of a read against the end of life
	life    context.Context //nolint:containedctx // of run; reads that nobody waits for end with it
	end     context.CancelFunc
	reads   sync.WaitGroup

	mu       sync.Mutex
	topics   map[string]*topic
	watchers map[string]map[chan struct{}]struct{}
}

func newHub(source eventSource, log *slog.Logger, m *metrics) *hub {
	h := &hub{
		source: source, log: log, metrics: m, catchUp: make(chan struct{}, catchUps),
		topics: map[string]*topic{}, watchers: map[string]map[chan struct{}]struct{}{},
	}
	h.life, h.end = context.WithCancel(context.Background())
	h.list = newList(h)
	return h
}

// run listens until ctx ends and waits for every read.
func (h *hub) run(ctx context.Context) {
	if err := h.source.Listen(ctx, h.notice, h.connected); err != nil && ctx.Err() == nil {
		h.log.ErrorContext(ctx, "the feed has ended", logs.Err(err))
	}
	h.reading.Lock()
	h.end()
	h.reading.Unlock()
	h.reads.Wait()
}

// start runs a read of the log, unless the hub has ended. The caller may hold any lock.
func (h *hub) start(read func(ctx context.Context)) {
	h.reading.Lock()
	defer h.reading.Unlock()
	if h.life.Err() == nil {
		h.reads.Go(func() { read(h.life) })
	}
}

func (h *hub) notice(n store.Notice) {
	h.mu.Lock()
	t := h.topics[n.SessionID]
	for c := range h.watchers[n.SessionID] {
		select {
		case c <- struct{}{}:
		default:
		}
	}
	h.mu.Unlock()
	if t != nil {
		t.noticed(n.Head)
	}
	if n.List {
		h.list.noticed(n)
	}
}

// connected follows every connect of LISTEN: notices may have been lost before it.
func (h *hub) connected() {
	h.mu.Lock()
	topics := make([]*topic, 0, len(h.topics))
	for _, t := range h.topics {
		topics = append(topics, t)
	}
	for _, waiting := range h.watchers {
		for c := range waiting {
			select {
			case c <- struct{}{}:
			default:
			}
		}
	}
	h.mu.Unlock()
	for _, t := range topics {
		t.recheck()
	}
	h.list.restart()
}

// watch tells of a session's changes through a channel that holds one; forget ends it.
func (h *hub) watch(sessionID string) (notices <-chan struct{}, forget func()) {
	c := make(chan struct{}, 1)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.watchers[sessionID] == nil {
		h.watchers[sessionID] = map[chan struct{}]struct{}{}
	}
	h.watchers[sessionID][c] = struct{}{}
	return c, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.watchers[sessionID], c)
		if len(h.watchers[sessionID]) == 0 {
			delete(h.watchers, sessionID)
		}
	}
}

// subscribe returns a cursor after since, and the head of the log. The cursor is attached:
// wake is called whenever there may be more.
func (h *hub) subscribe(ctx context.Context, sessionID string, since int64, wake func()) (*cursor, int64, error) {
	h.mu.Lock()
	t := h.topics[sessionID]
	if t == nil {
		t = newTopic(h, sessionID)
		h.topics[sessionID] = t
	}
	t.pinned++ // it stays while we are here
	h.mu.Unlock()
	defer h.unpin(t)
	head, err := t.open(ctx)
	if err == nil && since > head {
		head, err = t.confirm(ctx, since)
	}
	if err != nil {
		return nil, 0, err
	}
	return t.attach(since, wake), head, nil
}

// unpin lets go of a topic, and drops it when nobody watches it.
func (h *hub) unpin(t *topic) {
	h.mu.Lock()
	defer h.mu.Unlock()
	t.pinned--
	h.dropIdle(t)
}

// dropIdle forgets a topic without subscribers. The caller holds h.mu.
func (h *hub) dropIdle(t *topic) {
	if t.pinned > 0 || h.topics[t.id] != t {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.cursors) > 0 {
		return
	}
	t.dropped = true
	h.bytes.Add(-int64(t.ring.bytes + t.pages.bytes))
	delete(h.topics, t.id)
}

// bound is how many bytes a topic may keep of each kind.
func (h *hub) bound(usual int) int {
	if h.bytes.Load() > hubBytes {
		return min(usual, ringBytesTight)
	}
	return usual
}
