package store

import (
	"fmt"
	"strings"
	"testing"

	"github.com/holdfast/holdfast/schema"
)

func BenchmarkPack(b *testing.B) {
	const size = 512 << 10
	var text strings.Builder
	for i := 0; text.Len() < size; i++ {
		fmt.Fprintf(&text, "%07d the quick brown fox jumps over the lazy dog and writes a line of one hundred bytes %08x\n", i, i*2654435761)
	}
	chunk := schema.OutputData{Stream: schema.Stdout, Text: text.String()[:size], Attempt: 1}
	b.Run("json", func(b *testing.B) {
		b.SetBytes(size)
		var buf []byte
		for b.Loop() {
			buf = appendOutput(buf[:0], &chunk)
		}
	})
	b.Run("pack", func(b *testing.B) {
		b.SetBytes(size)
		var n int
		for b.Loop() {
			p := newPacker()
			p.addOutput(&chunk)
			_, _, packed := p.columns()
			n = len(packed[0])
			p.release()
		}
		b.ReportMetric(float64(size)/float64(n), "ratio")
	})
}
