package supervisor

import (
	"strconv"

	"golang.org/x/sys/unix"
)

// openShut opens a folder that its owner may not read, and restores its permissions. It opens
// exactly the folder that st describes, and nothing that has taken its place.
func openShut(dir int, name string, st *unix.Stat_t) (int, error) {
	at := -1
	if err := again(func() (err error) {
		at, err = unix.Openat(dir, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		return err
	}); err != nil {
		return -1, err
	}
	defer unix.Close(at)
	var now unix.Stat_t
	if err := unix.Fstat(at, &now); err != nil {
		return -1, err
	}
	if idOf(&now) != idOf(st) {
		return -1, unix.ESTALE
	}
	path, mode := "/proc/self/fd/"+strconv.Itoa(at), now.Mode&0o7777
	if err := unix.Chmod(path, mode|0o700); err != nil {
		return -1, err
	}
	fd := -1
	err := again(func() (err error) {
		fd, err = unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		_ = unix.Chmod(path, mode)
		return -1, err
	}
	lock(fd, mode)
	return fd, nil
}
