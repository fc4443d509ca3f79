package supervisor

import "sync"

// switchBytes is what a change from one stream to the other counts for: each begins a record of
// its own, which takes about as much where it is kept.
const switchBytes = 256

// outputLimit bounds what is kept of a program's output.
type outputLimit struct {
	bytes   int64  // 0 is no bound
	reached func() // is called once, when there is more

	mu   sync.Mutex
	used int64
	last byte // the stream of the text before
	over bool
}

// take says how much of the next n bytes of a stream is kept.
func (l *outputLimit) take(stream byte, n int) int {
	if l.bytes <= 0 {
		return n
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if stream != l.last && l.last != 0 {
		l.used += switchBytes
	}
	l.last = stream
	kept := max(min(int64(n), l.bytes-l.used), 0)
	l.used += kept
	if kept < int64(n) && !l.over {
		l.over = true
		l.reached()
	}
	return int(kept)
}

// exceeded says whether there was more than is kept.
func (l *outputLimit) exceeded() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.over
}
