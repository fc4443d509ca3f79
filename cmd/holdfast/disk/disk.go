package disk

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Free is how many bytes a program may still write to the disk of a folder.
func Free(dir string) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, fmt.Errorf("ask for the room on the disk of %s: %w", dir, err)
	}
	return int64(s.Bavail) * int64(s.Bsize), nil //nolint:unconvert // less than 2^63 bytes, on any disk there is; the types differ by system
}

// Watch looks after the disk of a folder until its context ends.
type Watch struct {
	Dir string
	Low int64 // bytes: with less, it warns; 0 is never
	Log *slog.Logger

	free func(dir string) (int64, error) // Free, but in tests
	low  atomic.Pointer[Status]
}

// Status is what is known of a disk with too little room.
type Status struct {
	Free int64 // bytes
	Low  int64
}

// every is how often the disk is looked at: a statfs takes a microsecond.
const every = 5 * time.Second

// Run looks at once, and then again and again until ctx is done.
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
		return // what cannot be asked is not low
	}
	was := w.low.Load()
	// The room that ends a warning is a little more than what begins it: a disk at the bound does not flicker.
	if bound := w.Low; free >= bound+bound/10 || (was == nil && free >= bound) {
		w.low.Store(nil)
		if was != nil {
			w.Log.Info("the disk has room again", "folder", w.Dir, "free", Size(free))
		}
		return
	}
	w.low.Store(&Status{Free: free, Low: w.Low})
	if was == nil {
		w.Log.Warn("the disk is nearly full: make room, or steps will wait for it", "folder", w.Dir, "free", Size(free),
			"low", Size(w.Low), "setting", "HOLDFAST_DISK_LOW")
	}
}

// Size is a number of bytes for people to read, in the units that settings are given in.
func Size(n int64) string {
	const step = 1 << 10
	if n < step {
		return fmt.Sprintf("%d B", n)
	}
	v, unit := float64(n), ""
	for _, u := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if v < step-0.5 {
			break
		}
		v, unit = v/step, u
	}
	if v < 9.95 {
		return fmt.Sprintf("%.1f %s", v, unit)
	}
	return fmt.Sprintf("%.0f %s", v, unit)
}
