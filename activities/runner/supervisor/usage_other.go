//go:build unix && !linux

package supervisor

import "golang.org/x/sys/unix"

// openShut opens a folder that its owner may not read, and restores its permissions.
func openShut(dir int, name string, st *unix.Stat_t) (int, error) {
	mode := modeOf(st)
	if err := unix.Fchmodat(dir, name, mode|0o700, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return -1, err
	}
	fd, err := openFolder(dir, name)
	if err != nil {
		_ = unix.Fchmodat(dir, name, mode, unix.AT_SYMLINK_NOFOLLOW)
		return -1, err
	}
	lock(fd, mode)
	return fd, nil
}
