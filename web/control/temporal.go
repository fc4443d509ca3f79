package control

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/wire"
)

// temporalClient is the only client of Temporal. Its errors are [schema.Error]s; errNoWorkflow
// says that Temporal has no open workflow of the session.
type temporalClient struct {
	temporal        client.Client
	search          *searchAttributes
	updates         *limiter // by session
	approvalTimeout time.Duration
	sessionTTL      time.Duration
	hostTimeout     time.Duration
}

var errNoWorkflow = errors.New("there is no open workflow of this session")

// start is how a workflow is started.
type start struct {
	reuse      enums.WorkflowIdReusePolicy
	revival    *schema.Revival // nil for a new session
	searchable bool
}

// start starts a session's workflow; one that runs already, or has run, is a success.
func (c *temporalClient) start(ctx context.Context, session *schema.Session) error {
	err := c.begin(ctx, session, start{reuse: enums.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE})
	if _, ok := errors.AsType[*serviceerror.WorkflowExecutionAlreadyStarted](err); ok {
		return nil
	}
	return temporalError(err)
}

// revive starts the workflow of a session that had one. One that is there by now is a success.
func (c *temporalClient) revive(ctx context.Context, session *schema.Session, revival *schema.Revival) error {
	return temporalError(c.begin(ctx, session, start{reuse: enums.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE, revival: revival}))
}

func (c *temporalClient) begin(ctx context.Context, session *schema.Session, as start) error {
	as.searchable = c.search.usable(ctx)
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	err := c.execute(ctx, session, as)
	if as.searchable && undefinedAttribute(err) {
		c.search.gone()
		as.searchable = false
		err = c.execute(ctx, session, as)
	}
	return err
}

func (c *temporalClient) execute(ctx context.Context, session *schema.Session, as start) error {
	options := client.StartWorkflowOptions{
		ID:                       schema.WorkflowID(session.ID),
		TaskQueue:                schema.TaskQueueSessions,
		WorkflowIDConflictPolicy: enums.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		WorkflowIDReusePolicy:    as.reuse,
		StaticSummary:            summary(session.Name),
	}
	if as.searchable {
		options.TypedSearchAttributes = searchOf(session)
	}
	_, err := c.temporal.ExecuteWorkflow(ctx, options, schema.WorkflowType, schema.SessionInput{
		SessionID:       session.ID,
		Name:            session.Name,
		Owner:           session.Owner,
		Mode:            session.Mode,
		Config:          session.Config,
		ApprovalTimeout: c.approvalTimeout,
		SessionTTL:      c.sessionTTL,
		HostTimeout:     c.hostTimeout,
		Searchable:      as.searchable,
		Revival:         as.revival,
	})
	return err
}

// summary fits a name into what Temporal takes for one: a line of at most 400 bytes.
func summary(name string) string {
	const most = 400
	name = strings.Join(strings.Fields(name), " ")
	if len(name) > most {
		name = strings.ToValidUTF8(name[:most-len("…")], "") + "…"
	}
	return name
}

// update sends a command and waits for the workflow's answer. The same key is the same
// command: sent again it gets the answer of the first.
func (c *temporalClient) update(ctx context.Context, sessionID, name, key string, arg any) (schema.CommandResult, error) {
	var result schema.CommandResult
	ctx, cancel := context.WithTimeout(ctx, CommandTimeout)
	defer cancel()
	if key == "" {
		key = schema.NewID()
	}
	leave, err := c.updates.enter(ctx, sessionID)
	if err != nil {
		return result, temporalError(err)
	}
	defer leave()
	for {
		handle, err := c.temporal.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
			WorkflowID:   schema.WorkflowID(sessionID),
			UpdateID:     schema.DeriveID("update", sessionID, name, key),
			UpdateName:   name,
			WaitForStage: client.WorkflowUpdateStageCompleted,
			Args:         []any{arg},
		})
		if err == nil {
			err = handle.Get(ctx, &result)
		}
		if !overtaken(err) {
			return result, temporalError(err)
		}
		// The execution ended under the command. The next one has not heard of it; when there
		// is none, Temporal says so.
		select {
		case <-ctx.Done():
			return result, temporalError(ctx.Err())
		case <-time.After(overtakenDelay):
		}
	}
}

