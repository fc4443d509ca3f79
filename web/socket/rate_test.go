package socket

import (
	"testing"
	"time"
)

func TestRate_RefillsAndForgives(t *testing.T) {
	t.Parallel()
	var r rate
	now := time.Now()
	take := func(n int) (taken int) {
		for range n {
			if ok, _ := r.allow(now); ok {
				taken++
			}
		}
		return taken
	}
	if got := take(2 * frameBurst); got != frameBurst {
		t.Fatalf("%d frames at once were taken", got)
	}
	if _, refused := r.allow(now); refused != frameBurst+1 {
		t.Fatalf("%d were refused", refused)
	}
	now = now.Add(time.Second)
	if got := take(2 * framesPerSecond); got != framesPerSecond {
		t.Fatalf("%d frames were taken in a second", got)
	}
	now = now.Add((frameBurst + 1) * frameCost) // a pause: all is forgiven
	if got := take(2 * frameBurst); got != frameBurst || r.refused != frameBurst {
		t.Fatalf("%d frames were taken after a pause, %d were refused", got, r.refused)
	}
	for range 1000 { // at the rate, for good
		now = now.Add(frameCost)
		if ok, _ := r.allow(now); !ok {
			t.Fatal("refused at the rate that is allowed")
		}
	}
}
