package snapshot

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/holdfast/holdfast/schema"
)

// SaveOptions says how a workspace is saved.
type SaveOptions struct {
	Quota Quota
	// Busy says that programs may still write there. What they have mapped into memory changes
	// unseen for a while, so more is read again the next time.
	Busy bool
	// Prepared goes into the manifest.
	Prepared *Prepared
	// Base is the snapshot that changes are told against; "" for an empty folder.
	Base string
}

// Saved is what a save has made.
type Saved struct {
	Digest  string // names the snapshot
	Changes []Change
	Stats   Stats
}

// Stats says what a save or a restore did.
type Stats struct {
	Usage // of the workspace

	Regular  int           // files, one for each name
	Read     int           // files whose content was read
	Uploaded int           // blobs that were not there yet, without the manifest
	Sent     int64         // bytes that went to the store, or came from it, packed
	Written  int           // by a restore: files that were not right
	Removed  int           // by a restore: what was not in the snapshot
	Skipped  int           // pipes, sockets and devices
	Denied   []string      // paths that could not be read, and are not in the snapshot
	Took     time.Duration // all in all
}

// Change is a file that was created or written since the base.
type Change struct {
	Path    string
	Size    int64
	Created bool
}

const (
	readers = 16 // files that are read at once; small ones wait for the store, most of the time
	// What a mapping changed is stamped when the kernel writes it out, after 30 s and a bit.
	mappedUnseen = time.Minute
	tries        = 3 // to read a file that does not change meanwhile
)

// chunkSlots bounds the memory of everything that is saved and restored at the same time: each
// slot is a part of a large file.
var chunkSlots = make(chan struct{}, 8)

// item is a thing that is being saved.
type item struct {
	known

	seen  stat
	fresh bool // its content has to be read
	gone  bool
}

// Save keeps what the folder holds now and returns the snapshot's name, which is the same for the
// same content. When nothing has changed it writes nothing. Programs may go on writing there: each
// file is then kept as it was read. An error that [Exceeds] reports means that nothing was kept.
func (s *Store) Save(ctx context.Context, f *Folder, o SaveOptions) (Saved, error) {
	f.turn.Lock()
	defer f.turn.Unlock()
	began := time.Now()
	root, err := openDir(f.dir)
	if err != nil {
		return Saved{}, fmt.Errorf("save the workspace: %w", err)
	}
	defer root.Close()
	v := saving{s: s, o: o, root: root, was: f.files()}
	w := walker{ctx: ctx, visit: v.visit, unlock: true}
	defer w.lock(root)
	if err := w.walk(root); err != nil {
		return Saved{}, fmt.Errorf("save the workspace: %w", err)
	}
	v.stats.Usage, v.stats.Denied = v.count.Usage, w.denied
	if err := o.Quota.Check(v.count.Usage); err != nil {
		return Saved{Stats: v.stats}, err
	}
	if err := v.readAll(ctx); err != nil {
		return Saved{Stats: v.stats}, fmt.Errorf("save the workspace: %w", err)
	}
	saved, err := v.finish(ctx, f)
	saved.Stats.Took = time.Since(began)
	return saved, err
}

type saving struct {
	s     *Store
	o     SaveOptions
	root  *os.File
	was   []known // as it was saved last
	next  int     // of was
	items []*item
	first map[[2]uint64]*item // of files with several names
	count counter
	stats Stats
}

// visit takes down one thing, and decides whether its content is known.
func (v *saving) visit(path string, s *stat) error {
	v.count.add(s)
	if q := v.o.Quota; q.Files > 0 && v.count.Files > 2*q.Files {
		return q.Check(v.count.Usage) // there is no use in counting on
	}
	for v.next < len(v.was) && comparePaths(v.was[v.next].Path, path) < 0 {
		v.next++
	}
	var was *known
	if v.next < len(v.was) && v.was[v.next].Path == path {
		was = &v.was[v.next]
	}
	it := &item{seen: *s}
	it.known = known{Entry: Entry{Path: path, Kind: s.Kind, Mode: s.Mode, Mtime: s.Mtime}, Dev: s.Dev, Ino: s.Ino, Ctime: s.Ctime}
	switch s.Kind {
	case File:
		v.stats.Regular++
		if s.Nlink > 1 {
			id := [2]uint64{s.Dev, s.Ino}
			if first := v.first[id]; first != nil {
				it.Entry = Entry{Path: path, Kind: Link, Target: first.Path}
				break
			}
			if v.first == nil {
				v.first = map[[2]uint64]*item{}
			}
			v.first[id] = it
		}
		it.Size = s.Size
		if was != nil && was.Kind == File && was.Ctime != 0 && was.Ctime == s.Ctime && was.Mtime == s.Mtime && was.Size == s.Size && was.Ino == s.Ino && was.Dev == s.Dev {
			it.Sum, it.Chunks = was.Sum, was.Chunks
		} else {
			it.fresh = true
		}
	case Dir:
	case Symlink:
		if was != nil && was.Kind == Symlink && was.Ctime != 0 && was.Ctime == s.Ctime && was.Ino == s.Ino && was.Dev == s.Dev {
			it.Target = was.Target
		} else {
			it.fresh = true
		}
	default:
		v.stats.Skipped++
		return nil
	}
	v.items = append(v.items, it)
	return nil
}

