package socket

import "time"

// How many frames of any kind a client may send: so many at once, and so many a second in the
// long run. More are refused; a client that goes on all the same is sent away.
const (
	framesPerSecond = 50
	frameBurst      = 500 // above maxSubscribed: who connects again subscribes to everything at once
	maxRefused      = 1000
	frameCost       = time.Second / framesPerSecond
)

// rate is a token bucket, kept as the time at which it is full again.
type rate struct {
	full    time.Time
	refused int // since it was full last
}

// allow reports whether one more frame is within the rate, and how many were not since it was full.
func (r *rate) allow(now time.Time) (ok bool, refused int) {
	if r.full.Before(now) {
		r.full, r.refused = now, 0
	}
	if r.full.Sub(now) > (frameBurst-1)*frameCost {
		r.refused++
		return false, r.refused
	}
	r.full = r.full.Add(frameCost)
	return true, 0
}
