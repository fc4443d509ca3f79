package supervisor

import (
	"net"
	"testing"
	"time"

	"github.com/holdfast/holdfast/internal/testkit"
)

// A worker that comes just as the wait for one ends is not too late: its step goes on.
func TestWorkers_OneThatComesAsTheTimeEndsKeepsTheStep(t *testing.T) {
	t.Parallel()
	rung := func(w *workers) bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return len(w.orphaned) > 0
	}
	w := &workers{timeout: time.Millisecond, orphaned: make(chan struct{}, 1)}
	here, there := net.Pipe()
	defer there.Close()
	w.current = newLink(here)
	w.detached(w.current)
	testkit.Eventually(t, "the end of the time", func() bool { return rung(w) })
	w.mu.Lock()
	w.current = newLink(nil)
	w.cancelOrphaned()
	w.mu.Unlock()
	if rung(w) {
		t.Error("it is given up though a worker has come")
	}
	w.orphanTimeout() // the timer had fired, and came second
	if rung(w) {
		t.Error("it is given up though a worker is there")
	}
}
