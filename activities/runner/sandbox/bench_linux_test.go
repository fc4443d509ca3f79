package sandbox

import (
	"errors"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// BenchmarkStart measures a step that does nothing: until it runs, and until nothing is left of it.
// HOLDFAST_BENCH_SUPERVISOR is the program to use as init; the test itself if unset.
func BenchmarkStart(b *testing.B) {
	exe := os.Getenv("HOLDFAST_BENCH_SUPERVISOR")
	if exe == "" {
		exe = os.Args[0]
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer null.Close()
	owners, err := Owners(exe) // once, as a worker does
	if err != nil {
		b.Fatal(err)
	}
	if owners != nil {
		defer owners.Close()
	}
	for _, mode := range []Mode{Weakened, Off} {
		b.Run(string(mode), func(b *testing.B) {
			s := newSpec(b, "/bin/true")
			s.Mode, s.Owners = mode, owners
			var started time.Duration
			var used syscall.Rusage
			for b.Loop() {
				began := time.Now()
				c, err := s.Start(exe, null, null)
				if err != nil {
					b.Fatal(err)
				}
				started += time.Since(began)
				var ru syscall.Rusage
				for {
					if _, err := syscall.Wait4(c.Pid, nil, 0, &ru); !errors.Is(err, syscall.EINTR) {
						break
					}
				}
				_, _ = c.Outcome()
				used.Utime.Usec += ru.Utime.Usec + ru.Stime.Usec
				used.Maxrss = max(used.Maxrss, ru.Maxrss)
			}
			b.ReportMetric(float64(started.Microseconds())/1000/float64(b.N), "start-ms")
			b.ReportMetric(float64(used.Utime.Usec)/1000/float64(b.N), "cpu-ms")
			b.ReportMetric(float64(used.Maxrss)/1024, "rss-MB")
		})
	}
}
