package disk

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// ErrNotOurs says that others could put anything into a folder.
var ErrNotOurs = errors.New("not a folder of our own")

// Private makes a folder that is for this user alone, or takes what others may do in it away: passwords, sockets and
// workspaces are below it. One that others own or may write to is refused.
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
	return os.Chmod(dir, 0o700) //nolint:gosec // names the folder; and it is a folder
}
