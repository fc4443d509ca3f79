package snapshot_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast/holdfast/internal/testkit"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/snapshot"
)

func TestMain(m *testing.M) {
	if runErrand() {
		os.Exit(1)
	}
	os.Exit(testkit.Main(m))
}

var must = testkit.Must

// world is a blob store in a folder, and hosts that share it.
type world struct {
	testing.TB

	*snapshot.Store

	bucket string
	host   string // a data dir
}

func start(t testing.TB) *world {
	t.Helper()
	w := &world{TB: t, bucket: filepath.Join(t.TempDir(), "blobs"), host: t.TempDir()}
	s, err := snapshot.Open(t.Context(), "file://"+w.bucket)
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	w.Store = s
	return w
}

// folder makes a workspace; another name means another host.
func (w *world) folder(name string) (dir string, f *snapshot.Folder) {
	w.Helper()
	dir = schema.WorkspaceDir(w.host, name)
	must(w, os.MkdirAll(dir, 0o700))
	return dir, snapshot.NewFolder(dir, snapshot.StateDir(w.host, name))
}

func (w *world) save(f *snapshot.Folder, o snapshot.SaveOptions) snapshot.Saved {
	w.Helper()
	s, err := w.Save(w.Context(), f, o)
	must(w, err)
	return s
}

func (w *world) restore(f *snapshot.Folder, digest string) snapshot.Stats {
	w.Helper()
	s, err := w.Restore(w.Context(), f, digest)
	must(w, err)
	return s
}

func put(t testing.TB, dir, name, text string) {
	t.Helper()
	p := filepath.Join(dir, name)
	must(t, os.MkdirAll(filepath.Dir(p), 0o755))
	must(t, os.WriteFile(p, []byte(text), 0o644))
}

// older makes everything look as if it had been written a while ago.
func older(t testing.TB, dir string) {
	t.Helper()
	when := time.Now().Add(-time.Hour)
	must(t, filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.Type()&fs.ModeSymlink != 0 {
			return err
		}
		return os.Chtimes(p, when, when)
	}))
}

// describe lists as text everything that should survive, including which paths share a file.
func describe(t testing.TB, dir string) string {
	t.Helper()
	var b strings.Builder
	inodes := map[uint64]string{}
	must(t, filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, p)
		if rel == "." {
			return nil
		}
		if rel == schema.WorkspacePrivate {
			return fs.SkipDir
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		mode := info.Mode() &^ (fs.ModeSetuid | fs.ModeSetgid)
		fmt.Fprintf(&b, "%q %v %d", rel, mode, info.ModTime().UnixNano())
		switch {
		case mode.IsRegular():
			text, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			if len(text) > 100 {
				fmt.Fprintf(&b, " %d %x", len(text), sum(text))
			} else {
				fmt.Fprintf(&b, " %q", text)
			}
			if first, ok := inodes[st.Ino]; ok {
				fmt.Fprintf(&b, " = %q", first)
			}
			inodes[st.Ino] = rel
		case mode&fs.ModeSymlink != 0:
			to, err := os.Readlink(p)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, " -> %q", to)
		}
		b.WriteByte('\n')
		return nil
	}))
	return b.String()
}

func (w *world) wantSame(a, b string) {
	w.Helper()
	if x, y := describe(w, a), describe(w, b); x != y {
		w.Fatalf("before:\n%safter:\n%s", x, y)
	}
}