// Failures of updates that Temporal makes itself, by their types.
const (
	failureOvertaken   = "AcceptedUpdateCompletedWorkflow" // the workflow took the command in and ended before it answered
	failureUnprocessed = "UnprocessedUpdate"               // the worker's answer has nothing about the command
)

// unknownCommand starts what the SDK of a worker says about an update that its workflow has
// no handler for: the worker is older than this server.
const unknownCommand = "unknown update "

func overtaken(err error) bool {
	failed, ok := errors.AsType[*temporal.ApplicationError](err)
	return ok && failed.Type() == failureOvertaken
}

// close tells a workflow that its session was deleted; one that is over is a success.
func (c *temporalClient) close(ctx context.Context, sessionID string) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	err := temporalError(c.temporal.SignalWorkflow(ctx, schema.WorkflowID(sessionID), "", schema.CommandClose, schema.Command{Actor: schema.ActorHoldfast}))
	if errors.Is(err, errNoWorkflow) {
		return nil
	}
	return err
}

// query relays a query to the workflow.
func (c *temporalClient) query(ctx context.Context, sessionID, name string) (json.RawMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	value, err := c.temporal.QueryWorkflow(ctx, schema.WorkflowID(sessionID), "", name)
	if err != nil {
		return nil, temporalError(err)
	}
	var answer any
	if err := value.Get(&answer); err != nil {
		return nil, schema.Wrap(schema.CodeInternal, err, "the workflow's answer could not be read")
	}
	return schema.Marshal(answer), nil
}

// ready reports whether Temporal answers.
func (c *temporalClient) ready(ctx context.Context) error {
	_, err := c.temporal.CheckHealth(ctx, &client.CheckHealthRequest{})
	return temporalError(err)
}

// temporalError turns what Temporal or a workflow returned into our words.
func temporalError(err error) error {
	if err == nil {
		return nil
	}
	if refused, ok := errors.AsType[*temporal.ApplicationError](err); ok {
		code := schema.Code(refused.Type())
		if _, known := wire.RefusalOf(code); known && code != schema.CodeInternal {
			e := &schema.Error{Code: code, Message: refused.Message()}
			if refused.HasDetails() {
				_ = refused.Details(&e.Fields) // they only say more
			}
			return e
		}
		if refused.Type() == failureUnprocessed || refused.Type() == failureOvertaken || strings.HasPrefix(refused.Message(), unknownCommand) {
			return schema.Wrap(schema.CodeUnavailable, err, "no worker that understands this command has answered; try again")
		}
		return schema.Wrap(schema.CodeInternal, err, "the workflow refused the command")
	}
	if _, ok := errors.AsType[*serviceerror.NotFound](err); ok {
		return errNoWorkflow
	}
	if _, ok := errors.AsType[*serviceerror.InvalidArgument](err); ok {
		return schema.Wrap(schema.CodeInternal, err, "Temporal refused the command")
	}
	if _, ok := errors.AsType[*serviceerror.QueryFailed](err); ok {
		return schema.Wrap(schema.CodeUnavailable, err, "the session's workflow could not answer; try again")
	}
	if _, ok := errors.AsType[*serviceerror.ResourceExhausted](err); ok {
		return schema.Wrap(schema.CodeUnavailable, err, "the session has as many commands under way as it takes, or Temporal as many requests; try again")
	}
	if _, ok := errors.AsType[*serviceerror.NamespaceNotFound](err); ok {
		return schema.Wrap(schema.CodeUnavailable, err, "Temporal does not have this server's namespace yet; try again")
	}
	if _, ok := errors.AsType[*serviceerror.PermissionDenied](err); ok {
		return schema.Wrap(schema.CodeUnavailable, err, "Temporal does not let this server in now; try again")
	}
	if timedOut(err) {
		return schema.Wrap(schema.CodeUnavailable, err, "no worker answered in time; try again")
	}
	return schema.Wrap(schema.CodeUnavailable, err, "no worker answered, or Temporal is not available; try again")
}

// timedOut tells that nobody answered from that nobody could be asked.
func timedOut(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	if _, ok := errors.AsType[*client.WorkflowUpdateServiceTimeoutOrCanceledError](err); ok {
		return true
	}
	_, ok := errors.AsType[*serviceerror.DeadlineExceeded](err)
	return ok
}
