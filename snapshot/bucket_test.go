package snapshot_test

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	_ "gocloud.dev/blob/memblob" // mem://

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/snapshot"
)

// Any imported driver works: this one is not a folder, just like the clouds.
func TestOpen_TakesWhateverDriverIsThere(t *testing.T) {
	t.Parallel()
	s, err := snapshot.Open(t.Context(), "mem://")
	must(t, err)
	defer s.Close()
	w := &world{TB: t, Store: s, host: t.TempDir()}
	dir, f := w.folder("a")
	put(t, dir, "sub/f", strings.Repeat("0123456789", 1_000_000))
	saved := w.save(f, snapshot.SaveOptions{})
	other, g := w.folder("b")
	w.restore(g, saved.Digest)
	w.wantSame(dir, other)
	r, err := s.OpenFile(t.Context(), saved.Digest, "sub/f")
	must(t, err)
	if n, err := r.Seek(-3, io.SeekEnd); err != nil || n != 9_999_997 {
		t.Fatal(n, err)
	}
	if text, err := io.ReadAll(r); err != nil || string(text) != "789" {
		t.Fatalf("%q, %v", text, err)
	}
	if _, err := s.Manifest(t.Context(), strings.Repeat("0", 64)); schema.CodeOf(err) != schema.CodeNotFound {
		t.Error(err)
	}
}

func TestOpen_RefusesWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"nothing", "ftp://x", "s3://no-driver-here", "file://" + filepath.Join(t.TempDir(), "f", "x"), ":"} {
		if strings.HasPrefix(bad, "file") { // a file instead of a folder
			must(t, os.WriteFile(filepath.Dir(strings.TrimPrefix(bad, "file://")), nil, 0o600))
		}
		if s, err := snapshot.Open(t.Context(), bad); err == nil {
			t.Errorf("%s was opened", bad)
			_ = s.Close()
		}
	}
}

// A store that goes down in the middle is reported as down, which is worth another try.
func TestSave_SaysWhenTheStoreIsAway(t *testing.T) {
	t.Parallel()
	w := start(t)
	dir, f := w.folder("a")
	put(t, dir, "f", "1")
	must(t, os.RemoveAll(w.bucket))
	must(t, os.WriteFile(w.bucket, nil, 0o600))
	if _, err := w.Save(t.Context(), f, snapshot.SaveOptions{}); schema.CodeOf(err) != schema.CodeUnavailable {
		t.Errorf("%v", err)
	}
	if f.Position().At != "" {
		t.Error("it has arrived")
	}
	must(t, os.Remove(w.bucket))
	saved := w.save(f, snapshot.SaveOptions{})
	other, g := w.folder("b")
	w.restore(g, saved.Digest)
	w.wantSame(dir, other)
}
