package snapshot

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/holdfast/holdfast/schema"
)

// Kind says what an entry is.
type Kind string

// The kinds. Anything else is not kept.
const (
	File    Kind = "file"
	Dir     Kind = "dir"
	Symlink Kind = "symlink"
	Link    Kind = "link" // another name of a file listed before it: a hard link
)

// Entry is one entry of a workspace. Path is relative, with slashes; it may be any bytes that a
// file system accepts.
type Entry struct {
	Path   string
	Kind   Kind
	Mode   uint32  // rwxrwxrwx, and for a folder also the sticky bit; 0 for both kinds of links
	Mtime  int64   // nanoseconds since 1970; 0 for a hard link, whose file has it
	Size   int64   // of a file
	Sum    string  // SHA-256 of a file of up to 4 MiB; "" when it is empty
	Chunks []Chunk // of a larger file; a part that is not listed is all zeros
	Target string  // of a link: the text of a symbolic link, the path of a hard link's file
}

// Chunk is the N-th 4 MiB of a file, counted from 0. The last one may be shorter.
type Chunk struct {
	N   int64  `json:"n"`
	Sum string `json:"sum"`
}

func (e *Entry) equal(o *Entry) bool {
	return e.Path == o.Path && e.Kind == o.Kind && e.Mode == o.Mode && e.Mtime == o.Mtime && e.sameContent(o) && e.Target == o.Target
}

func (e *Entry) sameContent(o *Entry) bool {
	return e.Size == o.Size && e.Sum == o.Sum && slices.Equal(e.Chunks, o.Chunks)
}

// chunks lists the parts of a file that are not all zeros.
func (e *Entry) chunks() []Chunk {
	if e.Sum != "" {
		return []Chunk{{0, e.Sum}}
	}
	return e.Chunks
}

// Prepared says which files of a plan were written to the workspace, for which run of which
// session: path to SHA-256. It moves with the workspace, so that another host does not overwrite
// what steps have made of them.
type Prepared struct {
	Session string            `json:"session"`
	Run     string            `json:"run"`
	Files   map[string]string `json:"files"`
}

// Manifest is the contents of a workspace: each folder comes before its contents, whose names are
// sorted by bytes.
type Manifest struct {
	Entries  []Entry
	Prepared *Prepared // nil if no plan's files were written
}

const format = "holdfast-workspace-1"

type header struct {
	Format   string    `json:"format"`
	Prepared *Prepared `json:"prepared,omitempty"`
}

type wire struct {
	Path   string  `json:"path"`
	Kind   Kind    `json:"kind"`
	Mode   uint32  `json:"mode"`
	Mtime  int64   `json:"mtime"`
	Size   int64   `json:"size"`
	Sum    string  `json:"sha256"`
	Chunks []Chunk `json:"chunks"`
	Target string  `json:"target"`
}

// encode returns the canonical form: lines of JSON, a header and one for each entry. It does not
// use encoding/json, because there may be a hundred thousand entries, after every step.
func (m *Manifest) encode() []byte {
	b := append(schema.Marshal(header{format, m.Prepared}), '\n')
	b = slices.Grow(b, 200*len(m.Entries))
	for i := range m.Entries {
		e := &m.Entries[i]
		b = append(b, `{"path":"`...)
		b = appendName(b, e.Path)
		b = append(b, `","kind":"`...)
		b = append(b, e.Kind...)
		b = append(b, `","mode":`...)
		b = strconv.AppendUint(b, uint64(e.Mode), 10)
		b = append(b, `,"mtime":`...)
		b = strconv.AppendInt(b, e.Mtime, 10)
		if e.Kind == File {
			b = append(b, `,"size":`...)
			b = strconv.AppendInt(b, e.Size, 10)
		}
		if e.Sum != "" {
			b = append(b, `,"sha256":"`...)
			b = append(b, e.Sum...)
			b = append(b, '"')
		}
		if len(e.Chunks) > 0 {
			b = append(b, `,"chunks":`...)
			b = append(b, schema.Marshal(e.Chunks)...)
		}
		if e.Target != "" {
			b = append(b, `,"target":"`...)
			b = appendName(b, e.Target)
			b = append(b, '"')
		}
		b = append(b, '}', '\n')
	}
	return b
}

// decode reads the canonical form. It rejects anything that could lead out of a folder.
func decode(data []byte) (*Manifest, error) {
	first, rest, _ := bytes.Cut(data, []byte{'\n'})
	var h header
	if err := json.Unmarshal(first, &h); err != nil {
		return nil, fmt.Errorf("the header: %w", err)
	}
	if h.Format != format {
		return nil, fmt.Errorf("the format is %q, not %q", h.Format, format)
	}
	m := &Manifest{Prepared: h.Prepared, Entries: make([]Entry, 0, bytes.Count(rest, []byte{'\n'}))}
	for len(rest) > 0 {
		var line []byte
		line, rest, _ = bytes.Cut(rest, []byte{'\n'})
		var w wire
		if err := json.Unmarshal(line, &w); err != nil {
			return nil, fmt.Errorf("entry %d: %w", len(m.Entries), err)
		}
		e := Entry{Kind: w.Kind, Mode: w.Mode, Mtime: w.Mtime, Size: w.Size, Sum: w.Sum, Chunks: w.Chunks}
		var ok, ok2 bool
		e.Path, ok = parseName(w.Path)
		e.Target, ok2 = parseName(w.Target)
		if !ok || !ok2 {
			return nil, fmt.Errorf("entry %d: a bad name", len(m.Entries))
		}
		m.Entries = append(m.Entries, e)
	}
	return m, m.check()
}

