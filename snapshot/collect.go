package snapshot

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"github.com/holdfast/holdfast/schema"
)

// Owner is what is known of the sessions that name a snapshot.
type Owner struct {
	Live bool // one of them is there
	// Otherwise: when the last one of them was over for good, by which time everything of it had been saved.
	EndedAt time.Time
}

// Collecting says what may go.
type Collecting struct {
	// Owners are those of every snapshot that any session names, read before the call.
	Owners map[string]Owner
	// Grace is how long what nobody names stays, for saves that are under way, and after a session is over.
	Grace time.Duration
	// OrphanGrace is how long a snapshot stays that no session names: a save whose end could not be recorded yet.
	OrphanGrace time.Duration
	// Full looks at every blob even when no snapshot goes: for what saves left that were cut short, and for the figures.
	Full   bool
	DryRun bool
}

// Collected is what a collection has found, and freed. Of what is kept nothing is told unless
// it looked at every blob.
type Collected struct {
	Snapshots int   `json:"snapshots_freed"`
	Blobs     int   `json:"blobs_freed"`
	Bytes     int64 `json:"bytes_freed"`

	Looked        bool  `json:"-"`
	KeptSnapshots int   `json:"snapshots_kept"`
	KeptBlobs     int   `json:"blobs_kept"`
	KeptBytes     int64 `json:"bytes_kept"`
}

const (
	// touchAfter is from what age on a blob that a save finds is made young again, so that it outlives the save. It is
	// well below every Grace.
	touchAfter = 5 * time.Minute
	// Of what cannot be deleted, so much is met before a collection gives up.
	mostRefused = 100
	// trash is where a folder's blobs go before they go for good.
	trash = "trash"
)

// object is something in the store.
type object struct {
	key      string
	sum      string // "" for what a write left that was cut short
	modified time.Time
	size     int64
}

// Collect deletes what no session needs: snapshots whose sessions are over, and the blobs that
// are in no other snapshot. It may run beside any number of saves and restores, and be cut short
// anywhere: what a session names, and what a save relies on, stays. One collection runs at a time.
//
// A store in a folder lets go of a blob in two steps, so that one which a save has taken up in
// this very moment comes back. The stores of the clouds cannot: there it is looked at once more
// just before.
func (s *Store) Collect(ctx context.Context, o Collecting) (Collected, error) {
	var done Collected
	if err := s.emptyTrash(); err != nil {
		return done, fmt.Errorf("collect snapshots: %w", err)
	}
	now := time.Now()
	lists, err := s.list(ctx, manifests)
	if err != nil {
		return done, fmt.Errorf("collect snapshots: %w", err)
	}
	var gone, kept []object
	for _, m := range lists {
		if o.deletable(&m, now) {
			gone = append(gone, m)
		} else {
			kept = append(kept, m)
			done.KeptBytes += m.size
		}
	}
	done.KeptSnapshots = len(kept)
	if len(gone) == 0 && !o.Full {
		return done, nil
	}
	done.Looked = true
	needed := map[[32]byte]struct{}{}
	for _, m := range kept {
		if err := s.need(ctx, m.sum, needed); err != nil {
			return done, fmt.Errorf("collect snapshots: %w", err)
		}
	}
	all, err := s.list(ctx, blobs)
	if err != nil {
		return done, fmt.Errorf("collect snapshots: %w", err)
	}
	var unneeded []object
	for _, b := range all {
		if _, is := needed[binary(b.sum)]; is && b.sum != "" || b.modified.After(now.Add(-o.Grace)) {
			done.KeptBlobs++
			done.KeptBytes += b.size
			continue
		}
		unneeded = append(unneeded, b)
	}
	blobs := s.remove(ctx, unneeded, o.DryRun)
	done.Blobs, done.Bytes = blobs.count, blobs.size
	if blobs.stopped {
		return done, fmt.Errorf("collect snapshots: %w", blobs.err)
	}
	// A snapshot that is still there says what is to go with it: it stays as long as one of its blobs.
	if len(blobs.refused) > 0 {
		gone = s.withoutThoseOf(ctx, gone, blobs.refused)
	}
	snapshots := s.remove(ctx, gone, o.DryRun)
	done.Snapshots = snapshots.count
	done.Bytes += snapshots.size
	if err := errors.Join(blobs.err, snapshots.err); err != nil {
		return done, fmt.Errorf("collect snapshots: %w", err)
	}
	return done, nil
}

// removal is what came of deleting objects.
type removal struct {
	count   int
	size    int64
	refused []object
	stopped bool // too much was refused, or the store did not answer: not all was tried
	err     error
}

