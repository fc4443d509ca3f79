package sandbox

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/landlock-lsm/go-landlock/landlock"
	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
)

// What Landlock is to handle: all that ABI 7 knows of files. Newer kernels know no less.
const landlockFS = landlock.AccessFSSet(1<<16 - 1)

// restrictFiles lets the program read what it sees and write to the workspace, /tmp and
// devices. Where the mount layer is missing, this alone keeps the host's other files from it.
func (w *world) restrictFiles() error {
	if version, err := ll.LandlockGetABIVersion(); err != nil || version < 1 {
		return errors.New("this kernel has no Landlock, or it is not switched on at boot (lsm=)")
	}
	scoped := landlock.ScopedSet(ll.ScopeAbstractUnixSocket | ll.ScopeSignal)
	args := []any{landlockFS, scoped}
	if !w.Network && !w.has(LayerNetwork) {
		args = append(args, landlock.AccessNetSet(ll.AccessNetBindTCP|ll.AccessNetConnectTCP)) // at least TCP
	}
	config, err := landlock.NewConfig(args...)
	if err != nil {
		return err
	}
	return config.BestEffort().Restrict(w.rules()...)
}

func (w *world) rules() []landlock.Rule {
	devs := make([]string, 0, len(devices))
	for _, name := range devices {
		devs = append(devs, "/dev/"+name)
	}
	rw := []string{w.Dir, tmpDir, "/dev/shm", "/dev/pts"}
	ro := []string{"/"}
	if !w.mounted {
		rw = []string{w.Dir, w.Tmp}
		ro = w.readable()
	}
	return []landlock.Rule{
		landlock.RWDirs(existing(rw)...).WithRefer().WithIoctlDev(),
		landlock.RWFiles(existing(append(devs, "/dev/ptmx"))...).WithIoctlDev(),
		landlock.RWFiles(existing(w.extraDevices())...).WithIoctlDev(),
		landlock.RODirs(folders(ro)...),
		landlock.ROFiles(files(ro)...),
	}
}

// extraDevices are those of the operator's paths that are devices, such as a GPU's.
func (w *world) extraDevices() []string {
	var out []string
	for _, path := range w.ReadOnly {
		if info, err := os.Stat(path); err == nil && info.Mode()&os.ModeDevice != 0 {
			out = append(out, path)
		}
	}
	return out
}

// readable is what a program sees of the host's own root: what it would see in a root of
// its own, less what is hidden there. Landlock only adds, so a folder of which something is hidden is
// given entry by entry.
func (w *world) readable() []string {
	not := append(slices.Clone(w.secret), w.Hidden...)
	var out []string
	for _, path := range append(append([]string{"/proc", w.Socket}, visible...), w.ReadOnly...) {
		if to, err := filepath.EvalSymlinks(path); err == nil && path != "" {
			out = append(out, less(to, not)...)
		}
	}
	return out
}

func less(path string, not []string) []string {
	inside := false
	for _, n := range not {
		if n == path || strings.HasPrefix(path, n+"/") {
			return nil
		}
		inside = inside || strings.HasPrefix(n, path+"/")
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

func existing(paths []string) []string {
	var out []string
	for _, p := range paths {
		if _, err := os.Stat(p); err == nil && p != "" {
			out = append(out, p)
		}
	}
	return out
}

func folders(paths []string) []string { return ofKind(paths, true) }
func files(paths []string) []string   { return ofKind(paths, false) }

func ofKind(paths []string, dir bool) []string {
	var out []string
	for _, p := range paths {
		if info, err := os.Stat(p); err == nil && info.IsDir() == dir {
			out = append(out, p)
		}
	}
	return out
}
