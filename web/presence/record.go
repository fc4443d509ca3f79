package presence

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/holdfast/holdfast/internal/wait"
	"github.com/holdfast/holdfast/logs"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
)

// How Postgres is told of an instance's connections.
const (
	recordSoon   = 100 * time.Millisecond // after a change, so that changes are told together
	recordCrowd  = 500 * time.Millisecond // the same while many change at once
	crowd        = 200                    // connections that have changed
	recordBatch  = 500                    // of one statement
	recordRetry  = 500 * time.Millisecond
	recordAgain  = 10 * time.Second       // how old what is told of activity and lag becomes
	heartbeat    = 500 * time.Millisecond // of the instance
	deadAfter    = 1500 * time.Millisecond
	lookForDead  = heartbeat / 2
	beatTimeout  = 2 * time.Second
	maxUntold    = 20_000          // ends that wait for Postgres
	recordPeriod = 5 * time.Second // of one try
	goodbye      = 2 * time.Second
)

// pending is what Postgres has not been told yet; guarded by Registry.mu.
type pending struct {
	connected    map[*Member]struct{}
	disconnected []string
	viewing      map[*Viewer]struct{}
	left         []store.Viewer
	unchecked    []string // recorded, but nobody was told yet which connections they replace
	recheck      bool     // connections of this instance may have been replaced unheard
	startOver    bool     // what has ended was not kept: the instance has to be forgotten first
}

func newPending() pending {
	return pending{connected: map[*Member]struct{}{}, viewing: map[*Viewer]struct{}{}}
}

// unless drops a connection that Postgres was not told of.
func (p *pending) unless(c *Member) {
	if !c.recorded {
		delete(p.connected, c)
	}
}

func (p *pending) gone(c *Member) {
	delete(p.connected, c)
	if c.recorded {
		p.disconnected = append(p.disconnected, c.ID)
	}
}

// Look records what a viewer looks at now: an approval, or "" for the session itself.
func (r *Registry) Look(s *Viewer, approvalID string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s.approvalID = approvalID
	r.pending.viewing[s] = struct{}{}
	r.kick()
}

// leave records that a viewer has left.
func (r *Registry) leave(s *Viewer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s.gone = true
	delete(r.pending.viewing, s)
	if s.recorded {
		r.pending.left = append(r.pending.left, store.Viewer{SessionID: s.session.id, ConnectionID: s.member.ID})
		r.kick()
	}
}

// sayAgain has everything told again; with the viewers, when Postgres has forgotten this instance.
func (r *Registry) sayAgain(forgotten bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.conns {
		if c.counted { // else it is about to go
			r.pending.connected[c] = struct{}{}
		}
	}
	if forgotten {
		for _, c := range r.conns {
			for _, s := range c.Conn.Viewers() {
				r.pending.viewing[s] = struct{}{}
			}
		}
		r.pending.recheck = true
	}
	r.kick()
}

// trim bounds what waits for Postgres: rather than remember every end, it starts over.
func (r *Registry) trim() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.pending.disconnected)+len(r.pending.left) > maxUntold {
		r.pending.disconnected, r.pending.left, r.pending.startOver = nil, nil, true
	}
}

// startOver forgets this instance, if it has to; the next beat makes it say everything again.
func (r *Registry) startOver(ctx context.Context) error {
	r.mu.Lock()
	wanted := r.pending.startOver
	r.mu.Unlock()
	if !wanted {
		return nil
	}
	if err := r.store.RemoveInstance(ctx, r.instance); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pending.startOver = false
	return nil
}

// Listening follows every connect of LISTEN: what was told before it may not have been heard.
func (r *Registry) Listening() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pending.recheck = true
	r.kick()
}

// Record keeps Postgres current until ctx ends, then takes this instance out of it.
func (r *Registry) Record(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), goodbye)
			defer cancel()
			if err := r.store.RemoveInstance(ctx, r.instance); err != nil { // else others do, soon
				r.log.DebugContext(ctx, "the instance is still recorded", logs.Err(err))
			}
			return
		case <-r.dirty:
		}
		r.mu.Lock()
		soon := recordSoon
		if len(r.pending.connected) > crowd {
			soon = recordCrowd
		}
		r.mu.Unlock()
		wait.For(ctx, soon)
		for {
			more, err := r.recordSome(ctx)
			if err != nil && ctx.Err() == nil { // the feed says that Postgres is away
				r.log.DebugContext(ctx, "connections not recorded", logs.Err(err))
				r.trim()
				wait.For(ctx, recordRetry)
				r.kick()
			}
			if !more || err != nil {
				break
			}
		}
	}
}

