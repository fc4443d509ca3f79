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
	"strings"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"github.com/holdfast/holdfast/schema"
)

// Owner is what is known about the sessions that refer to a snapshot.
type Owner struct {
	Live bool // one of them still exists
	// Otherwise: when the last of them was over for good; by then everything of it had been saved.
	Settled time.Time
}

// Collecting says what may be collected.
type Collecting struct {
	// Owners are those of every snapshot that any session refers to, read before the call.
	Owners map[string]Owner
	// Grace is how long unreferenced objects stay, for saves that are under way, and how long those of a
	// session stay after it is over.
	Grace time.Duration
	// Orphans is how long a snapshot stays that no session refers to: the end of its save may not be recorded
	// yet.
	Orphans time.Duration
	// Full looks at every blob even if no snapshot is collected: for the leftovers of interrupted saves, and for the
	// figures.
	Full   bool
	DryRun bool
}

// Collected is what a collection has found and freed. The figures for what is kept are set only if
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
	// touchAfter is the age from which a save renews a blob that it finds, so that the blob outlives the save. It is
	// well below every Grace.
	touchAfter = 5 * time.Minute
	// A collection gives up after this many objects that cannot be deleted.
	mostRefused = 100
	// trash is where a folder's blobs are moved before they are deleted.
	trash = "trash"
)

// object is something in the store.
type object struct {
	key      string
	sum      string // "" for the leftover of an interrupted write
	modified time.Time
	size     int64
}

// Collect deletes what no session needs: snapshots whose sessions are over, and blobs that are in
// no other snapshot. It may run beside any number of saves and restores, and be interrupted
// anywhere: what a session refers to, and what a save relies on, stays. One collection runs at a
// time.
//
// A store in a folder deletes a blob in two steps, so that a blob which a save takes up at the same
// moment comes back. Cloud stores cannot do that; there the blob is checked once more just before
// its deletion.
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
		if o.condemned(&m, now) {
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
	// Delete snapshots last: one that still exists says what goes with it.
	if done.Blobs, done.Bytes, err = s.remove(ctx, unneeded, o.DryRun); err != nil {
		return done, fmt.Errorf("collect snapshots: %w", err)
	}
	snapshots, size, err := s.remove(ctx, gone, o.DryRun)
	done.Snapshots = snapshots
	if done.Bytes += size; err != nil {
		return done, fmt.Errorf("collect snapshots: %w", err)
	}
	return done, nil
}

// remove deletes objects, and returns how many, and their size. It continues after refusals, but not
// if the store does not answer.
func (s *Store) remove(ctx context.Context, objects []object, dryRun bool) (count int, size int64, err error) {
	var refused []error
	for i := range objects {
		if !dryRun {
			began := time.Now()
			deleted, err := s.letGo(ctx, &objects[i])
			if err != nil {
				if refused = append(refused, err); len(refused) == mostRefused || time.Since(began) >= blobTimeout || ctx.Err() != nil {
					break
				}
			}
			if err != nil || !deleted {
				continue
			}
		}
		count++
		size += objects[i].size
	}
	if len(refused) > 0 {
		err = fmt.Errorf("objects that could not be deleted: %d, the first because of: %w", len(refused), refused[0])
	}
	return count, size, err
}

// condemned reports whether a snapshot may be deleted.
func (o *Collecting) condemned(m *object, now time.Time) bool {
	if m.sum == "" { // an interrupted write
		return m.modified.Before(now.Add(-o.Grace))
	}
	owner, known := o.Owners[m.sum]
	switch {
	case known && owner.Live:
		return false
	case known && !m.modified.After(owner.Settled):
		return owner.Settled.Before(now.Add(-o.Grace))
	default: // another save has made it since, for a session not known to refer to it yet
		return m.modified.Before(now.Add(-o.Orphans))
	}
}

// need adds the parts of a snapshot.
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
	_, _ = hex.Decode(b[:], []byte(sum)) // an invalid name matches nothing
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

// letGo deletes an object unless it was taken up after it was listed.
func (s *Store) letGo(ctx context.Context, o *object) (gone bool, err error) {
	if s.deleting != nil {
		s.deleting()
	}
	if err := ctx.Err(); err != nil {
		return false, err
	}
	if s.dir == "" {
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
		return false, os.Rename(aside, name) // anything put there meanwhile has the same content
	}
	if err := os.Remove(aside); err != nil {
		return false, err
	}
	_ = os.Remove(filepath.Dir(name)) // succeeds only if it is empty
	return true, nil
}

// emptyTrash puts back what an interrupted collection was about to delete: it may have been taken up.
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
		if !ValidDigest(sum) || (kind != blobs && kind != manifests) { // the leftover of a write
			err = errors.Join(err, os.Remove(aside))
			continue
		}
		name := s.file(key(kind, sum))
		err = errors.Join(err, os.MkdirAll(filepath.Dir(name), blobDirMode), os.Rename(aside, name))
	}
	return err
}

func (s *Store) file(key string) string { return filepath.Join(s.dir, filepath.FromSlash(key)) }

// touch renews an object's time, and reports whether it still exists.
func (s *Store) touch(key string) (there bool, err error) {
	if s.dir == "" {
		return false, nil // so it is written again
	}
	now := time.Now()
	err = os.Chtimes(s.file(key), now, now)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// HoldAfter is how old an unreferenced snapshot may become before its owner calls [Store.Hold].
const HoldAfter = touchAfter

// ErrCollected says that a snapshot was collected because nothing referred to it in time: save it again.
var ErrCollected = schema.Errorf(schema.CodeStale, "the workspace that was saved has been collected before it was recorded")

// Hold keeps a snapshot from being collected, as if it had just been saved. It fails with
// [ErrCollected] if that has already happened.
func (s *Store) Hold(ctx context.Context, digest string) error {
	k := key(manifests, digest)
	if s.dir != "" {
		there, err := s.touch(k)
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

// confirm makes sure, after a long save, that what it relied on at first has not become too old meanwhile.
func (s *Store) confirm(ctx context.Context, sum string) error {
	k := key(blobs, sum)
	there, err := s.bucket.Exists(ctx, k)
	if err == nil && there && s.dir != "" {
		there, err = s.touch(k)
	}
	if err != nil {
		return away(ctx, err)
	}
	if !there {
		return schema.Errorf(schema.CodeUnavailable, "a part of the workspace has been collected while it was saved; it is saved again")
	}
	return nil
}

// Measure adds up the size of a folder in one walk, as a save does.
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
