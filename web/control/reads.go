package control

import (
	"context"
	"time"

	"go.temporal.io/api/enums/v1"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
)

// Query relays a query to a session's workflow.
func (s *Service) Query(ctx context.Context, sessionID, name string) ([]byte, error) {
	if _, err := s.store.HeadSeq(ctx, sessionID); err != nil {
		return nil, err
	}
	answer, err := s.workflows.query(ctx, sessionID, name)
	return answer, s.noWorkflow(ctx, sessionID, err)
}

// WorkerLives reports whether a worker is there for sessions. One that was killed is missed by Postgres, which it tells every
// few seconds that it lives, long before Temporal misses its polls.
func (s *Service) WorkerLives(ctx context.Context) error {
	if err := s.workflows.polled(ctx); err != nil {
		return err
	}
	silent, err := s.store.WorkersSilent(ctx)
	if err == nil && silent { // without Postgres, what Temporal says stands
		return schema.Errorf(schema.CodeUnavailable, "no worker was heard of for %s", store.HostLease)
	}
	return nil
}

// polled reports whether a worker has asked for the work of sessions lately.
func (c *temporalClient) polled(ctx context.Context) error {
	queue, err := c.temporal.DescribeTaskQueue(ctx, schema.TaskQueueSessions, enums.TASK_QUEUE_TYPE_WORKFLOW)
	if err != nil {
		return temporalError(err)
	}
	for _, poller := range queue.GetPollers() {
		if last := poller.GetLastAccessTime(); last != nil && time.Since(last.AsTime()) < pollerSilence {
			return nil
		}
	}
	return schema.Errorf(schema.CodeUnavailable, "no worker has asked for work lately")
}