// recordSome tells a batch and reports whether there is more.
func (r *Registry) recordSome(ctx context.Context) (more bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, recordPeriod)
	defer cancel()
	if err := r.startOver(ctx); err != nil {
		return false, err
	}
	conns, viewers, changes := r.take()
	places, err := r.store.RecordConnections(ctx, r.instance, changes)
	if err != nil {
		r.putBack(conns, viewers)
		return false, err
	}
	r.mu.Lock()
	for _, c := range conns {
		if c.ClientID != "" && c.place.At.IsZero() {
			r.pending.unchecked = append(r.pending.unchecked, c.ID)
		}
		c.place = places[c.ID]
	}
	r.pending.disconnected = r.pending.disconnected[len(changes.Disconnected):]
	r.pending.left = r.pending.left[len(changes.Left):]
	unchecked, recheck := r.pending.unchecked, r.pending.recheck
	more = len(r.pending.connected)+len(r.pending.disconnected)+len(r.pending.viewing)+len(r.pending.left) > 0
	r.mu.Unlock()
	if len(unchecked) > 0 {
		if err := r.store.NotifyReplaced(ctx, unchecked); err != nil {
			return false, err
		}
		r.mu.Lock()
		r.pending.unchecked = r.pending.unchecked[len(unchecked):]
		r.mu.Unlock()
	}
	if recheck && !more {
		ids, err := r.store.Replaced(ctx, r.instance)
		if err != nil {
			return false, err
		}
		r.mu.Lock()
		r.pending.recheck = false
		r.mu.Unlock()
		r.Replaced(ids)
	}
	return more, nil
}

// take takes a batch. What has left stays, in order, until Postgres has been told; who comes
// waits until all of it fits, because a client may leave a session and come back.
func (r *Registry) take() (conns []*Member, viewers []*Viewer, changes store.ConnectionChanges) {
	r.mu.Lock()
	for c := range r.pending.connected {
		if len(conns) == recordBatch {
			break
		}
		delete(r.pending.connected, c)
		c.recorded = true
		conns = append(conns, c)
		changes.Connected = append(changes.Connected, store.Connection{ID: c.ID, Order: c.place, SessionID: c.watched})
	}
	changes.Disconnected = r.pending.disconnected[:min(len(r.pending.disconnected), recordBatch)]
	changes.Left = r.pending.left[:min(len(r.pending.left), recordBatch)]
	if len(changes.Left) == len(r.pending.left) {
		for s := range r.pending.viewing {
			if len(viewers) == recordBatch {
				break
			}
			delete(r.pending.viewing, s)
			s.recorded = true
			viewers = append(viewers, s)
			changes.Viewing = append(changes.Viewing, s.viewer())
		}
	}
	r.mu.Unlock()
	for i, c := range conns {
		row := &changes.Connected[i]
		row.ClientID, row.User, row.Address = c.ClientID, c.User, c.Address
		row.ConnectedAt, row.LastActivity = schema.Time{Time: c.ConnectedAt}, schema.Time{Time: c.Conn.LastHeard()}
		_, _, row.Lag = c.Conn.Watched()
	}
	return conns, viewers, changes
}

// putBack keeps for later what could not be told, unless it is gone by now.
func (r *Registry) putBack(conns []*Member, viewers []*Viewer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range conns {
		if r.conns[c.ID] == c {
			r.pending.connected[c] = struct{}{}
		}
	}
	for _, s := range viewers {
		if !s.gone {
			r.pending.viewing[s] = struct{}{}
		}
	}
}

// Beat reports that this instance lives, and forgets instances that have stopped reporting, until
// ctx ends. If others have forgotten this one, it reports everything again.
func (r *Registry) Beat(ctx context.Context) {
	var last, steady time.Time // the latest beat, and the first of those that came in time since
	for n := 0; ctx.Err() == nil; n++ {
		if n%int(heartbeat/lookForDead) == 0 {
			began := time.Now()
			if r.beatOnce(ctx) {
				if began.Sub(last) > deadAfter {
					steady = began
				}
				last = began
			}
		}
		// After an outage, or after this process was stopped, the others have their time to say that they live.
		if time.Since(last) < deadAfter && last.Sub(steady) >= deadAfter {
			r.removeDead(ctx)
		}
		if n%int(recordAgain/lookForDead) == 1 {
			r.sayAgain(false)
		}
		wait.For(ctx, lookForDead)
	}
}

func (r *Registry) beatOnce(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, beatTimeout)
	defer cancel()
	fresh, err := r.store.Heartbeat(ctx, r.instance)
	if err != nil {
		r.log.DebugContext(ctx, "heartbeat not recorded", logs.Err(err))
		return false
	}
	if fresh {
		r.sayAgain(true)
	}
	return true
}

func (r *Registry) removeDead(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, beatTimeout)
	defer cancel()
	switch n, err := r.store.RemoveDeadInstances(ctx, deadAfter); {
	case err != nil && !errors.Is(err, context.Canceled):
		r.log.DebugContext(ctx, "dead web instances not forgotten", logs.Err(err))
	case n > 0:
		r.log.InfoContext(ctx, "web instances stopped reporting", slog.Int("instances", n))
	}
}
