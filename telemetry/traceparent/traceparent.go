// Package traceparent carries the trace of a piece of work as W3C's header traceparent, wherever a context does not get:
// to a step's environment, and through Postgres to those who follow a session. It is a package of its own so that what
// uses it does not carry the rest of OpenTelemetry.
//
// Imports: nothing of this module.
// Imported by: activities, activities/runner, schema/store, web, web/feed.
package traceparent

import (
	"context"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

const (
	header = "traceparent"
	state  = "tracestate"
)

// Of is the header's value for what ctx belongs to; "" if that is not traced.
func Of(ctx context.Context) string {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		return ""
	}
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier[header]
}

// With returns a context that belongs to the trace of these headers. Headers that are not valid change nothing.
func With(ctx context.Context, parent, tracestate string) context.Context {
	if parent == "" {
		return ctx
	}
	return propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{header: parent, state: tracestate})
}

// Tracer makes the spans of what ctx belongs to; none if that is not traced.
func Tracer(ctx context.Context) trace.Tracer {
	return trace.SpanFromContext(ctx).TracerProvider().Tracer("github.com/holdfast/holdfast")
}
