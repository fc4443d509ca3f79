package web

import (
	"slices"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/wire"
	"github.com/holdfast/holdfast/web/frame"
)

// seat is the connection's place among a session's viewers, nil when it has none. Only the
// reader adds seats.
func (c *conn) seat(sessionID string) *seat {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.seats {
		if s.audience.id == sessionID {
			return s
		}
	}
	return nil
}

// taken is every seat of the connection.
func (c *conn) taken() []*seat {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.seats)
}

// appear makes the connection a viewer of a session that it has subscribed to. One that is a
// viewer already is sent the latest frame again.
func (c *conn) appear(sessionID string) {
	if s := c.seat(sessionID); s != nil {
		s.send()
		return
	}
	s := c.server.presence.join(c, sessionID)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seats = append(c.seats, s)
}

// disappear ends that.
func (c *conn) disappear(sessionID string) {
	c.mu.Lock()
	i := slices.IndexFunc(c.seats, func(s *seat) bool { return s.audience.id == sessionID })
	if i < 0 {
		c.mu.Unlock()
		return
	}
	s := c.seats[i]
	c.seats = slices.Delete(c.seats, i, i+1)
	c.mu.Unlock()
	c.server.presence.leave(s)
}

// view tells the session's viewers what this one looks at.
func (c *conn) view(f *wire.ViewingFrame) {
	s := c.seat(f.SessionID)
	if s == nil {
		c.refuse(f.RequestID, schema.Errorf(schema.CodeConflict, "this connection is not subscribed to the session %q, or without presence", f.SessionID))
		return
	}
	c.server.registry.look(s, f.ApprovalID)
	if f.RequestID != "" {
		c.send(frame.New(wire.FrameAccepted, f.SessionID, wire.AcceptedData{RequestID: f.RequestID}))
	}
}
