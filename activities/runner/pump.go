package runner

import (
	"context"
	"io"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/holdfast/holdfast/schema"
)

const (
	// chunkBytes is the most that one output event carries: small enough for a viewer to
	// show at once, large enough that a million lines are some thousand events.
	chunkBytes = 64 << 10
	// pumpBytes is how much output waits in memory while the recorder is busy. When it is
	// full the program blocks on its pipe.
	pumpBytes = 1 << 20
)

// pump carries a program's output to a recorder: what is read while one flush is under way
// makes up the next one.
type pump struct {
	attempt int

	mu      sync.Mutex
	changed *sync.Cond
	chunks  []schema.OutputData
	bytes   int
	open    int // readers that have not ended
	dead    bool
}

func newPump(attempt, readers int) *pump {
	p := &pump{attempt: attempt, open: readers}
	p.changed = sync.NewCond(&p.mu)
	return p
}

// read takes in one stream until it ends.
func (p *pump) read(stream schema.Stream, r io.Reader) {
	defer p.readerEnded()
	buf := make([]byte, chunkBytes)
	held := 0 // bytes at the start of buf that belong to a rune which is not whole yet
	var offset int64
	for {
		n, err := r.Read(buf[held:])
		n += held
		whole := n
		if err == nil {
			whole = wholeRunes(buf[:n])
		}
		if whole > 0 && !p.put(schema.OutputData{Stream: stream, Text: toUTF8(buf[:whole]), Offset: offset, Attempt: p.attempt}) {
			return
		}
		offset += int64(whole)
		held = copy(buf, buf[whole:n])
		if err != nil {
			return
		}
	}
}

func (p *pump) readerEnded() {
	p.mu.Lock()
	p.open--
	p.mu.Unlock()
	p.changed.Broadcast()
}

// put waits for room; it reports false when the pump has been given up.
func (p *pump) put(c schema.OutputData) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.bytes >= pumpBytes && !p.dead {
		p.changed.Wait()
	}
	if p.dead {
		return false
	}
	p.bytes += len(c.Text)
	if last := len(p.chunks) - 1; last >= 0 && p.chunks[last].Stream == c.Stream && len(p.chunks[last].Text)+len(c.Text) <= chunkBytes {
		p.chunks[last].Text += c.Text
	} else {
		p.chunks = append(p.chunks, c)
	}
	p.changed.Broadcast()
	return true
}

// take waits for output and returns all there is; nil when no more will come.
func (p *pump) take() []schema.OutputData {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.chunks) == 0 && p.open > 0 && !p.dead {
		p.changed.Wait()
	}
	chunks := p.chunks
	p.chunks, p.bytes = nil, 0
	p.changed.Broadcast()
	return chunks
}

// giveUp lets readers go; what they still read is not kept.
func (p *pump) giveUp() {
	p.mu.Lock()
	p.dead = true
	p.mu.Unlock()
	p.changed.Broadcast()
}

// flush hands everything to the recorder, in order, until the streams have ended.
func (p *pump) flush(ctx context.Context, record func(ctx context.Context, batch int64, chunks []schema.OutputData) error) error {
	for batch := int64(0); ; batch++ {
		chunks := p.take()
		if len(chunks) == 0 {
			return nil
		}
		if err := record(ctx, batch, chunks); err != nil {
			p.giveUp()
			return err
		}
	}
}

// wholeRunes is the length of b without a rune at its end that is not complete.
func wholeRunes(b []byte) int {
	for back := 1; back < utf8.UTFMax && back <= len(b); back++ {
		c := b[len(b)-back]
		if utf8.RuneStart(c) {
			if c >= utf8.RuneSelf && !utf8.FullRune(b[len(b)-back:]) {
				return len(b) - back
			}
			return len(b)
		}
	}
	return len(b)
}

// toUTF8 makes text of b: each byte that is not part of a rune becomes U+FFFD.
func toUTF8(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	var s strings.Builder
	s.Grow(len(b) + 16)
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		s.WriteRune(r)
		b = b[n:]
	}
	return s.String()
}
