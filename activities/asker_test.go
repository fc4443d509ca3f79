package activities_test

import (
	"context"
	"testing"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

	"github.com/holdfast/holdfast/activities"
	"github.com/holdfast/holdfast/activities/runner/supervisor"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store/storetest"
)

// signalled is a Temporal whose answers to signals the test decides.
type signalled struct {
	client.Client

	signal func() error
}

func (t *signalled) SignalWorkflow(context.Context, string, string, string, any) error {
	return t.signal()
}

// A question that Temporal never accepts is refused: the asker would wait for ever.
func TestAsker_WhatTemporalNeverTakesIsRefused(t *testing.T) {
	t.Parallel()
	id := schema.NewID()
	step := &schema.RunStep{SessionID: id, RunID: schema.RunID(id, 1), StepID: "s"}
	answer := serviceerror.NewInvalidArgument("Signal: blob size exceeds limit")
	asker := &activities.Asker{Store: storetest.New(t), Temporal: &signalled{signal: func() error { return answer }}}
	got, err := asker.Ask(t.Context(), step, 1, supervisor.Ask{ID: "1", Question: "Really?"})
	if err != nil || got.Error == "" {
		t.Fatalf("%+v, %v", got, err)
	}
	away := &activities.Asker{Store: asker.Store, Temporal: &signalled{signal: func() error { return serviceerror.NewUnavailable("away") }}}
	if got, err := away.Ask(t.Context(), step, 1, supervisor.Ask{ID: "1", Question: "Really?"}); err == nil {
		t.Fatalf("a Temporal that is away: %+v", got)
	}
}
