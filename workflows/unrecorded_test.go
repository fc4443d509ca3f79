package workflows_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"go.temporal.io/sdk/activity"
	sdklog "go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/workflows"
)

// recorder is a Postgres that refuses some transitions for good.
type recorder struct {
	mu      sync.Mutex
	refuses func(t *schema.Transition) bool
	all     []schema.Transition
}

func (r *recorder) record(_ context.Context, t schema.Transition) (schema.Recorded, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refuses(&t) {
		return schema.Recorded{}, temporal.NewNonRetryableApplicationError("the database cannot hold this", string(schema.CodeInvalid), nil)
	}
	r.all = append(r.all, t)
	return schema.Recorded{}, nil
}

// play runs a session with one long step, which asks, is cancelled and then deleted.
func (r *recorder) play(t *testing.T) {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler)))
	env := suite.NewTestWorkflowEnvironment()
	env.SetTestTimeout(time.Minute)
	env.RegisterWorkflowWithOptions(workflows.Session, workflow.RegisterOptions{Name: schema.WorkflowType})
	plan := &schema.Plan{Steps: []schema.PlanStep{{ID: "a", Shell: "sleep 1h"}}}
	for name, fn := range map[string]any{
		schema.ActivityBeginRun: func(context.Context, schema.BeginRun) (schema.Outline, error) {
			o := plan.Outline()
			o.Host = "host"
			return o, nil
		},
		schema.ActivityRecord: r.record,
		schema.ActivityRunStep: func(context.Context, schema.RunStep) (schema.StepResult, error) {
			return schema.StepResult{}, activity.ErrResultPending
		},
		schema.ActivityStopSteps: func(context.Context, schema.StepsOf) (schema.StoppedSteps, error) {
			return schema.StoppedSteps{ProcessesKilled: 1}, nil
		},
	} {
		env.RegisterActivityWithOptions(fn, activity.RegisterOptions{Name: name})
	}
	answered := 0
	send := func(after time.Duration, name string, c any) {
		env.RegisterDelayedCallback(func() {
			env.UpdateWorkflow(name, name, &testsuite.TestUpdateCallback{
				OnReject: func(err error) { t.Errorf("%s was refused: %v", name, err) },
				OnComplete: func(_ any, err error) {
					answered++
					if err != nil {
						t.Errorf("%s: %v", name, err)
					}
				},
			}, c)
		}, after)
	}
	send(10*time.Second, schema.CommandAsk, schema.Ask{StepID: "a", Question: "poison?", Context: []byte(`{"a":"poison"}`), RequestID: "1"})
	send(20*time.Second, schema.CommandMessage, schema.SendMessage{Content: "poison", Actor: "ada"})
	send(30*time.Second, schema.CommandCancel, schema.Command{Actor: "ada"})
	send(40*time.Second, schema.CommandClose, schema.Command{Actor: "ada"})
	env.ExecuteWorkflow(schema.WorkflowType, schema.SessionInput{
		SessionID: "11111111-2222-4333-8444-555555555555", Mode: schema.ModeRunbook, ApprovalTimeout: 300 * time.Second,
	}, nil)
	if err := env.GetWorkflowError(); !env.IsWorkflowCompleted() || err != nil {
		if timeout, ok := errors.AsType[*temporal.TimeoutError](err); ok {
			err = timeout
		}
		t.Fatalf("the session did not end: %v", err)
	}
	if answered != 4 {
		t.Fatalf("%d of 4 commands were answered", answered)
	}
}

// What Postgres refuses for good is refused to the caller; the session goes on.
func TestRecord_WhatCannotBeRecordedIsRefused(t *testing.T) {
	t.Parallel()
	r := &recorder{refuses: func(t *schema.Transition) bool { return bytes.Contains(schema.Marshal(t), []byte("poison")) }}
	r.play(t)
	var opened, closed, message, ended bool
	for i := range r.all {
		tr := &r.all[i]
		for _, o := range tr.Open {
			opened = opened || o.Context == nil && o.Description != ""
		}
		for _, c := range tr.Close {
			closed = closed || c.Status == schema.ApprovalVoid && c.Reason == "unrecordable"
		}
		for _, m := range tr.Messages {
			message = message || (m.Number == 1 && m.Content != "" && m.Actor == "ada")
		}
		ended = ended || tr.End != nil && tr.End.Status == schema.SessionCancelled && tr.End.Actor == "ada" && len(tr.Steps) == 1
	}
	if !opened || !closed || !message || !ended {
		t.Fatalf("opened %v, closed %v, message %v, ended %v:\n%s", opened, closed, message, ended, schema.Marshal(r.all))
	}
}

// Not even a Postgres that refuses nearly everything keeps a session from ending.
func TestRecord_OnlyTheStatusCanBeRecorded(t *testing.T) {
	t.Parallel()
	r := &recorder{refuses: func(t *schema.Transition) bool { return t.RunID != "" }}
	r.play(t)
	if len(r.all) == 0 || r.all[len(r.all)-1].Status != schema.SessionCancelled {
		t.Fatalf("%s", schema.Marshal(r.all))
	}
}

func TestRecord_NothingCanBeRecorded(t *testing.T) {
	t.Parallel()
	r := &recorder{refuses: func(*schema.Transition) bool { return true }}
	r.play(t)
}
