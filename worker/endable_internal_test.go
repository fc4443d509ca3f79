package worker

import (
	"testing"

	"go.temporal.io/sdk/worker"
)

// calls counts what reaches the SDK's worker.
type calls struct {
	worker.Worker

	starts, stops int
}

func (c *calls) Start() error { c.starts++; return nil }
func (c *calls) Stop()        { c.stops++ }

func TestEndable_NeverStartsOnceItWasStopped(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name          string
		do            func(w *endable)
		starts, stops int
	}{
		{"stopped before it started", func(w *endable) { w.Stop(); _ = w.Start(); w.Stop() }, 0, 0},
		{"stopped twice", func(w *endable) { _ = w.Start(); w.Stop(); w.Stop() }, 1, 1},
	} {
		sdk := &calls{}
		c.do(&endable{Worker: sdk})
		if sdk.starts != c.starts || sdk.stops != c.stops {
			t.Errorf("%s: %d starts and %d stops, want %d and %d", c.name, sdk.starts, sdk.stops, c.starts, c.stops)
		}
	}
}
