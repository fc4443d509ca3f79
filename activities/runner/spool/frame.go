package spool

import (
	"encoding/binary"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Kind says what a frame carries.
type Kind byte

// The kinds.
const (
	Stdout   Kind = 1
	Stderr   Kind = 2
	Progress Kind = 3 // the program's progress report, as JSON
)

// Frame is a piece of output. Offset is where it starts in its stream, in bytes.
type Frame struct {
	Kind   Kind
	At     time.Time // to the millisecond
	Offset int64
	Data   []byte
	End    int64 // where the next frame starts in the spool
}

// headerBytes is a frame's header: kind, milliseconds since 1970, offset, length of the data.
const headerBytes = 1 + 8 + 8 + 4

// MaxData is the most that one frame carries.
const MaxData = 256 << 10

// segmentBytes is the size at which a new segment is begun.
const segmentBytes = 4 << 20

const suffix = ".spool"

func segmentName(dir string, start int64) string {
	return filepath.Join(dir, fmt.Sprintf("%016x%s", start, suffix))
}

func segmentStart(name string) (int64, bool) {
	digits, ok := strings.CutSuffix(filepath.Base(name), suffix)
	if !ok {
		return 0, false
	}
	start, err := strconv.ParseInt(digits, 16, 64)
	return start, err == nil
}

func putHeader(b []byte, k Kind, at time.Time, offset int64, n int) {
	b[0] = byte(k)
	binary.BigEndian.PutUint64(b[1:], uint64(at.UnixMilli()))
	binary.BigEndian.PutUint64(b[9:], uint64(offset))
	binary.BigEndian.PutUint32(b[17:], uint32(n))
}

func readHeader(b []byte) (f Frame, n int) {
	f.Kind = Kind(b[0])
	f.At = time.UnixMilli(int64(binary.BigEndian.Uint64(b[1:]))).UTC()
	f.Offset = int64(binary.BigEndian.Uint64(b[9:]))
	return f, int(binary.BigEndian.Uint32(b[17:]))
}
