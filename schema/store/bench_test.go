package store_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store/storetest"
)

// BenchmarkAppendOutput appends chunks of 100-byte lines, one flush after the other, for several steps at once.
func BenchmarkAppendOutput(b *testing.B) {
	for _, size := range []int{100, 4 << 10, 64 << 10, 512 << 10} {
		for _, writers := range []int{1, 8} {
			b.Run(fmt.Sprintf("chunk=%d/writers=%d", size, writers), func(b *testing.B) {
				s := storetest.New(b)
				var text strings.Builder
				for i := 0; text.Len() < size; i++ {
					fmt.Fprintf(&text, "%07d the quick brown fox jumps over the lazy dog and writes a line of one hundred bytes %08x\n", i, i*2654435761)
				}
				chunk := text.String()[:size]
				runs := make([]began, writers)
				for i := range runs {
					runs[i] = newRun(b, s)
					runs[i].attempt(b, s, "make")
				}
				b.SetBytes(int64(size))
				b.ResetTimer()
				var all sync.WaitGroup
				for i := range runs {
					all.Go(func() {
						for batch := range int64(b.N / writers) {
							if err := s.AppendOutput(context.Background(), runs[i].output("make", 1, batch, chunk)); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				all.Wait()
				b.ReportMetric(float64(b.N/writers*writers*size/100)/b.Elapsed().Seconds(), "lines/s")
			})
		}
	}
}

// BenchmarkBeginRun opens runs of one session, one after the other.
func BenchmarkBeginRun(b *testing.B) {
	s := storetest.New(b)
	session := newSession(b, s)
	for i := range b.N {
		begin := began{session: session.ID, run: schema.RunID(session.ID, i+1)}.begin()
		begin.Number, begin.Key = i+1, strconv.Itoa(i)
		if _, err := s.BeginRun(context.Background(), begin); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkApply moves a step, one transition after the other.
func BenchmarkApply(b *testing.B) {
	s := storetest.New(b)
	run := newRun(b, s)
	for i := range b.N {
		status := schema.StepReady
		if i%2 == 1 {
			status = schema.StepPending
		}
		if _, err := s.Apply(context.Background(), schema.Transition{
			SessionID: run.session, RunID: run.run, Key: strconv.Itoa(i), Status: schema.SessionActive, Phase: schema.PhaseExecuting,
			Steps: []schema.StepChange{{ID: "make", Status: status}},
		}); err != nil {
			b.Fatal(err)
		}
	}
}
