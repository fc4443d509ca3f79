package control

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/holdfast/holdfast/internal/testkit"
)

func TestGate_LetsNoMoreInThanItShould(t *testing.T) {
	t.Parallel()
	const most, others = 3, 50
	g := newLimiter(most)
	g.waits.Init()
	enter := func(key string) func() {
		leave, err := g.enter(t.Context(), key)
		if err != nil {
			t.Error(err)
			return func() {}
		}
		return leave
	}
	var leave [most]func()
	for i := range leave {
		leave[i] = enter("a")
	}
	var in, highest atomic.Int32
	var all sync.WaitGroup
	for range others {
		all.Go(func() {
			defer enter("a")()
			n := in.Add(1)
			for h := highest.Load(); n > h && !highest.CompareAndSwap(h, n); h = highest.Load() {
			}
			runtime.Gosched()
			in.Add(-1)
		})
	}
	for range others {
		testkit.Receive(t, "a caller that waits", g.waits.C())
	}
	if n := in.Load(); n != 0 {
		t.Fatalf("%d more are in than %d", n, most)
	}
	enter("b")() // another key has places of its own
	for i := range leave {
		leave[i]()
	}
	all.Wait()
	if highest.Load() > most || len(g.queues) != 0 {
		t.Fatalf("%d at once, %d queues left", highest.Load(), len(g.queues))
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
