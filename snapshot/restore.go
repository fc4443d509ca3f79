package snapshot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/schema"
)

// Restore makes a folder equal to a snapshot, creating it if necessary. It writes what differs and
// removes what is not in the snapshot, except for Holdfast's own files. No program may be working
// there. An interrupted restore leaves a folder that is at no snapshot, and the next one completes
// it.
func (s *Store) Restore(ctx context.Context, f *Folder, digest string) (Stats, error) {
	f.turn.Lock()
	defer f.turn.Unlock()
	began := time.Now()
	m, err := s.Manifest(ctx, digest)
	if err != nil {
		return Stats{}, err
	}
	r := restoring{s: s, m: m, was: map[string]*fileState{}}
	was := f.files()
	for i := range was {
		r.was[was[i].Path] = &was[i]
	}
	if err := f.clearPosition(); err != nil {
		return Stats{}, err
	}
	if err := os.MkdirAll(filepath.Dir(f.dir), 0o700); err != nil {
		return Stats{}, fmt.Errorf("restore the workspace: %w", err)
	}
	if err := os.Mkdir(f.dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return Stats{}, fmt.Errorf("restore the workspace: %w", err)
	}
	if r.root, err = openDir(f.dir); err != nil {
		return Stats{}, fmt.Errorf("restore the workspace: %w", err)
	}
	defer r.root.Close()
	if err := r.run(ctx); err != nil {
		return r.stats, fmt.Errorf("restore the workspace: %w", err)
	}
	here, err := statFile(r.root)
	if err != nil {
		return r.stats, fmt.Errorf("restore the workspace: %w", err)
	}
	files := r.fileStates(ctx)
	err = f.setPosition(Position{At: digest, Dev: here.Dev, Ino: here.Ino, Prepared: m.Prepared}, files)
	r.stats.Took = time.Since(began)
	return r.stats, err
}

type restoring struct {
	s    *Store
	m    *Manifest
	root *os.File
	was  map[string]*fileState // the known contents of the folder

	write []*Entry // files whose content is missing
	links []*Entry
	stats Stats
}

func (r *restoring) run(ctx context.Context) error {
	rest := r.m.Entries
	if err := r.dir(ctx, r.root, "", &rest); err != nil {
		return err
	}
	if err := r.writeAll(ctx); err != nil {
		return err
	}
	dirs := folders{root: r.root}
	defer dirs.close()
	for _, e := range r.links {
		if err := r.link(&dirs, e); err != nil {
			return fmt.Errorf("%q: %w", e.Path, err)
		}
	}
	// Changing a folder's contents changes its time, and may need more than its permissions. So set
	// both at the end, from the innermost folder to the outermost.
	for i := range slices.Backward(r.m.Entries) {
		if e := &r.m.Entries[i]; e.Kind == Dir {
			if err := r.finishDir(&dirs, e); err != nil {
				return fmt.Errorf("%q: %w", e.Path, err)
			}
		}
	}
	return nil
}

// dir makes the folders, removes what does not belong, and finds what to write. rest are the
// entries from the first one in this folder on.
func (r *restoring) dir(ctx context.Context, dir *os.File, path string, rest *[]Entry) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return err
	}
	there := make(map[string]bool, len(names))
	for _, name := range names {
		there[name] = path != "" || name != schema.WorkspacePrivate
	}
	for len(*rest) > 0 && dirOf((*rest)[0].Path) == path {
		e := &(*rest)[0]
		*rest = (*rest)[1:]
		name := baseOf(e.Path)
		if err := r.entry(ctx, dir, name, e, there[name], rest); err != nil {
			return fmt.Errorf("%q: %w", e.Path, err)
		}
		delete(there, name)
	}
	for name, surplus := range there {
		if surplus {
			r.stats.Removed++
			if err := removeAll(dir, name, 0); err != nil {
				return fmt.Errorf("%q: %w", name, err)
			}
		}
	}
	return nil
}

func (r *restoring) entry(ctx context.Context, dir *os.File, name string, e *Entry, there bool, rest *[]Entry) error {
	var now stat
	if there {
		var err error
		if now, err = statAt(dir, name); err != nil && !gone(err) {
			return err
		}
		there = err == nil
	}
	kind := e.Kind
	if kind == Link {
		kind = File
	}
	if there && now.Kind != kind {
		r.stats.Removed++
		if err := removeAll(dir, name, 0); err != nil {
			return err
		}
		there = false
	}
	switch e.Kind {
	case Dir:
		return r.folder(ctx, dir, name, e, there, &now, rest)
	case Symlink:
		return r.symlink(dir, name, e, there)
	case Link:
		r.links = append(r.links, e)
	case File:
		r.stats.Regular++
		if !there || !r.isCurrent(ctx, dir, name, e, &now) {
			r.write = append(r.write, e)
			return nil
		}
		if now.permissions != e.Mode {
			if err := chmodAt(dir, name, &now, e.Mode); err != nil {
				return err
			}
		}
		if now.Mtime != e.Mtime {
			return setTimesAt(dir, name, e.Mtime)
		}
	}
	return nil
}

