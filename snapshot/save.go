package snapshot

import (
	"context"
	"errors"
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
	// Busy says that programs may still be writing there. Changes through memory mappings stay
	// unnoticed for a while, so more is read again the next time.
	Busy bool
	// Prepared is stored in the manifest.
	Prepared *Prepared
	// Base is the snapshot to report changes against; "" for an empty folder.
	Base string
}

// Saved is the result of a save.
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
	Uploaded int           // blobs that were new to the store, without the manifest
	Sent     int64         // bytes sent to or received from the store, compressed
	Written  int           // by a restore: files that were wrong
	Removed  int           // by a restore: entries that were not in the snapshot
	Skipped  int           // pipes, sockets and devices
	Denied   []string      // paths that could not be read, and are not in the snapshot
	Took     time.Duration // in total
}

// Change is a file that was created or written since the base.
type Change struct {
	Path    string
	Size    int64
	Created bool
}

const (
	readers = 16 // files read at once; small ones mostly wait for the store
	// The kernel stamps changes through a mapping when it writes them out, after a little more than
	// 30 s.
	mappedUnseen = time.Minute
	tries        = 3 // to read a file without it changing meanwhile
)

// chunkSlots limits the memory of all concurrent saves and restores: each slot is a part of a large
// file.
var chunkSlots = make(chan struct{}, 8)

// item is an entry that is being saved.
type item struct {
	*fileState // from the last save, if nothing has changed

	seen  stat
	fresh bool // its content must be read
	gone  bool
}

// Save saves what the folder holds now and returns the snapshot's name, which is the same for the
// same content. If nothing has changed, it writes nothing. Programs may go on writing there: each
// file is then saved as it was read. An error that [Exceeds] reports means that nothing was saved,
// and that the folder is at no snapshot from now on: the next restore resets it.
func (s *Store) Save(ctx context.Context, f *Folder, o SaveOptions) (Saved, error) {
	f.turn.Lock()
	defer f.turn.Unlock()
	began := time.Now()
	root, err := openDir(f.dir)
	if err != nil {
		return Saved{}, fmt.Errorf("save the workspace: %w", err)
	}
	defer root.Close()
	v := saving{s: s, o: o, root: root, at: f.Position().At}
	if v.at == o.Base {
		v.was = f.files()
	} else { // the last save is unknown to the session and may have been collected, so send everything to the store again
		v.at = ""
	}
	w := walker{ctx: ctx, visit: v.visit, makeReadable: true}
	defer w.restoreModes(root)
	err = w.walk(root)
	v.stats.Usage, v.stats.Denied = v.count.Usage, w.denied
	if err == nil {
		err = o.Quota.Check(v.count.Usage)
	}
	if Exceeds(err) {
		return Saved{Stats: v.stats}, errors.Join(err, f.clearPosition())
	}
	if err != nil {
		return Saved{Stats: v.stats}, fmt.Errorf("save the workspace: %w", err)
	}
	if err := v.readAll(ctx); err != nil {
		return Saved{Stats: v.stats}, fmt.Errorf("save the workspace: %w", err)
	}
	saved, err := v.finish(ctx, f)
	if saved.Stats.Took = time.Since(began); err == nil && saved.Stats.Took > touchAfter {
		err = v.confirm(ctx)
	}
	return saved, err
}

type saving struct {
	s     *Store
	o     SaveOptions
	root  *os.File
	at    string      // the folder's snapshot, if the session knows of it
	was   []fileState // the files as saved then
	next  int         // index into was
	same  int         // how many are exactly as before
	items []item
	first map[[2]uint64]string // paths of files with several names
	count counter
	stats Stats
	new   []string // blobs that this save has written
}

// visit records one entry, and decides whether its content is known.
func (v *saving) visit(dir, name string, s *stat) error {
	v.count.add(s)
	if q := v.o.Quota; q.Files > 0 && v.count.Files > 2*q.Files {
		return q.Check(v.count.Usage) // no use in counting on
	}
	if s.Kind == "" {
		v.stats.Skipped++
		return nil
	}
	if s.Kind == File {
		v.stats.Regular++
	}
	path, was := v.find(dir, name)
	var first string
	if s.Kind == File && s.Nlink > 1 {
		first = v.firstName(path, s)
	}
	if was != nil && was.unchanged(s, first) {
		v.same++
		v.items = append(v.items, item{fileState: was})
		return nil
	}
	it := item{seen: *s, fileState: &fileState{Entry: Entry{Path: path, Kind: s.Kind, Mode: s.Mode, Mtime: s.Mtime}, Dev: s.Dev, Ino: s.Ino, Ctime: s.Ctime}}
	switch {
	case first != "":
		it.Entry = Entry{Path: path, Kind: Link, Target: first}
	case s.Kind == File:
		it.Size, it.fresh = s.Size, true
	case s.Kind == Symlink:
		it.fresh = true
	}
	v.items = append(v.items, it)
	return nil
}

