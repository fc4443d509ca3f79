package snapshot

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/holdfast/holdfast/schema"
)

// FileInfo is a file of a snapshot as a reader sees it: a link within the workspace appears as its
// target.
type FileInfo struct {
	Path    string
	Size    int64
	ModTime time.Time
}

// Files lists the files of a snapshot by path, including links to files, but not links that lead
// out of the workspace.
func (s *Store) Files(ctx context.Context, digest string) ([]FileInfo, error) {
	m, err := s.Manifest(ctx, digest)
	if err != nil {
		return nil, err
	}
	var out []FileInfo
	for i := range m.Entries {
		if m.Entries[i].Kind == Dir {
			continue
		}
		if e := m.resolve(m.Entries[i].Path); e != nil && e.Kind == File {
			out = append(out, FileInfo{m.Entries[i].Path, e.Size, time.Unix(0, e.Mtime)})
		}
	}
	return out, nil
}

// Reader reads a file of a snapshot. Only one goroutine may use it at a time.
type Reader struct {
	FileInfo

	ctx   context.Context //nolint:containedctx // for everything that it reads, as with an HTTP body
	s     *Store
	e     *Entry
	at    int64
	n     int64  // which part data is; -1 for none
	data  []byte // shorter than the part if zeros follow
	index map[int64]string
}

var _ io.ReadSeekCloser = (*Reader)(nil)

// OpenFile opens a file of a snapshot; links are followed within the workspace. ctx applies to
// everything that is read. A path that leads to no file is [schema.CodeNotFound].
func (s *Store) OpenFile(ctx context.Context, digest, path string) (*Reader, error) {
	m, err := s.Manifest(ctx, digest)
	if err != nil {
		return nil, err
	}
	e := m.resolve(path)
	if e == nil || e.Kind != File {
		return nil, schema.Errorf(schema.CodeNotFound, "there is no file %q in the workspace", path)
	}
	r := &Reader{FileInfo: FileInfo{path, e.Size, time.Unix(0, e.Mtime)}, ctx: ctx, s: s, e: e, n: -1, index: map[int64]string{}}
	for _, c := range e.chunks() {
		r.index[c.N] = c.Sum
	}
	return r, nil
}

// Read implements io.Reader.
func (r *Reader) Read(p []byte) (int, error) {
	if r.at >= r.Size {
		return 0, io.EOF
	}
	n := r.at / chunkSize
	if n != r.n {
		r.n, r.data = -1, nil
		if sum := r.index[n]; sum != "" {
			data, err := r.s.getChunk(r.ctx, sum, r.e.Path)
			if err != nil {
				return 0, err
			}
			r.data = data
		}
		r.n = n
	}
	p = p[:min(int64(len(p)), r.Size-r.at, (n+1)*chunkSize-r.at)]
	got := 0
	if from := r.at - n*chunkSize; from < int64(len(r.data)) {
		got = copy(p, r.data[from:])
	}
	clear(p[got:])
	r.at += int64(len(p))
	return len(p), nil
}

// Seek implements io.Seeker.
func (r *Reader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += r.at
	case io.SeekEnd:
		offset += r.Size
	default:
		return 0, errors.New("snapshot: Seek: bad whence")
	}
	if offset < 0 {
		return 0, errors.New("snapshot: Seek: before the beginning")
	}
	r.at = offset
	return offset, nil
}

// Close implements io.Closer.
func (r *Reader) Close() error {
	r.data, r.n = nil, -1
	return nil
}

const maxLinks = 40 // as Linux

// resolve follows links as the file system would, but only within the workspace. It returns nil for
// a path that leads out of it, to nothing or in a circle.
func (m *Manifest) resolve(p string) *Entry {
	at, todo := "", strings.Split(p, "/")
	for links := 0; len(todo) > 0; {
		name := todo[0]
		todo = todo[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			if at == "" {
				return nil
			}
			at = dirOf(at)
			continue
		}
		full := name
		if at != "" {
			full = at + "/" + name
		}
		e, ok := m.find(full)
		if !ok {
			return nil
		}
		switch e.Kind {
		case Dir:
			at = full
			if len(todo) == 0 {
				return e
			}
		case Symlink:
			if links++; links > maxLinks || strings.HasPrefix(e.Target, "/") {
				return nil
			}
			todo = append(strings.Split(e.Target, "/"), todo...)
		case Link:
			e, ok = m.find(e.Target)
			if !ok || len(todo) > 0 {
				return nil
			}
			return e
		case File:
			if len(todo) > 0 {
				return nil
			}
			return e
		}
	}
	return nil
}