func (r *restoring) folder(ctx context.Context, dir *os.File, name string, e *Entry, there bool, now *stat, rest *[]Entry) error {
	if !there {
		if err := again(func() error { return unix.Mkdirat(int(dir.Fd()), name, 0o700) }); err != nil {
			return err
		}
	} else if now.permissions&0o700 != 0o700 {
		if err := chmodAt(dir, name, now, now.permissions|0o700); err != nil {
			return err
		}
	}
	sub, err := openDirAt(dir, name)
	if err != nil {
		return err
	}
	defer sub.Close()
	return r.dir(ctx, sub, e.Path, rest)
}

// isCurrent reports whether a file already has the right content, and no other names.
func (r *restoring) isCurrent(ctx context.Context, dir *os.File, name string, e *Entry, now *stat) bool {
	if now.Size != e.Size || now.Nlink > 1 {
		return false
	}
	if was := r.was[e.Path]; was != nil && was.Ctime != 0 && was.Ctime == now.Ctime && was.Ino == now.Ino && was.Dev == now.Dev && was.Mtime == now.Mtime && was.Size == now.Size {
		return was.sameContent(e)
	}
	f, err := openReadable(dir, name, now)
	if err != nil {
		return false
	}
	defer f.Close()
	data := e.chunks()
	same := true
	err = withChunk(ctx, func(buf []byte) error {
		for n := int64(0); same && n*chunkSize < e.Size; n++ {
			got, err := readFull(f, buf[:min(chunkSize, e.Size-n*chunkSize)], n*chunkSize)
			if err != nil {
				return err
			}
			if len(data) > 0 && data[0].N == n {
				same = sumOf(buf[:got]) == data[0].Sum
				data = data[1:]
			} else {
				same = allZero(buf[:got])
			}
		}
		return nil
	})
	return err == nil && same
}

func finishFile(f *os.File, e *Entry) error {
	if err := again(func() error { return unix.Fchmod(int(f.Fd()), e.Mode) }); err != nil {
		return err
	}
	return setTimes(f, e.Mtime)
}

func (r *restoring) symlink(dir *os.File, name string, e *Entry, there bool) error {
	if there {
		buf := make([]byte, maxPath+1)
		n, err := unix.Readlinkat(int(dir.Fd()), name, buf)
		if err == nil && string(buf[:n]) == e.Target {
			return setTimesAt(dir, name, e.Mtime)
		}
		if err := unlink(dir, name); err != nil {
			return err
		}
	}
	r.stats.Written++
	if err := again(func() error { return unix.Symlinkat(e.Target, int(dir.Fd()), name) }); err != nil {
		return err
	}
	return setTimesAt(dir, name, e.Mtime)
}

