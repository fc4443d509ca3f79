package web_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/wire"
	"github.com/holdfast/holdfast/snapshot"
	"github.com/holdfast/holdfast/web"
)

// elsewhere is a session whose workspace is on another host, which saves it to the server's store.
type elsewhere struct {
	*env

	bucket string
	blobs  *snapshot.Store
	id     string
	dir    string
	folder *snapshot.Folder
}

func startElsewhere(t *testing.T) *elsewhere {
	t.Helper()
	e := &elsewhere{bucket: t.TempDir()}
	blobs, err := snapshot.Open(t.Context(), "file://"+e.bucket)
	must(t, err)
	t.Cleanup(func() { must(t, blobs.Close()) })
	e.blobs = blobs
	e.env = start(t, withOptions(func(o *web.Options) { o.Snapshots = blobs }))
	e.id = e.bare().ID
	e.dir = schema.WorkspaceDir(t.TempDir(), e.id) // and not the server's own
	must(t, os.MkdirAll(e.dir, 0o700))
	e.folder = snapshot.NewFolder(e.dir, t.TempDir())
	return e
}

func (e *elsewhere) save() {
	e.Helper()
	saved, err := e.blobs.Save(e.Context(), e.folder, snapshot.SaveOptions{})
	must(e, err)
	e.recorded(saved.Digest)
}

func (e *elsewhere) recorded(digest string) {
	e.Helper()
	conn, err := pgx.Connect(e.Context(), e.dsn)
	must(e, err)
	defer conn.Close(e.Context())
	_, err = conn.Exec(e.Context(), `UPDATE session_states SET snapshot = $1 WHERE session_id = $2`, digest, e.id)
	must(e, err)
}

func (e *env) names(id string) string {
	e.Helper()
	var list wire.FileList
	e.do("GET", "/api/sessions/"+id+"/files", "").into(e.T, 200, &list)
	var names []string
	for _, f := range list.Files {
		names = append(names, f.Path)
	}
	return strings.Join(names, " ")
}

func TestFiles_AreServedFromTheStoreWhenTheHostIsElsewhere(t *testing.T) {
	t.Parallel()
	e := startElsewhere(t)
	must(t, os.MkdirAll(filepath.Join(e.dir, "out/.cache"), 0o755))
	must(t, os.MkdirAll(filepath.Join(e.dir, ".hidden"), 0o755))
	big := strings.Repeat("0123456789", 1_000_000) // of three parts
	for name, text := range map[string]string{"result.txt": "0123456789", "out/big": big, "empty": "", "out/.cache/x": "x", ".hidden/x": "x", ".dot": "x", "bad\xff": "x"} {
		must(t, os.WriteFile(filepath.Join(e.dir, name), []byte(text), 0o600))
	}
	for name, to := range map[string]string{"inside.txt": "result.txt", "out/up": "../result.txt", "absolute": "/etc/passwd", "outside": "../../../../../../../../etc/passwd", "loop": "loop", "dangling": "nothing", "here": "."} {
		must(t, os.Symlink(to, filepath.Join(e.dir, name)))
	}
	must(t, os.Link(filepath.Join(e.dir, "result.txt"), filepath.Join(e.dir, "second name")))
	e.save()
	if got := e.names(e.id); got != ".dot empty inside.txt out/big out/up result.txt second name" {
		t.Errorf("the files are %s", got)
	}
	path := "/api/sessions/" + e.id + "/files/"
	for name, want := range map[string]string{"result.txt": "0123456789", "inside.txt": "0123456789", "out/up": "0123456789", "second%20name": "0123456789", "here/here/out/up": "0123456789", "empty": "", "out/big": big} {
		if r := e.do("GET", path+name, ""); r.StatusCode != http.StatusOK || string(r.body) != want {
			t.Errorf("%s: %d, %d bytes", name, r.StatusCode, len(r.body))
		}
	}
	for _, name := range []string{"absolute", "outside", "loop", "dangling", "here", "out", "nothing", "result.txt/x", "..%2f..%2fetc/passwd", ".holdfast/x"} {
		if r := e.do("GET", path+name, ""); r.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d %s", name, r.StatusCode, r.body)
		}
	}
	for from, to := range map[int]int{0: 9, 4<<20 - 3: 4<<20 + 2, 9_999_990: 9_999_999} {
		r := e.do("GET", path+"out/big", "", "Range", fmt.Sprintf("bytes=%d-%d", from, to))
		if r.StatusCode != http.StatusPartialContent || string(r.body) != big[from:to+1] {
			t.Errorf("%d-%d: %d %q", from, to, r.StatusCode, r.body)
		}
	}
	e.noErrors()
}

func TestFiles_ComeFromTheFolderUnlessItIsBehind(t *testing.T) {
	t.Parallel()
	e := startElsewhere(t)
	must(t, os.WriteFile(filepath.Join(e.dir, "a"), []byte("from the store"), 0o600))
	e.save()
	here := schema.WorkspaceDir(e.env.dir, e.id)
	must(t, os.MkdirAll(here, 0o700))
	must(t, os.WriteFile(filepath.Join(here, "old"), []byte("old"), 0o600))
	if got := e.names(e.id); got != "a" {
		t.Errorf("a folder that was never brought up to date was shown: %s", got)
	}
	digest, err := e.store.Snapshot(t.Context(), e.id)
	must(t, err)
	f := snapshot.NewFolder(here, snapshot.StateDir(e.env.dir, e.id))
	_, err = e.blobs.Restore(t.Context(), f, digest)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(here, "b"), []byte("of a step that runs"), 0o600))
	if got := e.names(e.id); got != "a b" {
		t.Errorf("the files are %s", got)
	}
	must(t, os.WriteFile(filepath.Join(e.dir, "c"), []byte("another host went on"), 0o600))
	e.save()
	if got := e.names(e.id); got != "a c" {
		t.Errorf("the files are %s", got)
	}
	if e.do("GET", "/api/sessions/"+e.id+"/files/a", "").Header.Get("ETag") == "" {
		t.Error("a file in the store has no tag")
	}
	// The host is gone.
	must(t, os.RemoveAll(here))
	if got := e.names(e.id); got != "a c" {
		t.Errorf("the files are %s", got)
	}
	e.noErrors()
}

func TestFiles_SayWhenTheStoreDoesNotHaveThem(t *testing.T) {
	t.Parallel()
	e := startElsewhere(t)
	must(t, os.WriteFile(filepath.Join(e.dir, "a"), []byte("x"), 0o600))
	e.save()
	found, err := filepath.Glob(filepath.Join(e.bucket, "blobs/sha256/*/*"))
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	must(t, os.WriteFile(found[0], []byte("damaged"), 0o600))
	e.do("GET", "/api/sessions/"+e.id+"/files/a", "").problem(t, 500, schema.CodeInternal)
	e.recorded(strings.Repeat("0", 64))
	e.do("GET", "/api/sessions/"+e.id+"/files", "").problem(t, 503, schema.CodeUnavailable)
	e.do("GET", "/api/sessions/"+e.id+"/files/a", "").problem(t, 503, schema.CodeUnavailable)
}
