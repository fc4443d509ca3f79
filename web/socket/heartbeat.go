package socket

import (
	"context"
	"time"

	"github.com/holdfast/holdfast/internal/wait"
	"github.com/holdfast/holdfast/schema/wire"
	"github.com/holdfast/holdfast/web/feed"
	"github.com/holdfast/holdfast/web/frame"
	"github.com/holdfast/holdfast/web/health"
	"github.com/holdfast/holdfast/web/presence"
)

// Heartbeats tell a client that the server lives, how long the logs are that it follows, and which dependencies of the
// server are down. The connections take turns, so that the cost is spread; those that follow one session share an
// encoded frame.
const (
	heartbeatEvery = 8 * time.Second
	heartbeatTurn  = heartbeatEvery / presence.Turns
	heartbeatRush  = 20 * time.Millisecond // between two turns when a dependency has gone down or come back
)

func heartbeatData(s *health.State, head *int64) wire.HeartbeatData {
	return wire.HeartbeatData{Head: head, Postgres: s.Word(health.Postgres), Temporal: s.Word(health.Temporal), Worker: s.Word(health.Worker)}
}

// heartbeats sends heartbeats until ctx ends.
func (s *Service) heartbeats(ctx context.Context) {
	tick := time.NewTicker(heartbeatTurn)
	defer tick.Stop()
	for turn := 0; ; turn++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.beat(s.Registry.Turn(turn % presence.Turns))
		case <-s.Health.Changed():
			for i := range presence.Turns {
				s.beat(s.Registry.Turn(i))
				wait.For(ctx, heartbeatRush)
			}
		}
	}
}

func (s *Service) beat(conns []*presence.Member) {
	if len(conns) == 0 {
		return
	}
	state := s.Health.State()
	plain := frame.New(wire.FrameHeartbeat, "", heartbeatData(state, nil))
	for _, m := range conns {
		if c, is := m.Conn.(*conn); is {
			c.heartbeat(state, plain)
		}
	}
}

// heartbeat queues the client's heartbeats, unless it has enough to read.
func (c *conn) heartbeat(state *health.State, plain []byte) {
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
		frames = append(frames, cur.Shared(state.Version, heartbeatTurn, func(head int64) []byte {
			return frame.New(wire.FrameHeartbeat, cur.SessionID(), heartbeatData(state, &head))
		}))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, one := range frames {
		c.sendLocked(one)
	}
}