// writeAll writes the files with missing content from the store.
func (r *restoring) writeAll(ctx context.Context) error {
	if len(r.write) == 0 {
		return nil
	}
	work := make(chan []*Entry)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(work)
		const batch = 16
		for part := range slices.Chunk(r.write, batch) {
			select {
			case work <- part:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	var mu sync.Mutex
	for range min(readers, len(r.write)) {
		g.Go(func() error {
			dirs := folders{root: r.root}
			defer dirs.close()
			for part := range work {
				for _, e := range part {
					if err := r.writeFile(ctx, &dirs, e); err != nil {
						if schema.CodeOf(err) != schema.CodeInternal { // otherwise it says which
							return fmt.Errorf("%q: %w", e.Path, err)
						}
						return err
					}
					mu.Lock()
					r.stats.Written++
					mu.Unlock()
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// writeFile writes a new file: what it replaces may have other names, which stay as they are. A
// half-written file does no harm while the folder is at no snapshot.
func (r *restoring) writeFile(ctx context.Context, dirs *folders, e *Entry) (err error) {
	dir, err := dirs.open(dirOf(e.Path))
	if err != nil {
		return err
	}
	name := baseOf(e.Path)
	f, err := create(dir, name)
	if err != nil {
		return err
	}
	defer func() {
		_ = f.Close()
		if err != nil {
			_ = unlink(dir, name)
		}
	}()
	if err := r.fill(ctx, f, e); err != nil {
		return err
	}
	return finishFile(f, e)
}

// create makes a file that did not exist.
func create(dir *os.File, name string) (*os.File, error) {
	const flags = unix.O_RDWR | unix.O_CREAT | unix.O_EXCL
	f, err := openAt(dir, name, flags, 0o600)
	if !errors.Is(err, fs.ErrExist) {
		return f, err
	}
	if err := unlink(dir, name); err != nil {
		return nil, err
	}
	return openAt(dir, name, flags, 0o600)
}

func unlink(dir *os.File, name string) error {
	return again(func() error { return unix.Unlinkat(int(dir.Fd()), name, 0) })
}

func (r *restoring) fill(ctx context.Context, f *os.File, e *Entry) error {
	chunks := e.chunks()
	switch {
	case e.Size == 0:
		return nil
	case e.Sum != "":
		if err := r.fillChunk(ctx, f, e, chunks[0]); err != nil {
			return err
		}
		return f.Truncate(e.Size) // trailing zeros were not written
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(4) // per file; several files are written at the same time
	for _, c := range chunks {
		g.Go(func() error { return r.fillChunk(ctx, f, e, c) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return f.Truncate(e.Size)
}

func (r *restoring) fillChunk(ctx context.Context, f *os.File, e *Entry, c Chunk) error {
	data, err := r.s.getChunk(ctx, c.Sum, e.Path)
	if err != nil {
		return err
	}
	return writeWithHoles(f, data, c.N*chunkSize)
}

const page = 4096

var zeros [page]byte

func allZero(b []byte) bool {
	for len(b) > page {
		if !bytes.Equal(b[:page], zeros[:]) {
			return false
		}
		b = b[page:]
	}
	return bytes.Equal(b, zeros[:len(b)])
}

// writeWithHoles writes data into an empty file, except for pages of zeros.
func writeWithHoles(f *os.File, data []byte, at int64) error {
	for len(data) > 0 {
		hole := 0
		for hole < len(data) && allZero(data[hole:min(hole+page, len(data))]) {
			hole = min(hole+page, len(data))
		}
		data, at = data[hole:], at+int64(hole)
		n := 0
		for n < len(data) && !allZero(data[n:min(n+page, len(data))]) {
			n = min(n+page, len(data))
		}
		if _, err := f.WriteAt(data[:n], at); err != nil {
			return err
		}
		data, at = data[n:], at+int64(n)
	}
	return nil
}

// link makes another name for a file.
func (r *restoring) link(dirs *folders, e *Entry) error {
	from, err := openPath(r.root, dirOf(e.Target))
	if err != nil {
		return err
	}
	defer from.Close()
	of, err := statAt(from, baseOf(e.Target))
	if err != nil {
		return err
	}
	dir, err := dirs.open(dirOf(e.Path))
	if err != nil {
		return err
	}
	r.stats.Regular++
	if now, err := statAt(dir, baseOf(e.Path)); err == nil && now.Ino == of.Ino && now.Dev == of.Dev {
		return nil
	}
	r.stats.Written++
	if err := unlink(dir, baseOf(e.Path)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return again(func() error { return unix.Linkat(int(from.Fd()), baseOf(e.Target), int(dir.Fd()), baseOf(e.Path), 0) })
}

func (r *restoring) finishDir(dirs *folders, e *Entry) error {
	dir, err := dirs.open(e.Path)
	if err != nil {
		return err
	}
	return finishFile(dir, e)
}

// fileStates returns what the files look like now. It waits for the file system's clock to advance, a
// few milliseconds at most, so that anything written from now on looks different.
func (r *restoring) fileStates(ctx context.Context) []fileState {
	out := make([]fileState, len(r.m.Entries))
	dirs := folders{root: r.root}
	defer dirs.close()
	latest := int64(0)
	var count counter
	for i := range r.m.Entries {
		out[i].Entry = r.m.Entries[i]
		dir, err := dirs.open(dirOf(out[i].Path))
		if err != nil {
			continue // the next save reads it again
		}
		s, err := statAt(dir, baseOf(out[i].Path))
		if err != nil {
			continue
		}
		out[i].Dev, out[i].Ino, out[i].Ctime = s.Dev, s.Ino, s.Ctime
		latest = max(latest, s.Ctime)
		count.add(&s)
	}
	r.stats.Usage = count.Usage
	for begin := time.Now(); coarseNow() <= latest; {
		if ctx.Err() != nil || time.Since(begin) > time.Second { // the file system has its own clock
			for i := range out {
				out[i].Ctime = 0
			}
			break
		}
		time.Sleep(time.Millisecond)
	}
	return out
}
