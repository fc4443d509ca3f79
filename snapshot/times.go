package snapshot

import (
	"os"

	"golang.org/x/sys/unix"
)

// setTimesAt sets the modification time of a name, including that of a link itself. Access times are
// not kept.
func setTimesAt(dir *os.File, name string, mtime int64) error {
	times := []unix.Timespec{unix.NsecToTimespec(mtime), unix.NsecToTimespec(mtime)}
	return again(func() error { return unix.UtimesNanoAt(int(dir.Fd()), name, times, unix.AT_SYMLINK_NOFOLLOW) })
}
