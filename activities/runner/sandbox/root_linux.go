package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// visible lists the host's files that a program sees: what programs consist of. Links stay links.
// Nothing else is there.
var visible = []string{
	"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/opt",
	"/nix/store", "/run/current-system", "/gnu/store", "/var/lib/ca-certificates",
	"/sys/devices/system/cpu", "/sys/devices/system/node", // libraries count processors there
}

const tmpDir = "/tmp"

// devices lists the host's device files that a program sees.
var devices = []string{"null", "zero", "full", "random", "urandom", "tty"}

const (
	quiet    = unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV
	readOnly = quiet | unix.MOUNT_ATTR_RDONLY
	rootSize = "size=32m,nr_inodes=16k,mode=755" // most of it for /etc
)

// buildRoot makes the new root and moves into it. Without the mount layer, a step goes on in the
// host's root, unless it is too late to go back.
func (sb *sandbox) buildRoot() error {
	err := sb.buildTree()
	if err == nil {
		sb.mounted = true
		return sb.enter()
	}
	sb.recordMissing(LayerMount, err)
	sb.recordMissing(LayerProc, errors.New("this requires the mount layer"))
	if sb.root != "" {
		if err := unix.Unmount(sb.root, unix.MNT_DETACH); err != nil {
			return fmt.Errorf("leave a half-built root: %w", err)
		}
	}
	return nil
}

// buildTree builds the new root. It opens everything of the host before it mounts the root, which
// would hide what is below it.
func (sb *sandbox) buildTree() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	b := &builder{trees: sb.trees}
	b.folder(sb.Tmp, tmpDir, quiet) // before anything inside it
	b.system()
	for _, path := range sb.ReadOnly {
		b.extra(path)
	}
	b.dev()
	last := &builder{trees: sb.trees} // after what is hidden
	if sb.Socket != "" {
		last.folder(sb.Socket, SocketDir, readOnly|unix.MOUNT_ATTR_NOEXEC)
	}
	last.folder(sb.Dir, sb.Dir, quiet)
	if err := errors.Join(b.err, last.err); err != nil {
		return err
	}
	at := sb.Tmp
	if at == "" || len(sb.trees) > 0 { // nobody may be unable to reach it
		at = os.TempDir()
	}
	if err := unix.Mount("tmpfs", at, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, rootSize); err != nil {
		return fmt.Errorf("mount a root: %w", err)
	}
	sb.root = at
	if err := sb.makeDirs(); err != nil {
		return err
	}
	if err := b.attach(sb.root); err != nil {
		return err
	}
	if err := sb.mountProcAndMasks(); err != nil {
		return err
	}
	hidden, err := sb.hide()
	if err != nil {
		return err
	}
	if err := last.attach(sb.root); err != nil {
		return err
	}
	for _, path := range append(hidden, sb.root+"/dev", sb.root) {
		if err := setAttr(path, unix.MOUNT_ATTR_RDONLY); err != nil {
			return fmt.Errorf("make the root read-only: %w", err)
		}
	}
	return nil
}

