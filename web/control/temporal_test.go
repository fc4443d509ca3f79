package control

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/wire"
)

// TestTemporalErrors_NeverEndAsAFaultOfOurs names what Temporal's frontend, history and
// matching services and the SDK answer to updates, queries, signals and starts.
func TestTemporalErrors_NeverEndAsAFaultOfOurs(t *testing.T) {
	t.Parallel()
	crowded := &serviceerror.ResourceExhausted{
		Cause: enums.RESOURCE_EXHAUSTED_CAUSE_CONCURRENT_LIMIT, Message: "limit on number of concurrent in-flight updates has been reached (10)",
	}
	for name, err := range map[string]error{
		"the SDK gave up":                   client.NewWorkflowUpdateServiceTimeoutOrCanceledError(context.DeadlineExceeded),
		"the SDK gave up on a full house":   client.NewWorkflowUpdateServiceTimeoutOrCanceledError(crowded),
		"the SDK was cancelled":             client.NewWorkflowUpdateServiceTimeoutOrCanceledError(context.Canceled),
		"the deadline passed in the server": client.NewWorkflowUpdateServiceTimeoutOrCanceledError(serviceerror.NewDeadlineExceeded("context deadline exceeded")),
		"too many updates at once":          crowded,
		"too many requests":                 &serviceerror.ResourceExhausted{Cause: enums.RESOURCE_EXHAUSTED_CAUSE_RPS_LIMIT, Message: "namespace rate limit exceeded"},
		"too many updates in all":           serviceerror.NewFailedPrecondition("limit on the total number of distinct updates in this workflow has been reached (2000)"),
		"no connection":                     serviceerror.NewUnavailable("connection error: dial tcp 127.0.0.1:1: connect: connection refused"),
		"the update was lost":               serviceerror.NewUnavailable("workflow update was aborted"),
		"the workflow task failed":          serviceerror.NewWorkflowNotReady("Unable to perform workflow execution update due to unexpected workflow task failure."),
		"the server's deadline":             serviceerror.NewDeadlineExceeded("context deadline exceeded"),
		"the server's cancellation":         serviceerror.NewCanceled("context canceled"),
		"our deadline":                      context.DeadlineExceeded,
		"our cancellation":                  fmt.Errorf("update: %w", context.Canceled),
		"aborted":                           serviceerror.NewAborted("try again"),
		"no permission":                     serviceerror.NewPermissionDenied("Request unauthorized.", ""),
		"no namespace":                      serviceerror.NewNamespaceNotFound("holdfast"),
		"a namespace that is moving":        serviceerror.NewNamespaceNotActive("holdfast", "a", "b"),
		"an older Temporal":                 serviceerror.NewUnimplemented("unknown method UpdateWorkflowExecution"),
		"a fault of Temporal":               serviceerror.NewInternal("shard status unknown"),
		"lost data":                         serviceerror.NewDataLoss("history is gone"),
		"an unknown status":                 errors.New("rpc error: code = Unauthenticated desc = no credentials"),
		"a query that failed":               serviceerror.NewQueryFailed("unknown queryType state"),
		"an older worker":                   temporal.NewApplicationError("unknown update extend_approval. KnownUpdates=[cancel]", "errorString"),
		"a worker without updates":          temporal.NewNonRetryableApplicationError("Workflow Update is rejected because it wasn't processed by worker.", failureUnprocessed, nil),
		"overtaken time and again":          temporal.NewNonRetryableApplicationError("Workflow Update failed because the Workflow completed before the Update completed.", failureOvertaken, nil),
	} {
		e := wire.Public(temporalError(err))
		if e.Code != schema.CodeUnavailable || e.Message == "" {
			t.Errorf("%s: %s %q, want unavailable", name, e.Code, e.Message)
		}
		if !errors.Is(e, err) {
			t.Errorf("%s: the log does not get the cause", name)
		}
	}
	for _, err := range []error{
		serviceerror.NewNotFound("workflow execution already completed"), serviceerror.NewNotFound("workflow update was aborted by closing workflow"),
	} {
		if got := temporalError(err); !errors.Is(got, errNoWorkflow) {
			t.Errorf("%v became %v", err, got)
		}
	}
}

func TestTemporalErrors_KeepTheWorkflowsOwnWords(t *testing.T) {
	t.Parallel()
	fields := []schema.FieldError{{Location: "seconds", Message: "too many", Value: 9.0}}
	err := placed(temporalError(temporal.NewNonRetryableApplicationError("seconds: too many", string(schema.CodeInvalid), nil, fields)), "body.")
	e := wire.Public(err)
	if e.Code != schema.CodeInvalid || len(e.Fields) != 1 || e.Fields[0].Location != "body.seconds" || e.Message != "body.seconds: too many" {
		t.Errorf("got %+v", e)
	}
	err = placed(temporalError(temporal.NewNonRetryableApplicationError("seconds must be fewer", string(schema.CodeInvalid), nil, fields)), "body.")
	if e := wire.Public(err); e.Fields[0].Location != "body.seconds" || e.Message != "seconds must be fewer" {
		t.Errorf("got %+v", e)
	}
	for code, want := range map[schema.Code]int{schema.CodeConflict: http.StatusConflict, schema.CodeExpired: http.StatusGone, schema.CodeNotFound: http.StatusNotFound} {
		e := wire.Public(temporalError(temporal.NewNonRetryableApplicationError("no", string(code), nil)))
		if refusal, _ := wire.RefusalOf(e.Code); refusal.Status != want || e.Message != "no" {
			t.Errorf("%s: got %+v", code, e)
		}
	}
	// What has no code of ours is a fault, and stays in the log.
	for _, kind := range []string{"", "wrapError", string(schema.CodeInternal), "teapot"} {
		if e := wire.Public(temporalError(temporal.NewApplicationError("secret", kind))); e.Code != schema.CodeInternal || e.Message != wire.InternalMessage {
			t.Errorf("%q: got %+v", kind, e)
		}
	}
}

func TestSearchAttributes_TellANoFromNotBeingReached(t *testing.T) {
	t.Parallel()
	for _, err := range []error{
		serviceerror.NewPermissionDenied("Request unauthorized.", ""), serviceerror.NewUnimplemented("unknown service"),
		serviceerror.NewInvalidArgument("Unable to create search attributes: cannot have more than 10 search attributes of type Keyword."),
		serviceerror.NewFailedPrecondition("not on this cluster"), &wrongTypeError{name: schema.SearchOwner, kind: enums.INDEXED_VALUE_TYPE_TEXT},
	} {
		if !refusedByTemporal(err) {
			t.Errorf("%v is a no", err)
		}
	}
	for _, err := range []error{nil, serviceerror.NewUnavailable("away"), context.DeadlineExceeded, serviceerror.NewNamespaceNotFound("later"), serviceerror.NewInternal("?")} {
		if refusedByTemporal(err) {
			t.Errorf("%v is no refusal", err)
		}
	}
	if !undefinedAttribute(serviceerror.NewInvalidArgument("Namespace default has no mapping defined for search attribute HoldfastOwner")) ||
		undefinedAttribute(serviceerror.NewInvalidArgument("WorkflowId is not set on request.")) || undefinedAttribute(nil) {
		t.Error("a start that is refused for another reason is another thing")
	}
}

func TestHasNUL_LooksAtWhatStringsMean(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		`{"a":"b\u0000c"}`: true, `{"a":["\u0000"]}`: true, `{"\u0000":1}`: true, `{"a":"b\\u0000c"}`: false, `{"a":"b"}`: false, ``: false, `null`: false,
	} {
		if got := hasNUL([]byte(text)); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}
