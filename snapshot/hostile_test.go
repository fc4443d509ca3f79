package snapshot_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/internal/testkit"
	"github.com/holdfast/holdfast/snapshot"
)

// A program swaps a folder for a link to outside, and back, as fast as it can, while the workspace
// is saved: files outside must never be in a snapshot.
func TestSave_AFolderThatIsSwappedForALinkLeadsNowhere(t *testing.T) {
	t.Parallel()
	w := start(t)
	dir, f := w.folder("a")
	outside := t.TempDir()
	for i := range 20 {
		name := "f" + string(rune('a'+i))
		put(t, outside, "sub/"+name, "TOP SECRET")
		put(t, dir, "swapped/sub/"+name, "mine")
	}
	must(t, os.Symlink(outside, filepath.Join(dir, "link")))
	var stop atomic.Bool
	done := make(chan int)
	go func() {
		n := 0
		for ; !stop.Load(); n++ {
			_ = unix.Renameat2(unix.AT_FDCWD, filepath.Join(dir, "swapped"), unix.AT_FDCWD, filepath.Join(dir, "link"), unix.RENAME_EXCHANGE)
		}
		done <- n
	}()
	testkit.Never(t, 2*time.Second, "a file has what is outside", func() bool {
		// Each time as if nothing was known, so that every file is opened.
		saved := w.save(snapshot.NewFolder(dir, t.TempDir()), snapshot.SaveOptions{})
		files, err := w.Files(t.Context(), saved.Digest)
		must(t, err)
		for _, file := range files {
			r, err := w.OpenFile(t.Context(), saved.Digest, file.Path)
			must(t, err)
			text, err := io.ReadAll(r)
			must(t, err)
			if string(text) != "mine" {
				t.Fatalf("%s holds %q", file.Path, text)
			}
		}
		return false
	})
	stop.Store(true)
	if n := <-done; n < 1000 {
		t.Errorf("swapped %d times only", n)
	}
	w.save(f, snapshot.SaveOptions{})
}

// The same during a restore, by a process that has outlived its step.
func TestRestore_AFolderThatIsSwappedForALinkLeadsNowhere(t *testing.T) {
	t.Parallel()
	w := start(t)
	dir, f := w.folder("a")
	for i := range 30 {
		put(t, dir, "swapped/sub/f"+string(rune('a'+i)), "from the snapshot")
	}
	saved := w.save(f, snapshot.SaveOptions{})
	outside := t.TempDir()
	put(t, outside, "sub/precious", "precious")
	other, g := w.folder("b")
	var stop atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		for !stop.Load() {
			_ = os.Symlink(outside, filepath.Join(other, "link"))
			_ = unix.Renameat2(unix.AT_FDCWD, filepath.Join(other, "swapped"), unix.AT_FDCWD, filepath.Join(other, "link"), unix.RENAME_EXCHANGE)
		}
	}()
	testkit.Never(t, 2*time.Second, "what is outside has changed", func() bool {
		_, _ = w.Restore(t.Context(), g, saved.Digest)    // it may well fail
		_ = os.RemoveAll(filepath.Join(other, "swapped")) // it may be the link by now
		left, err := os.ReadDir(filepath.Join(outside, "sub"))
		text, _ := os.ReadFile(filepath.Join(outside, "sub/precious")) // without it there is nothing to read
		return err != nil || len(left) != 1 || string(text) != "precious"
	})
	stop.Store(true)
	<-done
	w.restore(g, saved.Digest)
	w.wantSame(dir, other)
}

// A file that a program writes all the time is saved with its content at some moment, in complete
// parts, and does not count as known afterwards.
func TestSave_AFileThatChangesMeanwhileIsKeptAsItWasRead(t *testing.T) {
	t.Parallel()
	w := start(t)
	dir, f := w.folder("a")
	name := filepath.Join(dir, "f")
	must(t, os.WriteFile(name, nil, 0o644))
	var stop atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		file, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			return
		}
		defer file.Close()
		block := make([]byte, 1<<20)
		for i := 0; !stop.Load(); i++ {
			for j := range block {
				block[j] = byte(i)
			}
			_, _ = file.WriteAt(block, int64(i%12)<<20)
			if i%17 == 0 {
				_ = file.Truncate(int64(i%13) << 20)
			}
		}
	}()
	for i := range 6 {
		saved := w.save(f, snapshot.SaveOptions{Busy: true})
		other, g := w.folder("b" + string(rune('a'+i)))
		w.restore(g, saved.Digest)
		m, err := w.Manifest(t.Context(), saved.Digest)
		must(t, err)
		info, err := os.Stat(filepath.Join(other, "f"))
		if errors.Is(err, fs.ErrNotExist) && len(m.Entries) == 0 {
			continue // it never held still long enough to be put together
		}
		must(t, err)
		if info.Size() != m.Entries[0].Size {
			t.Fatalf("%d bytes, the list says %d", info.Size(), m.Entries[0].Size)
		}
	}
	stop.Store(true)
	<-done
	saved := w.save(f, snapshot.SaveOptions{})
	other, g := w.folder("c")
	w.restore(g, saved.Digest)
	w.wantSame(dir, other)
}

