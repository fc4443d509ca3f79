package web

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/holdfast/holdfast/schema/store"
	"github.com/holdfast/holdfast/schema/wire"
)

// connectionLimits bounds the connections of an instance; 0 is no bound of its own.
type connectionLimits struct {
	all, user, address int
}

// registry knows the connections of this instance, and has the recorder tell Postgres.
type registry struct {
	store    *store.Store
	log      *slog.Logger
	instance string
	limits   connectionLimits
	dirty    chan struct{} // holds one: there is something to record

	mu        sync.Mutex
	conns     map[string]*conn // by id
	turns     [heartbeatTurns]map[*conn]struct{}
	turn      int // of the next one that comes
	clients   map[string]*conn
	users     map[string]int // connections that count against limits
	addresses map[string]int
	counted   int
	stopped   bool
	empty     chan struct{}
	pending   pending
}

func newRegistry(s *store.Store, log *slog.Logger, instance string, limits connectionLimits) *registry {
	return &registry{
		store: s, log: log, instance: instance, limits: limits, dirty: make(chan struct{}, 1),
		conns: map[string]*conn{}, clients: map[string]*conn{}, users: map[string]int{}, addresses: map[string]int{}, empty: make(chan struct{}, 1),
		pending: newPending(),
	}
}

// membership is what the registry knows of a connection; guarded by registry.mu.
type membership struct {
	watched  string // session, the latest one
	place    store.Place
	recorded bool
	turn     int  // when it gets its heartbeats
	counted  bool // against the limits
}

func (c *conn) clientKey() string { return c.user + "\x00" + c.clientID }

// refusal is why a connection may not come in.
type refusal struct {
	code    int
	reason  string
	retryIn int // seconds; 0 for at once
}

// add takes a connection in, and ends an older one of the same client, whose place it takes:
// that never counts against a limit. It returns nil unless the connection is refused.
func (r *registry) add(c *conn) *refusal {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped {
		return &refusal{code: wire.CloseGoingAway, reason: reasonStopping}
	}
	var old *conn
	if c.clientID != "" {
		old = r.clients[c.clientKey()]
	}
	if old != nil && c.connected.Before(old.connected) { // its own handshake took longer
		return &refusal{code: wire.CloseReplaced, reason: reasonReplaced}
	}
	if old != nil {
		r.release(old)
	}
	if reason := r.full(c); reason != "" {
		if old != nil {
			r.admit(old)
		}
		return &refusal{code: wire.CloseTryAgainLater, reason: fmt.Sprintf("%s; retry after %d s", reason, connectRetry), retryIn: connectRetry}
	}
	if old != nil {
		r.pending.unless(old)
		old.shut(wire.CloseReplaced, reasonReplaced)
	}
	if c.clientID != "" {
		r.clients[c.clientKey()] = c
	}
	r.admit(c)
	r.conns[c.id] = c
	r.takeTurn(c)
	r.pending.connected[c] = struct{}{}
	r.kick()
	return nil
}

// full says which limit is reached, "" for none. Those that are being ended count against
// twice the limit, so that a client that replaces itself all the time is bounded, too.
func (r *registry) full(c *conn) string {
	switch {
	case r.counted >= r.limits.all || len(r.conns) >= 2*r.limits.all+1:
		return fmt.Sprintf("this server has its %d connections", r.limits.all)
	case r.limits.user > 0 && r.users[c.user] >= r.limits.user:
		return fmt.Sprintf("this user has its %d connections", r.limits.user)
	case r.limits.address > 0 && r.addresses[c.address] >= r.limits.address:
		return fmt.Sprintf("this address has its %d connections", r.limits.address)
	default:
		return ""
	}
}

// admit and release count a connection against the limits, and not any more.
func (r *registry) admit(c *conn) {
	c.member.counted = true
	r.counted++
	r.users[c.user]++
	r.addresses[c.address]++
}

func (r *registry) release(c *conn) {
	if !c.member.counted {
		return
	}
	c.member.counted = false
	r.counted--
	less(r.users, c.user)
	less(r.addresses, c.address)
}

// less takes one off a counter, and forgets it at 0.
func less(counters map[string]int, name string) {
	if counters[name]--; counters[name] == 0 {
		delete(counters, name)
	}
}

func (r *registry) remove(c *conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.conns, c.id)
	delete(r.turns[c.member.turn], c)
	r.release(c)
	r.pending.gone(c)
	r.kick()
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

// watching records what a connection watches by now; "" for nothing.
func (r *registry) watching(c *conn, sessionID string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.conns[c.id] == c && c.member.watched != sessionID {
		c.member.watched = sessionID
		r.pending.connected[c] = struct{}{}
		r.kick()
	}
}

// replaced ends those of the connections that are here: newer ones of the same clients have
// taken over, on whichever instance.
func (r *registry) replaced(ids []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range ids {
		if c := r.conns[id]; c != nil {
			r.release(c)
			c.shut(wire.CloseReplaced, reasonReplaced)
		}
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
	return slices.Collect(maps.Values(r.conns))
}

// takeTurn gives a connection its turn among those that get heartbeats. The caller holds r.mu.
func (r *registry) takeTurn(c *conn) {
	r.turn = (r.turn + 1) % heartbeatTurns
	c.member.turn = r.turn
	if r.turns[r.turn] == nil {
		r.turns[r.turn] = map[*conn]struct{}{}
	}
	r.turns[r.turn][c] = struct{}{}
}

// taking lists the connections whose turn it is.
func (r *registry) taking(turn int) []*conn {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Keys(r.turns[turn]))
}

// kick has the recorder look for something to record. It does not block.
func (r *registry) kick() {
	select {
	case r.dirty <- struct{}{}:
	default:
	}
}

// keepAlive pings clients that are silent, and ends those that stay so.
func (s *Server) keepAlive(ctx context.Context) {
	every := s.opts.PingInterval / 5
	tick := time.NewTicker(every)
	defer tick.Stop()
	var awake wakefulness
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := time.Now()
		since := awake.look(now, every)
		for _, c := range s.registry.all() {
			silent := min(now.Sub(c.lastHeard()), now.Sub(since))
			switch {
			case silent >= s.opts.SilenceLimit:
				c.shut(wire.CloseGoingAway, reasonNoAnswer)
			case silent >= s.opts.PingInterval && now.Sub(began)-time.Duration(c.pinged.Load()) >= s.opts.PingInterval:
				c.pinged.Store(int64(now.Sub(began)))
				c.ping()
			}
		}
	}
}
