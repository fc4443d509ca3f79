package supervisor

import "sync"

// switchBytes is the cost of a change from one stream to the other: each starts its own record,
// which takes about as much storage.
const switchBytes = 256

// outputLimit limits how much of a program's output is kept.
type outputLimit struct {
	bytes   int64  // 0 is no limit
	reached func() // called once, when there is more

	mu   sync.Mutex
	used int64
	last byte // the previous text's stream
	over bool
}

// take says how many of the next n bytes of a stream are kept.
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
