package snapshot_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/snapshot"
)

// Whatever programs do to a workspace, and wherever it is restored in between, each snapshot
// restores exactly what was saved, whatever the folder held before.
func TestSnapshots_BringBackWhateverWasSaved(t *testing.T) {
	t.Parallel()
	w := start(t)
	round := 0
	enough := time.Now().Add(6 * time.Second)
	rapid.Check(t, func(t *rapid.T) {
		if round++; time.Now().After(enough) {
			return
		}
		dir, f := w.folder(fmt.Sprint("a", round))
		other, g := w.folder(fmt.Sprint("b", round))
		var digests, texts []string
		name := rapid.SampledFrom([]string{"a", "b", "d", "d/a", "d/b", "d/e/a", "d-", "e", "e/\xff", "e/\n"})
		t.Repeat(map[string]func(*rapid.T){
			"write": func(t *rapid.T) {
				p := filepath.Join(dir, name.Draw(t, "name"))
				_ = os.MkdirAll(filepath.Dir(p), 0o755)
				_ = os.WriteFile(p, []byte(rapid.SampledFrom([]string{"", "1", "2", "12", strings.Repeat("x", 5000)}).Draw(t, "text")), 0o644)
			},
			"big": func(t *rapid.T) {
				p := filepath.Join(dir, name.Draw(t, "name"))
				_ = os.Truncate(p, rapid.SampledFrom([]int64{0, 1, 4 << 20, 4<<20 + 1, 9 << 20}).Draw(t, "size"))
			},
			"patch": func(t *rapid.T) {
				if file, err := os.OpenFile(filepath.Join(dir, name.Draw(t, "name")), os.O_WRONLY, 0); err == nil {
					_, _ = file.WriteAt([]byte("patch"), rapid.SampledFrom([]int64{0, 3, 4<<20 - 2, 8 << 20}).Draw(t, "at"))
					_ = file.Close()
				}
			},
			"mkdir":  func(t *rapid.T) { _ = os.Mkdir(filepath.Join(dir, name.Draw(t, "name")), 0o755) },
			"remove": func(t *rapid.T) { _ = os.RemoveAll(filepath.Join(dir, name.Draw(t, "name"))) },
			"rename": func(t *rapid.T) {
				_ = os.Rename(filepath.Join(dir, name.Draw(t, "from")), filepath.Join(dir, name.Draw(t, "to")))
			},
			"link": func(t *rapid.T) {
				_ = os.Link(filepath.Join(dir, name.Draw(t, "from")), filepath.Join(dir, name.Draw(t, "to")))
			},
			"symlink": func(t *rapid.T) { _ = os.Symlink(name.Draw(t, "from"), filepath.Join(dir, name.Draw(t, "to"))) },
			"chmod": func(t *rapid.T) {
				p := filepath.Join(dir, name.Draw(t, "name"))
				if info, err := os.Lstat(p); err == nil && info.Mode()&os.ModeSymlink == 0 { // not its target
					_ = os.Chmod(p, os.FileMode(rapid.SampledFrom([]int{0, 0o400, 0o755, 0o777}).Draw(t, "mode")))
				}
			},
			"touch": func(t *rapid.T) {
				p := filepath.Join(dir, name.Draw(t, "name"))
				_ = os.Chtimes(p, time.Time{}, time.Unix(rapid.Int64Range(0, 3).Draw(t, "second"), rapid.Int64Range(0, 999_999_999).Draw(t, "nanosecond")))
			},
			"save": func(*rapid.T) {
				base := f.Position().At
				saved := w.save(f, snapshot.SaveOptions{Base: base})
				if fresh := w.save(snapshot.NewFolder(dir, w.TempDir()), snapshot.SaveOptions{}); fresh.Digest != saved.Digest {
					t.Fatal("something was taken for unchanged that is not")
				}
				digests, texts = append(digests, saved.Digest), append(texts, describe(w, dir))
			},
			"restore": func(t *rapid.T) {
				if len(digests) == 0 {
					return
				}
				i := rapid.IntRange(0, len(digests)-1).Draw(t, "which")
				to, at := other, g
				if rapid.Bool().Draw(t, "in place") {
					to, at = dir, f
				}
				w.restore(at, digests[i])
				if got := describe(w, to); got != texts[i] {
					t.Fatalf("restored is\n%sand not\n%s", got, texts[i])
				}
			},
		})
		_ = os.RemoveAll(schema.WorkspaceDir(w.host, ""))
	})
}
