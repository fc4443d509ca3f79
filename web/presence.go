package web

import (
	"bytes"
	"context"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast/holdfast/internal/wait"
	"github.com/holdfast/holdfast/logs"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
	"github.com/holdfast/holdfast/schema/wire"
	"github.com/holdfast/holdfast/web/feed"
	"github.com/holdfast/holdfast/web/frame"
)

// Bounds of presence.
const (
	listedViewers  = 50                     // in a frame
	presenceSoon   = 100 * time.Millisecond // after a change, so that changes are told together
	presenceSlow   = 2 * time.Second        // the most between two frames to a crowd
	perViewer      = time.Millisecond       // of an audience, between two frames
	presenceTick   = 25 * time.Millisecond
	audienceBatch  = 500 // of one read
	kicksAtOnce    = 64
	presenceFactor = int(presenceSlow / perViewer)
)

// presence tells the viewers of sessions of each other. Who views what is in Postgres, which
// says when it changes; a change is read once and encoded once for all who view the session here.
//
// Its lock is taken before that of a connection.
type presence struct {
	store    *store.Store
	registry *registry
	log      *slog.Logger
	dirty    chan struct{} // holds one: an audience is to be read

	mu        sync.Mutex
	audiences map[string]*audience
	changed   map[*audience]struct{}
}

// audience is a session that somebody views here.
type audience struct {
	id     string
	latest atomic.Pointer[presenceFrame]

	// Guarded by presence.mu.
	seats []*seat
	read  time.Time // when it was read last
	due   time.Time // when it is to be read, once it has changed
}

type presenceFrame struct {
	data  []byte // as JSON, to compare
	frame []byte
}

// seat is a connection's place in an audience. Its frames are states: one that was not sent yet
// is dropped for a later one.
type seat struct {
	audience *audience
	conn     *conn
	since    time.Time
	ready    atomic.Bool // there is a frame to send

	at    int  // in audience.seats; guarded by presence.mu
	fresh bool // the audience was not read since it came; guarded by presence.mu

	// Guarded by registry.mu.
	approvalID string
	recorded   bool
	gone       bool
}

func newPresence(s *store.Store, r *registry, log *slog.Logger) *presence {
	return &presence{
		store: s, registry: r, log: log, dirty: make(chan struct{}, 1),
		audiences: map[string]*audience{}, changed: map[*audience]struct{}{},
	}
}

// join makes a connection a viewer. It is sent a frame once Postgres knows.
func (p *presence) join(c *conn, sessionID string) *seat {
	s := &seat{conn: c, since: time.Now(), fresh: true}
	p.mu.Lock()
	s.audience = p.audiences[sessionID]
	if s.audience == nil {
		s.audience = &audience{id: sessionID}
		p.audiences[sessionID] = s.audience
	}
	s.at = len(s.audience.seats)
	s.audience.seats = append(s.audience.seats, s)
	p.mu.Unlock()
	p.registry.look(s, "")
	return s
}

func (p *presence) leave(s *seat) {
	p.mu.Lock()
	r := s.audience
	last := r.seats[len(r.seats)-1]
	r.seats[s.at], last.at = last, s.at
	r.seats[len(r.seats)-1] = nil
	r.seats = r.seats[:len(r.seats)-1]
	if len(r.seats) == 0 {
		delete(p.audiences, r.id)
		delete(p.changed, r)
	}
	p.mu.Unlock()
	p.registry.leave(s)
}

// noticed follows a change of who views these sessions.
func (p *presence) noticed(sessionIDs []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range sessionIDs {
		if r := p.audiences[id]; r != nil {
			p.changeLocked(r)
		}
	}
}

// restart follows every connect of LISTEN: any audience may have changed unheard.
func (p *presence) restart() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.audiences {
		p.changeLocked(r)
	}
}

