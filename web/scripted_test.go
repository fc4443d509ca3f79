package web_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
)

// A small Session workflow, so that these tests are about the web and not about workflows.
// It opens a run, asks for the first step if the plan says so, and then waits for commands.

// records are the stores of the sessions under test, which share one worker.
var records sync.Map

func recordsOf(sessionID string) (*store.Store, error) {
	if s, ok := records.Load(sessionID); ok {
		return s.(*store.Store), nil
	}
	return nil, errors.New("the test has not said yet where its records are")
}

func newWorker(c client.Client) worker.Worker {
	w := worker.New(c, schema.TaskQueueSessions, worker.Options{})
	w.RegisterWorkflowWithOptions(scriptedSession, workflow.RegisterOptions{Name: schema.WorkflowType})
	w.RegisterActivityWithOptions(scriptedBegin, activity.RegisterOptions{Name: "begin"})
	w.RegisterActivityWithOptions(scriptedApply, activity.RegisterOptions{Name: "apply"})
	return w
}

func scriptedBegin(ctx context.Context, b schema.BeginRun) (bool, error) {
	s, err := recordsOf(b.SessionID)
	if err != nil {
		return false, err
	}
	begun, err := s.BeginRun(ctx, store.BeginRun{
		SessionID: b.SessionID, RunID: b.RunID, Number: b.Number, Key: b.Key, PlanDigest: b.PlanDigest,
		Status: schema.SessionActive, Phase: schema.PhaseExecuting,
	})
	if err != nil {
		return false, err
	}
	return begun.Plan.Steps[0].Approval, nil
}

func scriptedApply(ctx context.Context, t schema.Transition) error {
	s, err := recordsOf(t.SessionID)
	if err != nil {
		return err
	}
	_, err = s.Apply(ctx, t)
	return err
}

type script struct {
	in       schema.SessionInput
	status   schema.SessionStatus
	phase    schema.Phase
	approval schema.Asked
	created  time.Time // when the approval was asked for
	asks     int
	run      int
	messages int
	todo     []func(ctx workflow.Context) error
	n        int
	over     bool
}

func (s *script) next(t schema.Transition) {
	s.n++
	t.SessionID, t.RunID, t.Key = s.in.SessionID, schema.RunID(s.in.SessionID, max(s.run, 1)), fmt.Sprint("t", s.n) // commands may come before the first run
	t.Status, t.Phase = s.status, s.phase
	s.todo = append(s.todo, func(ctx workflow.Context) error { return workflow.ExecuteActivity(ctx, "apply", t).Get(ctx, nil) })
}

// begin opens the next run.
func (s *script) begin(digest string) schema.BeginRun {
	s.run++
	return schema.BeginRun{
		SessionID: s.in.SessionID, RunID: schema.RunID(s.in.SessionID, s.run), Number: s.run, Key: itoa(int64(s.run)), PlanDigest: digest,
	}
}

func refuse(code schema.Code, message string) error {
	return temporal.NewNonRetryableApplicationError(message, string(code), nil)
}

func scriptedSession(ctx workflow.Context, in schema.SessionInput) error {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: 20 * time.Second,
		RetryPolicy:         &temporal.RetryPolicy{InitialInterval: 20 * time.Millisecond, MaximumInterval: time.Second},
	})
	s := &script{in: in, status: schema.SessionActive, phase: schema.PhaseExecuting}
	if err := s.handlers(ctx); err != nil {
		return err
	}
	var asks bool
	if err := workflow.ExecuteActivity(ctx, "begin", s.begin("")).Get(ctx, &asks); err != nil {
		return err
	}
	if asks {
		s.ask(ctx)
	}
	return s.loop(ctx)
}

// ask asks for the first step.
func (s *script) ask(ctx workflow.Context) {
	s.asks++
	now := workflow.Now(ctx)
	s.created = now
	s.phase = schema.PhaseAwaitingApproval
	s.approval = schema.Asked{
		ApprovalID: schema.ApprovalID(s.in.SessionID, s.asks), Type: schema.ApprovalStep, Status: schema.ApprovalPending,
		Options: schema.ApprovalStep.Options(), ExpiresAt: schema.Time{Time: now.Add(s.in.ApprovalTimeout)},
	}
	s.next(schema.Transition{Open: []schema.ApprovalOpen{{
		ID: s.approval.ApprovalID, Type: s.approval.Type, Options: s.approval.Options, Digest: "d", CreatedAt: now, ExpiresAt: s.approval.ExpiresAt.Time,
	}}})
	workflow.Go(ctx, func(ctx workflow.Context) {
		for now := workflow.Now(ctx); s.approval.ExpiresAt.After(now); now = workflow.Now(ctx) {
			_ = workflow.Sleep(ctx, s.approval.ExpiresAt.Sub(now))
		}
		if s.approval.Status == schema.ApprovalPending {
			s.approval.Status = schema.ApprovalExpired
			s.status = schema.SessionSuspended
			s.next(schema.Transition{Close: []schema.ApprovalClose{{
				ID: s.approval.ApprovalID, Status: schema.ApprovalExpired, Reason: "timeout", At: workflow.Now(ctx),
			}}})
		}
	})
}

