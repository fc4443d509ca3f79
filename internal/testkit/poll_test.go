package testkit_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast/holdfast/internal/testkit"
)

// failing is a test that may fail without failing this one.
type failing struct {
	testing.TB

	why string
}

func (f *failing) Helper() {}

func (f *failing) Fatalf(format string, args ...any) {
	f.why = fmt.Sprintf(format, args...)
	panic(f)
}

// fails runs something in a test of its own, and returns why that test failed, or nothing.
func fails(tb testing.TB, do func(tb testing.TB)) string {
	tb.Helper()
	f := &failing{TB: tb}
	func() {
		defer func() {
			if r := recover(); r != nil && r != f {
				panic(r)
			}
		}()
		do(f)
	}()
	return f.why
}

func TestEventually_WaitsNoLongerThanItMust(t *testing.T) {
	t.Parallel()
	for _, comes := range []time.Duration{0, 20 * time.Millisecond, 10 * time.Second, testkit.Patience} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			looks := 0
			testkit.Eventually(t, "the time", func() bool { looks++; return time.Since(began) >= comes })
			if late := time.Since(began) - comes; late > 50*time.Millisecond || late > comes/10+time.Millisecond {
				t.Errorf("%s late after %s", late, comes)
			}
			if looks > 50+int(comes/(40*time.Millisecond)) {
				t.Errorf("%d looks in %s", looks, comes)
			}
		})
	}
}

func TestEventually_SaysWhatWasLastSeen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		looks := 0
		got := fails(t, func(tb testing.TB) {
			testkit.EventuallyRight(tb, "a moon", func() string { looks++; return fmt.Sprint(looks, " clouds") })
		})
		if want := fmt.Sprintf("not within 1m30s: a moon; at last: %d clouds", looks); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if got := fails(t, func(tb testing.TB) { testkit.Eventually(tb, "a moon", func() bool { return false }) }); got != "not within 1m30s: a moon" {
			t.Errorf("got %q", got)
		}
	})
}

func TestNever_LooksUntilTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for comes, want := range map[time.Duration]string{0: "after 0s: a moon", time.Second: "after 1s: a moon", time.Second + 10*time.Millisecond: ""} {
			began := time.Now()
			got := fails(t, func(tb testing.TB) {
				testkit.Never(tb, time.Second, "a moon", func() bool { return time.Since(began) >= comes })
			})
			if got != want {
				t.Errorf("what comes after %s: %q, want %q", comes, got, want)
			}
		}
	})
}

func TestReceive_TakesAValueAndAnEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		values := make(chan int, 1)
		values <- 7
		if got := testkit.Receive(t, "a number", values); got != 7 {
			t.Errorf("got %d", got)
		}
		if got := fails(t, func(tb testing.TB) { testkit.Receive(tb, "a number", values) }); got != "not within 1m30s: a number" {
			t.Errorf("got %q", got)
		}
		close(values)
		testkit.Receive(t, "the end", values)
	})
}

func TestScreen_IsReadWhileItIsWritten(t *testing.T) {
	t.Parallel()
	s := &testkit.Screen{}
	log := s.Logger(slog.LevelWarn)
	go func() {
		for range 100 {
			log.Info("nobody sees this")
			log.Warn("another line")
		}
		log.Warn("the end")
	}()
	s.Await(t, "the end")
	if text := s.String(); strings.Count(text, "another line") != 100 || strings.Contains(text, "nobody") {
		t.Error(text)
	}
}
