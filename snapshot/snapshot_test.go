package snapshot_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/snapshot"
)

func sum(b []byte) [32]byte { return sha256.Sum256(b) }

// awkward fills a folder with everything that is hard to save.
func awkward(t testing.TB, dir string) {
	t.Helper()
	put(t, dir, "plain.txt", "plain")
	put(t, dir, "empty", "")
	put(t, dir, "deep/er/est/file", "deep")
	must(t, os.Mkdir(filepath.Join(dir, "nothing in it"), 0o755))
	for _, name := range []string{"new\nline", "\xff\xfe not utf-8", "ünïcödé", "per%cent", `quo"te\`, "-rf", "a b", "tab\t", "\u202etxt.exe", strings.Repeat("n", 255)} {
		put(t, dir, name, name)
	}
	// A folder sorts by its own name, not by its path with a slash.
	put(t, dir, "x/1", "1")
	put(t, dir, "x-y", "2")
	put(t, dir, "x.y/1", "3")
	for name, mode := range map[string]fs.FileMode{"m000": 0, "m444": 0o444, "m777": 0o777, "m100": 0o100} {
		put(t, dir, name, "mode")
		must(t, os.Chmod(filepath.Join(dir, name), mode))
	}
	put(t, dir, "setuid", "s")
	must(t, os.Chmod(filepath.Join(dir, "setuid"), 0o755|fs.ModeSetuid|fs.ModeSetgid))
	put(t, dir, "locked/inside", "in a folder that nobody may enter")
	put(t, dir, "readonly/inside", "in a folder that nobody may change")
	must(t, os.Mkdir(filepath.Join(dir, "sticky"), 0o777))
	must(t, os.Chmod(filepath.Join(dir, "sticky"), 0o777|fs.ModeSticky))
	for name, to := range map[string]string{
		"absolute": "/etc/passwd", "outside": "../../../etc/passwd", "dangling": "not there", "loop": "loop", "loop a": "loop b", "loop b": "loop a",
		"inside": "deep/er/est/file", "folder": "deep", "deep/up": "../plain.txt", "odd link": "\xff\n", "self": ".",
	} {
		must(t, os.Symlink(to, filepath.Join(dir, name)))
	}
	put(t, dir, "hard/1", "shared")
	must(t, os.Link(filepath.Join(dir, "hard/1"), filepath.Join(dir, "hard/2")))
	must(t, os.Link(filepath.Join(dir, "hard/1"), filepath.Join(dir, "a third name")))
	must(t, syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600))
	big := bytes.Repeat([]byte("0123456789abcdef"), 700_000) // 10.7 MiB
	must(t, os.WriteFile(filepath.Join(dir, "big"), big, 0o600))
	must(t, os.Truncate(filepath.Join(dir, "big"), 10_000_001))

	must(t, os.Chtimes(filepath.Join(dir, "plain.txt"), time.Time{}, time.Unix(1_000_000_000, 123_456_789)))
	must(t, os.Chtimes(filepath.Join(dir, "empty"), time.Time{}, time.Unix(-5, 7)))
	must(t, os.Chtimes(filepath.Join(dir, "nothing in it"), time.Time{}, time.Unix(4_000_000_000, 1)))
	must(t, os.Chmod(filepath.Join(dir, "locked"), 0))
	must(t, os.Chmod(filepath.Join(dir, "readonly"), 0o555))
}

func TestRestore_BringsBackAllThatIsHardToKeep(t *testing.T) {
	t.Parallel()
	w := start(t)
	dir, f := w.folder("a")
	awkward(t, dir)
	put(t, dir, ".holdfast/tmp/private", "not kept")
	saved := w.save(f, snapshot.SaveOptions{})
	if saved.Stats.Skipped != 1 || len(saved.Stats.Denied) != 0 {
		t.Errorf("%+v", saved.Stats)
	}
	other, g := w.folder("b")
	w.restore(g, saved.Digest)
	must(t, os.Remove(filepath.Join(dir, "pipe")))
	// The folder itself does not belong to the step.
	w.wantSame(dir, other)
	if info, err := os.Stat(filepath.Join(other, "setuid")); err != nil || info.Mode() != 0o755 {
		t.Errorf("setuid: %v, %v", info.Mode(), err)
	}
	if _, err := os.Lstat(filepath.Join(other, schema.WorkspacePrivate)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what is private was kept: %v", err)
	}
	// Restored files count as known: saving again reads nothing and gives the same name.
	again := w.save(g, snapshot.SaveOptions{Base: saved.Digest})
	if again.Digest != saved.Digest || again.Stats.Read != 0 || len(again.Changes) != 0 {
		t.Errorf("again: %+v", again)
	}
	if p := g.Position(); p.At != saved.Digest {
		t.Errorf("it is at %+v", p)
	}
}

func TestRestore_MakesAFolderThatHoldsOtherThingsEqual(t *testing.T) {
	t.Parallel()
	w := start(t)
	dir, f := w.folder("a")
	awkward(t, dir)
	must(t, os.Remove(filepath.Join(dir, "pipe")))
	saved := w.save(f, snapshot.SaveOptions{})

	other, g := w.folder("b")
	outside := t.TempDir()
	put(t, outside, "precious", "precious")
	put(t, other, "plain.txt/was/a folder", "x") // a folder instead of a file
	put(t, other, "deep", "was a file")          // and the reverse
	put(t, other, "x-y", "3")                    // the same size
	put(t, other, "surplus/sub/file", "x")
	put(t, other, "surplus file", "x")
	must(t, os.Chmod(filepath.Join(other, "surplus", "sub"), 0))
	must(t, os.Symlink(outside, filepath.Join(other, "hard")))     // a link instead of a folder
	must(t, os.Symlink(outside, filepath.Join(other, "readonly"))) // what is inside it must not be written through it
	must(t, os.Symlink(filepath.Join(outside, "precious"), filepath.Join(other, "m777")))
	must(t, os.Symlink(outside, filepath.Join(other, "surplus link")))
	must(t, os.Symlink("elsewhere", filepath.Join(other, "absolute")))
	put(t, other, "dangling", "was a file")
	must(t, os.Link(filepath.Join(outside, "precious"), filepath.Join(other, "m444"))) // another name for a file outside
	put(t, other, ".holdfast/keep", "ours")
	must(t, syscall.Mkfifo(filepath.Join(other, "empty"), 0o600))
	stats := w.restore(g, saved.Digest)
	w.wantSame(dir, other)
	if text, err := os.ReadFile(filepath.Join(outside, "precious")); err != nil || string(text) != "precious" {
		t.Errorf("outside: %q, %v", text, err)
	}
	if left, _ := os.ReadDir(outside); len(left) != 1 {
		t.Errorf("outside are %v", left)
	}
	if info, err := os.Stat(filepath.Join(outside, "precious")); err != nil || info.Mode() != 0o644 {
		t.Errorf("outside: %v, %v", info.Mode(), err)
	}
	if _, err := os.Stat(filepath.Join(other, ".holdfast/keep")); err != nil {
		t.Error(err)
	}
	if stats.Removed < 6 {
		t.Errorf("%+v", stats)
	}
	// And back and forth between two snapshots.
	put(t, other, "plain.txt", "changed")
	must(t, os.RemoveAll(filepath.Join(other, "x")))
	second := w.save(g, snapshot.SaveOptions{Base: saved.Digest})
	if second.Stats.Read != 1 || len(second.Changes) != 1 || second.Changes[0] != (snapshot.Change{Path: "plain.txt", Size: 7}) {
		t.Errorf("%+v", second)
	}
	if p := g.Position(); p.At != second.Digest {
		t.Errorf("it is at %+v", p)
	}
	w.restore(g, saved.Digest)
	w.wantSame(dir, other)
	if p := g.Position(); p.At != saved.Digest {
		t.Errorf("it is at %+v", p)
	}
}

func TestSave_OnlyWhatChangedIsReadAndSent(t *testing.T) {
	t.Parallel()
	w := start(t)
	dir, f := w.folder("a")
	data := make([]byte, 20<<20)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(data)
	must(t, os.WriteFile(filepath.Join(dir, "big"), data, 0o644))
	put(t, dir, "small", "1")
	older(t, dir)
	first := w.save(f, snapshot.SaveOptions{})
	if first.Stats.Uploaded != 6 || first.Stats.Sent < 20<<20 || len(first.Changes) != 2 || !first.Changes[0].Created {
		t.Fatalf("%+v", first)
	}
	data[9<<20]++ // in the third part
	must(t, os.WriteFile(filepath.Join(dir, "big"), data, 0o644))
	second := w.save(f, snapshot.SaveOptions{Base: first.Digest})
	if second.Stats.Uploaded != 1 || second.Stats.Sent > 5<<20 || second.Stats.Read != 1 {
		t.Fatalf("%+v", second.Stats)
	}
	// Another session with the same content sends only its manifest, which is the same.
	dir2, g := w.folder("b")
	w.restore(g, second.Digest)
	third := w.save(snapshot.NewFolder(dir2, t.TempDir()), snapshot.SaveOptions{})
	if third.Digest != second.Digest || third.Stats.Uploaded != 0 || third.Stats.Sent != 0 {
		t.Fatalf("%+v", third)
	}
}

// A file that is written at the very moment of being saved must not count as unchanged.
func TestSave_SeesAChangeWithinTheSameTickOfTheClock(t *testing.T) {
	t.Parallel()
	w := start(t)
	dir, f := w.folder("a")
	put(t, dir, "f", "0")
	last := w.save(f, snapshot.SaveOptions{}).Digest
	for i := range 300 {
		when := time.Unix(1_700_000_000, 0)
		must(t, os.WriteFile(filepath.Join(dir, "f"), []byte{byte(i)}, 0o644))
		must(t, os.Chtimes(filepath.Join(dir, "f"), when, when))
		saved := w.save(f, snapshot.SaveOptions{Base: last})
		if saved.Digest == last {
			t.Fatalf("change %d was not seen", i)
		}
		last = saved.Digest
	}
}

func TestSave_KeepsHolesAndIsFastWithThem(t *testing.T) {
	t.Parallel()
	w := start(t)
	dir, f := w.folder("a")
	file, err := os.Create(filepath.Join(dir, "sparse"))
	must(t, err)
	must(t, file.Truncate(1<<30))
	_, err = file.WriteAt(bytes.Repeat([]byte("x"), 4096), 700<<20)
	must(t, err)
	must(t, file.Close())
	began := time.Now()
	saved := w.save(f, snapshot.SaveOptions{Quota: snapshot.Quota{Bytes: 1 << 20}})
	other, g := w.folder("b")
	w.restore(g, saved.Digest)
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("it took %v", took)
	}
	info, err := os.Stat(filepath.Join(other, "sparse"))
	must(t, err)
	if disk := info.Sys().(*syscall.Stat_t).Blocks * 512; info.Size() != 1<<30 || disk > 64<<10 {
		t.Errorf("%d bytes on %d of disk", info.Size(), disk)
	}
	r, err := w.OpenFile(t.Context(), saved.Digest, "sparse")
	must(t, err)
	_, err = r.Seek(700<<20-2, io.SeekStart)
	must(t, err)
	buf := make([]byte, 6)
	if _, err := io.ReadFull(r, buf); err != nil || string(buf) != "\x00\x00xxxx" {
		t.Errorf("%q, %v", buf, err)
	}
	must(t, r.Close())
}

func TestSave_StopsAtTheQuota(t *testing.T) {
	t.Parallel()
	w := start(t)
	dir, f := w.folder("a")
	must(t, os.WriteFile(filepath.Join(dir, "a"), bytes.Repeat([]byte("x"), 3<<20), 0o644))
	must(t, os.Link(filepath.Join(dir, "a"), filepath.Join(dir, "b"))) // counts once
	w.save(f, snapshot.SaveOptions{Quota: snapshot.Quota{Bytes: 4 << 20, Files: 2}})
	before := f.Position()
	for _, c := range []struct {
		quota snapshot.Quota
		says  string
	}{
		{snapshot.Quota{Bytes: 2 << 20}, "the workspace takes 3 MiB; the limit is 2 MiB"},
		{snapshot.Quota{Files: 1}, "the workspace holds 2 files and folders; the limit is 1"},
	} {
		_, err := w.Save(t.Context(), f, snapshot.SaveOptions{Quota: c.quota})
		if !snapshot.Exceeds(err) || !strings.HasSuffix(err.Error(), c.says) {
			t.Errorf("%v", err)
		}
	}
	if f.Position().At != "" {
		t.Error("it is still at the snapshot that it has outgrown")
	}
	deep := filepath.Join(dir, "deep")
	must(t, os.Mkdir(deep, 0o755))
	root, err := os.OpenRoot(deep)
	must(t, err)
	for range 400 {
		must(t, root.Mkdir("d", 0o755))
		next, err := root.OpenRoot("d")
		must(t, err)
		must(t, root.Close())
		root = next
	}
	must(t, root.Close())
	if _, err := w.Save(t.Context(), f, snapshot.SaveOptions{}); !snapshot.Exceeds(err) {
		t.Errorf("%v", err)
	}
	if u, err := snapshot.Measure(t.Context(), dir); !snapshot.Exceeds(err) || u.Files < 200 {
		t.Errorf("%+v, %v", u, err)
	}
	w.restore(f, before.At) // which removes it
	if u, err := snapshot.Measure(t.Context(), dir); err != nil || u != (snapshot.Usage{Bytes: 3 << 20, Files: 2}) {
		t.Errorf("%+v, %v", u, err)
	}
}

func TestRestore_SaysWhichFileIsDamagedAndWritesNothingElsewhere(t *testing.T) {
	t.Parallel()
	w := start(t)
	dir, f := w.folder("a")
	put(t, dir, "sub/the file", strings.Repeat("what is in it", 1000))
	saved := w.save(f, snapshot.SaveOptions{})
	blobs, err := filepath.Glob(filepath.Join(w.bucket, "blobs/sha256/*/*"))
	if err != nil || len(blobs) != 1 {
		t.Fatal(blobs, err)
	}
	good, err := os.ReadFile(blobs[0])
	must(t, err)
	flipped := bytes.Clone(good)
	flipped[len(flipped)/2] ^= 1
	for name, bad := range map[string][]byte{"empty": {}, "cut": good[:len(good)/2], "flipped": flipped, "other": []byte("not packed"), "gone": nil} {
		if bad == nil {
			must(t, os.Remove(blobs[0]))
		} else {
			must(t, os.WriteFile(blobs[0], bad, 0o600))
		}
		other, g := w.folder("b-" + name)
		_, err := w.Restore(t.Context(), g, saved.Digest)
		if schema.CodeOf(err) != schema.CodeInternal || !strings.Contains(err.Error(), `the stored copy of "sub/the file" is damaged`) {
			t.Errorf("%s: %v", name, err)
		}
		if g.Position().At != "" {
			t.Errorf("%s: it is at %v", name, g.Position())
		}
		if left, _ := os.ReadDir(filepath.Join(other, "sub")); len(left) != 0 {
			t.Errorf("%s: left is %v", name, left)
		}
		r, err := w.OpenFile(t.Context(), saved.Digest, "sub/the file")
		must(t, err)
		if _, err := io.ReadAll(r); schema.CodeOf(err) != schema.CodeInternal {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Saving again repairs an empty blob, and a missing one.
	must(t, os.WriteFile(blobs[0], nil, 0o600))
	w.save(snapshot.NewFolder(dir, t.TempDir()), snapshot.SaveOptions{})
	other, g := w.folder("c")
	w.restore(g, saved.Digest)
	w.wantSame(dir, other)
}

func TestManifest_ThatIsNotWhatItsNameSaysIsRefused(t *testing.T) {
	t.Parallel()
	w := start(t)
	dir, f := w.folder("a")
	put(t, dir, "f", "x")
	saved := w.save(f, snapshot.SaveOptions{})
	name := filepath.Join(w.bucket, "manifests/sha256", saved.Digest[:2], saved.Digest)
	other, err := snapshot.Open(t.Context(), "file://"+w.bucket) // which has not seen it
	must(t, err)
	defer other.Close()
	must(t, os.WriteFile(name, []byte("x"), 0o600))
	if _, err := other.Manifest(t.Context(), saved.Digest); schema.CodeOf(err) != schema.CodeInternal {
		t.Error(err)
	}
	must(t, os.Remove(name))
	if _, err := other.Manifest(t.Context(), saved.Digest); schema.CodeOf(err) != schema.CodeNotFound {
		t.Error(err)
	}
	for _, bad := range []string{"", "../../etc/passwd", strings.Repeat("A", 64), saved.Digest + "0"} {
		if _, err := other.Restore(t.Context(), f, bad); schema.CodeOf(err) != schema.CodeInvalid {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if f.Position().At != saved.Digest {
		t.Error("a restore that could not begin has left the folder at nothing")
	}
}

func TestRestore_ThatDiesInTheMiddleIsCompletedByTheNext(t *testing.T) {
	t.Parallel()
	w := start(t)
	dir, f := w.folder("a")
	for i := range 300 {
		put(t, dir, filepath.Join("d", string(rune('a'+i%26)), strings.Repeat("f", i+1)[:min(i+1, 200)]), strings.Repeat("x", i))
	}
	awkward(t, dir)
	must(t, os.Remove(filepath.Join(dir, "pipe")))
	saved := w.save(f, snapshot.SaveOptions{})
	other, g := w.folder("b")
	put(t, other, "before", "x")
	was := w.save(g, snapshot.SaveOptions{})
	state := snapshot.StateDir(w.host, "b")
	for i := range 25 {
		w.restore(g, was.Digest)
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*500*time.Microsecond)
		_, err := w.Restore(ctx, g, saved.Digest)
		cancel()
		p := snapshot.ReadPosition(other, state)
		if (err == nil) != (p.At == saved.Digest) && p.At != was.Digest {
			t.Fatalf("%v, and it is at %+v", err, p)
		}
		if p.At == was.Digest {
			if _, err := os.Stat(filepath.Join(other, "before")); err != nil {
				t.Fatalf("it says that it is as it was, and is not: %v", err)
			}
		}
	}
	// As a kill leaves it: a temporary file, and no position.
	put(t, other, ".holdfast-LEFTOVER", "half of it")
	_ = os.Remove(filepath.Join(state, "at"))
	g = snapshot.NewFolder(other, state)
	if g.Position().At != "" {
		t.Fatal(g.Position())
	}
	w.restore(g, saved.Digest)
	w.wantSame(dir, other)
}

func TestPosition_IsOfThisFolderAndNotOfAnotherInItsPlace(t *testing.T) {
	t.Parallel()
	w := start(t)
	dir, f := w.folder("a")
	put(t, dir, "f", "x")
	saved := w.save(f, snapshot.SaveOptions{})
	if p := snapshot.ReadPosition(dir, snapshot.StateDir(w.host, "a")); p.At != saved.Digest {
		t.Fatal(p)
	}
	must(t, os.Rename(dir, dir+"-away"))
	if f.Position().At != "" {
		t.Error("it is at a snapshot without being there")
	}
	must(t, os.Mkdir(dir, 0o700))
	if f.Position().At != "" || snapshot.ReadPosition(dir, snapshot.StateDir(w.host, "a")).At != "" {
		t.Error("another folder is at its snapshot")
	}
	must(t, os.WriteFile(filepath.Join(snapshot.StateDir(w.host, "a"), "at"), []byte("{half"), 0o600))
	if snapshot.ReadPosition(dir, snapshot.StateDir(w.host, "a")).At != "" {
		t.Error("from half a file")
	}
}
