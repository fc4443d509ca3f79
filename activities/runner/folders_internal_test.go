//go:build unix

package runner

import (
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/holdfast/holdfast/activities/runner/supervisor"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
)

func newFolders(t *testing.T) *Runner {
	t.Helper()
	r, err := New(Options{DataDir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// Steps of one run begin and end at the same time.
func TestPrepare_IsNotDisturbedByStepsThatEnd(t *testing.T) {
	t.Parallel()
	r := newFolders(t)
	var all sync.WaitGroup
	for _, id := range []string{"a", "b", "c"} {
		all.Go(func() {
			run := newRunning(r.ctx, schema.RunStep{SessionID: "s", RunID: "r", StepID: id, Execution: id}, false)
			for range 2000 {
				l, err := r.prepare(run, "/", &store.RunPlan{}, &schema.PlanStep{ID: id, Shell: "true"}, 1)
				if err != nil {
					t.Error(err)
					return
				}
				r.remove(l.dir)
			}
		})
	}
	all.Wait()
}

// What cannot be read now may belong to a live step.
func TestLeftovers_OnlyWhatIsNobodysIsRemoved(t *testing.T) {
	t.Parallel()
	r := newFolders(t)
	folder := func(step, name string) string {
		t.Helper()
		dir := filepath.Join(r.stepDir("r", step), "1")
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	stays := func(dir string) bool {
		_, err := os.Stat(dir)
		return err == nil
	}
	unreadable := folder("unreadable", "spec.json") // reading it fails with EISDIR, as it would with EMFILE or EIO
	if list, err := r.leftovers("r", "unreadable"); err == nil || len(list) > 0 || !stays(unreadable) {
		t.Errorf("what cannot be read: %v, %v, stays %v", list, err, stays(unreadable))
	}
	begun := folder("begun", "tmp") // somebody is about to write its spec
	lock, _, err := lockStep(t.Context(), r.dataDir, "r", "begun")
	if err != nil {
		t.Fatal(err)
	}
	if list, err := r.leftovers("r", "begun"); err != nil || len(list) > 0 || !stays(begun) {
		t.Errorf("what is being begun: %v, %v, stays %v", list, err, stays(begun))
	}
	unlockStep(lock, true)
	if list, err := r.leftovers("r", "begun"); err != nil || len(list) > 0 || stays(begun) {
		t.Errorf("what nobody has: %v, %v, stays %v", list, err, stays(begun))
	}
	half := folder("half", "tmp")
	if err := os.WriteFile(filepath.Join(half, "spec.json"), []byte(`{"attempt`), 0o600); err != nil {
		t.Fatal(err)
	}
	if list, err := r.leftovers("r", "half"); err != nil || len(list) > 0 || stays(half) {
		t.Errorf("what is no spec: %v, %v, stays %v", list, err, stays(half))
	}
	whole := folder("whole", "tmp")
	if err := supervisor.WriteSpec(whole, &supervisor.Spec{Attempt: 1}); err != nil {
		t.Fatal(err)
	}
	if list, err := r.leftovers("r", "whole"); err != nil || len(list) != 1 {
		t.Errorf("what is one: %v, %v", list, err)
	}
}
