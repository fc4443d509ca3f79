package web_test

import (
	"errors"
	"slices"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/holdfast/holdfast/schema"
)

// scriptedQueue is how many messages a scripted session takes.
const scriptedQueue = 60

// turns are the commands that make a session go on.
func (s *script) turns(ctx workflow.Context, answer func(repeated bool) (schema.CommandResult, error)) error {
	return errors.Join(
		workflow.SetUpdateHandler(ctx, schema.CommandExtendApproval, func(ctx workflow.Context, c schema.ExtendApproval) (schema.CommandResult, error) {
			deadline := s.approval.ExpiresAt.Add(time.Duration(c.Seconds * float64(time.Second)))
			switch {
			case c.ApprovalID != s.approval.ApprovalID:
				return schema.CommandResult{}, refuse(schema.CodeNotFound, "no such approval")
			case s.approval.Status == schema.ApprovalExpired:
				return schema.CommandResult{}, refuse(schema.CodeExpired, "too late")
			case s.approval.Status != schema.ApprovalPending:
				return schema.CommandResult{}, refuse(schema.CodeConflict, "decided")
			case deadline.Sub(s.created) > schema.MaxApprovalTimeoutSeconds*time.Second:
				return schema.CommandResult{}, temporal.NewNonRetryableApplicationError("too long", string(schema.CodeInvalid), nil,
					[]schema.FieldError{{Location: "seconds", Message: "too long"}})
			}
			s.approval.ExpiresAt = schema.Time{Time: deadline}
			s.next(schema.Transition{Extend: []schema.ApprovalExtend{{
				ID: c.ApprovalID, ExpiresAt: deadline, Actor: c.Actor, Seconds: c.Seconds, At: workflow.Now(ctx),
			}}})
			result, err := answer(false)
			result.ApprovalID, result.ExpiresAt = c.ApprovalID, &s.approval.ExpiresAt
			return result, err
		}),
		workflow.SetUpdateHandler(ctx, schema.CommandMessage, func(ctx workflow.Context, c schema.SendMessage) (schema.CommandResult, error) {
			if s.messages == scriptedQueue {
				return schema.CommandResult{}, refuse(schema.CodeConflict, "the queue is full")
			}
			s.messages++
			s.next(schema.Transition{Messages: []schema.MessageChange{{
				Number: s.messages, Status: schema.MessageQueued, Content: c.Content, Text: c.Text, Actor: c.Actor, At: workflow.Now(ctx),
			}}})
			result, err := answer(false)
			result.Message = s.messages
			return result, err
		}),
		workflow.SetUpdateHandler(ctx, schema.CommandRun, func(_ workflow.Context, c schema.StartRun) (schema.CommandResult, error) {
			if !slices.Contains([]schema.SessionStatus{schema.SessionCancelled, schema.SessionCompleted}, s.status) {
				return schema.CommandResult{}, refuse(schema.CodeConflict, "a run is under way")
			}
			s.status, s.phase = schema.SessionActive, schema.PhaseExecuting
			begin := s.begin(c.PlanDigest)
			s.todo = append(s.todo, func(ctx workflow.Context) error { return workflow.ExecuteActivity(ctx, "begin", begin).Get(ctx, nil) })
			result, err := answer(false)
			result.RunID, result.RunNumber = begin.RunID, begin.Number
			return result, err
		}),
	)
}
