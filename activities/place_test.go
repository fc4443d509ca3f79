package activities

import (
	"context"
	"errors"
	"testing"

	"go.temporal.io/sdk/temporal"

	"github.com/holdfast/holdfast/schema"
)

// aHost has room for one step; alive are the executions that have a process there.
func aHost(alive ...string) *Hosts {
	lives := map[string]bool{}
	for _, execution := range alive {
		lives[execution] = true
	}
	return &Hosts{
		Host: "one", MaxSteps: 1, Lives: func(execution string) bool { return lives[execution] }, Live: func() []schema.RunStep { return nil },
	}
}

// refused reports whether a session looks for another host after this error.
func refused(err error) bool {
	app, ok := errors.AsType[*temporal.ApplicationError](err)
	return ok && app.Type() == string(schema.CodeHostDraining) && app.NonRetryable()
}

func TestHosts_TakeASessionWhenThereIsRoom(t *testing.T) {
	t.Parallel()
	h := aHost()
	placed, err := h.Place(t.Context(), schema.Place{})
	if err != nil || placed.Host != "one" {
		t.Fatalf("%+v, %v", placed, err)
	}
	_, err = h.Track(func(context.Context, schema.RunStep) (schema.StepResult, error) {
		_, err := h.Place(t.Context(), schema.Place{})
		return schema.StepResult{}, err
	})(t.Context(), schema.RunStep{Execution: "a"})
	if schema.CodeOf(err) != schema.CodeUnavailable {
		t.Fatalf("a full host: %v", err)
	}
	h.Drain()
	if _, err := h.Place(t.Context(), schema.Place{}); schema.CodeOf(err) != schema.CodeHostDraining {
		t.Fatalf("a draining host: %v", err)
	}
}

func TestHosts_ADrainingOneGoesOnWithWhatItHasAndTakesNothingElse(t *testing.T) {
	t.Parallel()
	h := aHost("mine")
	h.Drain()
	ran := 0
	take := h.Track(func(context.Context, schema.RunStep) (schema.StepResult, error) {
		ran++
		return schema.StepResult{Status: schema.AttemptSucceeded}, nil
	})
	if _, err := take(t.Context(), schema.RunStep{Execution: "new"}); !refused(err) || ran != 0 {
		t.Fatalf("a new step: %v", err)
	}
	if r, err := take(t.Context(), schema.RunStep{Execution: "mine"}); err != nil || r.Status != schema.AttemptSucceeded {
		t.Fatalf("a step that runs: %+v, %v", r, err)
	}
}

// A step that has not begun, such as that of a suspended session, goes elsewhere; one that has
// begun is left alone.
func TestHosts_ADrainSendsAwayWhatHasNotBegun(t *testing.T) {
	t.Parallel()
	h := aHost("mine")
	waiting := h.Track(func(ctx context.Context, _ schema.RunStep) (schema.StepResult, error) {
		h.Drain()
		<-ctx.Done()
		return schema.StepResult{}, context.Cause(ctx)
	})
	if _, err := waiting(t.Context(), schema.RunStep{Execution: "new"}); !refused(err) {
		t.Fatalf("one that waits: %v", err)
	}
	if n := len(h.Running()); n != 0 {
		t.Fatalf("%d steps are left", n)
	}
	running := h.Track(func(ctx context.Context, _ schema.RunStep) (schema.StepResult, error) {
		h.Drain()
		return schema.StepResult{}, ctx.Err()
	})
	if _, err := running(t.Context(), schema.RunStep{Execution: "mine"}); err != nil {
		t.Fatalf("one that runs: %v", err)
	}
}