func (s *script) loop(ctx workflow.Context) error {
	closing := workflow.GetSignalChannel(ctx, schema.CommandClose)
	for !s.over {
		err := workflow.Await(ctx, func() bool { return len(s.todo) > 0 || closing.Len() > 0 })
		if err != nil {
			return err
		}
		for len(s.todo) > 0 {
			do := s.todo[0]
			s.todo = s.todo[1:]
			if err := do(ctx); err != nil {
				return err
			}
		}
		s.over = closing.ReceiveAsync(nil)
	}
	return nil
}

func (s *script) handlers(ctx workflow.Context) error {
	answer := func(repeated bool) (schema.CommandResult, error) {
		return schema.CommandResult{Status: s.status, Phase: s.phase, Repeated: repeated}, nil
	}
	return errors.Join(
		s.turns(ctx, answer),
		workflow.SetQueryHandler(ctx, schema.QueryState, func() (schema.WorkflowState, error) {
			return schema.WorkflowState{SessionID: s.in.SessionID, Status: s.status, Phase: s.phase, RunNumber: s.run}, nil
		}),
		workflow.SetUpdateHandler(ctx, schema.CommandResolveApproval, func(ctx workflow.Context, r schema.ResolveApproval) (schema.CommandResult, error) {
			switch {
			case r.ApprovalID != s.approval.ApprovalID:
				return schema.CommandResult{}, refuse(schema.CodeNotFound, "no such approval")
			case s.approval.Status == schema.ApprovalExpired:
				return schema.CommandResult{}, refuse(schema.CodeExpired, "too late")
			case s.approval.Status == schema.ApprovalResolved && s.approval.Resolution != r.Resolution:
				return schema.CommandResult{}, refuse(schema.CodeConflict, "decided otherwise")
			case s.approval.Status == schema.ApprovalResolved:
				return answer(true)
			case !slices.Contains(s.approval.Options, r.Resolution):
				return schema.CommandResult{}, refuse(schema.CodeInvalid, "not an option")
			}
			s.approval.Status, s.approval.Resolution = schema.ApprovalResolved, r.Resolution
			s.phase = schema.PhaseExecuting
			s.next(schema.Transition{Close: []schema.ApprovalClose{{
				ID: r.ApprovalID, Status: schema.ApprovalResolved, Resolution: r.Resolution, Feedback: r.Feedback, Modifications: r.Modifications, Actor: r.Actor, At: workflow.Now(ctx),
			}}})
			return answer(false)
		}),
		workflow.SetUpdateHandler(ctx, schema.CommandSuspend, func(workflow.Context, schema.Command) (schema.CommandResult, error) {
			switch {
			case s.status.Final():
				return schema.CommandResult{}, refuse(schema.CodeConflict, "the run is over: "+string(s.status))
			case s.status == schema.SessionSuspended:
				return answer(true)
			}
			s.status = schema.SessionSuspended
			s.next(schema.Transition{Notes: []schema.Note{{Type: schema.EventWorkflowPaused, Data: schema.Marshal(schema.WorkflowPausedData{Reason: "requested"})}}})
			return answer(false)
		}),
		workflow.SetUpdateHandler(ctx, schema.CommandResume, func(ctx workflow.Context, _ schema.Command) (schema.CommandResult, error) {
			if s.status == schema.SessionActive && s.asks > 1 {
				return answer(true)
			}
			if s.status != schema.SessionSuspended {
				return schema.CommandResult{}, refuse(schema.CodeConflict, "the session is not suspended")
			}
			s.status = schema.SessionActive
			if s.approval.Status == schema.ApprovalExpired {
				s.ask(ctx)
			} else {
				s.next(schema.Transition{})
			}
			return answer(false)
		}),
		workflow.SetUpdateHandler(ctx, schema.CommandCancel, func(_ workflow.Context, c schema.Command) (schema.CommandResult, error) {
			if s.status == schema.SessionCancelled {
				return answer(true)
			}
			s.status, s.phase = schema.SessionCancelled, schema.PhaseIdle
			s.next(schema.Transition{End: &schema.RunEnd{Status: s.status, Actor: c.Actor, Receipt: &schema.Receipt{ProcessesKilled: 3, ArtifactsKept: 2}}})
			return answer(false)
		}),
	)
}
