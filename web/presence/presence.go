package presence

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
	"github.com/holdfast/holdfast/web/frame"
)

// Bounds of presence.
const (
	listedViewers  = 50                     // in a frame
	presenceSoon   = 100 * time.Millisecond // after a change, so that changes are told together
	presenceSlow   = 2 * time.Second        // the most between two frames to a crowd
	perViewer      = time.Millisecond       // for each viewer of a session, between two frames
	presenceTick   = 25 * time.Millisecond
	readTimeout    = 10 * time.Second
	readRetry      = 300 * time.Millisecond
	sessionBatch   = 500 // of one read
	kicksAtOnce    = 64
	presenceFactor = int(presenceSlow / perViewer)
)

// Presence tells the viewers of sessions of each other. Who views what is in Postgres, which
// says when it changes; a change is read once and encoded once for all who view the session here.
//
// Its lock is taken before that of a connection.
type Presence struct {
	store    *store.Store
	registry *Registry
	log      *slog.Logger
	dirty    chan struct{} // holds one: the viewers of a session are to be read

	mu       sync.Mutex
	sessions map[string]*viewedSession
	changed  map[*viewedSession]struct{}
}

// viewedSession is a session that somebody views here.
type viewedSession struct {
	id     string
	latest atomic.Pointer[presenceFrame]

	// Guarded by Presence.mu.
	viewers []*Viewer
	read    time.Time // when it was read last
	due     time.Time // when it is to be read, once it has changed
}

type presenceFrame struct {
	data  []byte // as JSON, to compare
	frame []byte
}

// Viewer is a connection that views a session. Its frames are states: one that was not sent yet
// is dropped for a later one.
type Viewer struct {
	session *viewedSession
	member  *Member
	since   time.Time
	ready   atomic.Bool // there is a frame to send

	at    int  // in viewedSession.viewers; guarded by Presence.mu
	fresh bool // the viewers were not read since it came; guarded by Presence.mu

	// Guarded by Registry.mu.
	approvalID string
	recorded   bool
	gone       bool
}

// New makes what [Presence.Run] runs.
func New(s *store.Store, r *Registry, log *slog.Logger) *Presence {
	return &Presence{
		store: s, registry: r, log: log, dirty: make(chan struct{}, 1),
		sessions: map[string]*viewedSession{}, changed: map[*viewedSession]struct{}{},
	}
}

// Join makes a connection a viewer. It is sent a frame once Postgres knows.
func (p *Presence) Join(c *Member, sessionID string) *Viewer {
	s := &Viewer{member: c, since: time.Now(), fresh: true}
	p.mu.Lock()
	s.session = p.sessions[sessionID]
	if s.session == nil {
		s.session = &viewedSession{id: sessionID}
		p.sessions[sessionID] = s.session
	}
	s.at = len(s.session.viewers)
	s.session.viewers = append(s.session.viewers, s)
	p.mu.Unlock()
	p.registry.Look(s, "")
	return s
}

// Leave ends what Join began.
func (p *Presence) Leave(s *Viewer) {
	p.mu.Lock()
	r := s.session
	last := r.viewers[len(r.viewers)-1]
	r.viewers[s.at], last.at = last, s.at
	r.viewers[len(r.viewers)-1] = nil
	r.viewers = r.viewers[:len(r.viewers)-1]
	if len(r.viewers) == 0 {
		delete(p.sessions, r.id)
		delete(p.changed, r)
	}
	p.mu.Unlock()
	p.registry.leave(s)
}

// Noticed follows a change of who views these sessions.
func (p *Presence) Noticed(sessionIDs []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range sessionIDs {
		if r := p.sessions[id]; r != nil {
			p.changeLocked(r)
		}
	}
}

// Restart follows every connect of LISTEN: the viewers of any session may have changed unheard.
func (p *Presence) Restart() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.sessions {
		p.changeLocked(r)
	}
}

// changeLocked has the viewers of a session read: soon, but the larger the crowd, the less often.
func (p *Presence) changeLocked(r *viewedSession) {
	if _, already := p.changed[r]; already {
		return
	}
	r.due = time.Now().Add(presenceSoon)
	if next := r.read.Add(time.Duration(min(len(r.viewers), presenceFactor)) * perViewer); next.After(r.due) {
		r.due = next
	}
	p.changed[r] = struct{}{}
	select {
	case p.dirty <- struct{}{}:
	default:
	}
}

// Run reads what has changed until ctx ends.
func (p *Presence) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.dirty:
		}
		for {
			sessions, more := p.takeDue()
			if len(sessions) > 0 && !p.readViewers(ctx, sessions) {
				wait.For(ctx, readRetry)
			}
			if !more && len(sessions) == 0 || ctx.Err() != nil {
				break
			}
			wait.For(ctx, presenceTick)
		}
	}
}

// takeDue returns sessions that are to be read now, and whether there are others.
func (p *Presence) takeDue() (sessions []*viewedSession, more bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	for r := range p.changed {
		if len(sessions) == sessionBatch {
			break
		}
		if !r.due.After(now) {
			delete(p.changed, r)
			r.read = now
			sessions = append(sessions, r)
		}
	}
	return sessions, len(p.changed) > 0
}

// readViewers reads who views these sessions and tells those here. It reports whether it could.
func (p *Presence) readViewers(ctx context.Context, sessions []*viewedSession) bool {
	ids := make([]string, len(sessions))
	for i, r := range sessions {
		ids[i] = r.id
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	found, err := p.store.Viewers(ctx, ids, listedViewers)
	if err != nil {
		p.log.DebugContext(ctx, "viewers not read", logs.Err(err))
		p.Noticed(ids)
		return false
	}
	for _, r := range sessions {
		p.tell(r, found[r.id])
	}
	return true
}

// tell gives the new frame to every viewer who has not seen it yet.
func (p *Presence) tell(r *viewedSession, now store.Viewers) {
	data := presenceData(now)
	text := schema.Marshal(data)
	before := r.latest.Load()
	changed := before == nil || !bytes.Equal(before.data, text)
	if changed {
		r.latest.Store(&presenceFrame{data: text, frame: frame.New(wire.FramePresence, r.id, data)})
	}
	p.mu.Lock()
	viewers := slices.Clone(r.viewers)
	if !changed {
		viewers = slices.DeleteFunc(viewers, func(s *Viewer) bool { return !s.fresh })
	}
	for _, s := range viewers {
		s.fresh = false
	}
	p.mu.Unlock()
	for i, s := range viewers {
		s.Send()
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

// SessionID is what it views.
func (s *Viewer) SessionID() string { return s.session.id }

// Send has the viewer sent the latest frame.
func (s *Viewer) Send() {
	if s.session.latest.Load() != nil {
		s.ready.Store(true)
		s.member.Conn.Wake()
	}
}

// Next returns the latest frame, nil when it was sent.
func (s *Viewer) Next(context.Context, int) []byte {
	if !s.ready.CompareAndSwap(true, false) {
		return nil
	}
	return s.session.latest.Load().frame
}

// viewer is what Postgres is told; the caller holds Registry.mu.
func (s *Viewer) viewer() store.Viewer {
	return store.Viewer{
		SessionID: s.session.id, ConnectionID: s.member.ID, ClientID: s.member.ClientID, User: s.member.User,
		ApprovalID: s.approvalID, Since: schema.Time{Time: s.since},
	}
}