// find returns the path, and what was there. It avoids making a path if it can.
func (v *saving) find(dir, name string) (string, *fileState) {
	if v.next < len(v.was) {
		if p := v.was[v.next].Path; len(p) == len(dir)+len(name)+min(len(dir), 1) && p[len(p)-len(name):] == name && p[:len(dir)] == dir && (dir == "" || p[len(dir)] == '/') {
			v.next++
			return p, &v.was[v.next-1]
		}
	}
	path := join(dir, name)
	for v.next < len(v.was) && comparePaths(v.was[v.next].Path, path) < 0 {
		v.next++
	}
	if v.next < len(v.was) && v.was[v.next].Path == path {
		v.next++
		return path, &v.was[v.next-1]
	}
	return path, nil
}

// firstName returns the name under which a file with several names was seen first; "" the first
// time.
func (v *saving) firstName(path string, s *stat) string {
	id := [2]uint64{s.Dev, s.Ino}
	first, ok := v.first[id]
	if !ok {
		if v.first == nil {
			v.first = map[[2]uint64]string{}
		}
		v.first[id] = path
	}
	return first
}

// unchanged reports whether an entry looks exactly as it did. first is the file of a hard link.
func (k *fileState) unchanged(s *stat, first string) bool {
	if k.Ctime == 0 || k.Ctime != s.Ctime || k.Ino != s.Ino || k.Dev != s.Dev {
		return false
	}
	if first != "" {
		return k.Kind == Link && k.Target == first
	}
	return k.Kind == s.Kind && k.Mode == s.Mode && k.Mtime == s.Mtime && (k.Kind != File || k.Size == s.Size)
}

// readAll reads unknown content, and stores it.
func (v *saving) readAll(ctx context.Context) error {
	var fresh []*item
	for i := range v.items {
		if v.items[i].fresh {
			fresh = append(fresh, &v.items[i])
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	var results [readers]reader
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
			r := &results[i]
			r.s, r.busy, r.dirs.root = v.s, v.o.Busy, v.root
			defer r.dirs.close()
			for part := range work {
				for _, it := range part {
					if err := r.take(ctx, it); err != nil {
						return err
					}
				}
			}
			return nil
		})
	}
	err := g.Wait()
	for i := range results {
		r := &results[i]
		v.stats.Read += r.read
		v.stats.Uploaded += len(r.new)
		v.stats.Sent += r.sent
		v.stats.Denied = append(v.stats.Denied, r.denied...)
		v.new = append(v.new, r.new...)
	}
	return err
}

// finish names what was found, and stores the manifest.
func (v *saving) finish(ctx context.Context, f *Folder) (Saved, error) {
	p := f.Position()
	if v.same == len(v.items) && v.same == len(v.was) && v.at != "" && v.o.Prepared.equal(p.Prepared) {
		return Saved{Digest: v.at, Stats: v.stats}, nil
	}
	v.dropGone()
	m := &Manifest{Prepared: v.o.Prepared, Entries: make([]Entry, len(v.items))}
	files := make([]fileState, len(v.items))
	same := v.at != "" && len(v.was) == len(v.items) && v.o.Prepared.equal(p.Prepared)
	stamps := v.same == len(v.items)
	for i := range v.items {
		m.Entries[i], files[i] = v.items[i].Entry, *v.items[i].fileState
		same = same && m.Entries[i].equal(&v.was[i].Entry)
	}
	out := Saved{Digest: v.at, Stats: v.stats}
	if !same {
		text := m.encode()
		out.Digest = sumOf(text)
		sent, err := v.s.put(ctx, manifests, out.Digest, text)
		if err == nil {
			err = v.s.sync(ctx, v.new, sent > 0, out.Digest)
		}
		if err != nil {
			return out, fmt.Errorf("save the workspace: %w", err)
		}
		out.Stats.Sent += sent
	}
	if !same || v.o.Base != v.at {
		changes, err := v.changes(ctx, m, v.at)
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

func (v *saving) arrive(f *Folder, p Position, digest string, files []fileState) error {
	here, err := statFile(v.root)
	if err != nil {
		return fmt.Errorf("save the workspace: %w", err)
	}
	p.At, p.Dev, p.Ino, p.Prepared = digest, here.Dev, here.Ino, v.o.Prepared
	return f.setPosition(p, files)
}

// confirm rechecks what a long save has stored.
func (v *saving) confirm(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(readers)
	for i := range v.items {
		if !v.items[i].fresh {
			continue
		}
		for _, c := range v.items[i].chunks() {
			g.Go(func() error { return v.s.confirm(ctx, c.Sum) })
		}
	}
	return g.Wait()
}

// dropGone leaves out files that were removed while being read. The next save finds other names of
// such a file.
func (v *saving) dropGone() {
	if !slices.ContainsFunc(v.items, func(it item) bool { return it.gone }) {
		return
	}
	lost := map[string]bool{}
	v.items = slices.DeleteFunc(v.items, func(it item) bool {
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

// diff lists the files that are new or have other content than before, except those that still have
// the content prepared for the run.
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
