package worker

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/holdfast/holdfast/logs"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
	"github.com/holdfast/holdfast/snapshot"
)

const (
	// CollectGrace is how long unneeded files stay: the files of a session after it is deleted and has ended, and
	// what a save has sent to the blob store before Postgres knows of it.
	CollectGrace = 20 * time.Minute
	// A snapshot that no session refers to may be of a save whose end waits for Postgres.
	collectOrphans = 7 * 24 * time.Hour
	// Including the grace, disk space is free again within the hour.
	collectInterval = 10 * time.Minute
	collectFull     = 6 * time.Hour
	discardedMost   = 1000 // sessions that Postgres is asked about at once

	gonePrefix = ".gone-" // prefix of folders being removed
)

// Collector frees the disk space of deleted sessions: their folders on this host, and their data in
// the blob store.
type Collector struct {
	Store     *store.Store
	Snapshots *snapshot.Store
	DataDir   string // "" for no folders
	Logger    *slog.Logger
	Grace     time.Duration // [CollectGrace] when 0
	DryRun    bool
}

// Folders is what a collection of folders has freed, or would free.
type Folders struct {
	Sessions int   `json:"sessions_freed"`
	Bytes    int64 `json:"bytes_freed"`
	Kept     int   `json:"sessions_kept"`
	// Deleted are the kept folders that go after the grace. They are counted only on request.
	Deleted int `json:"sessions_deleted"`
	// KeptBytes is measured only on request.
	KeptBytes int64 `json:"bytes_kept"`
}

func (c *Collector) grace() time.Duration {
	if c.Grace > 0 {
		return c.Grace
	}
	return CollectGrace
}

// Blobs collects from the blob store; full looks at all of it. One worker does so at a time: held
// is false if another one is doing it.
func (c *Collector) Blobs(ctx context.Context, full bool) (done snapshot.Collected, held bool, err error) {
	held, err = c.Store.HoldRetention(ctx, func(ctx context.Context) error {
		done, err = c.blobs(ctx, full)
		return err
	})
	return done, held, err
}

// blobs is Blobs for a caller that holds retention's lock.
func (c *Collector) blobs(ctx context.Context, full bool) (snapshot.Collected, error) {
	named, err := c.Store.SnapshotOwners(ctx)
	if err != nil {
		return snapshot.Collected{}, err
	}
	owners := make(map[string]snapshot.Owner, len(named))
	for digest, o := range named {
		owners[digest] = snapshot.Owner(o)
	}
	done, err := c.Snapshots.Collect(ctx, snapshot.Collecting{Owners: owners, Grace: c.grace(), OrphanGrace: collectOrphans, Full: full, DryRun: c.DryRun})
	if !c.DryRun && (done.Snapshots > 0 || done.Blobs > 0) {
		c.Logger.InfoContext(ctx, "blobs collected", slog.Int("snapshots", done.Snapshots), slog.Int("blobs", done.Blobs), slog.Int64("bytes", done.Bytes))
	}
	if err == nil && done.Looked {
		c.Logger.InfoContext(ctx, "blobs kept", slog.Int("snapshots", done.KeptSnapshots), slog.Int("blobs", done.KeptBlobs), slog.Int64("bytes", done.KeptBytes))
	}
	return done, err
}

// Folders removes the folders that deleted sessions had on this host. It first moves a folder
// aside, so that a partly removed one is never taken for a workspace. It also removes what
// interrupted removals left.
func (c *Collector) Folders(ctx context.Context, measure bool) (Folders, error) {
	var done Folders
	ids, err := c.found()
	if err != nil {
		return done, fmt.Errorf("collect folders: %w", err)
	}
	seen := make(map[string]bool, len(ids))
	for _, id := range ids {
		seen[id] = true
	}
	done.Kept = len(ids)
	for len(ids) > 0 {
		some := ids[:min(discardedMost, len(ids))]
		ids = ids[len(some):]
		discarded, err := c.Store.Discarded(ctx, some, c.grace())
		if err != nil {
			return done, err
		}
		if measure {
			all, err := c.Store.Discarded(ctx, some, 0)
			if err != nil {
				return done, err
			}
			done.Deleted += len(all) - len(discarded)
		}
		for _, id := range discarded {
			if err := ctx.Err(); err != nil {
				return done, err
			}
			delete(seen, id)
			used, err := c.remove(ctx, id)
			if err != nil {
				return done, fmt.Errorf("collect folders: %w", err)
			}
			done.Sessions++
			done.Kept--
			done.Bytes += used
		}
	}
	for id := range seen {
		if !measure {
			break
		}
		done.KeptBytes += c.measure(ctx, id)
	}
	return done, nil
}

// found lists the sessions that have a folder on this host, and removes folders that were moved
// aside.
func (c *Collector) found() (ids []string, err error) {
	for _, dir := range []string{filepath.Dir(schema.WorkspaceDir(c.DataDir, "x")), filepath.Dir(snapshot.StateDir(c.DataDir, "x"))} {
		names, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, name := range names {
			switch id := name.Name(); {
			case strings.HasPrefix(id, gonePrefix) && !c.DryRun:
				if err := snapshot.RemoveTree(filepath.Join(dir, id)); err != nil {
					return nil, err
				}
			case schema.ValidID(id):
				ids = append(ids, id)
			}
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids), nil
}

func (c *Collector) remove(ctx context.Context, id string) (used int64, err error) {
	used = c.measure(ctx, id)
	if c.DryRun {
		return used, nil
	}
	for _, dir := range []string{schema.WorkspaceDir(c.DataDir, id), snapshot.StateDir(c.DataDir, id)} {
		aside := filepath.Join(filepath.Dir(dir), gonePrefix+rand.Text())
		err := os.Rename(dir, aside)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = snapshot.RemoveTree(aside)
		}
		if err != nil {
			return 0, err
		}
	}
	c.Logger.InfoContext(logs.With(ctx, logs.Session(id)), "workspace of a deleted session removed", slog.Int64("bytes", used))
	return used, nil
}

// measure returns 0 for a folder that does not exist or cannot be read: it is a figure, and nothing depends on it.
func (c *Collector) measure(ctx context.Context, id string) int64 {
	used, err := snapshot.Measure(ctx, schema.WorkspaceDir(c.DataDir, id))
	if err != nil {
		return 0
	}
	return used.Bytes
}
