package socket

import (
	"context"
	"time"

	"github.com/holdfast/holdfast/schema/wire"
)

// keepAlive pings clients that are silent, and ends those that stay so.
func (s *Service) keepAlive(ctx context.Context) {
	every := s.PingInterval / 5
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
		for _, m := range s.Registry.All() {
			c, is := m.Conn.(*conn)
			if !is {
				continue
			}
			silent := min(now.Sub(c.LastHeard()), now.Sub(since))
			switch {
			case silent >= s.SilenceLimit:
				c.Close(wire.CloseGoingAway, reasonNoAnswer)
			case silent >= s.PingInterval && now.Sub(began)-time.Duration(c.pinged.Load()) >= s.PingInterval:
				c.pinged.Store(int64(now.Sub(began)))
				c.ping()
			}
		}
	}
}
