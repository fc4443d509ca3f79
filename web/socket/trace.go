package socket

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/holdfast/holdfast/logs"
)

// traced starts a command's span, when there are traces. A frame names no trace, so that it begins one.
func (s *Service) traced(ctx context.Context, q queued) (context.Context, func(error)) {
	if s.Tracer == nil {
		return ctx, func(error) {}
	}
	ctx, span := s.Tracer.Start(ctx, "frame "+q.frame.Head().Type, trace.WithSpanKind(trace.SpanKindServer), //nolint:spancheck // the returned function ends it
		trace.WithAttributes(attribute.String(logs.KeyRequest, q.requestID)))
	return ctx, func(err error) { //nolint:spancheck // the same
		if err != nil {
			span.SetStatus(codes.Error, "")
		}
		span.End()
	}
}
