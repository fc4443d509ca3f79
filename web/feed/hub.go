package feed

import (
	"context"
	"hash/maphash"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/holdfast/holdfast/logs"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
)

// Bounds of the feed.
const (
	ringBytes      = 4 << 20   // of one topic's latest frames
	ringBytesTight = 256 << 10 // the same once all topics together hold hubBytes
	hubBytes       = 256 << 20
	pageEvents     = 128      // events of one read from the log
	pageBytes      = 2 << 20  // and their data, but for a single larger event
	pagesBytes     = 4 << 20  // of one topic's pages of older frames
	catchUps       = 4        // reads of older pages at the same time, so that they leave connections to others
	liveEvents     = 512      // events of one read of a log's end
	liveTopics     = 64       // ends of logs of one read
	liveBytes      = 64 << 10 // that each of them may have, however many there are
	recheckTopics  = 500      // heads of one read
	retryDelay     = 300 * time.Millisecond
)

// ReadTimeout bounds each read of a log.
const ReadTimeout = 10 * time.Second

// Source is what the feed reads: [store.Store], and in tests a log in memory.
type Source interface {
	Listen(ctx context.Context, l store.Listener) error
	Events(ctx context.Context, sessionID string, f store.EventFilter) ([]schema.Event, error)
	ReadTails(ctx context.Context, tails []store.Tail, limit int, maxBytes int64) error
	HeadSeq(ctx context.Context, sessionID string) (int64, error)
	Heads(ctx context.Context, sessionIDs []string) (map[string]int64, error)
	Session(ctx context.Context, id string) (schema.Session, error)
	CountSessions(ctx context.Context) (int, error)
	Sessions(ctx context.Context, f store.SessionFilter) ([]schema.Session, int, string, error)
}

var _ Source = (*store.Store)(nil)

// Hub turns notices into frames: one LISTEN for the instance, one topic for each session
// that somebody watches, in shards, and the list.
type Hub struct {
	source Source
	log    *slog.Logger
	list   *list
	// Also is what others than the hub listen to, over the same connection; it is set before Run.
	Also store.Listener
	// Lag is told how old the latest events were when they got here, and Tracer makes the spans of their delivery; both are set
	// before Run, or nil.
	Lag       func(time.Duration)
	Tracer    trace.Tracer
	bytes     atomic.Int64 // held by all rings
	delivered atomic.Int64
	sent      atomic.Int64  // bytes of what was delivered
	catchUp   chan struct{} // a semaphore

	reading sync.Mutex      // guards the start of a read against the end of life
	life    context.Context //nolint:containedctx // of run; reads that nobody waits for end with it
	end     context.CancelFunc
	reads   sync.WaitGroup

	seed   maphash.Seed
	shards [shardCount]shard
}

// New makes a hub, which does nothing before [Hub.Run].
func New(source Source, log *slog.Logger) *Hub {
	h := &Hub{
		source: source, log: log, catchUp: make(chan struct{}, catchUps),
		seed: maphash.MakeSeed(),
	}
	h.life, h.end = context.WithCancel(context.Background())
	h.list = newList(h)
	for i := range h.shards {
		h.shards[i] = shard{hub: h, topics: map[string]*topic{}, watchers: map[string]map[chan struct{}]struct{}{}}
	}
	return h
}

// Run listens until ctx ends and waits for every read.
func (h *Hub) Run(ctx context.Context) {
	if err := h.source.Listen(ctx, h.listener()); err != nil && ctx.Err() == nil {
		h.log.ErrorContext(ctx, "the feed has ended", logs.Err(err))
	}
	h.reading.Lock()
	h.end()
	h.reading.Unlock()
	h.reads.Wait()
}

// start runs a read of the log, unless the hub has ended. The caller may hold any lock.
func (h *Hub) start(read func(ctx context.Context)) {
	h.reading.Lock()
	defer h.reading.Unlock()
	if h.life.Err() == nil {
		h.reads.Go(func() { read(h.life) })
	}
}

// listener is everything that the instance listens to.
func (h *Hub) listener() store.Listener {
	l := h.Also
	l.Notice = h.notice
	if h.Tracer != nil {
		l.Traced = h.traced
	}
	l.Connected = func() {
		h.connected()
		if h.Also.Connected != nil {
			h.Also.Connected()
		}
	}
	return l
}

func (h *Hub) notice(n store.Notice) {
	h.shard(n.SessionID).notice(n)
	if n.List {
		h.list.noticed(n)
	}
}

// connected follows every connect of LISTEN: notices may have been lost before it.
func (h *Hub) connected() {
	for i := range h.shards {
		h.shards[i].connected()
	}
	h.list.restart()
}

// Watch tells of a session's changes through a channel that holds one; forget ends it.
func (h *Hub) Watch(sessionID string) (notices <-chan struct{}, forget func()) {
	return h.shard(sessionID).watch(sessionID)
}

// Subscribe returns a cursor after since, and the head of the log. The cursor is attached:
// wake is called whenever there may be more.
func (h *Hub) Subscribe(ctx context.Context, sessionID string, since int64, wake func()) (*Cursor, int64, error) {
	t := h.shard(sessionID).pin(sessionID)
	defer t.shard.unpin(t)
	head, err := t.open(ctx)
	if err == nil && since > head {
		head, err = t.confirm(ctx, since)
	}
	if err != nil {
		return nil, 0, err
	}
	return t.attach(since, wake), head, nil
}

// AttachList subscribes to the list of sessions, with a snapshot first.
func (h *Hub) AttachList(wake func()) *ListCursor { return h.list.attach(wake) }

// Bytes is how much all rings and pages hold.
func (h *Hub) Bytes() int64 { return h.bytes.Load() }

// Delivered counts the events that were handed to subscribers.
func (h *Hub) Delivered() int64 { return h.delivered.Load() }

// DeliveredBytes are those of what [Hub.Delivered] counts.
func (h *Hub) DeliveredBytes() int64 { return h.sent.Load() }

// bound is how many bytes a topic may keep of each kind.
func (h *Hub) bound(usual int) int {
	if h.bytes.Load() > hubBytes {
		return min(usual, ringBytesTight)
	}
	return usual
}
