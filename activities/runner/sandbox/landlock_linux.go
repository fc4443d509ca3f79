package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"
)

// What a program may do below a path.
const (
	mayRead  = syscall.AccessFSExecute | syscall.AccessFSReadFile | syscall.AccessFSReadDir
	mayWrite = mayRead | syscall.AccessFSWriteFile | syscall.AccessFSTruncate | syscall.AccessFSRemoveDir | syscall.AccessFSRemoveFile |
		syscall.AccessFSMakeDir | syscall.AccessFSMakeReg | syscall.AccessFSMakeSock | syscall.AccessFSMakeFifo | syscall.AccessFSMakeSym |
		syscall.AccessFSMakeChar | syscall.AccessFSMakeBlock | syscall.AccessFSRefer | syscall.AccessFSIoctlDev
	ofFiles = syscall.AccessFSExecute | syscall.AccessFSReadFile | syscall.AccessFSWriteFile | syscall.AccessFSTruncate | syscall.AccessFSIoctlDev
)

// restrictFiles lets the program read what it sees and write to the workspace, /tmp and devices.
// Without the mount layer, only this protects the host's other files.
//
// It restricts this thread, which is the one that starts the program. The library's own function
// restricts all threads, which in a build with cgo needs C and a /proc of this PID namespace.
func (sb *sandbox) restrictFiles() error {
	abi, err := syscall.LandlockGetABIVersion()
	if err != nil {
		return errors.New("this kernel has no Landlock, or it is not switched on at boot (lsm=)")
	}
	attr := syscall.RulesetAttr{HandledAccessFS: mayWrite}
	switch {
	case abi < 2:
		return errors.New("this requires Linux 5.19: earlier versions forbid moving files between folders")
	case abi < 3:
		attr.HandledAccessFS &^= syscall.AccessFSTruncate | syscall.AccessFSIoctlDev
	case abi < 5:
		attr.HandledAccessFS &^= syscall.AccessFSIoctlDev
	}
	if abi >= 4 && !sb.Network && !sb.has(LayerNetwork) {
		attr.HandledAccessNet = syscall.AccessNetBindTCP | syscall.AccessNetConnectTCP // at least TCP
	}
	if abi >= 6 {
		attr.Scoped = syscall.ScopeAbstractUnixSocket | syscall.ScopeSignal
	}
	ruleset, err := syscall.LandlockCreateRuleset(&attr, 0)
	if err != nil {
		return fmt.Errorf("make a ruleset: %w", err)
	}
	defer unix.Close(ruleset)
	writable, readable := sb.paths()
	for _, path := range writable {
		err = errors.Join(err, allow(ruleset, path, mayWrite&attr.HandledAccessFS))
	}
	for _, path := range readable {
		err = errors.Join(err, allow(ruleset, path, mayRead))
	}
	if sb.mounted {
		err = errors.Join(err, allow(ruleset, "/", syscall.AccessFSReadDir)) // names in / are no secret
	}
	if err != nil {
		return err
	}
	return syscall.LandlockRestrictSelf(ruleset, 0)
}

// allow adds a path to a ruleset, if it exists.
func allow(ruleset int, path string, rights uint64) error {
	if path == "" {
		return nil
	}
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil // it needs no permission
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		rights &= ofFiles
	}
	if err := syscall.LandlockAddPathBeneathRule(ruleset, &syscall.PathBeneathAttr{AllowedAccess: rights, ParentFd: fd}, 0); err != nil {
		return fmt.Errorf("allow %s: %w", path, err)
	}
	return nil
}

// paths lists what the program may write to, and what it may read.
func (sb *sandbox) paths() (writable, readable []string) {
	writable = []string{sb.Dir, "/dev/ptmx"}
	for _, name := range devices {
		writable = append(writable, "/dev/"+name)
	}
	writable = append(writable, sb.extraDevices()...)
	if sb.mounted {
		return append(writable, tmpDir, "/dev/shm", "/dev/pts"), sb.seen()
	}
	return append(writable, sb.Tmp), sb.readable()
}

// seen lists what the program may read in its own root: everything, except that in /opt, if
// something there is hidden, only what exists now. What replaces it later is a new file.
func (sb *sandbox) seen() []string {
	entries, err := os.ReadDir("/")
	if len(sb.secret) == 0 || err != nil {
		return []string{"/"}
	}
	var out []string
	for _, e := range entries {
		if path := "/" + e.Name(); path != optDir {
			out = append(out, path)
		}
	}
	return append(out, less(optDir, sb.secret)...)
}

// extraDevices lists the operator's paths that are devices, such as a GPU's.
func (sb *sandbox) extraDevices() []string {
	var out []string
	for _, path := range sb.ReadOnly {
		if info, err := os.Stat(path); err == nil && info.Mode()&os.ModeDevice != 0 {
			out = append(out, path)
		}
	}
	return out
}

// readable lists what a program sees of the host's own root: the same as in its own root, without
// what is hidden there. Landlock can only add, so a folder with hidden contents is added entry by
// entry.
func (sb *sandbox) readable() []string {
	not := append(secret(etcDir, etcDepth, sb.ReadOnly), sb.secret...)
	not = append(not, sb.Hidden...)
	var out []string
	for _, path := range append(append([]string{"/proc", sb.Socket}, visible...), sb.ReadOnly...) {
		if to, err := filepath.EvalSymlinks(path); err == nil && path != "" {
			out = append(out, less(to, not)...)
		}
	}
	return out
}

func less(path string, not []string) []string {
	inside := false
	for _, n := range not {
		if within(path, n) {
			return nil
		}
		inside = inside || within(n, path)
	}
	if !inside {
		return []string{path}
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil
	}
	var out []string
	for _, e := range entries {
		if e.Type()&os.ModeSymlink == 0 {
			out = append(out, less(filepath.Join(path, e.Name()), not)...)
		}
	}
	return out
}
