package activities

import (
	"context"

	"github.com/holdfast/holdfast/activities/workspace"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
)

// Workspace prepares the folders that steps work in.
type Workspace struct {
	Store   *store.Store
	DataDir string
	Host    string
}

// Prepare writes the files of the plan that was agreed on into the session's workspace on
// this host.
func (a *Workspace) Prepare(ctx context.Context, in schema.PrepareWorkspace) (schema.PreparedWorkspace, error) {
	plan, err := a.Store.Plan(ctx, in.SessionID)
	if err != nil {
		return schema.PreparedWorkspace{}, err
	}
	if plan.Digest() != in.Digest {
		return schema.PreparedWorkspace{}, final(schema.Errorf(schema.CodeConflict, "the plan is not what was agreed on"))
	}
	if err := workspace.Prepare(schema.WorkspaceDir(a.DataDir, in.SessionID), plan.Files); err != nil {
		return schema.PreparedWorkspace{}, err
	}
	return schema.PreparedWorkspace{Host: a.Host}, nil
}
