package testkit

import (
	"testing"
	"time"
)

// How long a test waits for what must come. No wait should come near: these are for a machine that does much else at once.
const (
	// Patience is for what happens within a test's process and beside it.
	Patience = 90 * time.Second
	// StackPatience is for a whole stack of processes, which starts and is killed.
	StackPatience = 2 * Patience
)

// The pause between two looks is a tenth of what was waited so far, within these bounds: a short wait ends at once, and a
// long one leaves the machine to what it waits for.
const (
	minPause = time.Millisecond
	maxPause = 50 * time.Millisecond
)

// Poll looks until ok holds, and reports whether it came to hold within the limit. It is for a wait that may end in vain,
// and for a goroutine that may not end its test.
func Poll(limit time.Duration, ok func() bool) bool {
	for began := time.Now(); !ok(); {
		waited := time.Since(began)
		if waited > limit {
			return false
		}
		time.Sleep(min(max(waited/10, minPause), maxPause))
	}
	return true
}

// Eventually waits until ok holds, and ends the test when it does not within [Patience].
func Eventually(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	if !Poll(Patience, ok) {
		tb.Fatalf("not within %s: %s", Patience, what)
	}
}

// EventuallyRight waits until a check finds nothing wrong. When it still does after [Patience], its last answer stands in
// the failure.
func EventuallyRight(tb testing.TB, what string, wrong func() string) {
	tb.Helper()
	Within(tb, Patience, what, wrong)
}

// Within is [EventuallyRight] with another limit.
func Within(tb testing.TB, limit time.Duration, what string, wrong func() string) {
	tb.Helper()
	var last string
	if !Poll(limit, func() bool { last = wrong(); return last == "" }) {
		tb.Fatalf("not within %s: %s; at last: %s", limit, what, last)
	}
}

// Never looks for as long as it is told, and ends the test when ok holds meanwhile.
func Never(tb testing.TB, long time.Duration, what string, ok func() bool) {
	tb.Helper()
	const pause = 5 * time.Millisecond
	for began := time.Now(); ; time.Sleep(pause) {
		waited := time.Since(began)
		if ok() {
			tb.Fatalf("after %s: %s", waited.Round(time.Millisecond), what)
		}
		if waited > long {
			return
		}
	}
}

// Must ends the test when there is an error.
func Must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// Receive waits for the next value of a channel, or for its end, and ends the test when there is none within [Patience].
func Receive[T any](tb testing.TB, what string, from <-chan T) T {
	tb.Helper()
	limit := time.NewTimer(Patience)
	defer limit.Stop()
	select {
	case v := <-from:
		return v
	case <-limit.C:
		tb.Fatalf("not within %s: %s", Patience, what)
		panic("unreachable")
	}
}
