package cli

import (
	"archive/zip"
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/holdfast/holdfast/schema"
)

// anArchive has the given entries, names and texts alternating.
func anArchive(t *testing.T, entries ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i := 0; i < len(entries); i += 2 {
		w, err := z.Create(entries[i])
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(w, entries[i+1])
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func manifest(events int64, files int, session string) string {
	return string(schema.Marshal(schema.ExportManifest{
		Format: schema.ExportFormat, SessionID: session, HeadSeq: events, Counts: schema.ExportCounts{Events: events, Files: files},
	}))
}

// exporting is a server that answers with an archive, less its last bytes.
func exporting(t *testing.T, archive []byte, keepsBack int) []string {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+aSession+"/export", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(archive[:len(archive)-keepsBack])
		if keepsBack > 0 {
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return []string{"HOLDFAST_URL=" + s.URL}
}

func TestExport_WritesAnArchiveThatIsWhole(t *testing.T) {
	t.Parallel()
	whole := anArchive(t, "session.json", "{}", "files/a", "aaa", "files/b", "", "events.ndjson", "{}\n{}\n", "manifest.json", manifest(2, 2, scriptedID))
	env := exporting(t, whole, 0)
	name := filepath.Join(t.TempDir(), "out.zip")
	for range 2 { // the second replaces the first
		run(t, env, "", "session", "export", scriptedID, "-o", name, "--force").
			want(t, exitOK, "session 3a04458c exported to "+name+": 2 events, 2 files, "+strconv.Itoa(len(whole))+" B\n")
	}
	if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, whole) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if r := run(t, env, "", "session", "export", scriptedID, "-o", "-"); r.code != exitOK || r.out != string(whole) || r.errOut != "" {
		t.Errorf("exit code %d, %d bytes, %s", r.code, len(r.out), r.errOut)
	}
	run(t, env, "", "session", "export", scriptedID, "-o", "/no/such/folder/x.zip").want(t, exitError, "the archive cannot be written")
	run(t, env, "", "session", "export").want(t, exitUsage)
}

func TestExport_ThatIsNotWholeLeavesNothing(t *testing.T) {
	t.Parallel()
	whole := anArchive(t, "events.ndjson", strings.Repeat("{}\n", 2), "manifest.json", manifest(2, 0, scriptedID))
	damaged := bytes.Clone(whole)
	damaged[len("PK....")+40] ^= 0xff
	for why, c := range map[string]struct {
		archive   []byte
		keepsBack int
		want      string
	}{
		"broken off":     {whole, 40, "the server broke the archive off"},
		"no manifest":    {anArchive(t, "events.ndjson", ""), 0, "it does not end with manifest.json"},
		"not at the end": {anArchive(t, "manifest.json", manifest(0, 0, scriptedID), "events.ndjson", ""), 0, "it does not end with manifest.json"},
		"a lost event":   {anArchive(t, "events.ndjson", "{}\n", "manifest.json", manifest(2, 0, scriptedID)), 0, "it has 1 events and 0 files, not 2 and 0"},
		"a lost file":    {anArchive(t, "manifest.json", manifest(0, 1, scriptedID)), 0, "it has 0 events and 0 files, not 0 and 1"},
		"another one":    {anArchive(t, "manifest.json", manifest(0, 0, otherID)), 0, "it is of session"},
		"another form":   {anArchive(t, "manifest.json", "{}"), 0, "its format is"},
		"damaged":        {damaged, 0, "the archive is not whole"},
		"something else": {[]byte("<html>"), 0, "the archive is not whole"},
	} {
		dir := t.TempDir()
		r := run(t, exporting(t, c.archive, c.keepsBack), "", "session", "export", scriptedID, "-o", filepath.Join(dir, "out.zip"))
		if r.code != exitError || !strings.Contains(r.errOut, c.want) || r.out != "" {
			t.Errorf("%s: exit code %d, %s", why, r.code, r.errOut)
		}
		if left, _ := os.ReadDir(dir); len(left) != 0 {
			t.Errorf("%s: %s is left", why, left[0].Name())
		}
	}
	r := run(t, exporting(t, whole, 40), "", "session", "export", scriptedID, "-o", "-")
	r.want(t, exitError, "the server broke the archive off")
}

func TestExport_OfARealSession(t *testing.T) {
	t.Parallel()
	in := install(t)
	id := in.begin(`{"steps": [{"id": "make", "shell": "seq 1 2000; echo result > result.txt"}]}`)
	in.run("", "session", "watch", id).want(t, exitOK, "2000")
	name := filepath.Join(t.TempDir(), "out.zip")
	in.run("", "session", "export", id[:8], "-o", name).want(t, exitOK, "exported to", "1 file,")
	z, err := zip.OpenReader(name)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	f, err := z.Open("files/result.txt")
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(f); err != nil || string(text) != "result\n" {
		t.Errorf("%q, %v", text, err)
	}
	in.run("", "session", "export", schema.NewID()).want(t, exitError, "there is no session")
}
