package activities

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/holdfast/holdfast/activities/runner"
	"github.com/holdfast/holdfast/activities/runner/supervisor"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
)

const (
	// askTimeout bounds one attempt to open a question in its session.
	askTimeout = 10 * time.Second
	// How often the store is asked for an answer: at first and at last.
	answerPoll    = 100 * time.Millisecond
	answerPollMax = time.Second
)

// Asker opens the questions of programs in their sessions, and waits for people.
type Asker struct {
	Temporal client.Client
	Store    *store.Store
}

var _ runner.Asker = (*Asker)(nil)

// Ask opens a question and waits for its answer. The question is known by its attempt and
// ID: asked again, after any restart, it is the same approval.
func (a *Asker) Ask(ctx context.Context, step *schema.RunStep, attempt int, ask supervisor.Ask) (supervisor.Answer, error) {
	about, err := contextOf(&ask)
	if err != nil {
		return supervisor.Answer{Error: err.Error()}, nil //nolint:nilerr // whoever asks is told
	}
	result, err := a.open(ctx, step.SessionID, schema.Ask{
		StepID: step.StepID, Type: schema.ApprovalProgramAsk, Question: ask.Question, Context: about, TimeoutSeconds: ask.TimeoutSeconds,
		RequestID: fmt.Sprintf("%s/%s/%d/%s", step.RunID, step.StepID, attempt, ask.ID),
	})
	if refused, ok := errors.AsType[*temporal.ApplicationError](err); ok && slices.Contains(refusals, schema.Code(refused.Type())) {
		return supervisor.Answer{Error: refused.Message()}, nil
	}
	if _, ok := errors.AsType[*serviceerror.NotFound](err); ok { // the session is over
		return supervisor.Answer{Outcome: supervisor.OutcomeCancelled, Answer: supervisor.OutcomeCancelled}, nil
	}
	if err != nil {
		return supervisor.Answer{}, err
	}
	return a.await(ctx, result.ApprovalID)
}

// refusals are the codes with which a session refuses a question for good.
var refusals = []schema.Code{schema.CodeInvalid, schema.CodeConflict, schema.CodeNotFound, schema.CodeUnsupported, schema.CodeTooLarge}

// contextOf is what people see besides the question: with options, an object that has them.
func contextOf(ask *supervisor.Ask) (json.RawMessage, error) {
	if len(ask.Options) == 0 {
		return ask.Context, nil
	}
	about := map[string]any{}
	if len(ask.Context) > 0 && json.Unmarshal(ask.Context, &about) != nil {
		about = map[string]any{"context": ask.Context} // no object
	}
	about["options"] = ask.Options
	return json.Marshal(about)
}

func (a *Asker) open(ctx context.Context, sessionID string, command schema.Ask) (schema.CommandResult, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	var result schema.CommandResult
	handle, err := a.Temporal.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
		WorkflowID: schema.WorkflowID(sessionID), UpdateID: schema.DeriveID("ask", sessionID, command.RequestID),
		UpdateName: schema.CommandAsk, WaitForStage: client.WorkflowUpdateStageCompleted, Args: []any{command},
	})
	if err == nil {
		err = handle.Get(ctx, &result)
	}
	return result, err
}

func (a *Asker) await(ctx context.Context, approvalID string) (supervisor.Answer, error) {
	for wait := answerPoll; ; wait = min(wait*5/4, answerPollMax) {
		approval, err := a.Store.Approval(ctx, approvalID)
		switch {
		case schema.CodeOf(err) == schema.CodeNotFound: // not recorded yet
		case err != nil:
			return supervisor.Answer{}, err
		case approval.Status != schema.ApprovalPending:
			return answerOf(&approval), nil
		}
		select {
		case <-ctx.Done():
			return supervisor.Answer{}, ctx.Err()
		case <-time.After(wait):
		}
	}
}

func answerOf(a *schema.Approval) supervisor.Answer {
	answer := supervisor.Answer{ApprovalID: a.ID, Actor: a.Actor, Feedback: a.Feedback}
	switch {
	case a.Status == schema.ApprovalExpired:
		answer.Outcome = supervisor.OutcomeTimedOut
	case a.Status != schema.ApprovalResolved:
		answer.Outcome = supervisor.OutcomeCancelled
	case a.Resolution == schema.ResolutionRejected:
		answer.Outcome = supervisor.OutcomeRejected
	default:
		answer.Outcome = supervisor.OutcomeApproved
	}
	answer.Answer = answer.Outcome
	if a.Feedback != "" {
		answer.Answer = a.Feedback
	}
	return answer
}
