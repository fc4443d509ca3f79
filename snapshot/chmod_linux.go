package snapshot

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// chmodAt changes the permissions of exactly what s describes, readable or not, and never of a
// link's target. (fchmodat takes AT_SYMLINK_NOFOLLOW only since Linux 6.6.)
func chmodAt(dir *os.File, name string, s *stat, mode uint32) error {
	f, err := openAt(dir, name, unix.O_PATH, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	now, err := statFile(f)
	if err != nil {
		return err
	}
	if now.Kind != s.Kind || now.Ino != s.Ino || now.Dev != s.Dev || now.Kind == Symlink {
		return unix.ESTALE
	}
	return unix.Chmod(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), mode)
}

// coarseNow is the clock that the kernel stamps files with: anything written after reading it
// carries this time or a later one.
func coarseNow() int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_REALTIME_COARSE, &t); err != nil {
		return 0 // then nothing counts as unchanged
	}
	return t.Nano()
}

// syncAll makes everything written to a folder's file system survive a power cut.
func syncAll(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Syncfs(int(f.Fd()))
}
