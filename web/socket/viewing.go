package socket

import (
	"slices"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/wire"
	"github.com/holdfast/holdfast/web/frame"
	"github.com/holdfast/holdfast/web/presence"
)

// viewer is the connection as a viewer of a session, nil when it is none. Only the reader adds
// viewers.
func (c *conn) viewer(sessionID string) *presence.Viewer {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.viewers {
		if s.SessionID() == sessionID {
			return s
		}
	}
	return nil
}

// Viewers implements [presence.Conn].
func (c *conn) Viewers() []*presence.Viewer {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.viewers)
}

// appear makes the connection a viewer of a session that it has subscribed to. One that is a
// viewer already is sent the latest frame again.
func (c *conn) appear(sessionID string) {
	if s := c.viewer(sessionID); s != nil {
		s.Send()
		return
	}
	s := c.service.Presence.Join(&c.member, sessionID)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.viewers = append(c.viewers, s)
}

// disappear ends that.
func (c *conn) disappear(sessionID string) {
	c.mu.Lock()
	i := slices.IndexFunc(c.viewers, func(s *presence.Viewer) bool { return s.SessionID() == sessionID })
	if i < 0 {
		c.mu.Unlock()
		return
	}
	s := c.viewers[i]
	c.viewers = slices.Delete(c.viewers, i, i+1)
	c.mu.Unlock()
	c.service.Presence.Leave(s)
}

// view tells the session's viewers what this one looks at.
func (c *conn) view(f *wire.ViewingFrame) {
	s := c.viewer(f.SessionID)
	if s == nil {
		c.refuse(f.RequestID, schema.Errorf(schema.CodeConflict, "this connection is not subscribed to the session %q, or without presence", f.SessionID))
		return
	}
	c.service.Registry.Look(s, f.ApprovalID)
	if f.RequestID != "" {
		c.send(frame.New(wire.FrameAccepted, f.SessionID, wire.AcceptedData{RequestID: f.RequestID}))
	}
}
