//go:build clouds

package clouds_test

import (
	"bytes"
	"encoding/xml"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast/holdfast/snapshot"
)

// s3 answers as S3 does, as far as a store of snapshots needs it.
type s3 struct {
	modified time.Time // all objects

	mu      sync.Mutex
	objects map[string][]byte // by /bucket/key
}

func (s *s3) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	data, found := s.objects[r.URL.Path]
	switch {
	case r.Method == http.MethodPut:
		s.objects[r.URL.Path], _ = io.ReadAll(r.Body)
	case r.Method == http.MethodDelete:
		delete(s.objects, r.URL.Path)
		w.WriteHeader(http.StatusNoContent)
	case r.URL.Query().Get("list-type") == "2":
		s.list(w, r)
	case !found:
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `<Error><Code>NoSuchKey</Code></Error>`)
	default:
		http.ServeContent(w, r, "", s.modified, bytes.NewReader(data))
	}
}

func (s *s3) list(w http.ResponseWriter, r *http.Request) {
	type object struct {
		Key          string `xml:"Key"`
		Size         int    `xml:"Size"`
		LastModified string `xml:"LastModified"`
	}
	var answer struct {
		XMLName  xml.Name `xml:"ListBucketResult"`
		Contents []object `xml:"Contents"`
	}
	for path, data := range s.objects {
		if key := strings.TrimPrefix(path, "/bucket/"); strings.HasPrefix(key, r.URL.Query().Get("prefix")) {
			answer.Contents = append(answer.Contents, object{key, len(data), s.modified.UTC().Format(time.RFC3339)})
		}
	}
	slices.SortFunc(answer.Contents, func(a, b object) int { return strings.Compare(a.Key, b.Key) })
	_ = xml.NewEncoder(w).Encode(answer)
}

func TestOpen_KeepsSnapshotsInS3(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(&s3{modified: time.Now().Add(-time.Hour), objects: map[string][]byte{}})
	t.Cleanup(server.Close)
	store, err := snapshot.Open(t.Context(), "s3://bucket?region=eu-west-1&anonymous=true&use_path_style=true&request_checksum_calculation=when_required&endpoint="+server.URL)
	must(t, err)
	defer store.Close()

	folder := func(name string) (string, *snapshot.Folder) {
		dir := filepath.Join(t.TempDir(), name)
		must(t, os.Mkdir(dir, 0o700))
		return dir, snapshot.NewFolder(dir, filepath.Join(t.TempDir(), "state"))
	}
	text := strings.Repeat("0123456789", 1_000_000) // more than one blob
	dir, f := folder("a")
	must(t, os.WriteFile(filepath.Join(dir, "f"), []byte(text), 0o600))
	saved, err := store.Save(t.Context(), f, snapshot.SaveOptions{})
	must(t, err)

	other, g := folder("b")
	_, err = store.Restore(t.Context(), g, saved.Digest)
	must(t, err)
	if got, err := os.ReadFile(filepath.Join(other, "f")); err != nil || string(got) != text {
		t.Errorf("restored are %d bytes: %v", len(got), err)
	}
	file, err := store.OpenFile(t.Context(), saved.Digest, "f")
	must(t, err)
	_, err = file.Seek(-3, io.SeekEnd)
	must(t, err)
	if got, err := io.ReadAll(file); err != nil || string(got) != "789" {
		t.Errorf("the end of the file is %q: %v", got, err)
	}

	const key = "events/x/1-2.zst"
	must(t, store.WriteObject(t.Context(), key, []byte("old output")))
	if got, err := store.ReadObject(t.Context(), key); err != nil || string(got) != "old output" {
		t.Errorf("the object is %q: %v", got, err)
	}
	must(t, store.DeleteObject(t.Context(), key))
	if got, err := store.ReadObject(t.Context(), key); err == nil {
		t.Errorf("the deleted object is %q", got)
	}

	collected, err := store.Collect(t.Context(), snapshot.Collecting{Full: true})
	if err != nil || collected.Snapshots != 1 || collected.Blobs != 3 || collected.KeptBlobs != 0 {
		t.Errorf("collected are %+v: %v", collected, err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
