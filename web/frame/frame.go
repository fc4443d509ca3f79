package frame

import (
	"encoding/binary"
	"strconv"
	"time"

	"github.com/holdfast/holdfast/schema"
)

// The first byte of each kind of frame: FIN and the opcode.
const (
	firstText  = bitFinal | OpText
	firstClose = bitFinal | OpClose
	firstPing  = bitFinal | OpPing
	firstPong  = bitFinal | OpPong

	maxControl = 125 // bytes of a control frame's payload
)

// Ping asks for a sign of life.
func Ping() []byte { return appendFrame(nil, firstPing, nil) }

// Pong answers a ping with the ping's data.
func Pong(data []byte) []byte { return appendFrame(nil, firstPong, data) }

// appendFrame appends a frame with its header.
func appendFrame(dst []byte, first byte, payload []byte) []byte {
	dst = append(dst, first)
	switch n := len(payload); {
	case n <= 125:
		dst = append(dst, byte(n))
	case n <= 0xFFFF:
		dst = append(dst, 126)
		dst = binary.BigEndian.AppendUint16(dst, uint16(n))
	default:
		dst = append(dst, 127)
		dst = binary.BigEndian.AppendUint64(dst, uint64(n))
	}
	return append(dst, payload...)
}

// Close tells the client why it is closed. The reason has at most 123 bytes.
func Close(code int, reason string) []byte {
	payload := binary.BigEndian.AppendUint16(nil, uint16(code))
	payload = append(payload, reason...)
	return appendFrame(nil, firstClose, payload[:min(len(payload), maxControl)])
}

// Encoder writes events as text frames, one after the other, to Buf.
type Encoder struct {
	Buf     []byte
	scratch []byte
}

// Add appends an event.
func (e *Encoder) Add(event *schema.Event) {
	e.scratch = AppendEvent(e.scratch[:0], event)
	e.Buf = appendFrame(e.Buf, firstText, e.scratch)
}

// AppendEvent appends the JSON of an event.
func AppendEvent(b []byte, event *schema.Event) []byte {
	b = append(b, `{"event_type":`...)
	b = appendString(b, string(event.Type))
	if event.Seq > 0 {
		b = append(b, `,"seq":`...)
		b = strconv.AppendInt(b, event.Seq, 10)
	}
	b = append(b, `,"timestamp":"`...)
	b = append(b, event.Timestamp.String()...)
	b = append(b, '"')
	for _, field := range [...]struct{ name, value string }{
		{`,"session_id":`, event.SessionID}, {`,"run_id":`, event.RunID}, {`,"step_id":`, event.StepID},
	} {
		if field.value != "" {
			b = append(b, field.name...)
			b = appendString(b, field.value)
		}
	}
	b = append(b, `,"data":`...)
	if len(event.Data) == 0 {
		b = append(b, `{}`...)
	} else {
		b = append(b, event.Data...)
	}
	return append(b, '}')
}

// appendString quotes ids and names, which are plain ASCII but for step ids of old logs.
func appendString(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c == '"' || c == '\\' || c >= 0x7f {
			return append(dst, schema.Marshal(s)...)
		}
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}

// New makes a frame that is not stored, with the time at which it is made.
func New(kind schema.EventType, sessionID string, data any) []byte {
	var e Encoder
	e.Add(&schema.Event{Type: kind, Timestamp: schema.Time{Time: time.Now()}, SessionID: sessionID, Data: schema.Marshal(data)})
	return e.Buf
}
