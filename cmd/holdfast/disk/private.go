package disk

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// ErrNotOurs says that others could write to a folder.
var ErrNotOurs = errors.New("not a folder of our own")

// Private makes a folder for this user alone, or removes others' rights to it: passwords, sockets and workspaces are
// below it. It refuses a folder that others own or may write to.
func Private(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	const others, mayWrite = 0o077, 0o002
	owner, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case ok && int(owner.Uid) != os.Geteuid():
		return fmt.Errorf("%s is %w: it belongs to user %d, and this is user %d", dir, ErrNotOurs, owner.Uid, os.Geteuid())
	case info.Mode().Perm()&mayWrite != 0:
		return fmt.Errorf("%s is %w: everybody may write to it; name one inside of it", dir, ErrNotOurs)
	case info.Mode().Perm()&others == 0:
		return nil
	}
	return os.Chmod(dir, 0o700) //nolint:gosec // dir is a folder, so 0o700 is private
}
