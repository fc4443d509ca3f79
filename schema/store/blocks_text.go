package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/holdfast/holdfast/schema"
)

// The text of a block is its events as clients receive them, one per line, in the order of seq. So `zstd -dc` shows an
// archived log without Holdfast. Only this file writes these lines, with fixed field order, and it reads them without a
// general JSON parser: the data of an event are the original bytes.

var errBlock = errors.New("a block of events cannot be read")

// blockEncoder is slower than the encoder of live events, but compresses better; its texts carry a checksum.
var blockEncoder = sync.OnceValue(func() *zstd.Encoder {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderCRC(true),
		zstd.WithEncoderConcurrency(runtime.GOMAXPROCS(0)), zstd.WithLowerEncoderMem(true))
	if err != nil {
		panic("store: zstd options: " + err.Error())
	}
	return e
})

// fitsLine reports whether an event fits on one line: JSON may have line breaks between its parts, though no writer
// makes any.
func fitsLine(e *schema.Event) bool { return bytes.IndexByte(e.Data, '\n') < 0 }

// appendLine appends an event as a line of a block.
func appendLine(b []byte, e *schema.Event) []byte {
	b = append(b, `{"event_type":`...)
	b = appendString(b, string(e.Type))
	b = append(b, `,"seq":`...)
	b = strconv.AppendInt(b, e.Seq, 10)
	b = append(b, `,"timestamp":"`...)
	b = append(b, e.Timestamp.String()...)
	b = append(b, `","session_id":`...)
	b = appendString(b, e.SessionID)
	if e.RunID != "" {
		b = append(b, `,"run_id":`...)
		b = appendString(b, e.RunID)
	}
	if e.StepID != "" {
		b = append(b, `,"step_id":`...)
		b = appendString(b, e.StepID)
	}
	b = append(b, `,"data":`...)
	b = append(b, e.Data...)
	return append(b, '}', '\n')
}

// parseLines reads the text of a block. The events' data are slices of the text.
func parseLines(text []byte, count int) ([]schema.Event, error) {
	events := make([]schema.Event, 0, count)
	for len(text) > 0 {
		end := bytes.IndexByte(text, '\n')
		if end < 0 {
			return nil, fmt.Errorf("%w: its last line has no end", errBlock)
		}
		l := line{rest: text[:end]}
		e := schema.Event{
			Type: schema.EventType(l.field(`{"event_type":`)), Seq: l.number(`,"seq":`), Timestamp: l.time(`,"timestamp":`),
			SessionID: l.field(`,"session_id":`), RunID: l.optional(`,"run_id":`), StepID: l.optional(`,"step_id":`), Data: l.data(),
		}
		if l.bad {
			return nil, fmt.Errorf("%w: %.200q", errBlock, text[:end])
		}
		events = append(events, e)
		text = text[end+1:]
	}
	return events, nil
}

// line parses one line from left to right. After anything unexpected it is bad, and returns nothing more.
type line struct {
	rest []byte
	bad  bool
}

func (l *line) skip(name string) bool {
	rest, ok := bytes.CutPrefix(l.rest, []byte(name))
	l.rest = rest
	return ok
}

// field reads a JSON string after its name.
func (l *line) field(name string) string {
	if l.bad || !l.skip(name) || len(l.rest) == 0 || l.rest[0] != '"' {
		l.bad = true
		return ""
	}
	for i := 1; i < len(l.rest); i++ {
		switch l.rest[i] {
		case '\\':
			i++ // whatever character follows, it does not end the string
		case '"':
			quoted := l.rest[:i+1]
			l.rest = l.rest[i+1:]
			if bytes.IndexByte(quoted, '\\') < 0 {
				return string(quoted[1:i])
			}
			var s string
			l.bad = json.Unmarshal(quoted, &s) != nil
			return s
		}
	}
	l.bad = true
	return ""
}

func (l *line) optional(name string) string {
	if l.bad || !bytes.HasPrefix(l.rest, []byte(name)) {
		return ""
	}
	return l.field(name)
}

func (l *line) number(name string) int64 {
	if l.bad || !l.skip(name) {
		l.bad = true
		return 0
	}
	end := bytes.IndexByte(l.rest, ',')
	n, err := strconv.ParseInt(string(l.rest[:max(end, 0)]), 10, 64)
	if err != nil {
		l.bad = true
		return 0
	}
	l.rest = l.rest[end:]
	return n
}

func (l *line) time(name string) schema.Time {
	at, err := time.Parse(time.RFC3339, l.field(name))
	l.bad = l.bad || err != nil
	return schema.Time{Time: at.UTC()}
}

// data reads the last field, up to the end of the line.
func (l *line) data() json.RawMessage {
	if l.bad || !l.skip(`,"data":`) || len(l.rest) < 2 || l.rest[len(l.rest)-1] != '}' {
		l.bad = true
		return nil
	}
	return json.RawMessage(l.rest[: len(l.rest)-1 : len(l.rest)-1])
}