// remove deletes objects. It goes on past what is refused, but not when the store does not answer.
func (s *Store) remove(ctx context.Context, objects []object, dryRun bool) (r removal) {
	var waited time.Duration // for answers that were refusals
	for i := range objects {
		if !dryRun {
			began := time.Now()
			deleted, err := s.deleteUnlessReused(ctx, &objects[i])
			if err != nil {
				if r.refused = append(r.refused, objects[i]); r.err == nil {
					r.err = err
				}
				if waited += time.Since(began); len(r.refused) == mostRefused || waited >= blobTimeout || ctx.Err() != nil {
					r.stopped = true
					break
				}
			}
			if err != nil || !deleted {
				continue
			}
		}
		r.count++
		r.size += objects[i].size
	}
	if r.err != nil {
		r.err = fmt.Errorf("objects that could not be deleted: %d, the first because of: %w", len(r.refused), r.err)
	}
	return r
}

// withoutThoseOf leaves out the snapshots that have one of these blobs, or cannot be read now.
func (s *Store) withoutThoseOf(ctx context.Context, snapshots, blobs []object) []object {
	return slices.DeleteFunc(snapshots, func(m object) bool {
		if m.sum == "" {
			return false
		}
		has := map[[32]byte]struct{}{}
		if err := s.need(ctx, m.sum, has); err != nil {
			return schema.CodeOf(err) == schema.CodeUnavailable
		}
		return slices.ContainsFunc(blobs, func(b object) bool {
			_, is := has[binary(b.sum)]
			return is && b.sum != ""
		})
	})
}

// deletable reports whether a snapshot may go.
func (o *Collecting) deletable(m *object, now time.Time) bool {
	if m.sum == "" { // a write that was cut short
		return m.modified.Before(now.Add(-o.Grace))
	}
	owner, known := o.Owners[m.sum]
	switch {
	case known && owner.Live:
		return false
	case known && !m.modified.After(owner.EndedAt):
		return owner.EndedAt.Before(now.Add(-o.Grace))
	default: // another save has made it since, for a session that is not known to name it yet
		return m.modified.Before(now.Add(-o.OrphanGrace))
	}
}

// need adds what a snapshot consists of.
func (s *Store) need(ctx context.Context, digest string, needed map[[32]byte]struct{}) error {
	if digest == "" {
		return nil
	}
	data, err := s.get(ctx, manifests, digest, s.unpackManifest)
	var m *Manifest
	if err == nil {
		m, err = decode(data)
	}
	if err != nil {
		return fmt.Errorf("the list of snapshot %s: %w", digest, err)
	}
	for i := range m.Entries {
		for _, c := range m.Entries[i].chunks() {
			needed[binary(c.Sum)] = struct{}{}
		}
	}
	return nil
}

func binary(sum string) (b [32]byte) {
	_, _ = hex.Decode(b[:], []byte(sum)) // a name that is none is that of nothing
	return b
}

func (s *Store) list(ctx context.Context, kind string) ([]object, error) {
	if s.dir != "" {
		return s.listFiles(ctx, kind)
	}
	var all []object
	each := s.bucket.List(&blob.ListOptions{Prefix: kind + "/sha256/"})
	for {
		o, err := each.Next(ctx)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, away(ctx, err)
		}
		all = append(all, objectAt(kind, o.Key, o.ModTime, o.Size))
	}
}

// listFiles is list for a folder, where files come and go meanwhile.
func (s *Store) listFiles(ctx context.Context, kind string) ([]object, error) {
	var all []object
	err := filepath.WalkDir(filepath.Join(s.dir, kind), func(name string, d fs.DirEntry, err error) error {
		var info fs.FileInfo
		if err == nil && !d.IsDir() {
			info, err = d.Info()
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || info == nil {
			return errors.Join(err, ctx.Err())
		}
		at, err := filepath.Rel(s.dir, name)
		if err != nil {
			return err
		}
		all = append(all, objectAt(kind, filepath.ToSlash(at), info.ModTime(), info.Size()))
		return nil
	})
	if err != nil {
		return nil, away(ctx, err)
	}
	return all, nil
}

func objectAt(kind, at string, modified time.Time, size int64) object {
	sum := path.Base(at)
	if !ValidDigest(sum) || at != key(kind, sum) {
		sum = ""
	}
	return object{at, sum, modified, size}
}

// deleteUnlessReused deletes an object unless it was taken up since it was listed.
func (s *Store) deleteUnlessReused(ctx context.Context, o *object) (gone bool, err error) {
	if s.deleting != nil {
		s.deleting()
	}
	if err := ctx.Err(); err != nil {
		return false, err
	}
	if s.dir == "" {
		ctx, cancel := context.WithTimeoutCause(ctx, blobTimeout, errSlow)
		defer cancel()
		attrs, err := s.bucket.Attributes(ctx, o.key)
		if err != nil && gcerrors.Code(err) != gcerrors.NotFound {
			return false, away(ctx, err)
		}
		if err == nil && attrs.ModTime.Equal(o.modified) {
			return true, s.DeleteObject(ctx, o.key)
		}
		return false, nil
	}
	name := s.file(o.key)
	aside := filepath.Join(s.dir, trash, strings.ReplaceAll(o.key, "/", "-"))
	if err := os.MkdirAll(filepath.Dir(aside), blobDirMode); err != nil {
		return false, err
	}
	if err := os.Rename(name, aside); err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return false, nil
		}
		return false, err
	}
	info, err := os.Stat(aside)
	if err != nil {
		return false, err
	}
	if !info.ModTime().Equal(o.modified) {
		return false, os.Rename(aside, name) // what was put there meanwhile is the same
	}
	if err := os.Remove(aside); err != nil {
		return false, err
	}
	_ = os.Remove(filepath.Dir(name)) // only when it is empty
	return true, nil
}

