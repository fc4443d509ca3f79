//go:build unix

package supervisor

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// maxFolders is how deep nested folders are counted: each open one takes a descriptor. Deeper ones
// are not saved either, so a step that goes there is ended.
const maxFolders = 256

// usage is space and files on the disk.
type usage struct{ bytes, files int64 }

// held is what processes hold besides named files and their private memory.
type held struct {
	nameless usage // deleted files that are open or mapped, on the disk
	memory   int64 // in files in memory: memfd, shared mappings, System V segments, /dev/shm
	segments int64 // the part of memory in System V segments
	resident int64 // the part of memory that counts as resident, summed over processes
}

// inode identifies a file, whatever its names.
type inode struct{ dev, ino uint64 }

// counter counts the contents of folders. It goes from descriptor to descriptor, so that no path is
// too long, and never follows links.
type counter struct {
	usage

	enough  int64          // number of files after which it stops; 0 for never
	seen    map[inode]bool // files with several names
	tooDeep bool
	stop    <-chan struct{} // closed when the result is no longer wanted
	stopped bool
}

// newCounter makes a counter for a quota of files; it stops at twice the quota.
func newCounter(files int64, stop <-chan struct{}) *counter {
	return &counter{enough: 2 * files, seen: map[inode]bool{}, stop: stop}
}

// folder counts the contents of a folder; "" has none.
func (c *counter) folder(dir string) usage {
	before := c.usage
	var st unix.Stat_t
	if dir == "" || unix.Lstat(dir, &st) != nil {
		return usage{}
	}
	c.into(unix.AT_FDCWD, dir, &st, 0)
	return usage{c.bytes - before.bytes, c.files - before.files}
}

// below counts the contents of an open folder, and closes it.
func (c *counter) below(fd, depth int) {
	dir := os.NewFile(uintptr(fd), "")
	defer dir.Close()
	if unlocked, mode := unlock(fd); unlocked {
		defer lock(fd, mode)
	}
	for {
		const batch = 512
		names, err := dir.Readdirnames(batch)
		for _, name := range names {
			if c.done() {
				return
			}
			c.entry(fd, name, depth)
		}
		if err != nil {
			return // io.EOF, or it was removed meanwhile
		}
	}
}

// done reports whether counting can stop.
func (c *counter) done() bool {
	select {
	case <-c.stop:
		c.stopped = true
	default:
	}
	return c.stopped || c.tooDeep || c.enough > 0 && c.files > c.enough
}

func (c *counter) entry(dir int, name string, depth int) {
	var st unix.Stat_t
	if again(func() error { return unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW) }) != nil {
		return // removed meanwhile
	}
	c.files++ // folders count too, as when the workspace is saved
	isFolder := st.Mode&unix.S_IFMT == unix.S_IFDIR
	if id := idOf(&st); !isFolder && st.Nlink > 1 {
		if c.seen[id] {
			return
		}
		c.seen[id] = true
	}
	c.bytes += int64(st.Blocks) * blockBytes //nolint:unconvert // the types differ from one system to the next
	if !isFolder {
		return
	}
	if depth >= maxFolders {
		c.tooDeep = true
		return
	}
	c.into(dir, name, &st, depth+1)
}

// into counts the contents of a folder, even one that its owner has made unreadable.
func (c *counter) into(dir int, name string, st *unix.Stat_t, depth int) {
	fd, err := openFolder(dir, name)
	if errors.Is(err, unix.EACCES) {
		fd, err = openShut(dir, name, st)
	}
	if err == nil {
		c.below(fd, depth)
	}
}

func openFolder(dir int, name string) (fd int, err error) {
	err = again(func() error {
		fd, err = unix.Openat(dir, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		return err
	})
	return fd, err
}

// unlock lets the owner of an open folder read it, if its permissions do not.
func unlock(fd int) (unlocked bool, mode uint32) {
	var st unix.Stat_t
	if unix.Fstatat(fd, ".", &st, 0) == nil || unix.Fstat(fd, &st) != nil { // this takes the right to search
		return false, 0
	}
	mode = modeOf(&st)
	return unix.Fchmod(fd, mode|0o700) == nil, mode
}

// lock undoes unlock, unless somebody has changed the permissions since.
func lock(fd int, mode uint32) {
	var now unix.Stat_t
	if unix.Fstat(fd, &now) == nil && modeOf(&now) == mode|0o700 {
		_ = unix.Fchmod(fd, mode)
	}
}

//nolint:unconvert // the same
func modeOf(st *unix.Stat_t) uint32 { return uint32(st.Mode) & 0o7777 }

//nolint:unconvert // the same
func idOf(st *unix.Stat_t) inode { return inode{uint64(st.Dev), uint64(st.Ino)} }

// again repeats a system call that a signal interrupted.
func again(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
