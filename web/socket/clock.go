package socket

import "time"

// wakefulness measures silence by the monotonic clock, which nobody sets, and only while this process is awake: one that
// was stopped for a while has heard nobody, and that says nothing of them.
type wakefulness struct{ last, resumed time.Time }

// look is called about every so often. It returns the moment since which silence counts.
func (w *wakefulness) look(now time.Time, every time.Duration) time.Time {
	const late = 3
	if w.last.IsZero() || now.Sub(w.last) > late*every {
		w.resumed = now
	}
	w.last = now
	return w.resumed
}
