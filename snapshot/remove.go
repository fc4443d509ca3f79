package snapshot

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// RemoveTree removes a folder and everything below it, whatever its permissions, and never a link's
// target. A missing folder is no error.
func RemoveTree(name string) error {
	parent, err := os.Open(filepath.Dir(name))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove a folder: %w", err)
	}
	defer parent.Close()
	if err := removeAll(parent, filepath.Base(name), 0); err != nil {
		return fmt.Errorf("remove a folder: %w", err)
	}
	return nil
}

// removeAll removes a name and everything below it, whatever its permissions, and never a link's
// target.
func removeAll(dir *os.File, name string, depth int) error {
	unlinkAt := func(flags int) error {
		err := again(func() error { return unix.Unlinkat(int(dir.Fd()), name, flags) })
		if errors.Is(err, unix.ENOENT) {
			return nil
		}
		return err
	}
	s, err := statAt(dir, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if s.Kind != Dir {
		return unlinkAt(0)
	}
	if unlinkAt(unix.AT_REMOVEDIR) == nil { // it was empty
		return nil
	}
	if depth > maxDepth {
		return removeDeep(dir, name)
	}
	if s.permissions&0o700 != 0o700 {
		if err := chmodAt(dir, name, &s, s.permissions|0o700); err != nil {
			return err
		}
	}
	sub, err := openDirAt(dir, name)
	if err != nil {
		return err
	}
	defer sub.Close()
	names, err := sub.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, n := range names {
		if err := removeAll(sub, n, depth+1); err != nil {
			return err
		}
	}
	return unlinkAt(unix.AT_REMOVEDIR)
}

// removeDeep removes a folder that is deeper than there are descriptors. It moves the contents of
// its subfolders up until it is flat.
func removeDeep(dir *os.File, name string) error {
	for {
		top, err := openDirAt(dir, name)
		if err != nil {
			return err
		}
		flat, err := flatten(top)
		_ = top.Close()
		if err != nil {
			return err
		}
		if flat {
			return again(func() error { return unix.Unlinkat(int(dir.Fd()), name, unix.AT_REMOVEDIR) })
		}
	}
}

// flatten removes a folder's contents, and moves the contents of its subfolders up into it.
func flatten(top *os.File) (empty bool, err error) {
	names, err := top.Readdirnames(-1)
	if err != nil {
		return false, err
	}
	for _, n := range names {
		if unix.Unlinkat(int(top.Fd()), n, 0) == nil || unix.Unlinkat(int(top.Fd()), n, unix.AT_REMOVEDIR) == nil {
			continue
		}
		s, err := statAt(top, n)
		if err != nil {
			return false, err
		}
		if err := chmodAt(top, n, &s, 0o700); err != nil {
			return false, err
		}
		sub, err := openDirAt(top, n)
		if err != nil {
			return false, err
		}
		below, err := sub.Readdirnames(-1)
		for _, b := range below {
			if err == nil && unix.Unlinkat(int(sub.Fd()), b, 0) != nil {
				err = unix.Renameat(int(sub.Fd()), b, int(top.Fd()), ".holdfast-"+rand.Text())
			}
		}
		_ = sub.Close()
		if err != nil {
			return false, err
		}
	}
	return len(names) == 0, nil
}
