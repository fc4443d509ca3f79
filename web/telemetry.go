package web

import (
	"context"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/holdfast/holdfast/logs"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/telemetry"
	"github.com/holdfast/holdfast/telemetry/traceparent"
)

// The labels that metrics always have, so that what is 0 is shown as 0.
var (
	stepStatuses = []schema.StepStatus{
		schema.StepPending, schema.StepReady, schema.StepAwaitingApproval, schema.StepRunning, schema.StepFrozen,
		schema.StepSucceeded, schema.StepFailed, schema.StepSkipped, schema.StepCancelled,
	}
	approvalTypes = []schema.ApprovalType{
		schema.ApprovalPlan, schema.ApprovalStep, schema.ApprovalToolCall, schema.ApprovalErrorRecovery, schema.ApprovalProgramAsk, schema.ApprovalBudget,
	}
)

// measure has the server's parts measured, by the process's telemetry or one of the server's own.
func (s *Server) measure() error {
	t := s.opts.Telemetry
	if t == nil {
		var err error
		if t, err = telemetry.New(telemetry.Options{Process: telemetry.Web, Version: s.opts.Version, Instance: s.opts.Instance, Log: s.log}); err != nil {
			return err
		}
	}
	s.metrics = newMetrics(s, t)
	s.hub.Lag = func(lag time.Duration) { t.Observe(telemetry.EventLag, max(lag, 0).Seconds()) }
	if t.Traced() {
		s.hub.Tracer, s.sockets.Tracer = t.Tracer(), t.Tracer()
	}
	return nil
}

// traced starts a request's span, in the trace that its sender names if it names one.
func (s *Server) traced(ctx context.Context, c *fiber.Ctx) (context.Context, trace.Span) {
	if !s.metrics.Traced() || !worthTracing(c.Path()) {
		return ctx, nil
	}
	ctx = traceparent.With(ctx, c.Get("traceparent"), c.Get("tracestate"))
	ctx, span := s.metrics.Tracer().Start(ctx, c.Method(), trace.WithSpanKind(trace.SpanKindServer), //nolint:spancheck // endSpan ends it
		trace.WithAttributes(attribute.String("http.request.method", c.Method()), attribute.String("url.path", c.Path()), attribute.String(logs.KeyRequest, c.GetRespHeader(headerRequestID))))
	return ctx, span //nolint:spancheck // the same
}

// worthTracing reports whether a request may do something. Files of the UI and what monitors ask again and again do not.
func worthTracing(path string) bool {
	switch path {
	case "/api/metrics", "/api/health", "/api/ready":
		return false
	default:
		return path == "/ws" || strings.HasPrefix(path, "/api/")
	}
}

// endSpan ends a request's span, if there is one.
func endSpan(span trace.Span, c *fiber.Ctx, status int) {
	if span == nil {
		return
	}
	span.SetName(c.Method() + " " + c.Route().Path)
	span.SetAttributes(attribute.String("http.route", c.Route().Path), attribute.Int("http.response.status_code", status))
	if status >= fiber.StatusInternalServerError {
		span.SetStatus(codes.Error, "")
	}
	span.End()
}
