package presence

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/holdfast/holdfast/schema/store"
	"github.com/holdfast/holdfast/schema/wire"
)

// Limits bounds the connections of an instance: all, those of one user, and those from one address. 0 is
// no bound, but for All.
type Limits struct{ All, PerUser, PerAddress int }

// Turns is how many groups the connections are in that get their heartbeats together.
const Turns = 32

const (
	connectRetry   = 5 // seconds until a client that there was no room for may try again
	reasonStopping = "the server is stopping"
	reasonReplaced = "a newer connection of the same client has taken over"
)

// Registry knows the connections of this instance, and has the recorder tell Postgres.
type Registry struct {
	store    *store.Store
	log      *slog.Logger
	instance string
	limits   Limits
	dirty    chan struct{} // holds one: there is something to record

	mu        sync.Mutex
	conns     map[string]*Member // by id
	turns     [Turns]map[*Member]struct{}
	turn      int // of the next one that comes
	clients   map[string]*Member
	users     map[string]int // connections that count against limits
	addresses map[string]int
	counted   int
	stopped   bool
	empty     chan struct{}
	pending   pending
}

// NewRegistry makes the registry of an instance; [Registry.Record] and [Registry.Beat] keep Postgres current.
func NewRegistry(s *store.Store, log *slog.Logger, instance string, limits Limits) *Registry {
	return &Registry{
		store: s, log: log, instance: instance, limits: limits, dirty: make(chan struct{}, 1),
		conns: map[string]*Member{}, clients: map[string]*Member{}, users: map[string]int{}, addresses: map[string]int{}, empty: make(chan struct{}, 1),
		pending: newPending(),
	}
}

// Conn is what the registry does with a connection.
type Conn interface {
	Close(code int, reason string) // after what is queued for the client
	Leave(code int, reason string) // after the commands that it has taken in
	Cut()                          // at once
	Wake()                         // there is something to send
	LastHeard() time.Time
	Watched() (sessions []string, list bool, lag int64)
	Viewers() []*Viewer
}

// Member is a connection in the registry.
type Member struct {
	ID, ClientID, User, Address string
	ConnectedAt                 time.Time
	Conn                        Conn

	// Guarded by Registry.mu.
	watched  string // session, the latest one
	place    store.ConnectOrder
	recorded bool
	turn     int  // when it gets its heartbeats
	counted  bool // against the limits
}

func (c *Member) clientKey() string { return c.User + "\x00" + c.ClientID }

// Refusal is why a connection may not come in.
type Refusal struct {
	Code    int
	Reason  string
	RetryIn int // seconds; 0 for at once
}

// Add takes a connection in, and ends an older one of the same client, whose place it takes:
// that never counts against a limit. It returns nil unless the connection is refused.
func (r *Registry) Add(c *Member) *Refusal {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped {
		return &Refusal{Code: wire.CloseGoingAway, Reason: reasonStopping}
	}
	var old *Member
	if c.ClientID != "" {
		old = r.clients[c.clientKey()]
	}
	if old != nil && c.ConnectedAt.Before(old.ConnectedAt) { // its own handshake took longer
		return &Refusal{Code: wire.CloseReplaced, Reason: reasonReplaced}
	}
	if old != nil {
		r.release(old)
	}
	if reason := r.full(c); reason != "" {
		if old != nil {
			r.admit(old)
		}
		return &Refusal{Code: wire.CloseTryAgainLater, Reason: fmt.Sprintf("%s; retry after %d s", reason, connectRetry), RetryIn: connectRetry}
	}
	if old != nil {
		r.pending.unless(old)
		old.Conn.Close(wire.CloseReplaced, reasonReplaced)
	}
	if c.ClientID != "" {
		r.clients[c.clientKey()] = c
	}
	r.admit(c)
	r.conns[c.ID] = c
	r.takeTurn(c)
	r.pending.connected[c] = struct{}{}
	r.kick()
	return nil
}

// full says which limit is reached, "" for none. Those that are being ended count against
// twice the limit, so that a client that replaces itself all the time is bounded, too.
func (r *Registry) full(c *Member) string {
	switch {
	case r.counted >= r.limits.All || len(r.conns) >= 2*r.limits.All+1:
		return fmt.Sprintf("this server has its %d connections", r.limits.All)
	case r.limits.PerUser > 0 && r.users[c.User] >= r.limits.PerUser:
		return fmt.Sprintf("this user has its %d connections", r.limits.PerUser)
	case r.limits.PerAddress > 0 && r.addresses[c.Address] >= r.limits.PerAddress:
		return fmt.Sprintf("this address has its %d connections", r.limits.PerAddress)
	default:
		return ""
	}
}

// admit counts a connection against the limits; release stops counting it.
func (r *Registry) admit(c *Member) {
	c.counted = true
	r.counted++
	r.users[c.User]++
	r.addresses[c.Address]++
}

func (r *Registry) release(c *Member) {
	if !c.counted {
		return
	}
	c.counted = false
	r.counted--
	less(r.users, c.User)
	less(r.addresses, c.Address)
}

// less takes one off a counter, and forgets it at 0.
func less(counters map[string]int, name string) {
	if counters[name]--; counters[name] == 0 {
		delete(counters, name)
	}
}

// Remove takes a connection out that has ended.
func (r *Registry) Remove(c *Member) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.conns, c.ID)
	delete(r.turns[c.turn], c)
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

// Watching records what a connection watches by now; "" for nothing.
func (r *Registry) Watching(c *Member, sessionID string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.conns[c.ID] == c && c.watched != sessionID {
		c.watched = sessionID
		r.pending.connected[c] = struct{}{}
		r.kick()
	}
}

// Replaced ends those of the connections that are here: newer ones of the same clients have
// taken over, on whichever instance.
func (r *Registry) Replaced(ids []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range ids {
		if c := r.conns[id]; c != nil {
			r.release(c)
			c.Conn.Close(wire.CloseReplaced, reasonReplaced)
		}
	}
}

// Count is how many connections there are.
func (r *Registry) Count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.conns)
}

// All are the connections, in no order.
func (r *Registry) All() []*Member {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Values(r.conns))
}

// takeTurn gives a connection its turn among those that get heartbeats. The caller holds r.mu.
func (r *Registry) takeTurn(c *Member) {
	r.turn = (r.turn + 1) % Turns
	c.turn = r.turn
	if r.turns[r.turn] == nil {
		r.turns[r.turn] = map[*Member]struct{}{}
	}
	r.turns[r.turn][c] = struct{}{}
}

// Turn lists the connections whose turn it is.
func (r *Registry) Turn(turn int) []*Member {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Keys(r.turns[turn]))
}

// kick has the recorder look for something to record. It does not block.
func (r *Registry) kick() {
	select {
	case r.dirty <- struct{}{}:
	default:
	}
}
