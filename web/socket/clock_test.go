package socket

import (
	"strings"
	"testing"
	"time"
)

func TestWakefulness_ATimeInWhichNobodyCouldBeHeardIsNoSilence(t *testing.T) {
	t.Parallel()
	var w wakefulness
	at := time.Now()
	start := at
	for range 10 {
		if got := w.look(at, time.Second); !got.Equal(start) {
			t.Fatalf("silence counts since %v", got.Sub(start))
		}
		at = at.Add(1100 * time.Millisecond)
	}
	at = at.Add(time.Hour) // the process was stopped
	for range 3 {
		if got := w.look(at, time.Second); got.Before(start.Add(time.Hour)) {
			t.Fatalf("the time in which it was stopped counts: since %v", got.Sub(start))
		}
		at = at.Add(time.Second)
	}
}

func TestSilence_IsMeasuredByAClockThatNobodySets(t *testing.T) {
	t.Parallel()
	c := &conn{}
	c.hear()
	// A time that was made from a wall clock has no monotonic part: String shows it.
	if text := c.LastHeard().String(); !strings.Contains(text, " m=") {
		t.Errorf("%s is a time of the wall clock", text)
	}
}