// makeDirs makes what does not come from the host.
func (sb *sandbox) makeDirs() error {
	for _, dir := range []string{"/proc", "/dev", tmpDir, "/run", "/var"} {
		if err := os.MkdirAll(sb.root+dir, 0o755); err != nil {
			return errno(err)
		}
	}
	if !slices.Contains(sb.ReadOnly, etcDir) {
		if err := sb.copyEtc(); err != nil {
			return fmt.Errorf("make /etc: %w", err)
		}
	}
	if sb.Tmp == "" {
		if err := unix.Mount("tmpfs", sb.root+tmpDir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=1777,"+sb.memorySize()); err != nil {
			return fmt.Errorf("mount /tmp: %w", err)
		}
	}
	if err := unix.Mount("tmpfs", sb.root+"/dev", "tmpfs", unix.MS_NOSUID|unix.MS_NOEXEC, rootSize); err != nil {
		return fmt.Errorf("mount /dev: %w", err)
	}
	for _, link := range [][2]string{
		{tmpDir, "/var/tmp"}, {"/run", "/var/run"},
		{"/proc/self/fd", "/dev/fd"}, {"/proc/self/fd/0", "/dev/stdin"}, {"/proc/self/fd/1", "/dev/stdout"}, {"/proc/self/fd/2", "/dev/stderr"},
		{"pts/ptmx", "/dev/ptmx"},
	} {
		if err := os.Symlink(link[0], sb.root+link[1]); err != nil {
			return errno(err)
		}
	}
	for _, dir := range []string{"/dev/shm", "/dev/pts"} {
		if err := os.Mkdir(sb.root+dir, 0o755); err != nil {
			return errno(err)
		}
	}
	if err := unix.Mount("tmpfs", sb.root+"/dev/shm", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=1777,"+sb.memorySize()); err != nil {
		return fmt.Errorf("mount /dev/shm: %w", err)
	}
	// A step without its own terminals is still a step.
	_ = unix.Mount("devpts", sb.root+"/dev/pts", "devpts", unix.MS_NOSUID|unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=620")
	return nil
}

// memorySize limits what a program can keep in files in memory.
func (sb *sandbox) memorySize() string {
	size := int64(1 << 30)
	if sb.MemoryBytes > 0 {
		size = sb.MemoryBytes / 2
	}
	return "size=" + strconv.FormatInt(size, 10)
}

// mountProcAndMasks mounts /proc, and covers what must not be read.
func (sb *sandbox) mountProcAndMasks() error {
	m := &masker{root: sb.root}
	defer m.clean()
	if err := sb.mountProc(m); err != nil {
		return err
	}
	for _, path := range sb.secret {
		if err := m.mask(path); err != nil {
			return fmt.Errorf("hide what others cannot read: %w", err)
		}
	}
	return nil
}

// mountProc mounts a /proc that shows this PID namespace. Where the kernel refuses that, as in most
// containers, it shows the host's, read-only.
func (sb *sandbox) mountProc(m *masker) error {
	at := sb.root + "/proc"
	err := errors.New("this requires a PID namespace")
	if slices.Contains(sb.Without, LayerProc) {
		err = errLeftOut
	} else if sb.has(LayerPID) {
		err = unix.Mount("proc", at, "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
	}
	if err != nil {
		sb.recordMissing(LayerProc, err)
		b := &builder{}
		b.folder("/proc", "/proc", readOnly|unix.MOUNT_ATTR_NOEXEC)
		if b.err != nil {
			return b.err
		}
		return b.attach(sb.root)
	}
	// To the kernel, a worker that is root owns all of it.
	for _, name := range []string{"sys", "irq", "bus", "fs", "driver", "dynamic_debug", "mtrr"} {
		path := at + "/" + name
		if unix.Access(path, unix.F_OK) != nil {
			continue
		}
		b := &builder{}
		b.add(path, "/proc/"+name, readOnly)
		if err := errors.Join(b.err, b.attach(sb.root)); err != nil {
			return err
		}
	}
	not := unreadable(at, 0) // such as kmsg, slabinfo, sysrq-trigger
	for _, name := range []string{"acpi", "asound", "kcore", "keys", "latency_stats", "timer_list", "sched_debug", "scsi"} {
		if path := at + "/" + name; unix.Access(path, unix.F_OK) == nil && !slices.Contains(not, path) {
			not = append(not, path)
		}
	}
	for _, path := range not {
		if err := m.mask(strings.TrimPrefix(path, sb.root)); err != nil {
			return err
		}
	}
	return nil
}

// hide mounts an empty folder over each hidden one that is visible, and returns which.
func (sb *sandbox) hide() ([]string, error) {
	var over []string
	for _, path := range sb.Hidden {
		at := sb.root + filepath.Clean(path)
		if info, err := os.Lstat(at); err != nil || !info.IsDir() {
			continue
		}
		if err := unix.Mount("tmpfs", at, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, rootSize); err != nil {
			return nil, fmt.Errorf("hide a folder of the server: %w", err)
		}
		over = append(over, at)
	}
	return over, nil
}

// enter makes the new root the root, and detaches the old one.
func (sb *sandbox) enter() error {
	if err := unix.Chdir(sb.root); err != nil {
		return fmt.Errorf("enter the new root: %w", err)
	}
	if err := unix.PivotRoot(".", "."); err != nil { // the old root is now mounted over the new one
		return fmt.Errorf("enter the new root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("detach the old root: %w", err)
	}
	return unix.Chdir("/")
}

func setAttr(path string, attrs uint64) error {
	return unix.MountSetattr(unix.AT_FDCWD, path, 0, &unix.MountAttr{Attr_set: attrs})
}

// builder collects parts of the host's files.
type builder struct {
	trees  []tree // already open
	pieces []piece
	err    error // the first
}

type piece struct {
	fd     int // a detached mount
	target string
	dir    bool
	link   string // a symbolic link to it, instead
}

func (b *builder) fail(what string, err error) {
	if b.err == nil {
		b.err = fmt.Errorf("%s: %w", what, errno(err))
	}
}

// add adds a file or folder with everything mounted below it.
func (b *builder) add(source, target string, attrs uint64) {
	fd, err := b.given(source), error(nil)
	if fd < 0 {
		fd, err = unix.OpenTree(unix.AT_FDCWD, source, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
	}
	if err != nil {
		b.fail("open "+target, err)
		return
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		b.fail("look at "+target, err)
	}
	if st.Mode&unix.S_IFMT == unix.S_IFCHR {
		attrs &^= unix.MOUNT_ATTR_NODEV
	}
	// Only add flags: existing ones are locked.
	if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &unix.MountAttr{Attr_set: attrs}); err != nil {
		b.fail("set the flags of "+target, err)
	}
	b.pieces = append(b.pieces, piece{fd: fd, target: target, dir: st.Mode&unix.S_IFMT == unix.S_IFDIR})
}

// given is the descriptor of a tree that is already open, or -1.
func (b *builder) given(source string) int {
	for _, t := range b.trees {
		if t.Source == source {
			return t.FD
		}
	}
	return -1
}

func (b *builder) folder(source, target string, attrs uint64) {
	if source != "" {
		b.add(source, target, attrs)
	}
}

// system adds what programs consist of.
func (b *builder) system() {
	for _, path := range visible {
		if path == etcDir { // most of it is copied
			for _, folder := range etcFolders {
				if info, err := os.Lstat(folder); err == nil && info.IsDir() {
					b.add(folder, folder, readOnly|unix.MOUNT_ATTR_NOEXEC)
				}
			}
			continue
		}
		info, err := os.Lstat(path)
		switch {
		case err != nil: // not on this host
		case info.Mode()&os.ModeSymlink != 0:
			if to, err := os.Readlink(path); err == nil {
				b.pieces = append(b.pieces, piece{fd: -1, target: path, link: to})
			}
		default:
			b.add(path, path, readOnly)
		}
	}
}

// extra adds a path that the operator named, if it exists.
func (b *builder) extra(path string) {
	if b.given(path) >= 0 || len(b.trees) == 0 && unix.Access(path, unix.F_OK) == nil {
		b.add(path, filepath.Clean(path), readOnly)
	}
}

func (b *builder) dev() {
	for _, name := range devices {
		b.add("/dev/"+name, "/dev/"+name, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NOEXEC)
	}
}

// attach mounts the parts in their places.
func (b *builder) attach(root string) error {
	for _, p := range b.pieces {
		at := root + p.target
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			return fmt.Errorf("create the mount point %s: %w", p.target, errno(err))
		}
		if p.link != "" {
			if err := os.Symlink(p.link, at); err != nil {
				return fmt.Errorf("link %s: %w", p.target, errno(err))
			}
			continue
		}
		if err := place(at, p.dir); err != nil {
			return fmt.Errorf("create the mount point %s: %w", p.target, errno(err))
		}
		if err := unix.MoveMount(p.fd, "", unix.AT_FDCWD, at, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
			return fmt.Errorf("mount %s: %w", p.target, err)
		}
		_ = unix.Close(p.fd)
	}
	return nil
}

// place makes the file or folder that something is mounted over, unless it exists.
func place(at string, dir bool) error {
	if dir {
		return os.MkdirAll(at, 0o755)
	}
	if _, err := os.Lstat(at); err == nil {
		return nil
	}
	f, err := os.OpenFile(at, os.O_CREATE|os.O_WRONLY, 0o444)
	if err != nil {
		return err
	}
	return f.Close()
}
