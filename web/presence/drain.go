package presence

import (
	"math/rand/v2"
	"time"

	"github.com/holdfast/holdfast/schema/wire"
)

const (
	fewConnections = 20 // that may all come back at the same time
	drainStep      = 50 * time.Millisecond
)

// Drain lets no further connection in and ends those that there are: few of them at once,
// many in random order, spread over the time given, so that those who take them in are not
// asked for everything at the same moment.
func (r *Registry) Drain(over time.Duration) {
	r.mu.Lock()
	r.stopped = true
	r.mu.Unlock()
	all := r.All()
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	steps := max(1, int(over/drainStep))
	if len(all) <= fewConnections {
		steps = 1
	}
	began := time.Now()
	for step, done := 1, 0; step <= steps; step++ {
		for ; done < len(all)*step/steps; done++ {
			all[done].Conn.Leave(wire.CloseGoingAway, reasonStopping)
		}
		if step < steps {
			time.Sleep(time.Until(began.Add(time.Duration(step) * over / time.Duration(steps))))
		}
	}
}

// Wait returns when the last connection has ended; those that take longer are cut.
func (r *Registry) Wait(timeout time.Duration) {
	limit := time.NewTimer(timeout)
	defer limit.Stop()
	for r.Count() > 0 {
		select {
		case <-r.empty:
		case <-limit.C:
			for _, c := range r.All() {
				c.Conn.Cut()
			}
			limit.Reset(timeout)
		}
	}
}
