package testkit

import (
	"context"

	"go.temporal.io/sdk/client"
)

// StandIn starts a workflow with this id that runs for ever and does nothing, for a session
// whose log something else writes. Without one the session counts as lost, and ends.
func StandIn(ctx context.Context, temporal client.Client, workflowID string) error {
	_, err := temporal.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: workflowID, TaskQueue: "nobody"}, "stand-in")
	return err
}
