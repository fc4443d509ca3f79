package web

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast/holdfast/internal/wait"
	"github.com/holdfast/holdfast/logs"
	"github.com/holdfast/holdfast/schema/wire"
	"github.com/holdfast/holdfast/web/feed"
	"github.com/holdfast/holdfast/web/frame"
	"github.com/holdfast/holdfast/web/presence"
)

// Heartbeats tell a client that the server lives, how long the logs are that it follows, and what of the server is away.
// The connections take turns, so that what they cost is spread; those that follow one session share an encoded frame.
const (
	heartbeatEvery = 8 * time.Second
	heartbeatTurn  = heartbeatEvery / presence.Turns
	heartbeatRush  = 20 * time.Millisecond // between two turns when something has gone away or come back

	vitalsEvery   = 2 * time.Second
	vitalsTimeout = 2 * time.Second
	vitalsStrikes = 2 // so many looks in vain make a part count as away
)

// The parts of a server, as vitals has them.
const (
	partPostgres = iota
	partTemporal
	partWorker
	partCount
)

// vitals is what of the server was up when it looked last.
type vitals struct {
	up      [partCount]bool
	version int // grows with every change
}

func (v *vitals) data(head *int64) wire.HeartbeatData {
	word := func(part int) string {
		if v.up[part] {
			return "up"
		}
		return "down"
	}
	return wire.HeartbeatData{Head: head, Postgres: word(partPostgres), Temporal: word(partTemporal), Worker: word(partWorker)}
}

// pulse looks after the parts of a server and has its connections told.
type pulse struct {
	server  *Server
	now     atomic.Pointer[vitals]
	changed chan struct{} // holds one
	strikes [partCount]int
	found   [partCount]bool // the log says that it is there
	lost    [partCount]bool // the log says that it is not
}

func newPulse(s *Server) *pulse {
	p := &pulse{server: s, changed: make(chan struct{}, 1)}
	p.now.Store(&vitals{up: [partCount]bool{true, true, true}}) // until it has looked
	return p
}

// look looks at every part until ctx ends.
func (p *pulse) look(ctx context.Context) {
	for ctx.Err() == nil {
		p.once(ctx)
		wait.For(ctx, vitalsEvery)
	}
}

func (p *pulse) once(ctx context.Context) {
	failures := p.server.look(ctx)
	if ctx.Err() != nil {
		return
	}
	was := p.now.Load()
	is := *was
	for part, err := range failures {
		p.strikes[part]++
		if err == nil {
			p.strikes[part] = 0
		}
		is.up[part] = p.strikes[part] == 0 || was.up[part] && p.strikes[part] < vitalsStrikes
	}
	p.say(ctx, &is, &failures)
	if is.up == was.up {
		return
	}
	is.version++
	p.now.Store(&is)
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

// say logs which parts are found and lost, once for each change. The first look finds what is there.
func (p *pulse) say(ctx context.Context, is *vitals, failures *[partCount]error) {
	for part, up := range is.up {
		name := slog.String("dependency", partNames[part])
		switch {
		case up && !p.found[part] && failures[part] == nil:
			p.found[part], p.lost[part] = true, false
			p.server.log.InfoContext(ctx, "dependency found", name)
		case !up && !p.lost[part]:
			p.found[part], p.lost[part] = false, true
			p.server.log.WarnContext(ctx, "dependency lost", name, logs.Err(failures[part]))
		}
	}
}

// look asks each part for a sign of life, and Postgres whether this release can work with its schema.
func (s *Server) look(ctx context.Context) (failures [partCount]error) {
	ctx, cancel := context.WithTimeout(ctx, vitalsTimeout)
	defer cancel()
	var all sync.WaitGroup
	for part, ask := range [partCount]func(context.Context) error{s.database, s.control.Ready, s.control.WorkerLives} {
		all.Go(func() { failures[part] = ask(ctx) })
	}
	all.Wait()
	if failures[partTemporal] != nil {
		failures[partWorker] = nil // nobody can tell
	}
	return failures
}

// run sends heartbeats until ctx ends.
func (p *pulse) run(ctx context.Context) {
	tick := time.NewTicker(heartbeatTurn)
	defer tick.Stop()
	for turn := 0; ; turn++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			p.tell(p.server.registry.Turn(turn % presence.Turns))
		case <-p.changed:
			for i := range presence.Turns {
				p.tell(p.server.registry.Turn(i))
				wait.For(ctx, heartbeatRush)
			}
		}
	}
}

func (p *pulse) tell(conns []*presence.Member) {
	if len(conns) == 0 {
		return
	}
	v := p.now.Load()
	plain := frame.New(wire.FrameHeartbeat, "", v.data(nil))
	for _, m := range conns {
		if c, is := m.Conn.(*conn); is {
			c.heartbeat(v, plain)
		}
	}
}

// heartbeat queues the client's heartbeats, unless it has enough to read.
func (c *conn) heartbeat(v *vitals, plain []byte) {
	c.mu.Lock()
	var cursors []*feed.Cursor
	for _, cur := range c.sessions {
		cursors = append(cursors, cur)
	}
	idle := c.queued == 0
	c.mu.Unlock()
	if !idle {
		return
	}
	frames := [][]byte{plain}
	if len(cursors) > 0 {
		frames = frames[:0]
	}
	for _, cur := range cursors {
		frames = append(frames, cur.Shared(v.version, heartbeatTurn, func(head int64) []byte {
			return frame.New(wire.FrameHeartbeat, cur.SessionID(), v.data(&head))
		}))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, one := range frames {
		c.sendLocked(one)
	}
}
