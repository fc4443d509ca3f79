package frame_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/holdfast/holdfast/schema/wire"
	"github.com/holdfast/holdfast/web/frame"
)

// masked is a frame as a client sends it.
func masked(first byte, payload string) []byte {
	b := []byte{first}
	switch n := len(payload); {
	case n <= 125:
		b = append(b, 0x80|byte(n))
	case n <= 0xFFFF:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	mask := [4]byte{0x12, 0x34, 0x56, 0x78}
	b = append(b, mask[:]...)
	for i := range len(payload) {
		b = append(b, payload[i]^mask[i%4])
	}
	return b
}

type message struct {
	op   byte
	data string
}

func read(t *testing.T, in io.Reader) ([]message, error) {
	t.Helper()
	r := frame.NewReader(in)
	var list []message
	for {
		op, data, err := r.Next()
		if err != nil {
			return list, err
		}
		list = append(list, message{op, string(data)})
	}
}

// slowly gives a few bytes at a time.
type slowly struct{ in io.Reader }

func (s slowly) Read(b []byte) (int, error) {
	return s.in.Read(b[:min(len(b), 1+rand.IntN(3))])
}

func TestReader_PutsMessagesTogether(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("0123456789abcdef", wire.MaxFrameBytes/16)
	in := bytes.Join([][]byte{
		masked(0x81, "one"),
		masked(0x01, "a message "), masked(0x89, "are you there"), masked(0x00, "in "), masked(0x00, ""), masked(0x80, "parts"),
		masked(0x82, "\x00\xff"),
		masked(0x8A, ""),
		masked(0x81, large), masked(0x81, large[:126]), masked(0x81, ""),
		masked(0x88, "\x03\xe8bye"),
	}, nil)
	want := []message{
		{frame.OpText, "one"}, {frame.OpPing, "are you there"}, {frame.OpText, "a message in parts"}, {frame.OpBinary, "\x00\xff"},
		{frame.OpPong, ""}, {frame.OpText, large}, {frame.OpText, large[:126]}, {frame.OpText, ""}, {frame.OpClose, "\x03\xe8bye"},
	}
	for name, from := range map[string]io.Reader{"at once": bytes.NewReader(in), "slowly": slowly{bytes.NewReader(in)}} {
		got, err := read(t, from)
		if !errors.Is(err, io.EOF) || len(got) != len(want) {
			t.Fatalf("%s: %d messages and %v", name, len(got), err)
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("%s: message %d is %.40q, want %.40q", name, i, got[i], want[i])
			}
		}
	}
}

func TestReader_ClosesOnWhatAClientMayNotSend(t *testing.T) {
	t.Parallel()
	unmasked := []byte{0x81, 1, 'a'}
	huge := binary.BigEndian.AppendUint64([]byte{0x81, 0x80 | 127}, 1<<63)
	parts := masked(0x01, "{")
	for len(parts) < 2*wire.MaxFrameBytes {
		parts = append(parts, masked(0x00, "")...)
	}
	for name, c := range map[string]struct {
		in   []byte
		code int
	}{
		"not masked":                      {unmasked, wire.CloseProtocolError},
		"a reserved bit":                  {masked(0xC1, "a"), wire.CloseProtocolError},
		"an opcode that does not exist":   {masked(0x83, "a"), wire.CloseProtocolError},
		"a control opcode likewise":       {masked(0x8B, "a"), wire.CloseProtocolError},
		"a ping in parts":                 {masked(0x09, "a"), wire.CloseProtocolError},
		"a long ping":                     {masked(0x89, strings.Repeat("a", 126)), wire.CloseProtocolError},
		"a part of nothing":               {masked(0x80, "a"), wire.CloseProtocolError},
		"a message within another":        {append(masked(0x01, "a"), masked(0x81, "b")...), wire.CloseProtocolError},
		"a closing code of one byte":      {masked(0x88, "a"), wire.CloseProtocolError},
		"a closing code of no one's":      {masked(0x88, "\x03\xee"), wire.CloseProtocolError},
		"a reason that is not text":       {masked(0x88, "\x03\xe8\xff"), wire.CloseInvalidData},
		"a message too big":               {masked(0x81, strings.Repeat("a", wire.MaxFrameBytes+1)), wire.CloseTooBig},
		"a message too big in parts":      {append(masked(0x01, strings.Repeat("a", wire.MaxFrameBytes)), masked(0x80, "a")...), wire.CloseTooBig},
		"a length beyond what there is":   {append(huge, 1, 2, 3, 4), wire.CloseTooBig},
		"parts without content, for ever": {parts, wire.ClosePolicy},
	} {
		_, err := read(t, bytes.NewReader(c.in))
		if v, ok := errors.AsType[*frame.ViolationError](err); !ok || v.Code != c.code || v.Reason == "" || len(v.Reason) > 123 {
			t.Errorf("%s: %v, want a violation with %d", name, err, c.code)
		}
	}
}

func TestReader_TellsACutFrameFromAnEnd(t *testing.T) {
	t.Parallel()
	whole := masked(0x81, strings.Repeat("a", 300))
	for n := 2; n < len(whole); n++ {
		if _, err := read(t, bytes.NewReader(whole[:n])); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("after %d of %d bytes: %v", n, len(whole), err)
		}
	}
}

// A client that claims a large message and sends nothing of it must not make the server set memory aside.
func TestReader_AClaimedLengthCostsNothing(t *testing.T) {
	// Not parallel: it measures what the process allocates.
	claim := masked(0x81, strings.Repeat("a", wire.MaxFrameBytes))[:14]
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	const readers = 200
	for range readers {
		if _, err := read(t, bytes.NewReader(claim)); err == nil {
			t.Fatal("it was read")
		}
	}
	runtime.ReadMemStats(&after)
	if each := (after.TotalAlloc - before.TotalAlloc) / readers; each > 32<<10 {
		t.Errorf("a claim costs %d bytes", each)
	}
}

func FuzzReader(f *testing.F) {
	f.Add(masked(0x81, `{"type":"ping"}`))
	f.Add(append(masked(0x01, "a"), masked(0x80, "b")...))
	f.Add(masked(0x88, "\x03\xe8bye"))
	f.Fuzz(func(t *testing.T, in []byte) {
		r := frame.NewReader(bytes.NewReader(in))
		for {
			op, data, err := r.Next()
			if err != nil {
				return
			}
			if len(data) > wire.MaxFrameBytes || len(data) > len(in) {
				t.Fatalf("a message of %d bytes out of %d", len(data), len(in))
			}
			first := 0x80 | op
			// What was read is read again when it is sent in one frame.
			again, same, err := frame.NewReader(bytes.NewReader(masked(first, string(data)))).Next()
			if err != nil || again != op || !bytes.Equal(same, data) {
				t.Fatalf("%d %q is %d %q and %v", op, data, again, same, err)
			}
		}
	})
}
