package spool

import (
	"errors"
	"math"
	"os"
	"sync"
	"time"
)

// ErrClosed says that the spool takes nothing any more.
var ErrClosed = errors.New("the spool is closed")

// Writer writes a spool. It has one in a process, and no other process writes.
type Writer struct {
	dir   string
	limit int64 // of what is written and not consumed

	mu       sync.Mutex
	changed  *sync.Cond
	file     *os.File
	start    int64 // of file
	end      int64
	consumed int64
	starts   []int64 // of the segments on disk
	streams  [Progress + 1]int64
	closed   bool
	buf      []byte
}

// Create makes an empty spool in a folder that exists. Limit is in bytes.
func Create(dir string, limit int64) (*Writer, error) {
	w := &Writer{dir: dir, limit: limit}
	w.changed = sync.NewCond(&w.mu)
	return w, w.rotate()
}

func (w *Writer) rotate() error {
	if w.file != nil {
		if err := w.file.Close(); err != nil {
			return err
		}
	}
	var err error
	w.file, err = os.OpenFile(segmentName(w.dir, w.end), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	w.start = w.end
	w.starts = append(w.starts, w.end)
	return err
}

// Write appends a frame; data is at most [MaxData] bytes. It blocks while the spool is at its
// limit, unless it is empty.
func (w *Writer) Write(k Kind, data []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := int64(headerBytes + len(data))
	for w.end > w.consumed && w.end+n > w.consumed+w.limit && !w.closed {
		w.changed.Wait()
	}
	if w.closed {
		return ErrClosed
	}
	if w.end-w.start >= segmentBytes {
		if err := w.rotate(); err != nil {
			return err
		}
	}
	if cap(w.buf) < int(n) {
		w.buf = make([]byte, headerBytes+max(len(data), 64<<10))
	}
	b := w.buf[:n]
	putHeader(b, k, time.Now(), w.streams[k], len(data))
	copy(b[headerBytes:], data)
	written, err := w.file.Write(b) // one write: a reader sees a whole frame, or one that does not count yet
	if err != nil {
		// What is there of it must not stand in the way of the next try.
		_ = w.file.Truncate(w.end - w.start)
		_, _ = w.file.Seek(w.end-w.start, 0)
		return err
	}
	w.end += int64(written)
	w.streams[k] += int64(len(data))
	w.changed.Broadcast()
	return nil
}

// End is how much has been written.
func (w *Writer) End() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.end
}

// Consumed takes in that nothing before an offset is needed any more.
func (w *Writer) Consumed(offset int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if offset <= w.consumed || offset > w.end {
		return
	}
	w.consumed = offset
	for len(w.starts) > 1 && w.starts[1] <= offset {
		_ = os.Remove(segmentName(w.dir, w.starts[0])) // one that stays goes with its folder
		w.starts = w.starts[1:]
	}
	w.changed.Broadcast()
}

// Unbound takes the limit away: nobody is there to consume, and an end is in sight.
func (w *Writer) Unbound() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.limit = math.MaxInt64 / 2
	w.changed.Broadcast()
}

// AwaitMore returns when more than an offset is written, and how much; at once when the spool
// is closed.
func (w *Writer) AwaitMore(than int64) (end int64, open bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.end <= than && !w.closed {
		w.changed.Wait()
	}
	return w.end, !w.closed
}

// Close lets everybody go who waits. What was written stays.
func (w *Writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil
	}
	w.closed = true
	w.changed.Broadcast()
	return w.file.Close()
}
