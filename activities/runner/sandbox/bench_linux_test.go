package sandbox

import (
	"testing"
)

// BenchmarkStep is the whole life of a step that does nothing: Start, true, Outcome.
func BenchmarkStep(b *testing.B) {
	for _, mode := range []Mode{BestEffort, Off} {
		b.Run(string(mode), func(b *testing.B) {
			s := newSpec(b, "/bin/true")
			s.Mode = mode
			for b.Loop() {
				if _, err := run(b, s); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
