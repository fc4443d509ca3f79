package web

import (
	"math/rand/v2"
	"time"

	"github.com/holdfast/holdfast/schema/wire"
)

const (
	fewConnections = 20 // that may all come back at the same time
	drainStep      = 50 * time.Millisecond
)

// drain lets no further connection in and ends those that there are: few of them at once,
// many in random order, spread over the time given, so that those who take them in are not
// asked for everything at the same moment.
func (r *registry) drain(over time.Duration) {
	r.mu.Lock()
	r.stopped = true
	r.mu.Unlock()
	all := r.all()
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	steps := max(1, int(over/drainStep))
	if len(all) <= fewConnections {
		steps = 1
	}
	began := time.Now()
	for step, done := 1, 0; step <= steps; step++ {
		for ; done < len(all)*step/steps; done++ {
			all[done].leave(wire.CloseGoingAway, reasonStopping)
		}
		if step < steps {
			time.Sleep(time.Until(began.Add(time.Duration(step) * over / time.Duration(steps))))
		}
	}
}

// leave ends the connection once the commands that it has taken in are carried out and
// answered; it takes no further ones.
func (c *conn) leave(code int, reason string) {
	c.mu.Lock()
	c.leaving = func() { c.shut(code, reason) }
	busy := c.working
	c.mu.Unlock()
	if !busy { // else work does
		c.shut(code, reason)
	}
}

// wait returns when the last connection has ended; those that take longer are cut.
func (r *registry) wait(timeout time.Duration) {
	limit := time.NewTimer(timeout)
	defer limit.Stop()
	for r.count() > 0 {
		select {
		case <-r.empty:
		case <-limit.C:
			for _, c := range r.all() {
				_ = c.net.Close()
			}
			limit.Reset(timeout)
		}
	}
}
