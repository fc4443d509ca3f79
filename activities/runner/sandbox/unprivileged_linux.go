package sandbox

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// stepID is the user and group of a step of a root worker on the host: nobody. If anything escapes
// from such a step, it has no rights.
const stepID = 65534

// firstTreeFD comes after init's streams, its socket and its program.
const (
	programFD   = reportFD + 1
	firstTreeFD = programFD + 1
)

// isDemoted says whether the step is to run as nobody: its worker is root, and the user exists.
// Without its own root it could not even reach its workspace.
func (s *Spec) isDemoted() bool {
	return os.Geteuid() == 0 && !slices.Contains(s.Without, LayerUser) && !slices.Contains(s.Without, LayerMount) && hasID("uid") && hasID("gid")
}

// hasID says whether this process's own user namespace has the user nobody.
func hasID(kind string) bool {
	file, err := os.Open("/proc/self/" + kind + "_map")
	if err != nil {
		return false
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		f := strings.Fields(lines.Text())
		if len(f) != 3 {
			continue
		}
		first, err := strconv.ParseInt(f[0], 10, 64)
		count, countErr := strconv.ParseInt(f[2], 10, 64)
		if err == nil && countErr == nil && first <= stepID && stepID < first+count {
			return true
		}
	}
	return false
}

// openTrees opens the worker's files for a step that runs as nobody. If the file system supports
// it, they belong to root on the disk and to nobody in the step; otherwise what the step may write
// to is given to nobody.
func (s *Spec) openTrees(exe string) (trees []tree, files []*os.File, err error) {
	defer func() {
		if err != nil {
			closeFiles(files)
			trees, files = nil, nil
		}
	}()
	owners, ownersErr := s.Owners, error(nil)
	if owners == nil {
		if owners, ownersErr = mapRoot(exe); owners != nil {
			defer owners.Close()
		}
	}
	written := []string{s.Dir, s.Tmp, s.Socket}
	for _, source := range append(slices.Clone(written), s.ReadOnly...) {
		if source == "" || slices.ContainsFunc(trees, func(t tree) bool { return t.Source == source }) {
			continue
		}
		fd, err := unix.OpenTree(unix.AT_FDCWD, source, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
		if errors.Is(err, unix.ENOENT) && !slices.Contains(written, source) {
			continue
		}
		if err != nil {
			return trees, files, fmt.Errorf("open the step's files: %w", err)
		}
		trees = append(trees, tree{Source: source, FD: firstTreeFD + len(files)})
		files = append(files, os.NewFile(uintptr(fd), source))
		mapped := ownersErr
		if owners != nil {
			mapped = unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(owners.Fd())})
		}
		if !slices.Contains(written, source) {
			continue // the step reads what everybody may read
		}
		owner := 0
		if mapped != nil {
			owner = stepID
		}
		if err := chownTree(source, owner); err != nil {
			return trees, files, fmt.Errorf("give the step its files: %w", errno(err))
		}
	}
	return trees, files, nil
}

func closeFiles(files []*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}

// chownTree changes the owner of everything in a folder, even if the folder itself already has the
// owner, because root's files may have been added to nobody's. Other steps of the session may be
// working in the folder: a folder that is replaced by a link meanwhile leads nowhere else.
func chownTree(dir string, owner int) error {
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return err
	}
	if owner == 0 && int(st.Uid) != stepID {
		return nil // nothing was ever given away here
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	return fs.WalkDir(root.FS(), ".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := root.Lstat(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if now, ok := info.Sys().(*syscall.Stat_t); ok && int(now.Uid) == owner && int(now.Gid) == owner {
			return nil
		}
		return root.Lchown(path, owner, owner)
	})
}

// Owners is a user namespace in which nobody is root, with which mounts translate owners; nil if steps of this process
// do not run as nobody. All steps share it, because making it takes as long as the rest of a step's start.
func Owners(exe string) (*os.File, error) {
	if !(&Spec{}).isDemoted() {
		return nil, nil //nolint:nilnil // nothing is needed
	}
	return mapRoot(exe)
}

// InheritOwners is the [Owners] that this process was started with as descriptor fd; nil if that is something else.
func InheritOwners(fd int) *os.File {
	if kind, err := unix.IoctlRetInt(fd, unix.NS_GET_NSTYPE); err != nil || kind != unix.CLONE_NEWUSER {
		return nil
	}
	return os.NewFile(uintptr(fd), "owners")
}

// mapRoot makes the namespace of [Owners], by a child that does nothing.
func mapRoot(exe string) (*os.File, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	nobody := []syscall.SysProcIDMap{{ContainerID: 0, HostID: stepID, Size: 1}}
	pid, err := syscall.ForkExec(exe, []string{"holdfast", initArg}, &syscall.ProcAttr{
		Env: []string{"GOMAXPROCS=1", "GOGC=off"}, Dir: "/", Files: []uintptr{null.Fd(), null.Fd(), null.Fd()},
		Sys: &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL, Cloneflags: unix.CLONE_NEWUSER, UidMappings: nobody, GidMappings: nobody},
	})
	if err != nil {
		return nil, err
	}
	owners, err := os.Open("/proc/" + strconv.Itoa(pid) + "/ns/user")
	end(pid) // it has nothing to do
	return owners, err
}

// end kills and reaps a child.
func end(pid int) {
	_ = unix.Kill(pid, unix.SIGKILL)
	for {
		if _, err := unix.Wait4(pid, nil, 0, nil); !errors.Is(err, unix.EINTR) {
			return
		}
	}
}
