package feed

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"math"
	"testing"

	"github.com/holdfast/holdfast/logs"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
	"github.com/holdfast/holdfast/web/frame"
)

// memoryLog is a log in memory, of one session.
type memoryLog struct{ events []schema.Event }

func (l *memoryLog) Events(_ context.Context, _ string, f store.EventFilter) ([]schema.Event, error) {
	var part []schema.Event
	size := int64(0)
	for i := f.Since; i < int64(len(l.events)) && len(part) < f.Limit && (f.Until == 0 || i < f.Until); i++ {
		if size += int64(len(l.events[i].Data)); size > f.MaxBytes && len(part) > 0 {
			break
		}
		part = append(part, l.events[i])
	}
	return part, nil
}

func (l *memoryLog) ReadTails(ctx context.Context, tails []store.Tail, limit int, maxBytes int64) error {
	for i := range tails {
		tails[i].Events, tails[i].Err = l.Events(ctx, tails[i].SessionID, store.EventFilter{Since: tails[i].Since, Limit: limit, MaxBytes: maxBytes})
	}
	return nil
}

func (l *memoryLog) HeadSeq(context.Context, string) (int64, error) {
	return int64(len(l.events)), nil
}

func (l *memoryLog) Heads(_ context.Context, ids []string) (map[string]int64, error) {
	return map[string]int64{ids[0]: int64(len(l.events))}, nil
}
func (*memoryLog) Listen(context.Context, store.Listener) error { return nil }
func (*memoryLog) Session(context.Context, string) (schema.Session, error) {
	return schema.Session{}, nil
}

func (*memoryLog) CountSessions(context.Context) (int, error) { return 0, nil }

func (*memoryLog) Sessions(context.Context, store.SessionFilter) ([]schema.Session, int, string, error) {
	return nil, 0, "", nil
}

// viewing is a cursor and what it has read so far.
type viewing struct {
	cursor *Cursor
	woken  chan struct{}
	seq    int64
}

// read takes the next frames and checks that they follow. It reports whether there were any.
func (v *viewing) read(t *testing.T, l *memoryLog, most int) bool {
	t.Helper()
	frames := v.cursor.Next(t.Context(), most)
	if frames == nil {
		return false
	}
	for first := true; len(frames) > 0; first = false {
		header, size := 2, int(frames[1])
		switch size {
		case 126:
			header, size = 4, int(binary.BigEndian.Uint16(frames[2:]))
		case 127:
			header, size = 10, int(binary.BigEndian.Uint64(frames[2:]))
		}
		var e schema.Event
		if frames[0] != 0x80|frame.OpText || json.Unmarshal(frames[header:header+size], &e) != nil {
			t.Fatalf("a frame is %.200q", frames)
		}
		if v.seq++; e.Seq != v.seq || !bytes.Equal(e.Data, l.events[v.seq-1].Data) {
			t.Fatalf("event %d came, with %d bytes; event %d has %d", e.Seq, len(e.Data), v.seq, len(l.events[v.seq-1].Data))
		}
		if most -= header + size; most < 0 && !first {
			t.Fatalf("%d bytes more than asked for", -most)
		}
		frames = frames[header+size:]
	}
	return true
}

// FuzzCursor: whatever is added to a log, of whatever size, and however much of it readers
// take at a time, wherever they start, each gets every event after its place once, in order.
func FuzzCursor(f *testing.F) {
	f.Add([]byte{0, 200, 1, 0, 9, 3, 2, 0, 255, 3, 1, 0, 40, 2, 2, 9})
	f.Add([]byte{1, 0, 7, 9, 0, 255, 250, 1, 128, 3, 0, 3, 1, 2, 130, 2, 9, 0, 255, 2, 0})
	f.Fuzz(func(t *testing.T, program []byte) {
		const maxEvents, most = 1200, 4
		l := &memoryLog{}
		h := New(l, logs.Discard())
		h.bytes.Store(math.MaxInt32) // rings and pages are as small as they can be
		defer h.Run(t.Context())
		id := "session"
		argument := func() int {
			if len(program) == 0 {
				return 0
			}
			n := int(program[0])
			program = program[1:]
			return n
		}
		var all []*viewing
		join := func(since int64) {
			v := &viewing{woken: make(chan struct{}, 1), seq: since}
			var err error
			v.cursor, _, err = h.Subscribe(t.Context(), id, since, func() {
				select {
				case v.woken <- struct{}{}:
				default:
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, v)
		}
		join(0)
		for len(program) > 0 {
			switch argument() % 4 {
			case 0: // events
				many, size := min(argument(), maxEvents-len(l.events)), argument()*argument()
				for range many {
					data := schema.Marshal(map[string]string{"text": string(bytes.Repeat([]byte{'x'}, size))})
					l.events = append(l.events, schema.Event{Seq: int64(len(l.events) + 1), Type: schema.EventOutput, SessionID: id, Data: data})
				}
				h.notice(store.Notice{SessionID: id, Head: int64(len(l.events))})
				for all[0].cursor.topic.end() < int64(len(l.events)) {
					<-all[0].woken
				}
			case 1: // a reader
				if since := int64(argument()) * 5; since <= int64(len(l.events)) && len(all) < most {
					join(since)
				}
			default:
				v := all[argument()%len(all)]
				if !v.read(t, l, argument()*1000) && v.seq < int64(len(l.events)) {
					t.Fatalf("nothing came after event %d of %d", v.seq, len(l.events))
				}
			}
		}
		for _, v := range all {
			for v.read(t, l, 128<<10) {
			}
			if v.seq != int64(len(l.events)) || v.cursor.Lag() != 0 {
				t.Fatalf("a reader has come to %d of %d", v.seq, len(l.events))
			}
			v.cursor.Detach()
		}
		if n := h.Topics(); n != 0 {
			t.Fatalf("%d topics are left", n)
		}
	})
}