// Without root's powers: files that the owner may not read are saved all the same, and keep their
// permissions.
func TestSaveAndRestore_AsAnOrdinaryUser(t *testing.T) {
	if dir := os.Getenv("HOLDFAST_TEST_ORDINARY"); dir != "" {
		asOrdinary(t, dir)
		return
	}
	t.Parallel()
	if os.Getuid() != 0 {
		asOrdinary(t, t.TempDir())
		return
	}
	dir, err := os.MkdirTemp("", "ordinary")
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	const nobody = 65534
	must(t, os.Chown(dir, nobody, nobody))
	exe := filepath.Join(dir, "test")
	self, err := os.Executable()
	must(t, err)
	text, err := os.ReadFile(self)
	must(t, err)
	must(t, os.WriteFile(exe, text, 0o755))
	cmd := exec.Command(exe, "-test.run", "^"+t.Name()+"$", "-test.v")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "HOLDFAST_TEST_ORDINARY="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "PASS") {
		t.Fatalf("%v\n%s", err, out)
	}
}

func asOrdinary(t *testing.T, base string) {
	t.Helper()
	w := &world{TB: t, bucket: filepath.Join(base, "blobs"), host: base}
	s, err := snapshot.Open(t.Context(), "file://"+w.bucket)
	must(t, err)
	defer s.Close()
	w.Store = s
	dir, f := w.folder("a")
	awkward(t, dir)
	must(t, os.Remove(filepath.Join(dir, "pipe")))
	saved := w.save(f, snapshot.SaveOptions{})
	if len(saved.Stats.Denied) != 0 {
		t.Errorf("denied were %q", saved.Stats.Denied)
	}
	for name, mode := range map[string]fs.FileMode{"m000": 0, "locked": fs.ModeDir, "m100": 0o100} {
		if info, err := os.Lstat(filepath.Join(dir, name)); err != nil || info.Mode() != mode {
			t.Errorf("%s has %v now, %v", name, info.Mode(), err)
		}
	}
	other, g := w.folder("b")
	put(t, other, "locked/surplus/x", "x")
	must(t, os.Chmod(filepath.Join(other, "locked/surplus"), 0))
	must(t, os.Chmod(filepath.Join(other, "locked"), 0))
	w.restore(g, saved.Digest)
	again := w.save(snapshot.NewFolder(other, t.TempDir()), snapshot.SaveOptions{})
	if again.Digest != saved.Digest {
		t.Error("it is not the same")
	}
	// As somebody who may read it.
	for _, d := range []string{dir, other} {
		for _, name := range []string{"m000", "locked", "m100"} {
			must(t, os.Chmod(filepath.Join(d, name), 0o700))
		}
		must(t, os.Chtimes(filepath.Join(d, "locked"), time.Time{}, time.Unix(1, 0)))
	}
	w.wantSame(dir, other)
}

func TestSave_DoesNotWaitForPipesAndSockets(t *testing.T) {
	t.Parallel()
	w := start(t)
	dir, f := w.folder("a")
	must(t, syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600))
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	must(t, err)
	defer unix.Close(fd)
	must(t, unix.Bind(fd, &unix.SockaddrUnix{Name: filepath.Join(dir, "socket")}))
	if err := unix.Mknod(filepath.Join(dir, "device"), unix.S_IFCHR|0o600, 0x103); err != nil {
		t.Logf("no device: %v", err)
	}
	if saved := w.save(f, snapshot.SaveOptions{}); saved.Stats.Skipped < 2 || saved.Stats.Regular != 0 {
		t.Errorf("%+v", saved.Stats)
	}
}
