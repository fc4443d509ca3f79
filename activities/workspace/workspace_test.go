package workspace_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/holdfast/holdfast/activities/workspace"
	"github.com/holdfast/holdfast/schema"
)

func prepare(t *testing.T, dir, run string, files map[string]string, want ...string) {
	t.Helper()
	written, err := workspace.Prepare(dir, run, files)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(written, want) {
		t.Fatalf("written were %q, not %q", written, want)
	}
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func wantText(t *testing.T, dir, name, want string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil || string(text) != want {
		t.Fatalf("%s holds %q, not %q: %v", name, text, want, err)
	}
}

func TestPrepare_WritesAFileAgainOnlyWhenThePlanChangedIt(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "w")
	files := map[string]string{"a.txt": "a", "sub/b.txt": "b"}
	prepare(t, dir, "r1", files, "a.txt", "sub/b.txt")
	prepare(t, dir, "r1", files)

	write(t, dir, "a.txt", "what a step made of it")
	if err := os.Remove(filepath.Join(dir, "sub/b.txt")); err != nil {
		t.Fatal(err)
	}
	prepare(t, dir, "r1", files)
	edited := map[string]string{"a.txt": "a", "sub/b.txt": "B", "new.sh": "#!/bin/sh\n"}
	prepare(t, dir, "r1", edited, "new.sh", "sub/b.txt")
	wantText(t, dir, "a.txt", "what a step made of it")
	wantText(t, dir, "sub/b.txt", "B")
	if info, err := os.Stat(filepath.Join(dir, "new.sh")); err != nil || info.Mode().Perm()&0o100 == 0 {
		t.Fatalf("the script is no program: %v, %v", info.Mode(), err)
	}
	// Changing back counts as a change too, and a file that leaves the plan stays.
	prepare(t, dir, "r1", files, "sub/b.txt")
	prepare(t, dir, "r1", map[string]string{"a.txt": "#!/bin/sh\n"}, "a.txt")
	if info, err := os.Stat(filepath.Join(dir, "a.txt")); err != nil || info.Mode().Perm()&0o100 == 0 {
		t.Fatalf("the file has not become a program: %v, %v", info.Mode(), err)
	}
	wantText(t, dir, "new.sh", "#!/bin/sh\n")

	// The next run starts from its plan.
	prepare(t, dir, "r2", files, "a.txt", "sub/b.txt")
	wantText(t, dir, "a.txt", "a")
}

func TestPrepare_AfterADeathInBetweenWritesTheSameAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	files := map[string]string{"a": "1", "b": "2"}
	prepare(t, dir, "r", files, "a", "b")
	record := filepath.Join(dir, schema.WorkspacePrivate, "prepared-r")
	before, err := os.ReadFile(record)
	if err != nil {
		t.Fatal(err)
	}
	files["b"] = "3"
	prepare(t, dir, "r", files, "b")
	if err := os.WriteFile(record, before, 0o600); err != nil { // it died before it could keep the record
		t.Fatal(err)
	}
	prepare(t, dir, "r", files, "b")
	prepare(t, dir, "r", files)
	wantText(t, dir, "b", "3")
}

// The previous release kept an empty mark. By then, the files are what steps have made of them.
func TestPrepare_GoesOnWithARunOfTheReleaseBefore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, schema.WorkspacePrivate, "tmp"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, dir, filepath.Join(schema.WorkspacePrivate, "prepared-r"), "")
	write(t, dir, "a", "changed")
	prepare(t, dir, "r", map[string]string{"a": "1"})
	prepare(t, dir, "r", map[string]string{"a": "2"}, "a")
	wantText(t, dir, "a", "2")
}

func TestPrepare_StaysInsideWhateverLinksItFinds(t *testing.T) {
	t.Parallel()
	outside := t.TempDir()
	for _, link := range []string{"sub", schema.WorkspacePrivate, "a"} {
		dir := t.TempDir()
		if err := os.Symlink(filepath.Join(outside, "x"), filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
		if _, err := workspace.Prepare(dir, "r", map[string]string{"sub/a": "1", "a": "1"}); err == nil {
			t.Errorf("it followed %s", link)
		}
	}
	if left, err := os.ReadDir(outside); err != nil || len(left) != 0 {
		t.Fatalf("outside are %v, %v", left, err)
	}
}

func TestCount_CountsWhatIsTheSessions(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	prepare(t, dir, "r", map[string]string{"a": "1", "sub/b": "2"}, "a", "sub/b")
	if err := os.Symlink("/etc", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if n, err := workspace.Count(dir); err != nil || n != 2 {
		t.Fatalf("%d, %v", n, err)
	}
	if n, err := workspace.Count(filepath.Join(dir, "none")); err != nil || n != 0 {
		t.Fatalf("%d, %v", n, err)
	}
}
