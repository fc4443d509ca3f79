package web

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/holdfast/holdfast/logs"
	"github.com/holdfast/holdfast/schema/store"
)

const (
	registryFlush = 500 * time.Millisecond
	registryBatch = 500
	heartbeat     = 10 * time.Second
	staleAfter    = 60 * time.Second
	goodbye       = 2 * time.Second
)

// registry knows the connections of this instance, and tells active_connections about them
// in batches: a thousand clients that reconnect together cost a few statements.
type registry struct {
	store    *store.Store
	log      *slog.Logger
	instance string
	limit    int

	mu      sync.Mutex
	conns   map[*conn]string // to the session it watches, the latest one
	clients map[string]*conn
	stopped []byte // the closing frame of every further connection
	empty   chan struct{}
	changed map[*conn]struct{} // to be recorded
	gone    []string           // recorded, to be forgotten
	known   map[*conn]struct{} // recorded
}

func newRegistry(s *store.Store, log *slog.Logger, instance string, limit int) *registry {
	return &registry{
		store: s, log: log, instance: instance, limit: limit,
		conns: map[*conn]string{}, clients: map[string]*conn{}, empty: make(chan struct{}, 1),
		changed: map[*conn]struct{}{}, known: map[*conn]struct{}{},
	}
}

func (c *conn) clientKey() string { return c.user + "\x00" + c.clientID }

// add takes a connection in, and ends an older one of the same client. When it may not come
// in, it returns the code and reason to close it with.
func (r *registry) add(c *conn) (code int, reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var old *conn
	if c.clientID != "" {
		old = r.clients[c.clientKey()]
	}
	switch {
	case r.stopped != nil:
		return closeGoingAway, "the server is stopping"
	case len(r.conns) >= r.limit && old == nil:
		return closeTryLater, reasonLimit
	}
	if old != nil {
		old.shut(closeReplaced, reasonReplaced)
	}
	if c.clientID != "" {
		r.clients[c.clientKey()] = c
	}
	r.conns[c] = ""
	r.changed[c] = struct{}{}
	return 0, ""
}

func (r *registry) remove(c *conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.conns, c)
	delete(r.changed, c)
	if _, recorded := r.known[c]; recorded {
		delete(r.known, c)
		r.gone = append(r.gone, c.id)
	}
	if r.clients[c.clientKey()] == c {
		delete(r.clients, c.clientKey())
	}
	if len(r.conns) == 0 {
		select {
		case r.empty <- struct{}{}:
		default:
		}
	}
}

// watching records what a connection watches by now.
func (r *registry) watching(c *conn, sessionID string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, here := r.conns[c]; here {
		r.conns[c] = sessionID
		r.changed[c] = struct{}{}
	}
}

func (r *registry) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.conns)
}

func (r *registry) all() []*conn {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Keys(r.conns))
}

// closeAll ends every connection and lets no further one in.
func (r *registry) closeAll(code int, reason string) {
	r.mu.Lock()
	r.stopped = closeFrame(code, reason)
	r.mu.Unlock()
	for _, c := range r.all() {
		c.shut(code, reason)
	}
}

// wait returns when the last connection has ended; those that take longer are cut.
func (r *registry) wait(timeout time.Duration) {
	limit := time.NewTimer(timeout)
	defer limit.Stop()
	for r.count() > 0 {
		select {
		case <-r.empty:
		case <-limit.C:
			for _, c := range r.all() {
				_ = c.net.Close()
			}
			limit.Reset(timeout)
		}
	}
}

// run keeps active_connections current until ctx ends, then takes this instance out of it.
func (r *registry) run(ctx context.Context) {
	flush := time.NewTicker(registryFlush)
	defer flush.Stop()
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		select {
		case <-ctx.Done():
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), goodbye)
			defer cancel()
			r.mu.Lock()
			for c := range r.known {
				r.gone = append(r.gone, c.id)
			}
			clear(r.changed)
			r.mu.Unlock()
			r.flush(ctx)
			return
		case <-flush.C:
			r.flush(ctx)
		case <-beat.C:
			r.beat(ctx)
		}
	}
}

func (r *registry) flush(ctx context.Context) {
	for r.flushSome(ctx) {
	}
}

// flushSome records a batch and reports whether there is more.
func (r *registry) flushSome(ctx context.Context) bool {
	r.mu.Lock()
	rows := make([]store.Connection, 0, len(r.changed))
	took := make([]*conn, 0, len(r.changed))
	for c := range r.changed {
		if len(rows) == registryBatch {
			break
		}
		rows = append(rows, store.Connection{
			ID: c.id, ClientID: c.clientID, SessionID: r.conns[c], User: c.user, Address: c.address, ServerInstance: r.instance,
		})
		took = append(took, c)
		delete(r.changed, c)
		r.known[c] = struct{}{}
	}
	gone := r.gone[:min(len(r.gone), registryBatch)]
	r.mu.Unlock()
	if len(rows) > 0 {
		if err := r.store.Connect(ctx, rows...); err != nil {
			r.mu.Lock()
			for _, c := range took {
				if _, here := r.conns[c]; here {
					r.changed[c] = struct{}{}
				}
			}
			r.mu.Unlock()
			return false // the feed says that Postgres is away
		}
	}
	if len(gone) > 0 {
		if r.store.Disconnect(ctx, gone...) != nil {
			return false
		}
		r.mu.Lock()
		r.gone = r.gone[len(gone):]
		r.mu.Unlock()
	}
	return len(rows) == registryBatch || len(gone) == registryBatch
}

// beat says that this instance is alive, and forgets instances that have not said so. When
// this one was not heard of for too long, others have forgotten it: it says all again.
func (r *registry) beat(ctx context.Context) {
	err := r.store.TouchConnections(ctx, r.instance)
	if err == nil {
		_, err = r.store.RemoveStale(ctx, staleAfter)
	}
	if err != nil {
		r.mu.Lock()
		for c := range r.conns {
			r.changed[c] = struct{}{}
		}
		r.mu.Unlock()
		r.log.DebugContext(ctx, "heartbeat not recorded", logs.Err(err))
	}
}

// keepAlive pings clients that are silent, and ends those that stay so.
func (s *Server) keepAlive(ctx context.Context) {
	tick := time.NewTicker(pingInterval / 5)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := time.Now().Unix()
		for _, c := range s.registry.all() {
			silent := now - c.heard.Load()
			switch {
			case silent >= int64(silenceLimit.Seconds()):
				c.shut(closeTimeout, reasonNoAnswer)
			case silent >= int64(pingInterval.Seconds()) && now-c.pinged.Load() >= int64(pingInterval.Seconds()):
				c.pinged.Store(now)
				c.ping()
			}
		}
	}
}
