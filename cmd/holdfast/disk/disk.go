package disk

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/schema"
)

// Free is how many bytes a program may still write to a folder's disk.
func Free(dir string) (int64, error) {
	free, _, err := Room(dir)
	return free, err
}

// Room is how many bytes a program may still write to a folder's disk, and how many are used of it.
func Room(dir string) (free, used int64, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, 0, fmt.Errorf("ask for the room on the disk of %s: %w", dir, err)
	}
	size := int64(s.Bsize)                                             //nolint:unconvert // the types differ by system
	return int64(s.Bavail) * size, int64(s.Blocks-s.Bfree) * size, nil // no disk has 2^63 bytes
}

// Watch watches a folder's disk until its context ends.
type Watch struct {
	Dir string
	Low int64 // in bytes: with less, it warns; 0 is never
	Log *slog.Logger

	free func(dir string) (int64, error) // Free, except in tests
	low  atomic.Pointer[Status]
}

// Status describes a disk with too little room.
type Status struct {
	Free int64 // bytes
	Low  int64
}

// every is how often to look: a statfs takes a microsecond.
const every = 5 * time.Second

// Run looks at once, and then regularly until ctx is done.
func (w *Watch) Run(ctx context.Context) {
	if w.free == nil {
		w.free = Free
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		w.look()
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// Now is the state at the last look; nil while there is room.
func (w *Watch) Now() *Status { return w.low.Load() }

func (w *Watch) look() {
	free, err := w.free(w.Dir)
	if err != nil {
		return // an error does not mean little room
	}
	was := w.low.Load()
	// The warning ends with a little more room than began it, so that a disk at the bound does not flicker.
	if bound := w.Low; free >= bound+bound/10 || (was == nil && free >= bound) {
		w.low.Store(nil)
		if was != nil {
			w.Log.Info("the disk has room again", "folder", w.Dir, "free", schema.Size(free))
		}
		return
	}
	w.low.Store(&Status{Free: free, Low: w.Low})
	if was == nil {
		w.Log.Warn("the disk is nearly full: make room, or steps will wait for it", "folder", w.Dir, "free", schema.Size(free),
			"low", schema.Size(w.Low), "setting", "HOLDFAST_DISK_LOW")
	}
}
