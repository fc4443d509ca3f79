package telemetry

import (
	"fmt"
	"log/slog"
	"strings"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/opentelemetry"
	"go.temporal.io/sdk/interceptor"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"github.com/holdfast/holdfast/schema"
)

// Temporal has a client, and the workers that use it, measure what they do by the SDK's own metrics, whose names begin
// with temporal_, and trace it.
func (t *Telemetry) Temporal(o *client.Options) error {
	if t == nil {
		return nil
	}
	o.MetricsHandler = opentelemetry.NewMetricsHandler(opentelemetry.MetricsHandlerOptions{
		Meter: t.metrics.Meter("temporal-sdk-go"), UseMonotonicCounters: true,
		OnError: func(err error) { t.log.Error("a metric of Temporal's cannot be exposed", slog.Any("error", err)) },
	})
	if !t.Traced() {
		return nil
	}
	tracing, err := opentelemetry.NewTracingInterceptor(opentelemetry.TracerOptions{
		Tracer: t.Tracer(), SpanContextKey: schema.WorkflowSpan{},
		// Whoever sends a traceparent that cannot be read must not keep a workflow from its work.
		AllowInvalidParentSpans: true,
		// The server's health is not work, and a query changes nothing that could be followed.
		DisableQueryTracing: true,
	})
	if err != nil {
		return fmt.Errorf("trace Temporal: %w", err)
	}
	o.Interceptors = append(o.Interceptors, interceptor.ClientInterceptor(tracing))
	return nil
}

// temporalView gives the SDK's timers buckets that fit seconds; by default they are for milliseconds.
func temporalView(i sdkmetric.Instrument) (sdkmetric.Stream, bool) {
	if i.Kind != sdkmetric.InstrumentKindHistogram || !strings.HasPrefix(i.Name, "temporal_") {
		return sdkmetric.Stream{}, false
	}
	return sdkmetric.Stream{
		Name: i.Name, Description: i.Description, Unit: i.Unit,
		Aggregation: sdkmetric.AggregationExplicitBucketHistogram{Boundaries: append(append([]float64{}, quick...), 60, 600, 3600)},
	}, true
}
