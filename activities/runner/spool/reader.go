package spool

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
)

// Reader reads a spool from an offset on, also while it is written.
type Reader struct {
	dir    string
	file   *os.File
	start  int64 // of file
	offset int64
	buf    []byte // what was read and not handed out; ends at offset+len(buf)
	room   []byte
}

// Open starts to read at an offset: 0, or the End of a frame.
func Open(dir string, offset int64) *Reader {
	return &Reader{dir: dir, offset: offset}
}

// Offset is where the next frame starts.
func (r *Reader) Offset() int64 { return r.offset }

// Close lets the segment go.
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

// Next returns the next frame, and false when there is none yet. Its data is valid until the
// next call.
func (r *Reader) Next() (Frame, bool, error) {
	for {
		if len(r.buf) >= headerBytes {
			f, n := readHeader(r.buf)
			if n > MaxData || f.Kind < Stdout || f.Kind > Progress {
				return Frame{}, false, fmt.Errorf("the spool is damaged at %d", r.offset)
			}
			if len(r.buf) >= headerBytes+n {
				f.Data = r.buf[headerBytes : headerBytes+n]
				r.buf = r.buf[headerBytes+n:]
				r.offset += int64(headerBytes + n)
				f.End = r.offset
				return f, true, nil
			}
		}
		more, err := r.fill()
		if err != nil || !more {
			return Frame{}, false, err
		}
	}
}

// fill reads more of the segment, or goes on with the next one.
func (r *Reader) fill() (more bool, err error) {
	if r.file == nil {
		found, err := r.open()
		if err != nil || !found {
			return false, err
		}
	}
	if r.room == nil {
		r.room = make([]byte, readAhead)
	}
	held := copy(r.room, r.buf)
	n, err := r.file.ReadAt(r.room[held:], r.offset-r.start+int64(held))
	r.buf = r.room[:held+n]
	if n > 0 {
		return true, nil
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	if held > 0 || r.offset == r.start {
		return false, nil // the writer is at it, or was killed there
	}
	// The end of what there is: either the writer has gone on to the next segment, or it will.
	if _, err := os.Stat(segmentName(r.dir, r.offset)); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		return false, err
	}
	return true, r.Close()
}

// open finds the segment that has the offset.
func (r *Reader) open() (bool, error) {
	entries, err := os.ReadDir(r.dir)
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
	return err == nil, err
}
