package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// The variables of OpenTelemetry that turn traces on and off. What else there is, such as OTEL_SERVICE_NAME,
// OTEL_TRACES_SAMPLER or OTEL_EXPORTER_OTLP_HEADERS, its SDK reads itself.
const (
	EnvDisabled       = "OTEL_SDK_DISABLED"
	EnvTracesExporter = "OTEL_TRACES_EXPORTER"
	EnvEndpoint       = "OTEL_EXPORTER_OTLP_ENDPOINT"
	EnvTracesEndpoint = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
	EnvProtocol       = "OTEL_EXPORTER_OTLP_PROTOCOL"
	EnvTracesProtocol = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"
)

const (
	exporterOTLP = "otlp"
	exporterNone = "none"
	protocolHTTP = "http/protobuf"
)

// TracesFromEnv reads whether traces are wanted: OTEL_TRACES_EXPORTER is otlp, or it is not set and an endpoint is. A value
// that this program cannot follow is an error.
func TracesFromEnv(get func(name string) string) (bool, error) {
	if strings.EqualFold(get(EnvDisabled), "true") {
		return false, nil
	}
	switch exporter := get(EnvTracesExporter); exporter {
	case exporterNone:
		return false, nil
	case exporterOTLP:
	case "":
		if get(EnvEndpoint) == "" && get(EnvTracesEndpoint) == "" {
			return false, nil
		}
	default:
		return false, fmt.Errorf("the setting %s is %q; allowed is otlp or none", EnvTracesExporter, exporter)
	}
	from := EnvTracesProtocol // it wins
	if get(from) == "" {
		from = EnvProtocol
	}
	if protocol := get(from); protocol != "" && protocol != protocolHTTP {
		return false, fmt.Errorf("the setting %s is %q; allowed is http/protobuf", from, protocol)
	}
	return true, nil
}

var handler sync.Once

// handleErrors has what goes wrong inside of OpenTelemetry logged like everything else.
func handleErrors(log *slog.Logger) {
	handler.Do(func() { // there is one for all of the SDK
		otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("telemetry failed", slog.Any("error", err)) }))
	})
}

// trace starts to send spans. The SDK drops what a collector does not take in time, so nothing waits for one.
func (t *Telemetry) trace(o *Options) error {
	exporter, err := otlptracehttp.New(context.Background())
	if err != nil {
		return fmt.Errorf("make the exporter of traces: %w", err)
	}
	about, err := describe(o)
	if err != nil {
		return err
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(&collector{SpanExporter: exporter, log: o.Log}), sdktrace.WithResource(about))
	t.traces, t.flush = provider, provider.Shutdown
	return nil
}

// describe says what the process is. What the variables of OpenTelemetry say of it wins.
func describe(o *Options) (*resource.Resource, error) {
	ours := resource.NewSchemaless(
		attribute.String("service.name", "holdfast-"+string(o.Process)), attribute.String("service.version", o.Version), attribute.String("service.instance.id", o.Instance))
	// An attribute that cannot be read is left out; resource.Default reports it.
	env, err := resource.New(context.Background(), resource.WithFromEnv())
	if err != nil && !errors.Is(err, resource.ErrPartialResource) {
		return nil, fmt.Errorf("describe this process: %w", err)
	}
	about := resource.Default()
	for _, more := range []*resource.Resource{ours, env} {
		if about, err = resource.Merge(about, more); err != nil {
			return nil, fmt.Errorf("describe this process: %w", err)
		}
	}
	return about, nil
}

// collector is where spans are sent. That it cannot be reached, and can be again, is said once for each change.
type collector struct {
	sdktrace.SpanExporter

	log  *slog.Logger
	lost bool // the SDK exports one batch at a time
}

// ExportSpans implements sdktrace.SpanExporter.
func (c *collector) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	err := c.SpanExporter.ExportSpans(ctx, spans)
	switch {
	case err != nil && !c.lost:
		c.lost = true
		c.log.WarnContext(ctx, "collector lost", slog.Any("error", err))
	case err == nil && c.lost:
		c.lost = false
		c.log.InfoContext(ctx, "collector found")
	}
	return nil // it was said
}
