package store

import (
	"bytes"
	"testing"
	"time"

	"github.com/holdfast/holdfast/schema"
)

// A block is read as it was written; anything else is refused.
func FuzzParseLines(f *testing.F) {
	id := schema.NewID()
	at := schema.Time{Time: time.UnixMilli(1_795_000_000_123).UTC()}
	var text []byte
	for _, e := range []schema.Event{
		{Type: schema.EventOutput, Seq: 7, Timestamp: at, SessionID: id, RunID: id, StepID: "a", Data: []byte(`{"text":"}\n,\"data\":"}`)},
		{Type: schema.EventStepProgress, Seq: 1 << 60, Timestamp: at, SessionID: id, StepID: "\"\\\x00\u2028é", Data: []byte(`0`)},
		{Type: "\xff", Seq: 3, Timestamp: at, Data: []byte(`[1, 2]`)},
	} {
		text = appendLine(text, &e)
		f.Add(appendLine(nil, &e))
	}
	f.Add(text)
	f.Add(text[:len(text)-1])
	f.Add([]byte("\n"))
	f.Add([]byte(`{"event_type":"\`))
	f.Fuzz(func(t *testing.T, text []byte) {
		events, err := parseLines(text, 1)
		if err != nil {
			return
		}
		var again []byte
		for i := range events {
			again = appendLine(again, &events[i])
		}
		back, err := parseLines(again, len(events))
		if err != nil || len(back) != len(events) {
			t.Fatalf("%q is written as %q, which is not read: %v", text, again, err)
		}
		for i := range events {
			a, b := &events[i], &back[i]
			if a.Type != b.Type || a.Seq != b.Seq || !a.Timestamp.Truncate(time.Millisecond).Equal(b.Timestamp.Time) || a.SessionID != b.SessionID ||
				a.RunID != b.RunID || a.StepID != b.StepID || !bytes.Equal(a.Data, b.Data) {
				t.Fatalf("%+v became %+v", a, b)
			}
		}
	})
}
