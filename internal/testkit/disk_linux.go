package testkit

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// Disk is a small file system of its own, which a test can fill.
type Disk struct {
	Dir string

	tb     testing.TB
	mu     sync.Mutex
	filler string
}

// NewDisk mounts one for the duration of the test. It needs a user who may mount.
func NewDisk(tb testing.TB, bytes int64) *Disk {
	tb.Helper()
	return NewDiskAt(tb, filepath.Join(tb.TempDir(), "disk"), bytes)
}

// NewDiskAt mounts it on a folder that it makes.
func NewDiskAt(tb testing.TB, dir string, bytes int64) *Disk {
	tb.Helper()
	d := &Disk{Dir: dir, tb: tb}
	d.filler = filepath.Join(d.Dir, "filler")
	if err := os.Mkdir(d.Dir, 0o700); err != nil {
		tb.Fatal(err)
	}
	if err := unix.Mount("tmpfs", d.Dir, "tmpfs", 0, "mode=700,size="+strconv.FormatInt(bytes, 10)); err != nil {
		Skip(tb, "a disk that can be filled takes a user who may mount: "+err.Error())
	}
	tb.Cleanup(func() { _ = unix.Unmount(d.Dir, unix.MNT_DETACH) })
	return d
}

// Fill fills the disk, leaving only so many bytes.
func (d *Disk) Fill(but int64) {
	d.tb.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	var room unix.Statfs_t
	if err := unix.Statfs(d.Dir, &room); err != nil {
		d.tb.Error(err)
		return
	}
	f, err := os.OpenFile(d.filler, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return // not even a file can be created
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		d.tb.Error(err)
		return
	}
	size := info.Size()
	left := max(int64(room.Bavail)*room.Bsize-but, 0)
	for n := left; n >= room.Bsize && left >= room.Bsize; n = min(n, left) {
		if unix.Fallocate(int(f.Fd()), 0, size, n) != nil {
			n /= 2 // somebody else took the room
			continue
		}
		size += n
		left -= n
	}
}

// Free makes room again.
func (d *Disk) Free() {
	d.tb.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := os.Remove(d.filler); err != nil && !errors.Is(err, os.ErrNotExist) {
		d.tb.Error(err)
	}
}
