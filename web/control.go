package web

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
)

// control is the only client of Temporal. Its errors are [schema.Error]s; errNoWorkflow
// says that Temporal has no open workflow of the session.
type control struct {
	temporal        client.Client
	approvalTimeout time.Duration
}

var errNoWorkflow = errors.New("there is no open workflow of this session")

// start starts a session's workflow; one that runs already, or has run, is a success.
func (c *control) start(ctx context.Context, session *schema.Session) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	_, err := c.temporal.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID:                       schema.WorkflowID(session.ID),
		TaskQueue:                schema.TaskQueueSessions,
		WorkflowIDConflictPolicy: enums.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		WorkflowIDReusePolicy:    enums.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
		StaticSummary:            summary(session.Name),
	}, schema.WorkflowType, schema.SessionInput{
		SessionID:       session.ID,
		Name:            session.Name,
		Owner:           session.Owner,
		Mode:            session.Mode,
		Config:          session.Config,
		ApprovalTimeout: c.approvalTimeout,
	})
	if _, ok := errors.AsType[*serviceerror.WorkflowExecutionAlreadyStarted](err); ok {
		return nil
	}
	return temporalError(err)
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
func (c *control) update(ctx context.Context, sessionID, name, key string, arg any) (schema.CommandResult, error) {
	var result schema.CommandResult
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	if key == "" {
		key = schema.NewID()
	}
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
	return result, temporalError(err)
}

// closeActor stands for whoever deleted a session: nobody can read that log any more.
const closeActor = "holdfast"

// close tells a workflow that its session was deleted; one that is over is a success.
func (c *control) close(ctx context.Context, sessionID string) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	err := temporalError(c.temporal.SignalWorkflow(ctx, schema.WorkflowID(sessionID), "", schema.CommandClose, schema.Command{Actor: closeActor}))
	if errors.Is(err, errNoWorkflow) {
		return nil
	}
	return err
}

// query relays a query to the workflow.
func (c *control) query(ctx context.Context, sessionID, name string) (json.RawMessage, error) {
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
func (c *control) ready(ctx context.Context) error {
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
		if _, known := statusOf[code]; known && code != schema.CodeInternal {
			e := &schema.Error{Code: code, Message: refused.Message()}
			if refused.HasDetails() {
				_ = refused.Details(&e.Fields) // they only say more
			}
			return e
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
	if errors.Is(err, context.DeadlineExceeded) {
		return schema.Wrap(schema.CodeUnavailable, err, "no worker answered in time; try again")
	}
	return schema.Wrap(schema.CodeUnavailable, err, "no worker answered, or Temporal is not available; try again")
}
