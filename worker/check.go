package worker

import (
	"context"
	"fmt"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"github.com/holdfast/holdfast/schema"
)

// Check returns nil if the worker of a data folder runs and Temporal hears from it: then requests to its host arrive. A
// worker that is still waiting, for Postgres or for its host's name, polls nothing yet and is [schema.CodeUnavailable].
func Check(ctx context.Context, c client.Client, dataDir string) error {
	lock, free, err := lockDataDir(dataDir)
	if err != nil {
		return err
	}
	if free {
		_ = lock.Close()
		return schema.Errorf(schema.CodeNotFound, "no worker runs with the data folder %s", dataDir)
	}
	who := readLockOwner(dataDir)
	queue := schema.ControlQueue(who.Host)
	answer, err := c.DescribeTaskQueue(ctx, queue, enums.TASK_QUEUE_TYPE_ACTIVITY)
	if err != nil {
		return fmt.Errorf("ask Temporal who polls %s: %w", queue, err)
	}
	for _, p := range answer.GetPollers() {
		// An earlier worker of the host stays listed for some minutes after its end.
		if at := p.GetLastAccessTime().AsTime(); at.After(who.Since) && time.Since(at) <= pollerAge {
			return nil
		}
	}
	return schema.Errorf(schema.CodeUnavailable, "%s is not polling Temporal; see its log", &who)
}
