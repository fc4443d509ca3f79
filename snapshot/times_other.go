//go:build !linux

package snapshot

import (
	"os"

	"golang.org/x/sys/unix"
)

func setTimes(f *os.File, mtime int64) error {
	tv := []unix.Timeval{unix.NsecToTimeval(mtime), unix.NsecToTimeval(mtime)}
	return again(func() error { return unix.Futimes(int(f.Fd()), tv) })
}
