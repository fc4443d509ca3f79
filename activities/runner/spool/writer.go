package spool

import (
	"errors"
	"io"
	"math"
	"os"
	"sync"
	"time"

	"github.com/holdfast/holdfast/internal/testsignal"
)

// ErrClosed says that the spool takes no more.
var ErrClosed = errors.New("the spool is closed")

// segment is the file being written. Tests replace it with one that fails.
type segment interface {
	io.WriterAt
	io.Closer
	Truncate(size int64) error
}

func createSegment(name string) (segment, error) {
	return os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
}

// Writer writes a spool. There is one per process, and no other process writes. A failed write has
// written nothing, and may be retried for as long as it takes.
type Writer struct {
	dir    string
	limit  int64 // on what is written but not consumed
	create func(name string) (segment, error)
	roll   int64 // the size at which a new segment is begun

	mu       sync.Mutex
	changed  *sync.Cond
	file     segment
	start    int64 // of file
	end      int64
	consumed int64
	starts   []int64 // of the segments on disk
	streams  [Progress + 1]int64
	closed   bool
	buf      []byte

	held testsignal.Signal // a write waits for room
}

// Create makes an empty spool in an existing folder. Limit is in bytes.
func Create(dir string, limit int64) (*Writer, error) {
	return create(dir, limit, createSegment)
}

func create(dir string, limit int64, with func(name string) (segment, error)) (*Writer, error) {
	w := &Writer{dir: dir, limit: limit, create: with, roll: segmentBytes}
	w.changed = sync.NewCond(&w.mu)
	if err := w.rotate(); err != nil {
		return nil, err
	}
	return w, nil
}

// rotate begins a segment. On failure, nothing changes.
func (w *Writer) rotate() error {
	next, err := w.create(segmentName(w.dir, w.end))
	if err != nil {
		return err
	}
	if w.file != nil {
		_ = w.file.Close() // the kernel took its contents long ago
	}
	w.file, w.start = next, w.end
	w.starts = append(w.starts, w.end)
	return nil
}

// Write appends a frame; data is at most [MaxData] bytes. It blocks while the spool is at its
// limit, unless the spool is empty.
func (w *Writer) Write(k Kind, data []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := int64(headerBytes + len(data))
	for w.end > w.consumed && w.end+n > w.consumed+w.limit && !w.closed {
		w.held.Signal()
		w.changed.Wait()
	}
	if w.closed {
		return ErrClosed
	}
	if w.end-w.start >= w.roll {
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
	// Readers read only up to End: what a failed frame leaves never counts.
	if _, err := w.file.WriteAt(b, w.end-w.start); err != nil {
		_ = w.file.Truncate(w.end - w.start) // if nobody retries, the spool still ends with a complete frame
		return err
	}
	w.end += n
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

// Consumed says that nothing before an offset is needed.
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

// RemoveLimit removes the limit: nobody is there to consume, and an end is in sight.
func (w *Writer) RemoveLimit() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.limit = math.MaxInt64 / 2
	w.changed.Broadcast()
}

// AwaitMore returns how much is written once that exceeds an offset, or at once if the spool is
// closed.
func (w *Writer) AwaitMore(than int64) (end int64, open bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.end <= than && !w.closed {
		w.changed.Wait()
	}
	return w.end, !w.closed
}

// Close releases everybody who waits. What was written stays.
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
