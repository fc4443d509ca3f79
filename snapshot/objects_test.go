package snapshot_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
	"github.com/holdfast/holdfast/snapshot"
)

var _ store.Archive = (*snapshot.Store)(nil)

func TestObjects_AreKeptReplacedAndRemoved(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, url := range []string{"mem://", "file://" + dir} {
		s, err := snapshot.Open(t.Context(), url)
		must(t, err)
		defer s.Close()
		const key = "events/3f1c/1-500.zst"
		must(t, s.DeleteObject(t.Context(), key)) // there is nothing
		if _, err := s.ReadObject(t.Context(), key); schema.CodeOf(err) != schema.CodeNotFound {
			t.Errorf("%s: %v", url, err)
		}
		must(t, s.WriteObject(t.Context(), key, []byte("one")))
		must(t, s.WriteObject(t.Context(), key, []byte("two")))
		if data, err := s.ReadObject(t.Context(), key); err != nil || string(data) != "two" {
			t.Errorf("%s: %q, %v", url, data, err)
		}
		must(t, s.DeleteObject(t.Context(), key))
		if _, err := s.ReadObject(t.Context(), key); schema.CodeOf(err) != schema.CodeNotFound {
			t.Errorf("%s: %v", url, err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "events", "3f1c")); !os.IsNotExist(err) {
		t.Errorf("the folder of the last object is left: %v", err)
	}
}
