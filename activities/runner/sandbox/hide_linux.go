package sandbox

import (
	"fmt"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// unreadable lists what others than its owner and group cannot read: keys, shadow files,
// whatever an administrator keeps to himself. A worker that runs as root, or that owns them,
// could; a program of its must not. Paths are without the prefix.
func unreadable(dir, prefix string, depth int) []string {
	f, err := os.Open(prefix + dir)
	if err != nil {
		return nil
	}
	names, err := f.Readdirnames(-1)
	if err != nil {
		names = nil
	}
	var found []string
	for _, name := range names {
		var st unix.Stat_t
		if unix.Fstatat(int(f.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil {
			continue
		}
		full := path.Join(dir, name)
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFDIR:
			switch {
			case st.Mode&0o005 != 0o005:
				found = append(found, full)
			case depth > 0:
				found = append(found, unreadable(full, prefix, depth-1)...)
			}
		case unix.S_IFREG, unix.S_IFSOCK, unix.S_IFIFO:
			if st.Mode&0o004 == 0 {
				found = append(found, full)
			}
		}
	}
	_ = f.Close()
	return found
}

// masker puts a file or folder that nobody may open over others.
type masker struct {
	root       string
	file, fold bool // they are made
}

const (
	maskFile   = "/.file"
	maskFolder = "/.folder"
)

func (m *masker) mask(target string) error {
	info, err := os.Lstat(m.root + target)
	if err != nil {
		return errno(err)
	}
	source := m.root + maskFile
	if info.IsDir() {
		source = m.root + maskFolder
		if !m.fold {
			if err := os.Mkdir(source, 0); err != nil {
				return errno(err)
			}
			m.fold = true
		}
	} else if !m.file {
		f, err := os.OpenFile(source, os.O_CREATE|os.O_WRONLY, 0)
		if err != nil {
			return errno(err)
		}
		_ = f.Close()
		m.file = true
	}
	b := &builder{}
	b.add(source, target, readOnly|unix.MOUNT_ATTR_NOEXEC)
	if b.err != nil {
		return b.err
	}
	return b.attach(m.root)
}

// clean takes the names away; what was put over others stays.
func (m *masker) clean() {
	_ = os.Remove(m.root + maskFile)
	_ = os.Remove(m.root + maskFolder)
}

// nameUser gives the user that a program sees itself as a name, where the host has none
// for it: programs ask for it. A program without a name runs, too.
func (w *world) nameUser() {
	for _, db := range []struct {
		file, line string
		id         int
	}{
		{"/etc/passwd", fmt.Sprintf("holdfast:x:%d:%d::%s:/bin/sh\n", os.Getuid(), os.Getgid(), w.Dir), os.Getuid()},
		{"/etc/group", fmt.Sprintf("holdfast:x:%d:\n", os.Getgid()), os.Getgid()},
	} {
		text, err := os.ReadFile(w.root + db.file)
		if err != nil || named(string(text), db.id) {
			continue
		}
		if len(text) > 0 && text[len(text)-1] != '\n' {
			text = append(text, '\n')
		}
		made := w.root + "/.names"
		if os.WriteFile(made, append(text, db.line...), 0o444) != nil {
			continue
		}
		b := &builder{}
		b.add(made, db.file, readOnly|unix.MOUNT_ATTR_NOEXEC)
		if b.err == nil {
			_ = b.attach(w.root)
		}
		_ = os.Remove(made)
	}
}

func named(db string, id int) bool {
	want := fmt.Sprint(id)
	for line := range strings.Lines(db) {
		if f := strings.SplitN(line, ":", 4); len(f) > 2 && f[2] == want {
			return true
		}
	}
	return false
}
