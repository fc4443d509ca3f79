package activities

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"github.com/holdfast/holdfast/activities/runner"
	"github.com/holdfast/holdfast/activities/workspace"
	"github.com/holdfast/holdfast/logs"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
	"github.com/holdfast/holdfast/telemetry/traceparent"
)

// heartbeatEvery is how often a running step tells Temporal that its worker is alive.
const heartbeatEvery = time.Second

const (
	// stopTimeout is how long a cancelled activity waits for the stop on the control queue.
	stopTimeout = 3 * time.Second
	// cancelGrace is how long a program has between SIGTERM and SIGKILL when no stop came.
	cancelGrace = 500 * time.Millisecond
)

// Steps runs steps on this host.
type Steps struct {
	Records *Records
	Store   *store.Store
	Runner  *runner.Runner
	DataDir string
}

// Run executes a step and returns its outcome. A failed program is an outcome, not an error: an
// error means that nobody knows, and Temporal retries.
//
// The step is not tied to the activity: if the connection to Temporal is lost, the step goes on,
// and the next attempt of the activity attaches to it.
func (a *Steps) Run(ctx context.Context, arg schema.RunStep) (result schema.StepResult, err error) {
	stopHeartbeat := heartbeat(ctx)
	defer stopHeartbeat()
	ctx = logs.With(ctx, logs.Session(arg.SessionID), logs.Run(arg.RunID), logs.Step(arg.StepID))
	ctx, span := traceparent.Tracer(ctx).Start(ctx, "step", trace.WithAttributes(
		attribute.String(logs.KeySession, arg.SessionID), attribute.String(logs.KeyRun, arg.RunID), attribute.String(logs.KeyStep, arg.StepID)))
	defer span.End()
	defer func() { describeEnd(span, &result, err) }()
	arg.Trace = traceparent.Of(ctx)
	if !a.Runner.Lives(arg.Execution) {
		if arg.Again || activity.GetInfo(ctx).Attempt > 1 { // an ended execution stays ended, whatever has become of its session
			if result, ended, err := a.Store.Ended(ctx, arg.RunID, arg.StepID, arg.Execution); ended || err != nil {
				return result, err
			}
		}
		if arg.Before != nil {
			if _, err := a.Records.Record(ctx, *arg.Before); err != nil {
				return schema.StepResult{}, err
			}
		}
		if err := a.waitWhileSuspended(ctx, arg.SessionID); err != nil {
			return schema.StepResult{}, err
		}
	}
	result, err = a.Runner.Run(ctx, arg)
	if errors.Is(err, runner.ErrDetached) && temporal.IsCanceledError(context.Cause(ctx)) {
		result, err = a.awaitStop(context.WithoutCancel(ctx), arg)
	}
	switch code := schema.CodeOf(err); {
	case errors.Is(err, runner.ErrDetached) && activityUnknown(ctx):
		return result, activity.ErrResultPending // nobody waits for this answer
	case errors.Is(err, runner.ErrDetached) || errors.Is(err, runner.ErrClosed):
		return result, expectedError(err)
	case code == schema.CodeConflict || code == schema.CodeNotFound: // the plan has changed, or what the step belongs to is gone
		return result, final(err)
	default:
		return result, err
	}
}

// describeEnd says in a step's span how the step went. A worker that leaves the step to another has seen nothing go wrong.
func describeEnd(span trace.Span, result *schema.StepResult, err error) {
	switch {
	case errors.Is(err, activity.ErrResultPending) || errors.Is(err, runner.ErrDetached) || errors.Is(err, runner.ErrClosed):
		return
	case err != nil:
		span.SetStatus(codes.Error, err.Error())
		return
	case result.Status == schema.AttemptFailed || result.Status == schema.AttemptLost:
		span.SetStatus(codes.Error, string(result.Reason))
	}
	span.SetAttributes(attribute.Int(logs.KeyAttempt, result.Attempt), attribute.String("status", string(result.Status)))
}

// activityUnknown reports whether Temporal no longer knows the activity: its workflow has continued as
// new, and requests its running steps again, or is gone.
func activityUnknown(ctx context.Context) bool {
	_, gone := errors.AsType[*serviceerror.NotFound](context.Cause(ctx))
	return gone
}

// awaitStop waits for the stop that comes with every cancel and counts what it ends. If it does not
// come in time, awaitStop stops the step itself.
func (a *Steps) awaitStop(ctx context.Context, arg schema.RunStep) (schema.StepResult, error) {
	stopCtx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	result, err := a.Runner.Run(stopCtx, arg)
	if errors.Is(err, runner.ErrDetached) {
		a.Runner.Stop(ctx, arg.RunID, cancelGrace)
		return a.Runner.Run(ctx, arg)
	}
	return result, err
}

// waitWhileSuspended keeps a step from starting while its session is suspended: after a lost
// worker, Temporal may start an attempt anew regardless of the session.
func (a *Steps) waitWhileSuspended(ctx context.Context, sessionID string) error {
	const poll = time.Second
	for {
		suspended, err := a.Store.Suspended(ctx, sessionID)
		if schema.CodeOf(err) == schema.CodeNotFound {
			return final(err) // deleted meanwhile
		}
		if err != nil || !suspended {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(poll):
		}
	}
}

// Freeze suspends every process of a run on this host.
func (a *Steps) Freeze(_ context.Context, of schema.StepsOf) error {
	a.Runner.Freeze(of.RunID)
	return nil
}

// Thaw resumes them.
func (a *Steps) Thaw(_ context.Context, of schema.StepsOf) error {
	a.Runner.Thaw(of.RunID)
	return nil
}

// Stop ends every process of a run on this host and counts them.
func (a *Steps) Stop(ctx context.Context, of schema.StepsOf) (schema.StoppedSteps, error) {
	stopped := a.Runner.Stop(ctx, of.RunID, of.Grace)
	files, err := workspace.Count(schema.WorkspaceDir(a.DataDir, of.SessionID))
	if err != nil {
		activity.GetLogger(ctx).Warn("workspace not counted", "session_id", of.SessionID, "error", err)
	}
	stopped.Files = files
	return stopped, nil
}

// heartbeat heartbeats until the function it returns is called.
func heartbeat(ctx context.Context) (stop func()) {
	done := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		every := time.NewTicker(heartbeatEvery)
		defer every.Stop()
		for {
			activity.RecordHeartbeat(ctx)
			select {
			case <-every.C:
			case <-done:
				return
			}
		}
	}()
	return func() { close(done); <-ended }
}

// final marks an error that no retry will change.
func final(err error) error {
	return temporal.NewNonRetryableApplicationError(err.Error(), string(schema.CodeOf(err)), err)
}

// expectedError marks an error as part of normal operation, to be retried without a line in the log: a
// worker that ends leaves its steps to the next one, and a full host sends sessions on.
func expectedError(err error) error {
	return temporal.NewApplicationErrorWithOptions(err.Error(), string(schema.CodeOf(err)), temporal.ApplicationErrorOptions{
		Category: temporal.ApplicationErrorCategoryBenign, Cause: err,
	})
}
