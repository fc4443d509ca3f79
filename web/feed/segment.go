package feed

import (
	"sort"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/web/frame"
)

// segment is a run of consecutive frames in one buffer, which never changes: any number of
// connections write from it at the same time.
type segment struct {
	first  int64 // number of the first frame
	starts []int32
	buf    []byte
}

// encodeEvents makes a segment of consecutive events; there is at least one.
func encodeEvents(events []schema.Event) *segment {
	size := 0
	for i := range events {
		const envelope = 240
		size += len(events[i].Data) + envelope
	}
	e := frame.Encoder{Buf: make([]byte, 0, size)}
	s := &segment{first: events[0].Seq, starts: make([]int32, 0, len(events))}
	for i := range events {
		s.starts = append(s.starts, int32(len(e.Buf)))
		e.Add(&events[i])
	}
	s.buf = e.Buf
	return s
}

func (s *segment) last() int64 { return s.first + int64(len(s.starts)) - 1 }

func (s *segment) end(i int) int {
	if i+1 < len(s.starts) {
		return int(s.starts[i+1])
	}
	return len(s.buf)
}

// after returns the frames that follow number n, at most about most bytes of them but at
// least one, and the number of the last one.
func (s *segment) after(n int64, most int) ([]byte, int64) {
	from := int(n - s.first + 1)
	start := int(s.starts[from])
	// The first frame whose end is over the bound; it is left out unless it is the first of all.
	count := sort.Search(len(s.starts)-from, func(i int) bool { return s.end(from+i)-start > most })
	upTo := from + max(count, 1) - 1
	return s.buf[start:s.end(upTo)], s.first + int64(upTo)
}

// ring keeps the latest frames of a topic, up to a number of bytes.
type ring struct {
	segments []*segment
	bytes    int
}

func (r *ring) add(s *segment) {
	r.segments = append(r.segments, s)
	r.bytes += len(s.buf)
}

// trim drops the oldest segments over the bound, never the newest, and returns how many
// bytes went.
func (r *ring) trim(most int) int {
	before := r.bytes
	drop := 0
	for r.bytes > most && drop < len(r.segments)-1 {
		r.bytes -= len(r.segments[drop].buf)
		r.segments[drop] = nil
		drop++
	}
	r.segments = r.segments[drop:]
	return before - r.bytes
}

// after finds the segment that holds the frame after n; nil when it is older than the ring.
func (r *ring) after(n int64) *segment {
	i := sort.Search(len(r.segments), func(i int) bool { return r.segments[i].last() > n })
	if i == len(r.segments) || r.segments[i].first > n+1 {
		return nil
	}
	return r.segments[i]
}
