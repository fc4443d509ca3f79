package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/holdfast/holdfast/schema"
)

// The timeouts of the activities, each with its reason.
const (
	// A record is one short transaction; when Postgres is away the attempt ends early and
	// the next one follows.
	recordTimeout = 10 * time.Second
	// A run that is not open after this time is opened by an activity that any worker may take.
	localTimeout = 3 * time.Second
	// A history gets no older than this while nothing runs.
	refreshEvery = 24 * time.Hour
	// A step may run as long as a plan can allow, and some more for its last records.
	stepTimeout = schema.MaxTimeout + 24*time.Hour
	// A worker that is silent for this long is lost. Heartbeats go out every second.
	stepHeartbeat = 10 * time.Second
	// A host that does not take a freeze or thaw in this time has no worker now. What runs there
	// goes on under its supervisors; the next worker asks Postgres whether the session is
	// suspended, or over, and freezes or ends it before it does anything else with it.
	freezeTimeout = 15 * time.Second
	// The same for a stop, with the grace period and the last records. A supervisor to which no
	// worker comes back ends its step after an hour.
	stopTimeout = 20 * time.Second
	// A host that is there says so at once.
	probeTimeout = 5 * time.Second
	// A host says at once whether it takes a session; one that is full takes a second over it.
	placeTimeout = 10 * time.Second
	// From this many events on nothing new starts beside what runs, so that the moment comes at
	// which the session can continue as new. Temporal ends a workflow at 51,200.
	longHistory = 20_000
	// Temporal refuses further updates of an execution after 2,000 (history.maxTotalUpdates of its
	// dynamic configuration). The rest is for those that come while the loop is busy.
	updatesPerExecution = 1_000
	// How long SIGTERM has before SIGKILL follows.
	stopGrace = 500 * time.Millisecond
	// How long a cancel waits, at most, for stopped steps to be recorded.
	settleTimeout = 30 * time.Second
)

// forever retries a short activity until it succeeds: what it does must be done, and the
// reason why it cannot (Postgres is away) goes by.
func forever() *temporal.RetryPolicy {
	return &temporal.RetryPolicy{InitialInterval: 50 * time.Millisecond, BackoffCoefficient: 2, MaximumInterval: 2 * time.Second}
}

func withRecord(ctx workflow.Context, summary string) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue: schema.TaskQueueSessions, StartToCloseTimeout: recordTimeout, RetryPolicy: forever(), Summary: summary,
	})
}

// withLocalRecord tries twice: the second time is for a connection that had gone stale.
func withLocalRecord(ctx workflow.Context, summary string) workflow.Context {
	return workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{
		ScheduleToCloseTimeout: localTimeout, Summary: summary,
		RetryPolicy: &temporal.RetryPolicy{InitialInterval: 50 * time.Millisecond, BackoffCoefficient: 2, MaximumAttempts: 2},
	})
}

// withStep gives a host patience to take a step, and to take it again after its worker was
// lost: it is back in time, or another host takes over.
func withStep(ctx workflow.Context, host, summary string, patience time.Duration) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue: schema.StepsQueue(host), ScheduleToStartTimeout: patience, StartToCloseTimeout: stepTimeout, HeartbeatTimeout: stepHeartbeat,
		WaitForCancellation: true, RetryPolicy: forever(), Summary: summary,
	})
}

// withPlace waits for as long as it takes until some host lives.
func withPlace(ctx workflow.Context, summary string) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue: schema.TaskQueueSteps, StartToCloseTimeout: placeTimeout, RetryPolicy: forever(), Summary: summary,
	})
}

func withControl(ctx workflow.Context, host string, timeout time.Duration, summary string) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue: schema.ControlQueue(host), ScheduleToCloseTimeout: timeout, RetryPolicy: forever(), Summary: summary,
	})
}

// Changes of what the workflow asks Temporal for. A history that was begun before one of them
// is carried on as it was begun: [workflow.GetVersion].
const (
	changeCancelOnce       = "a cancellation is taken in once"
	changeContinueInFlight = "continue as new with steps under way"
	changeBounded          = "transitions are bounded"
	changeInOrder          = "signals are taken in when they come"
)
