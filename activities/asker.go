package activities

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

	"github.com/holdfast/holdfast/activities/runner"
	"github.com/holdfast/holdfast/activities/runner/supervisor"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
)

const (
	// askTimeout limits one attempt to open a question in its session.
	askTimeout = 10 * time.Second
	// How often the store is polled for an answer: at first, and at last.
	answerPoll    = 100 * time.Millisecond
	answerPollMax = time.Second
)

// Asker opens programs' questions in their sessions, and waits for people.
type Asker struct {
	Temporal client.Client
	Store    *store.Store
}

var _ runner.Asker = (*Asker)(nil)

// Ask opens a question and waits for its answer. The question is identified by its attempt and ID:
// asking again, after any restart, gives the same approval.
func (a *Asker) Ask(ctx context.Context, step *schema.RunStep, attempt int, ask supervisor.Ask) (supervisor.Answer, error) {
	about, err := ask.Details()
	if err != nil {
		return supervisor.Answer{Error: err.Error()}, nil //nolint:nilerr // the asker is told
	}
	requestID := fmt.Sprintf("%s/%s/%d/%s", step.RunID, step.StepID, attempt, ask.ID)
	id := schema.AskID(step.RunID, step.StepID, requestID)
	if _, known, err := a.look(ctx, id); err != nil || known {
		return a.await(ctx, id, err)
	}
	err = a.open(ctx, step.SessionID, schema.Ask{
		StepID: step.StepID, Type: schema.ApprovalProgramAsk, Question: ask.Question, Context: about, TimeoutSeconds: ask.TimeoutSeconds,
		RequestID: requestID,
	})
	if _, ok := errors.AsType[*serviceerror.NotFound](err); ok { // the session is over
		return supervisor.Answer{Outcome: supervisor.OutcomeCancelled, Answer: supervisor.OutcomeCancelled}, nil
	}
	if _, ok := errors.AsType[*serviceerror.InvalidArgument](err); ok { // Temporal never accepts it: retrying does not help
		return supervisor.Answer{Error: "the session cannot take this question in: it is too large, or has something in it that cannot be kept"}, nil
	}
	return a.await(ctx, id, err)
}

// open asks by a signal: Temporal accepts no more than 2,000 updates per execution, and programs
// may ask as often as they like. Postgres has the result.
func (a *Asker) open(ctx context.Context, sessionID string, command schema.Ask) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	return a.Temporal.SignalWorkflow(ctx, schema.WorkflowID(sessionID), "", schema.CommandAsk, command)
}

// await waits for the answer to a question, unless asking failed.
func (a *Asker) await(ctx context.Context, id string, failed error) (supervisor.Answer, error) {
	if failed != nil {
		return supervisor.Answer{}, failed
	}
	for wait := answerPoll; ; wait = min(wait*5/4, answerPollMax) {
		answer, _, err := a.look(ctx, id)
		if answer != nil || err != nil {
			return *cmp.Or(answer, &supervisor.Answer{}), err
		}
		select {
		case <-ctx.Done():
			return supervisor.Answer{}, ctx.Err()
		case <-time.After(wait):
		}
	}
}

// look finds the state of a question: its answer, nil while there is none, and whether the question
// is known at all.
func (a *Asker) look(ctx context.Context, id string) (answer *supervisor.Answer, known bool, err error) {
	approval, err := a.Store.Approval(ctx, id)
	switch {
	case schema.CodeOf(err) == schema.CodeNotFound: // not recorded yet, or refused
		reason, err := a.Store.RefusedAsk(ctx, id)
		if reason == "" || err != nil {
			return nil, false, err
		}
		return &supervisor.Answer{Error: reason}, true, nil
	case err != nil:
		return nil, false, err
	case approval.Status == schema.ApprovalPending:
		return nil, true, nil
	}
	is := answerOf(&approval)
	return &is, true, nil
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
