package supervisor

import "time"

// stopwatch fires when its time is over. It can be paused: a frozen step does not use up its time.
// Without a time it never fires. Only one goroutine uses it.
type stopwatch struct {
	rings chan struct{}
	timer *time.Timer // nil while paused
	since time.Time
	left  time.Duration
	on    bool
}

func newStopwatch(d time.Duration) *stopwatch {
	return &stopwatch{left: d, on: d > 0, rings: make(chan struct{}, 1)}
}

func (w *stopwatch) start() { w.resume() }

func (w *stopwatch) pause() {
	if w.timer != nil {
		w.timer.Stop()
		w.timer = nil
		w.left = max(w.left-time.Since(w.since), 0)
	}
}

func (w *stopwatch) resume() {
	if w.on && w.timer == nil {
		w.since = time.Now()
		w.timer = time.AfterFunc(w.left, func() { w.rings <- struct{}{} })
	}
}

func (w *stopwatch) stop() {
	w.pause()
	w.on = false
}