// check makes sure that each entry is in a listed folder, that none is repeated and that a hard
// link refers to a file before it.
func (m *Manifest) check() error {
	var open []string // the folders that lead to the current entry
	files := map[string]bool{}
	for i := range m.Entries {
		e := &m.Entries[i]
		if !goodPath(e.Path) {
			return fmt.Errorf("entry %d: %q is not a path in a workspace", i, e.Path)
		}
		if i > 0 && comparePaths(m.Entries[i-1].Path, e.Path) >= 0 {
			return fmt.Errorf("entry %d: %q is not in order", i, e.Path)
		}
		parent := dirOf(e.Path)
		for len(open) > 0 && open[len(open)-1] != parent {
			open = open[:len(open)-1]
		}
		if parent != "" && len(open) == 0 {
			return fmt.Errorf("entry %d: %q is in no folder", i, e.Path)
		}
		if err := e.check(files); err != nil {
			return fmt.Errorf("entry %d: %q: %w", i, e.Path, err)
		}
		if e.Kind == Dir {
			open = append(open, e.Path)
		}
	}
	return nil
}

func (e *Entry) check(files map[string]bool) error {
	switch e.Kind {
	case Dir, Symlink:
		return nil
	case File:
		files[e.Path] = true
		if e.Size < 0 || e.Sum != "" && (e.Size > chunkSize || len(e.Chunks) > 0) || e.Sum == "" && e.Size > 0 && e.Size <= chunkSize {
			return errors.New("a bad size")
		}
		last := int64(-1)
		for _, c := range e.chunks() {
			if !ValidDigest(c.Sum) || c.N <= last || c.N > (e.Size-1)/chunkSize {
				return errors.New("a bad part")
			}
			last = c.N
		}
		return nil
	case Link:
		if !files[e.Target] {
			return errors.New("a link to no file")
		}
		return nil
	default:
		return fmt.Errorf("a kind %q", e.Kind)
	}
}

// find returns the entry with a path.
func (m *Manifest) find(path string) (*Entry, bool) {
	i, ok := slices.BinarySearchFunc(m.Entries, path, func(e Entry, p string) int { return comparePaths(e.Path, p) })
	if !ok {
		return nil, false
	}
	return &m.Entries[i], true
}

func goodPath(p string) bool {
	if p == "" || len(p) > maxPath || p == schema.WorkspacePrivate || strings.HasPrefix(p, schema.WorkspacePrivate+"/") {
		return false
	}
	for part := range strings.SplitSeq(p, "/") {
		if part == "" || part == "." || part == ".." || strings.IndexByte(part, 0) >= 0 {
			return false
		}
	}
	return true
}

func dirOf(p string) string {
	i := strings.LastIndexByte(p, '/')
	if i < 0 {
		return ""
	}
	return p[:i]
}

func baseOf(p string) string { return p[strings.LastIndexByte(p, '/')+1:] }

// comparePaths orders paths as a walk meets them: a slash is less than any other byte.
func comparePaths(a, b string) int {
	n := min(len(a), len(b))
	for i := range n {
		x, y := a[i], b[i]
		if x == y {
			continue
		}
		if x == '/' || y != '/' && x < y {
			return -1
		}
		return 1
	}
	return len(a) - len(b)
}

// manifestCache keeps the most recently read manifests: a browser that plays a video asks for the
// same one a hundred times.
type manifestCache struct {
	mu      sync.Mutex
	order   []string
	lists   map[string]*Manifest
	entries int
}

const (
	cachedManifests = 16
	cachedEntries   = 200_000
)

func (c *manifestCache) get(digest string) *Manifest {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.lists[digest]
	if m != nil {
		i := slices.Index(c.order, digest)
		c.order = append(slices.Delete(c.order, i, i+1), digest)
	}
	return m
}

func (c *manifestCache) add(digest string, m *Manifest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lists == nil {
		c.lists = map[string]*Manifest{}
	}
	if c.lists[digest] != nil || len(m.Entries) > cachedEntries {
		return
	}
	c.lists[digest] = m
	c.order = append(c.order, digest)
	c.entries += len(m.Entries)
	for len(c.order) > cachedManifests || c.entries > cachedEntries {
		oldest := c.order[0]
		c.order = c.order[1:]
		c.entries -= len(c.lists[oldest].Entries)
		delete(c.lists, oldest)
	}
}
