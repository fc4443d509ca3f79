package frame

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/holdfast/holdfast/schema/wire"
)

// Opcodes of messages (RFC 6455, section 5.2).
const (
	OpText   = 0x1
	OpBinary = 0x2
	OpClose  = 0x8
	OpPing   = 0x9
	OpPong   = 0xA

	opContinuation = 0x0
	opMask         = 0x0F

	bitFinal    = 0x80
	bitsReserve = 0x70
	bitMasked   = 0x80
	lengthMask  = 0x7F
	lengthIn16  = 126 // the length is in the next 2 bytes
	lengthIn64  = 127 // or in the next 8
	maskBytes   = 4
)

const (
	// readBuffer is small: an idle connection keeps it, and what is larger is read past it.
	readBuffer = 512

	// maxHeaderBytes bounds the headers of a fragmented message, so that fragments without content cannot go on for
	// ever: at 6 bytes each, it has at most 5461 of them.
	maxHeaderBytes = wire.MaxFrameBytes / 2

	// readStep is by how much the memory for a message grows, as its bytes arrive: a length that a client only claims
	// costs nothing.
	readStep = 4 << 10
)

// ViolationError is something that a client may not send, and how its connection is closed for it.
type ViolationError struct {
	Code   int
	Reason string
}

func (e *ViolationError) Error() string { return fmt.Sprintf("close %d: %s", e.Code, e.Reason) }

func violation(code int, format string, args ...any) error {
	return &ViolationError{code, fmt.Sprintf(format, args...)}
}

// Reader reads a client's messages of at most [wire.MaxFrameBytes].
type Reader struct {
	in       *bufio.Reader
	message  []byte // the parts so far
	op       byte   // of the message in parts; 0 when there is none
	overhead int    // bytes of headers of the message in parts
}

// NewReader reads from a connection whose handshake is done.
func NewReader(in io.Reader) *Reader {
	return &Reader{in: bufio.NewReaderSize(in, readBuffer)}
}

type header struct {
	final  bool
	op     byte
	length uint64
	mask   [maskBytes]byte
	size   int // of the header itself
}

// Next reads the next message, which may be a control frame between the parts of another. Its data is the caller's.
// The error is a [*ViolationError] when the client has broken the protocol, and of the connection otherwise; nothing can
// be read after either.
func (r *Reader) Next() (op byte, data []byte, err error) {
	for {
		h, err := r.header()
		if err != nil {
			return 0, nil, err
		}
		if h.op&OpClose != 0 {
			data, err := r.payload(nil, h)
			if err == nil && h.op == OpClose {
				err = checkClose(data)
			}
			return h.op, data, err
		}
		if uint64(len(r.message))+h.length > wire.MaxFrameBytes {
			return 0, nil, violation(wire.CloseTooBig, "a frame has at most %d KiB", wire.MaxFrameBytes>>10)
		}
		if r.overhead += h.size; r.overhead > maxHeaderBytes {
			return 0, nil, violation(wire.ClosePolicy, "too many fragments in a message")
		}
		if h.op != opContinuation {
			r.op = h.op
		}
		if r.message, err = r.payload(r.message, h); err != nil {
			return 0, nil, err
		}
		if h.final {
			op, data = r.op, r.message
			r.op, r.message, r.overhead = 0, nil, 0
			return op, data, nil
		}
	}
}

func (r *Reader) header() (h header, err error) {
	var b [8]byte
	if _, err := io.ReadFull(r.in, b[:2]); err != nil {
		return h, fmt.Errorf("read a frame: %w", err)
	}
	h.final, h.op, h.length = b[0]&bitFinal != 0, b[0]&opMask, uint64(b[1]&lengthMask)
	if err := r.check(b[0], b[1], h); err != nil {
		return h, err
	}
	h.size = 2 + maskBytes
	switch h.length {
	case lengthIn16:
		h.size += 2
		_, err = io.ReadFull(r.in, b[:2])
		h.length = uint64(binary.BigEndian.Uint16(b[:2]))
	case lengthIn64:
		h.size += 8
		_, err = io.ReadFull(r.in, b[:8])
		h.length = binary.BigEndian.Uint64(b[:8])
	}
	if err == nil {
		_, err = io.ReadFull(r.in, h.mask[:])
	}
	if err == nil && h.length > wire.MaxFrameBytes {
		return h, violation(wire.CloseTooBig, "a frame has at most %d KiB", wire.MaxFrameBytes>>10)
	}
	if err != nil {
		return h, fmt.Errorf("read a frame: %w", cut(err))
	}
	return h, nil
}

// check refuses what the protocol does not allow in the first two bytes of a client's frame.
func (r *Reader) check(first, second byte, h header) error {
	switch {
	case first&bitsReserve != 0:
		return violation(wire.CloseProtocolError, "a reserved bit is set, and no extension was agreed on")
	case second&bitMasked == 0:
		return violation(wire.CloseProtocolError, "the frames of a client must be masked")
	case h.op > OpPong || h.op > OpBinary && h.op < OpClose:
		return violation(wire.CloseProtocolError, "there is no opcode %#x", h.op)
	case h.op >= OpClose && !h.final:
		return violation(wire.CloseProtocolError, "a control frame must not be fragmented")
	case h.op >= OpClose && h.length > maxControl:
		return violation(wire.CloseProtocolError, "a control frame has at most %d bytes", maxControl)
	case h.op == opContinuation && r.op == 0:
		return violation(wire.CloseProtocolError, "a continuation frame without a message to continue")
	case (h.op == OpText || h.op == OpBinary) && r.op != 0:
		return violation(wire.CloseProtocolError, "the previous message is not finished")
	default:
		return nil
	}
}

// payload appends the content of a frame.
func (r *Reader) payload(to []byte, h header) ([]byte, error) {
	for at := 0; at < int(h.length); {
		n := min(int(h.length)-at, readStep)
		start := len(to)
		to = append(to, make([]byte, n)...)
		if _, err := io.ReadFull(r.in, to[start:]); err != nil {
			return nil, fmt.Errorf("read a frame: %w", cut(err))
		}
		for i := range to[start:] {
			to[start+i] ^= h.mask[(at+i)%maskBytes]
		}
		at += n
	}
	return to, nil
}

// cut tells a connection that ends within a frame from one that ends between frames.
func cut(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// checkClose checks the content of a close frame: nothing, or a code and a reason.
func checkClose(data []byte) error {
	if len(data) == 0 {
		return nil
	}
	if len(data) == 1 {
		return violation(wire.CloseProtocolError, "a close code has 2 bytes")
	}
	switch code := binary.BigEndian.Uint16(data); {
	case code < 1000 || code == 1004 || code == 1005 || code == 1006 || code > 1014 && code < 3000 || code >= 5000:
		return violation(wire.CloseProtocolError, "%d is not a valid close code", code)
	case !utf8.Valid(data[2:]):
		return violation(wire.CloseInvalidData, "the reason is not UTF-8")
	default:
		return nil
	}
}