// readAll reads what is not known, and brings it to the store.
func (v *saving) readAll(ctx context.Context) error {
	var fresh []*item
	for _, it := range v.items {
		if it.fresh {
			fresh = append(fresh, it)
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	var results [readers]Stats
	work := make(chan []*item)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(work)
		const batch = 16 // neighbours, whose folder is opened once
		for part := range slices.Chunk(fresh, batch) {
			select {
			case work <- part:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	for i := range min(readers, len(fresh)) {
		g.Go(func() error {
			r := reader{s: v.s, busy: v.o.Busy, dirs: folders{root: v.root}, stats: &results[i]}
			defer r.dirs.close()
			for part := range work {
				for _, it := range part {
					if err := r.read(ctx, it); err != nil {
						return err
					}
				}
			}
			return nil
		})
	}
	err := g.Wait()
	for _, r := range results {
		v.stats.Read += r.Read
		v.stats.Uploaded += r.Uploaded
		v.stats.Sent += r.Sent
		v.stats.Denied = append(v.stats.Denied, r.Denied...)
	}
	return err
}

// finish names what was found, and keeps the list.
func (v *saving) finish(ctx context.Context, f *Folder) (Saved, error) {
	p := f.Position()
	v.dropGone()
	m := &Manifest{Prepared: v.o.Prepared, Entries: make([]Entry, len(v.items))}
	files := make([]known, len(v.items))
	same, stamps := p.At != "" && len(v.was) == len(v.items) && v.o.Prepared.equal(p.Prepared), true
	for i, it := range v.items {
		m.Entries[i], files[i] = it.Entry, it.known
		if same {
			same = it.equal(&v.was[i].Entry)
			stamps = stamps && it.Ctime == v.was[i].Ctime && it.Ino == v.was[i].Ino && it.Dev == v.was[i].Dev
		}
	}
	out := Saved{Digest: p.At, Stats: v.stats}
	if !same {
		text := m.encode()
		out.Digest = sumOf(text)
		if v.s.dir != "" && v.stats.Uploaded > 0 {
			if err := syncAll(v.s.dir); err != nil { // a list names only what is safe on the disk
				return out, fmt.Errorf("save the workspace: %w", err)
			}
		}
		sent, err := v.s.put(ctx, manifests, out.Digest, text)
		if err != nil {
			return out, fmt.Errorf("save the workspace: %w", err)
		}
		out.Stats.Sent += sent
	}
	if !same || v.o.Base != p.At {
		changes, err := v.changes(ctx, m, p.At)
		if err != nil {
			return out, err
		}
		out.Changes = changes
	}
	if same && stamps {
		return out, nil
	}
	return out, v.arrive(f, p, out.Digest, files)
}

func (v *saving) arrive(f *Folder, p Position, digest string, files []known) error {
	if p.At != "" && p.At != digest {
		p.Was = append(slices.DeleteFunc(slices.Clone(p.Was), func(d string) bool { return d == p.At || d == digest }), p.At)
		p.Was = p.Was[max(0, len(p.Was)-keptPositions):]
	}
	here, err := statFile(v.root)
	if err != nil {
		return fmt.Errorf("save the workspace: %w", err)
	}
	p.At, p.Dev, p.Ino, p.Prepared = digest, here.Dev, here.Ino, v.o.Prepared
	return f.arrive(p, files)
}

// dropGone leaves out what went away while it was read. Other names of such a file are found
// again the next time.
func (v *saving) dropGone() {
	if !slices.ContainsFunc(v.items, func(it *item) bool { return it.gone }) {
		return
	}
	lost := map[string]bool{}
	v.items = slices.DeleteFunc(v.items, func(it *item) bool {
		if it.gone && it.Kind == File {
			lost[it.Path] = true
		}
		return it.gone || it.Kind == Link && lost[it.Target]
	})
}

// changes compares with the base.
func (v *saving) changes(ctx context.Context, m *Manifest, at string) ([]Change, error) {
	var base []Entry
	switch v.o.Base {
	case "":
	case at:
		base = make([]Entry, len(v.was))
		for i := range v.was {
			base[i] = v.was[i].Entry
		}
	default:
		b, err := v.s.Manifest(ctx, v.o.Base)
		if err != nil {
			return nil, fmt.Errorf("compare the workspace: %w", err)
		}
		base = b.Entries
	}
	return diff(base, m.Entries, v.o.Prepared), nil
}

// diff lists the files that are new or hold something else than before, but not those that still
// hold what was put there for the run.
func diff(before, after []Entry, p *Prepared) []Change {
	var out []Change
	sizes := map[string]*Entry{}
	for i := range after {
		e := &after[i]
		if e.Kind != File && e.Kind != Link {
			continue
		}
		content := e
		if e.Kind == File {
			sizes[e.Path] = e
		} else {
			content = sizes[e.Target]
		}
		for len(before) > 0 && comparePaths(before[0].Path, e.Path) < 0 {
			before = before[1:]
		}
		there := len(before) > 0 && before[0].Path == e.Path && (before[0].Kind == File || before[0].Kind == Link)
		if there && before[0].Kind == e.Kind && before[0].Mtime == e.Mtime && before[0].sameContent(e) && before[0].Target == e.Target {
			continue
		}
		if p != nil && e.Kind == File && p.Files[e.Path] != "" && p.Files[e.Path] == e.contentSum() {
			continue
		}
		out = append(out, Change{Path: e.Path, Size: content.Size, Created: !there})
	}
	return out
}

func (e *Entry) contentSum() string {
	if e.Size == 0 {
		return emptySum
	}
	return e.Sum
}

var emptySum = sumOf(nil)

func (p *Prepared) equal(o *Prepared) bool {
	if p == nil || o == nil {
		return p == o
	}
	return string(schema.Marshal(p)) == string(schema.Marshal(o))
}
