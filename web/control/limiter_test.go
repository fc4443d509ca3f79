package control

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestGate_LetsNoMoreInThanItShould(t *testing.T) {
	t.Parallel()
	g := newLimiter(3)
	var in, most, other atomic.Int32
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			leave, err := g.enter(t.Context(), "a")
			if err != nil {
				t.Error(err)
				return
			}
			defer leave()
			n := in.Add(1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			time.Sleep(time.Millisecond)
			in.Add(-1)
		})
		all.Go(func() { // another key has places of its own
			if leave, err := g.enter(t.Context(), "b"); err == nil {
				other.Add(1)
				leave()
			}
		})
	}
	all.Wait()
	if most.Load() > 3 || most.Load() < 2 || other.Load() != 50 || len(g.queues) != 0 {
		t.Fatalf("%d at once, %d elsewhere, %d queues left", most.Load(), other.Load(), len(g.queues))
	}
}

func TestGate_WhoeverGivesUpLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	g := newLimiter(1)
	leave, err := g.enter(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := g.enter(ctx, "a"); err == nil {
		t.Fatal("two are in")
	}
	leave()
	if len(g.queues) != 0 {
		t.Fatalf("%d queues left", len(g.queues))
	}
}
