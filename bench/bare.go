package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	sdklog "go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

// bare is the least that Temporal can do: the same server, a worker in this process with
// nothing behind it, a workflow that takes updates, and an activity that says when it runs.
type bare struct {
	client  client.Client
	worker  worker.Worker
	prefix  string // of its workflows' ids
	started atomic.Int64
	runs    chan time.Time // when its activity was called
}

const (
	bareQueue    = "bench-bare"
	bareDecision = "decide"
	bareSession  = "BareSession"
	bareStep     = "BareStep"
)

func newBare(w *world) (*bare, error) {
	b := &bare{client: w.temporal, prefix: fmt.Sprintf("bare-%d-", time.Now().UnixNano()), runs: make(chan time.Time, 1)}
	b.worker = worker.New(b.client, bareQueue, worker.Options{DisableRegistrationAliasing: true})
	b.worker.RegisterWorkflowWithOptions(b.session, workflow.RegisterOptions{Name: bareSession})
	b.worker.RegisterActivityWithOptions(b.step, activity.RegisterOptions{Name: bareStep})
	if err := b.worker.Start(); err != nil {
		return nil, fmt.Errorf("start the bare worker: %w", err)
	}
	return b, nil
}

func (b *bare) stop() { b.worker.Stop() }

// session is the bare workflow: it waits for a decision without a limit. With step it then
// runs an activity and ends.
func (b *bare) session(ctx workflow.Context, step bool) error {
	if !workflow.IsReplaying(ctx) {
		b.started.Add(1)
	}
	decided := 0
	err := workflow.SetUpdateHandler(ctx, bareDecision, func(workflow.Context, string) (int, error) {
		decided++
		return decided, nil
	})
	if err != nil {
		return err
	}
	if err := workflow.Await(ctx, func() bool { return step && decided > 0 }); err != nil {
		return err
	}
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{TaskQueue: bareQueue, StartToCloseTimeout: time.Minute})
	return workflow.ExecuteActivity(ctx, bareStep).Get(ctx, nil)
}

func (b *bare) step(ctx context.Context) error {
	select {
	case b.runs <- time.Now():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (b *bare) id(i int) string { return fmt.Sprintf("%s%d", b.prefix, i) }

// start starts workflow number i.
func (b *bare) start(ctx context.Context, i int, step bool) error {
	_, err := b.client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: b.id(i), TaskQueue: bareQueue}, bareSession, step)
	return err
}

// decide sends workflow number i a decision and waits until it has accepted it.
func (b *bare) decide(ctx context.Context, i int) error {
	handle, err := b.client.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
		WorkflowID: b.id(i), UpdateName: bareDecision, Args: []any{"approved"}, WaitForStage: client.WorkflowUpdateStageCompleted,
	})
	if err != nil {
		return err
	}
	var decided int
	return handle.Get(ctx, &decided)
}

// ready returns when so many workflows have begun.
func (b *bare) ready(ctx context.Context, many int) error {
	return poll(ctx, func(context.Context) (bool, error) { return b.started.Load() >= int64(many), nil })
}

// quiet is a logger for Temporal's clients and workers here: errors say all we need.
func quiet() sdklog.Logger { return sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler)) }
