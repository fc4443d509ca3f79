package spool

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"slices"
)

// ErrDamaged says that a spool does not contain what was written. Retrying does not help.
var ErrDamaged = errors.New("the spool is damaged")

// Everything reads all there is, in a spool that nobody writes.
const Everything = math.MaxInt64

// Reader reads a spool from an offset on, even while it is being written.
type Reader struct {
	dir    string
	file   *os.File
	start  int64 // of file
	offset int64
	buf    []byte // read but not handed out; ends at offset+len(buf)
	room   []byte
}

// Open starts reading at an offset: 0, or the End of a frame.
func Open(dir string, offset int64) *Reader {
	return &Reader{dir: dir, offset: offset}
}

// Dir is the spool's folder.
func (r *Reader) Dir() string { return r.dir }

// Offset is where the next frame starts.
func (r *Reader) Offset() int64 { return r.offset }

// Close closes the segment.
func (r *Reader) Close() error {
	if r.file == nil {
		return nil
	}
	f := r.file
	r.file, r.buf = nil, nil
	return f.Close()
}

// readAhead is how much is read from the disk at once.
const readAhead = MaxData + headerBytes

// Next returns the next frame before end, which is how much the writer has reported as written
// ([Writer.End]), and false if there is none yet. It never looks beyond end: a writer with a full
// disk takes back an unfinished frame. The data is valid until the next call.
func (r *Reader) Next(end int64) (Frame, bool, error) {
	for {
		if len(r.buf) >= headerBytes {
			f, n := readHeader(r.buf)
			if n > MaxData || f.Kind < Stdout || f.Kind > Progress {
				if end == Everything { // the writer was killed while it took something back
					return Frame{}, false, nil
				}
				return Frame{}, false, fmt.Errorf("%w at %d", ErrDamaged, r.offset)
			}
			if len(r.buf) >= headerBytes+n {
				f.Data = r.buf[headerBytes : headerBytes+n]
				r.buf = r.buf[headerBytes+n:]
				r.offset += int64(headerBytes + n)
				f.End = r.offset
				return f, true, nil
			}
		}
		more, err := r.fill(end)
		if err != nil || !more {
			return Frame{}, false, err
		}
	}
}

// fill reads more of the segment, up to end, or continues with the next one.
func (r *Reader) fill(end int64) (more bool, err error) {
	if r.offset+int64(len(r.buf)) >= end {
		return false, nil
	}
	if r.file == nil {
		found, err := r.open()
		if err != nil {
			return false, err
		}
		if !found {
			return false, r.missing(end)
		}
	}
	if r.room == nil {
		r.room = make([]byte, readAhead)
	}
	held := copy(r.room, r.buf)
	most := min(int64(len(r.room)), end-r.offset)
	n, err := r.file.ReadAt(r.room[held:most], r.offset-r.start+int64(held))
	r.buf = r.room[:held+n]
	if n > 0 {
		return true, nil
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	if held > 0 || r.offset == r.start {
		return false, r.missing(end) // the writer was killed there
	}
	// The end of the segment: the writer has continued in the next one.
	if _, err := os.Stat(segmentName(r.dir, r.offset)); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return false, r.missing(end)
		}
		return false, err
	}
	return true, r.Close()
}

// missing says what it means that data before end is missing.
func (r *Reader) missing(end int64) error {
	if end == Everything {
		return nil
	}
	return fmt.Errorf("%w: it has %d bytes, and should have %d", ErrDamaged, r.offset, end)
}

// open finds the segment that contains the offset. In a removed folder there is none.
func (r *Reader) open() (bool, error) {
	entries, err := os.ReadDir(r.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	var starts []int64
	for _, e := range entries {
		if start, ok := segmentStart(e.Name()); ok && start <= r.offset {
			starts = append(starts, start)
		}
	}
	if len(starts) == 0 {
		return false, nil
	}
	r.start = slices.Max(starts)
	r.file, err = os.Open(segmentName(r.dir, r.start))
	if errors.Is(err, fs.ErrNotExist) { // just removed
		r.file = nil
		return false, nil
	}
	return err == nil, err
}
