//go:build unix

package runner

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/holdfast/holdfast/activities/workspace"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
	"github.com/holdfast/holdfast/snapshot"
)

// keep keeps the workspace as an attempt has left it, and records the attempt's end with it.
func (r *Runner) keep(run *running, stay *workspace.Stay, attempt int, end store.AttemptEnd) (result schema.StepResult, err error) {
	err = stay.Save(r.ctx, func(saved *workspace.Saved) error {
		if snapshot.Exceeds(saved.Err) && end.Status != schema.AttemptCancelled {
			end.Status, end.Reason, end.Message = schema.AttemptFailed, schema.ReasonDiskQuota, saved.Err.Error()
		}
		changes := make([]store.FileChange, len(saved.Changes))
		for i, f := range saved.Changes {
			changes[i] = store.FileChange{Path: f.Path, Size: f.Size, Created: f.Created}
		}
		result, err = r.finish(run, attempt, end, changes, saved)
		return err
	})
	return result, err
}

// removeAll removes a folder also when what is in it does not want to be removed.
func removeAll(dir string) error {
	err := os.RemoveAll(dir)
	if err == nil || !errors.Is(err, fs.ErrPermission) {
		return err
	}
	_ = filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			_ = os.Chmod(name, 0o700) //nolint:gosec // a folder, to be removed; RemoveAll says what could not be
		}
		return nil
	})
	return os.RemoveAll(dir)
}
