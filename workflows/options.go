package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/holdfast/holdfast/schema"
)

// The timeouts of the activities, each with its reason.
const (
	// A record is one short transaction. When Postgres is down, the attempt ends early and the next
	// one follows.
	recordTimeout = 10 * time.Second
	// If opening a run takes longer, an activity that any worker may take does it.
	localTimeout = 3 * time.Second
	// The maximum age of a history while nothing runs.
	refreshEvery = 24 * time.Hour
	// A step may run as long as a plan can allow, plus time for its last records.
	stepTimeout = schema.MaxTimeout + 24*time.Hour
	// A worker that is silent for this long counts as lost. Heartbeats go out every second.
	stepHeartbeat = 10 * time.Second
	// A host that does not take a freeze or thaw in this time has no worker now. Its steps go on
	// under their supervisors. The next worker first asks Postgres whether the session is suspended
	// or over, and freezes or ends them before it does anything else with them.
	freezeTimeout = 15 * time.Second
	// The same for a stop, including the grace period and the last records. A supervisor ends its
	// step after an hour without a worker.
	stopTimeout = 20 * time.Second
	// A live host answers at once.
	probeTimeout = 5 * time.Second
	// A host answers at once whether it takes a session; a full one takes a second.
	hostSearchTimeout = 10 * time.Second
	// From this many events on nothing new starts beside running steps, so that the session reaches
	// a point where it can continue as new. Temporal ends a workflow at 51,200.
	longHistory = 20_000
	// Temporal refuses further updates of an execution after 2,000 (history.maxTotalUpdates of its
	// dynamic configuration). The rest is left for those that come while the loop is busy.
	updatesPerExecution = 1_000
	// The time between SIGTERM and SIGKILL.
	stopGrace = 500 * time.Millisecond
	// The longest that a cancel waits for stopped steps to be recorded.
	settleTimeout = 30 * time.Second
)

// forever retries a short activity until it succeeds: its work must be done, and the cause of
// failure (Postgres is down) passes.
func forever() *temporal.RetryPolicy {
	return &temporal.RetryPolicy{InitialInterval: 50 * time.Millisecond, BackoffCoefficient: 2, MaximumInterval: 2 * time.Second}
}

func withRecord(ctx workflow.Context, summary string) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue: schema.TaskQueueSessions, StartToCloseTimeout: recordTimeout, RetryPolicy: forever(), Summary: summary,
	})
}

// withLocalRecord tries twice: the second attempt is for when a connection had gone stale.
func withLocalRecord(ctx workflow.Context, summary string) workflow.Context {
	return workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{
		ScheduleToCloseTimeout: localTimeout, Summary: summary,
		RetryPolicy: &temporal.RetryPolicy{InitialInterval: 50 * time.Millisecond, BackoffCoefficient: 2, MaximumAttempts: 2},
	})
}

// withStep gives a host until startTimeout to take a step, and again after its worker was lost. If
// the host is not back in time, another takes over.
func withStep(ctx workflow.Context, host, summary string, startTimeout time.Duration) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue: schema.StepsQueue(host), ScheduleToStartTimeout: startTimeout, StartToCloseTimeout: stepTimeout, HeartbeatTimeout: stepHeartbeat,
		WaitForCancellation: true, RetryPolicy: forever(), Summary: summary,
	})
}

// withHostSearch waits as long as it takes until a host is up.
func withHostSearch(ctx workflow.Context, summary string) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue: schema.TaskQueueSteps, StartToCloseTimeout: hostSearchTimeout, RetryPolicy: forever(), Summary: summary,
	})
}

func withControl(ctx workflow.Context, host string, timeout time.Duration, summary string) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue: schema.ControlQueue(host), ScheduleToCloseTimeout: timeout, RetryPolicy: forever(), Summary: summary,
	})
}

// Changes in what the workflow asks of Temporal. A history begun before one of them goes on as it
// began: [workflow.GetVersion].
const (
	changeCancelOnce       = "a cancellation is taken in once"
	changeContinueInFlight = "continue as new with steps under way"
	changeBounded          = "transitions are bounded"
	changeInOrder          = "signals are taken in when they come"
)
