package snapshot

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/schema"
)

const (
	maxPath  = 4096
	maxDepth = 256 // of nested folders: each open one takes a descriptor
)

// stat is what the file system says about one entry, without following links.
type stat struct {
	Kind        Kind // "" for entries that are not saved
	Mode        uint32
	Mtime       int64
	Ctime       int64
	Size        int64
	Disk        int64 // bytes on the disk, if known
	Dev, Ino    uint64
	Nlink       uint64
	permissions uint32 // all twelve bits, as they are
}

//nolint:unconvert // the types differ from one system to the next
func statOf(st *unix.Stat_t) stat {
	s := stat{
		Mtime: st.Mtim.Nano(), Ctime: st.Ctim.Nano(), Size: st.Size, Disk: int64(st.Blocks) * 512,
		Dev: uint64(st.Dev), Ino: uint64(st.Ino), Nlink: uint64(st.Nlink), permissions: uint32(st.Mode) & 0o7777,
	}
	switch uint32(st.Mode) & unix.S_IFMT {
	case unix.S_IFREG:
		s.Kind, s.Mode = File, s.permissions&0o777
	case unix.S_IFDIR:
		s.Kind, s.Mode = Dir, s.permissions&0o1777
	case unix.S_IFLNK:
		s.Kind = Symlink
	}
	return s
}

// again repeats a system call that a signal interrupted.
func again(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func statAt(dir *os.File, name string) (stat, error) {
	var st unix.Stat_t
	for { // without again: this is called a hundred thousand times, and needs no closure
		err := unix.Fstatat(int(dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW)
		if err == nil {
			return statOf(&st), nil
		}
		if !errors.Is(err, unix.EINTR) {
			return stat{}, &fs.PathError{Op: "stat", Path: name, Err: err}
		}
	}
}

func statFile(f *os.File) (stat, error) {
	var st unix.Stat_t
	if err := again(func() error { return unix.Fstat(int(f.Fd()), &st) }); err != nil {
		return stat{}, &fs.PathError{Op: "stat", Path: f.Name(), Err: err}
	}
	return statOf(&st), nil
}

// openAt opens a name in a folder, and never a link's target. It does not block on files such as
// named pipes.
func openAt(dir *os.File, name string, flags int, mode uint32) (*os.File, error) {
	if flags&unix.O_DIRECTORY == 0 {
		flags |= unix.O_NONBLOCK
	}
	fd := -1
	err := again(func() (err error) {
		fd, err = unix.Openat(int(dir.Fd()), name, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC, mode)
		return err
	})
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

func openDirAt(dir *os.File, name string) (*os.File, error) {
	return openAt(dir, name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
}

// openDir opens a folder by a path that is trusted, except for its last component.
func openDir(path string) (*os.File, error) {
	parent, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer parent.Close()
	return openDirAt(parent, filepath.Base(path))
}

// openPath opens the folder at a path below root, one component at a time.
func openPath(root *os.File, path string) (*os.File, error) {
	at, owned := root, false
	for path != "" {
		name := path
		for i := range len(path) {
			if path[i] == '/' {
				name = path[:i]
				break
			}
		}
		path = path[min(len(name)+1, len(path)):]
		next, err := openDirAt(at, name)
		if owned {
			_ = at.Close()
		}
		if err != nil {
			return nil, err
		}
		at, owned = next, true
	}
	if owned {
		return at, nil
	}
	return openDirAt(root, ".")
}

// folders opens folders by their paths, and keeps the last one open, because files come sorted.
// Only one goroutine may use it.
type folders struct {
	root *os.File
	path string
	last *os.File
}

func (f *folders) open(path string) (*os.File, error) {
	if f.last != nil && f.path == path {
		return f.last, nil
	}
	f.close()
	dir, err := openPath(f.root, path)
	if err == nil {
		f.path, f.last = path, dir
	}
	return dir, err
}

func (f *folders) close() {
	if f.last != nil {
		_ = f.last.Close()
		f.last = nil
	}
}

func join(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}

// gone reports that a path no longer leads to what was there: it was removed, or became something
// else.
func gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENXIO) || errors.Is(err, unix.ESTALE)
}

// walker visits everything below a folder, except for Holdfast's own files, in the order of a
// manifest. Entries that disappear meanwhile may be missing.
type walker struct {
	ctx context.Context //nolint:containedctx // for one walk
	// visit is called for each entry. An error ends the walk.
	visit func(dir, name string, s *stat) error
	// makeReadable makes unreadable folders readable, to walk them; unlocked lists those.
	makeReadable bool
	unlocked     []unlocked
	denied       []string // what could not be read
}

type unlocked struct {
	path string
	was  stat
}

func (w *walker) walk(root *os.File) error { return w.dir(root, "", 0) }

// restoreModes restores the folders' permissions.
func (w *walker) restoreModes(root *os.File) {
	for _, u := range slices.Backward(w.unlocked) {
		if dir, err := openPath(root, dirOf(u.path)); err == nil {
			_ = chmodAt(dir, baseOf(u.path), &u.was, u.was.permissions) // if somebody moved it meanwhile, its permissions went with it
			_ = dir.Close()
		}
	}
	w.unlocked = nil
}

func (w *walker) dir(dir *os.File, path string, depth int) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	if depth > maxDepth {
		return schema.Errorf(schema.CodeTooLarge, "the workspace has more than %d nested folders", maxDepth)
	}
	if _, err := dir.Seek(0, 0); err != nil {
		return err
	}
	names, err := dir.Readdirnames(-1)
	if err != nil && !gone(err) {
		return err
	}
	slices.Sort(names)
	for _, name := range names {
		if path == "" && name == schema.WorkspacePrivate {
			continue
		}
		if len(path)+1+len(name) > maxPath {
			return schema.Errorf(schema.CodeTooLarge, "the workspace has a path of more than %d bytes", maxPath)
		}
		if err := w.entry(dir, path, name, depth); err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) entry(dir *os.File, path, name string, depth int) error {
	s, err := statAt(dir, name)
	if err != nil {
		if gone(err) {
			return nil
		}
		return err
	}
	if err := w.visit(path, name, &s); err != nil || s.Kind != Dir {
		return err
	}
	path = join(path, name)
	sub, err := openDirAt(dir, name)
	if w.makeReadable && errors.Is(err, fs.ErrPermission) && chmodAt(dir, name, &s, s.permissions|0o700) == nil {
		w.unlocked = append(w.unlocked, unlocked{path, s})
		sub, err = openDirAt(dir, name)
	}
	switch {
	case err == nil:
	case gone(err):
		return nil
	case errors.Is(err, fs.ErrPermission):
		w.denied = append(w.denied, path)
		return nil
	default:
		return err
	}
	defer sub.Close()
	return w.dir(sub, path, depth+1)
}

// openReadable opens a file that its owner may not read, by making it readable for a moment.
func openReadable(dir *os.File, name string, s *stat) (*os.File, error) {
	f, err := openAt(dir, name, unix.O_RDONLY, 0)
	if !errors.Is(err, fs.ErrPermission) || chmodAt(dir, name, s, s.permissions|0o400) != nil {
		return f, err
	}
	f, err = openAt(dir, name, unix.O_RDONLY, 0)
	return f, errors.Join(err, chmodAt(dir, name, s, s.permissions))
}
