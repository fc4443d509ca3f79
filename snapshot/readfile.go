package snapshot

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"sync"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// reader reads the content of files for a save. Only one goroutine may use it.
type reader struct {
	s     *Store
	busy  bool
	dirs  folders
	small []byte

	read   int // files
	sent   int64
	new    []string // blobs
	denied []string // paths
}

// take completes an item with its content. An item that no longer exists is marked as gone.
func (r *reader) take(ctx context.Context, it *item) error {
	err := r.try(ctx, it)
	switch {
	case err == nil:
		return nil
	case gone(err) || errors.Is(err, errMoved):
		it.gone = true
		return nil
	case errors.Is(err, fs.ErrPermission):
		it.gone = true
		r.denied = append(r.denied, it.Path)
		return nil
	default:
		return err
	}
}

func (r *reader) try(ctx context.Context, it *item) error {
	dir, err := r.dirs.open(dirOf(it.Path))
	if err != nil {
		return err
	}
	name := baseOf(it.Path)
	before := coarseNow()
	if it.Kind == Symlink {
		return r.readLink(dir, name, it, before)
	}
	f, err := openReadable(dir, name, &it.seen)
	if err != nil {
		return err
	}
	defer f.Close()
	r.read++
	now, err := statFile(f)
	if err != nil {
		return err
	}
	for try := 1; ; try++ {
		if now.Kind != File {
			return errMoved
		}
		it.Sum, it.Chunks = "", nil
		it.Size, err = r.content(ctx, f, now.Size, it)
		if err != nil && (!errors.Is(err, errMoved) || try == tries) {
			return err
		}
		moved := err != nil
		after, err := statFile(f)
		if err != nil {
			return err
		}
		it.Mtime, it.Ctime, it.Dev, it.Ino = after.Mtime, after.Ctime, after.Dev, after.Ino
		it.Mode = it.seen.Mode // not the mode that was set to read it
		steady := !moved && after.Ctime == now.Ctime && after.Size == now.Size && it.Size == after.Size
		margin := int64(0)
		if r.busy {
			margin = int64(mappedUnseen)
		}
		if !steady || after.Ctime >= before-margin {
			it.Ctime = 0 // it may change, or have changed, within the same tick of the clock
		}
		if steady || try == tries {
			return nil
		}
		before, now = coarseNow(), after
	}
}

func (r *reader) readLink(dir *os.File, name string, it *item, before int64) error {
	buf := make([]byte, maxPath+1)
	n := 0
	err := again(func() (err error) { n, err = unix.Readlinkat(int(dir.Fd()), name, buf); return err })
	if errors.Is(err, unix.EINVAL) { // no longer a link
		return errMoved
	}
	if err != nil {
		return err
	}
	it.Target = string(buf[:n])
	if it.Ctime >= before {
		it.Ctime = 0
	}
	return nil
}

// content reads up to size bytes and stores them. It returns how many there were.
func (r *reader) content(ctx context.Context, f *os.File, size int64, it *item) (int64, error) {
	if size == 0 {
		return 0, nil
	}
	const smallSize = 64 << 10
	if size <= smallSize {
		if r.small == nil {
			r.small = make([]byte, smallSize)
		}
		n, err := readFull(f, r.small[:size], 0)
		if err != nil || n == 0 {
			return 0, err
		}
		it.Sum = sumOf(r.small[:n])
		return int64(n), r.put(ctx, it.Sum, r.small[:n], nil)
	}
	if size <= chunkSize {
		var n int64
		err := withChunk(ctx, func(buf []byte) error {
			got, err := readFull(f, buf[:size], 0)
			if err != nil || got == 0 {
				return err
			}
			n, it.Sum = int64(got), sumOf(buf[:got])
			return r.put(ctx, it.Sum, buf[:got], nil)
		})
		return n, err
	}
	return r.large(ctx, f, size, it)
}

// large reads a file in parts, several at once, and skips its holes.
func (r *reader) large(ctx context.Context, f *os.File, size int64, it *item) (int64, error) {
	var mu sync.Mutex // guards end, sums and the counts
	end, sums := int64(0), map[int64]string{}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(cap(chunkSlots))
	for n := nextData(f, 0, size); n*chunkSize < size && gctx.Err() == nil; n = nextData(f, n+1, size) {
		g.Go(func() error {
			return withChunk(gctx, func(buf []byte) error {
				at := n * chunkSize
				got, err := readFull(f, buf[:min(chunkSize, size-at)], at)
				if err != nil || got == 0 {
					return err
				}
				sum := sumOf(buf[:got])
				mu.Lock()
				end, sums[n] = max(end, at+int64(got)), sum
				mu.Unlock()
				return r.put(gctx, sum, buf[:got], &mu)
			})
		})
	}
	if err := g.Wait(); err != nil {
		return 0, err
	}
	now, err := statFile(f)
	if err != nil {
		return 0, err
	}
	if now.Size < size { // it was truncated meanwhile; a hole at its end goes unnoticed
		size = max(end, now.Size)
	}
	if size <= chunkSize {
		return 0, errMoved // read it again, now that it is smaller
	}
	for n := range (size + chunkSize - 1) / chunkSize {
		sum, ok := sums[n]
		if !ok {
			continue
		}
		it.Chunks = append(it.Chunks, Chunk{n, sum})
	}
	return size, nil
}

// nextData returns the first part from n on that is not entirely a hole.
func nextData(f *os.File, n, size int64) int64 {
	at := n * chunkSize
	if at >= size {
		return n
	}
	to, err := unix.Seek(int(f.Fd()), at, unix.SEEK_DATA)
	switch {
	case errors.Is(err, unix.ENXIO): // only a hole up to the end
		return (size + chunkSize - 1) / chunkSize
	case err != nil || to < at: // not supported by this file system
		return n
	default:
		return to / chunkSize
	}
}

func (r *reader) put(ctx context.Context, sum string, data []byte, mu *sync.Mutex) error {
	sent, err := r.s.put(ctx, blobs, sum, data)
	if err != nil || sent == 0 {
		return err
	}
	if mu != nil {
		mu.Lock()
		defer mu.Unlock()
	}
	r.new = append(r.new, sum)
	r.sent += sent
	return nil
}

func readFull(f *os.File, buf []byte, at int64) (int, error) {
	n, err := f.ReadAt(buf, at)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

var chunkBuffers = sync.Pool{New: func() any { b := make([]byte, chunkSize); return &b }}

// withChunk lends memory for one part of a file, once some is free.
func withChunk(ctx context.Context, do func(buf []byte) error) error {
	select {
	case chunkSlots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-chunkSlots }()
	buf, _ := chunkBuffers.Get().(*[]byte)
	defer chunkBuffers.Put(buf)
	return do(*buf)
}

var errMoved = errors.New("it was replaced meanwhile")
