package sandbox

import (
	"encoding/binary"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// secret lists what the operator keeps private in a folder that programs see, except for what is in
// named.
func secret(dir string, depth int, named []string) []string {
	return slices.DeleteFunc(unreadable(dir, depth), func(path string) bool {
		return slices.ContainsFunc(named, func(n string) bool { return within(path, n) })
	})
}

// Where secrets of other programs may be, and how deep to look for them.
const (
	optDir   = "/opt"
	optDepth = 2
)

// within says whether a path is a folder or is in it.
func within(path, folder string) bool {
	return path == folder || strings.HasPrefix(path, strings.TrimSuffix(folder, "/")+"/")
}

// unreadable lists what only its owner and group can read: keys, shadow files, whatever an
// administrator keeps private. A worker that runs as root, or owns these files, could read them;
// its programs must not. It is part of every step's start, so it makes few calls: it skips links,
// which have no permissions of their own.
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

// masker mounts a file or folder that nobody may open over others.
type masker struct {
	root       string
	file, fold bool // whether they exist
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

// clean removes the names; what was mounted over others stays.
func (m *masker) clean() {
	_ = os.Remove(m.root + maskFile)
	_ = os.Remove(m.root + maskFolder)
}
