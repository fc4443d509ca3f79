package activities

import (
	"errors"
	"testing"

	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/holdfast/holdfast/activities/runner"
	"github.com/holdfast/holdfast/schema"
)

// A step's span says how the step ended.
func TestEndSpan_AFailedStepsSpanIsAnError(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		result schema.StepResult
		err    error
		code   codes.Code
		says   string
		status string
	}{
		{schema.StepResult{Attempt: 1, Status: schema.AttemptSucceeded}, nil, codes.Unset, "", "succeeded"},
		{schema.StepResult{Attempt: 2, Status: schema.AttemptFailed, Reason: schema.ReasonExit}, nil, codes.Error, "exit", "failed"},
		{schema.StepResult{Attempt: 1, Status: schema.AttemptCancelled, Reason: schema.ReasonCancelled}, nil, codes.Unset, "", "cancelled"},
		{schema.StepResult{}, errors.New("no such run"), codes.Error, "no such run", ""},
		{schema.StepResult{}, expectedError(runner.ErrClosed), codes.Unset, "", ""},
	} {
		spans := tracetest.NewSpanRecorder()
		_, span := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)).Tracer("").Start(t.Context(), "step")
		describeEnd(span, &c.result, c.err)
		span.End()
		got := spans.Ended()[0]
		status := ""
		for _, a := range got.Attributes() {
			if a.Key == "status" {
				status = a.Value.AsString()
			}
		}
		if got.Status().Code != c.code || got.Status().Description != c.says || status != c.status {
			t.Errorf("%+v, %v: %+v with the status %q", c.result, c.err, got.Status(), status)
		}
	}
}
