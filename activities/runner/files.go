//go:build unix

package runner

import (
	"os"

	"github.com/holdfast/holdfast/activities/workspace"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
	"github.com/holdfast/holdfast/snapshot"
)

// keep saves the workspace as an attempt has left it, and records the attempt's end with it.
func (r *Runner) keep(run *running, lease *workspace.Lease, attempt int, end store.AttemptEnd) (result schema.StepResult, err error) {
	err = lease.Save(r.ctx, func(saved *workspace.Saved) error {
		if snapshot.Exceeds(saved.Err) && end.Status != schema.AttemptCancelled && end.Reason != schema.ReasonDiskQuota { // then the quota message says more
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

// removeAll removes a folder even if its contents resist: they may be unreadable, with paths too
// long to name.
func removeAll(dir string) error {
	if os.RemoveAll(dir) == nil {
		return nil
	}
	return snapshot.RemoveTree(dir)
}
