package snapshot

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// setTimes sets the modification time of an open file. x/sys has no futimens: that is the system
// call without a name.
func setTimes(f *os.File, mtime int64) error {
	times := [2]unix.Timespec{unix.NsecToTimespec(mtime), unix.NsecToTimespec(mtime)}
	_, _, errno := unix.Syscall6(unix.SYS_UTIMENSAT, f.Fd(), 0, uintptr(unsafe.Pointer(&times)), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}