// changeLocked has an audience read: soon, but the larger the crowd, the less often.
func (p *presence) changeLocked(r *audience) {
	if _, already := p.changed[r]; already {
		return
	}
	r.due = time.Now().Add(presenceSoon)
	if next := r.read.Add(time.Duration(min(len(r.seats), presenceFactor)) * perViewer); next.After(r.due) {
		r.due = next
	}
	p.changed[r] = struct{}{}
	select {
	case p.dirty <- struct{}{}:
	default:
	}
}

// run reads what has changed until ctx ends.
func (p *presence) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.dirty:
		}
		for {
			audiences, more := p.takeDue()
			if len(audiences) > 0 && !p.readAudiences(ctx, audiences) {
				wait.For(ctx, retryDelay)
			}
			if !more && len(audiences) == 0 || ctx.Err() != nil {
				break
			}
			wait.For(ctx, presenceTick)
		}
	}
}

// takeDue returns audiences that are to be read now, and whether there are others.
func (p *presence) takeDue() (audiences []*audience, more bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	for r := range p.changed {
		if len(audiences) == audienceBatch {
			break
		}
		if !r.due.After(now) {
			delete(p.changed, r)
			r.read = now
			audiences = append(audiences, r)
		}
	}
	return audiences, len(p.changed) > 0
}

// readAudiences reads who views these sessions and tells those here. It reports whether it could.
func (p *presence) readAudiences(ctx context.Context, audiences []*audience) bool {
	ids := make([]string, len(audiences))
	for i, r := range audiences {
		ids[i] = r.id
	}
	ctx, cancel := context.WithTimeout(ctx, feed.ReadTimeout)
	defer cancel()
	found, err := p.store.Viewers(ctx, ids, listedViewers)
	if err != nil {
		p.log.DebugContext(ctx, "viewers not read", logs.Err(err))
		p.noticed(ids)
		return false
	}
	for _, r := range audiences {
		p.tell(r, found[r.id])
	}
	return true
}

// tell gives everybody in the audience who has not seen it yet the new frame.
func (p *presence) tell(r *audience, now store.Viewers) {
	data := presenceData(now)
	text := schema.Marshal(data)
	before := r.latest.Load()
	changed := before == nil || !bytes.Equal(before.data, text)
	if changed {
		r.latest.Store(&presenceFrame{data: text, frame: frame.New(wire.FramePresence, r.id, data)})
	}
	p.mu.Lock()
	seats := slices.Clone(r.seats)
	if !changed {
		seats = slices.DeleteFunc(seats, func(s *seat) bool { return !s.fresh })
	}
	for _, s := range seats {
		s.fresh = false
	}
	p.mu.Unlock()
	for i, s := range seats {
		s.send()
		if i%kicksAtOnce == kicksAtOnce-1 {
			runtime.Gosched() // or as many writers wait at once as there are viewers
		}
	}
}

func presenceData(now store.Viewers) wire.PresenceData {
	data := wire.PresenceData{Viewers: make([]wire.ViewerData, 0, len(now.First)), Count: now.Count}
	for i := range now.First {
		v := &now.First[i]
		data.Viewers = append(data.Viewers, wire.ViewerData{
			User: v.User, ClientID: v.ClientID, ConnectionID: v.ConnectionID, Since: v.Since, ApprovalID: v.ApprovalID,
		})
	}
	return data
}

// send has the viewer sent the latest frame.
func (s *seat) send() {
	if s.audience.latest.Load() != nil {
		s.ready.Store(true)
		s.conn.kick()
	}
}

// next implements source.
func (s *seat) Next(context.Context, int) []byte {
	if !s.ready.CompareAndSwap(true, false) {
		return nil
	}
	return s.audience.latest.Load().frame
}

// viewer is what Postgres is told; the caller holds registry.mu.
func (s *seat) viewer() store.Viewer {
	return store.Viewer{
		SessionID: s.audience.id, ConnectionID: s.conn.id, ClientID: s.conn.clientID, User: s.conn.user,
		ApprovalID: s.approvalID, Since: schema.Time{Time: s.since},
	}
}
