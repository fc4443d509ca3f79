package sandbox

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// secret lists what the operator keeps to himself of what programs see, less what he names.
func secret(named []string) []string {
	return slices.DeleteFunc(append(unreadable("/etc", 8), unreadable("/opt", 2)...), func(path string) bool {
		return slices.ContainsFunc(named, func(n string) bool { return within(path, n) })
	})
}

// within says whether a path is a folder or lies in it.
func within(path, folder string) bool {
	return path == folder || strings.HasPrefix(path, strings.TrimSuffix(folder, "/")+"/")
}

// unreadable lists what others than its owner and group cannot read: keys, shadow files,
// whatever an administrator keeps to himself. A worker that runs as root, or that owns them,
// could; a program of its must not. It is in every step's start, so it asks for little: a
// link has no rights of its own.
func unreadable(dir string, depth int) []string {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	var found []string
	buf := make([]byte, 16<<10)
	for {
		n, err := unix.Getdents(fd, buf)
		if err != nil || n <= 0 {
			return found
		}
		for entries := buf[:n]; len(entries) > 0; {
			// struct linux_dirent64: 8 bytes inode, 8 offset, 2 length, 1 type, the name to a 0.
			length := binary.NativeEndian.Uint16(entries[16:])
			kind, name := entries[18], unix.ByteSliceToString(entries[19:length])
			entries = entries[length:]
			if kind == unix.DT_LNK || name == "." || name == ".." {
				continue
			}
			var st unix.Stat_t
			if unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil {
				continue
			}
			full := dir + "/" + name
			switch st.Mode & unix.S_IFMT {
			case unix.S_IFLNK:
			case unix.S_IFDIR:
				if st.Mode&0o005 != 0o005 {
					found = append(found, full)
				} else if depth > 0 {
					found = append(found, unreadable(full, depth-1)...)
				}
			default:
				if st.Mode&0o004 == 0 {
					found = append(found, full)
				}
			}
		}
	}
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
	want := strconv.Itoa(id)
	for line := range strings.Lines(db) {
		if f := strings.SplitN(line, ":", 4); len(f) > 2 && f[2] == want {
			return true
		}
	}
	return false
}

// nameResolver puts the router's resolver in the place of the host's, with the domains in which
// the host looks for short names.
func (w *world) nameResolver() {
	if !w.Network || !w.has(LayerNetwork) {
		return
	}
	text := "nameserver " + linkResolver + "\n"
	if own, err := os.ReadFile("/etc/resolv.conf"); err == nil {
		for line := range strings.Lines(string(own)) {
			if f := strings.Fields(line); len(f) > 1 && (f[0] == "search" || f[0] == "domain" || f[0] == "options") {
				text += strings.Join(f, " ") + "\n"
			}
		}
	}
	made := w.root + "/.names"
	if os.WriteFile(made, []byte(text), 0o444) != nil {
		return
	}
	at := "/etc/resolv.conf"
	if to, err := filepath.EvalSymlinks(at); err == nil { // of the host's: the same place in the new root
		at = to
	}
	b := &builder{}
	b.add(made, at, readOnly|unix.MOUNT_ATTR_NOEXEC)
	if b.err == nil {
		_ = b.attach(w.root)
	}
	_ = os.Remove(made)
}
