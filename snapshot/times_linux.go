package snapshot

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// setTimes sets when an open file was changed. There is no call for a descriptor in x/sys, but
// the kernel has a path for each.
func setTimes(f *os.File, mtime int64) error {
	times := []unix.Timespec{unix.NsecToTimespec(mtime), unix.NsecToTimespec(mtime)}
	return again(func() error {
		return unix.UtimesNanoAt(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", f.Fd()), times, 0)
	})
}