// emptyTrash puts back what a collection was about to delete when it was cut short: it may have been taken up.
func (s *Store) emptyTrash() error {
	if s.dir == "" {
		return nil
	}
	left, err := os.ReadDir(filepath.Join(s.dir, trash))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	for _, e := range left {
		kind, sum, _ := strings.Cut(e.Name(), "-sha256-")
		_, sum, _ = strings.Cut(sum, "-")
		aside := filepath.Join(s.dir, trash, e.Name())
		if !ValidDigest(sum) || (kind != blobs && kind != manifests) { // what a write left
			err = errors.Join(err, os.Remove(aside))
			continue
		}
		name := s.file(key(kind, sum))
		err = errors.Join(err, os.MkdirAll(filepath.Dir(name), blobDirMode), os.Rename(aside, name))
	}
	return err
}

func (s *Store) file(key string) string { return filepath.Join(s.dir, filepath.FromSlash(key)) }

// renew makes an object young again, and reports whether it is still there.
func (s *Store) renew(key string) (there bool, err error) {
	if s.dir == "" {
		return false, nil // it is written once more
	}
	now := time.Now()
	err = os.Chtimes(s.file(key), now, now)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// HoldAfter is how old a snapshot may become that nobody names yet, before its owner calls [Store.Hold].
const HoldAfter = touchAfter

// ErrCollected says that a snapshot was collected which nobody had named in time: it is to be saved again.
var ErrCollected = schema.Errorf(schema.CodeStale, "the workspace that was saved has been collected before it was recorded")

// Hold keeps a snapshot from being collected, as if it had been saved just now. It fails with
// [ErrCollected] when that has happened.
func (s *Store) Hold(ctx context.Context, digest string) error {
	k := key(manifests, digest)
	if s.dir != "" {
		there, err := s.renew(k)
		if err == nil && !there {
			err = ErrCollected
		}
		return err
	}
	list, err := s.bucket.ReadAll(ctx, k)
	if gcerrors.Code(err) == gcerrors.NotFound {
		return ErrCollected
	}
	if err == nil {
		err = s.bucket.WriteAll(ctx, k, list, &blob.WriterOptions{ContentType: contentType, DisableContentTypeDetection: true})
	}
	if err != nil {
		return away(ctx, err)
	}
	return nil
}

// confirm makes sure, after a save that took long, that what it began with has not become too old meanwhile.
func (s *Store) confirm(ctx context.Context, sum string) error {
	k := key(blobs, sum)
	there, err := s.bucket.Exists(ctx, k)
	if err == nil && there && s.dir != "" {
		there, err = s.renew(k)
	}
	if err != nil {
		return away(ctx, err)
	}
	if !there {
		return schema.Errorf(schema.CodeUnavailable, "a part of the workspace was collected during the save; saving again")
	}
	return nil
}

// Measure adds up what a folder takes, in one walk, as a save does.
func Measure(ctx context.Context, dir string) (Usage, error) {
	root, err := openDir(dir)
	if err != nil {
		return Usage{}, fmt.Errorf("measure the workspace: %w", err)
	}
	defer root.Close()
	var c counter
	w := walker{ctx: ctx, visit: func(_, _ string, s *stat) error { c.add(s); return nil }}
	if err := w.walk(root); err != nil {
		return c.Usage, fmt.Errorf("measure the workspace: %w", err)
	}
	return c.Usage, nil
}
