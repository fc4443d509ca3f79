package snapshot

import (
	"os"

	"golang.org/x/sys/unix"
)

// setTimesAt sets when a name was changed, also of a link itself. When it was read last is not kept.
func setTimesAt(dir *os.File, name string, mtime int64) error {
	times := []unix.Timespec{unix.NsecToTimespec(mtime), unix.NsecToTimespec(mtime)}
	return again(func() error { return unix.UtimesNanoAt(int(dir.Fd()), name, times, unix.AT_SYMLINK_NOFOLLOW) })
}
