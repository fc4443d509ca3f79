package telemetry

import (
	"context"
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

// Traces says that traces are wanted, by the variables of OpenTelemetry.
type Traces struct {
	named bool // OTEL_SERVICE_NAME has a name for the process
}

const (
	exporterOTLP = "otlp"
	exporterNone = "none"
	protocolHTTP = "http/protobuf"
	serviceName  = attribute.Key("service.name")
)

// TracesFromEnv reads whether traces are wanted: OTEL_TRACES_EXPORTER is otlp, or it is not set and an endpoint is. It is
// nil when they are not. A value that this program cannot follow is an error.
func TracesFromEnv(get func(name string) string) (*Traces, error) {
	if strings.EqualFold(get(EnvDisabled), "true") {
		return nil, nil //nolint:nilnil // none are wanted
	}
	switch exporter := get(EnvTracesExporter); exporter {
	case exporterNone:
		return nil, nil //nolint:nilnil // the same
	case exporterOTLP:
	case "":
		if get(EnvEndpoint) == "" && get(EnvTracesEndpoint) == "" {
			return nil, nil //nolint:nilnil // the same
		}
	default:
		return nil, fmt.Errorf("the setting %s is %q; allowed is otlp or none", EnvTracesExporter, exporter)
	}
	from := EnvTracesProtocol // it wins
	if get(from) == "" {
		from = EnvProtocol
	}
	if protocol := get(from); protocol != "" && protocol != protocolHTTP {
		return nil, fmt.Errorf("the setting %s is %q; allowed is http/protobuf", from, protocol)
	}
	return &Traces{named: get("OTEL_SERVICE_NAME") != "" || strings.Contains(get("OTEL_RESOURCE_ATTRIBUTES"), string(serviceName)+"=")}, nil
}

var sayErrors sync.Once

// trace starts to send spans. The SDK drops what a collector does not take in time, so nothing waits for one.
func (t *Telemetry) trace(o *Options) error {
	exporter, err := otlptracehttp.New(context.Background())
	if err != nil {
		return fmt.Errorf("make the exporter of traces: %w", err)
	}
	about := []attribute.KeyValue{attribute.String("service.version", o.Version), attribute.String("service.instance.id", o.Instance)}
	if !o.Traces.named {
		about = append(about, serviceName.String("holdfast-"+string(o.Process)))
	}
	res, err := resource.Merge(resource.Default(), resource.NewSchemaless(about...))
	if err != nil {
		return fmt.Errorf("describe this process: %w", err)
	}
	log := o.Log
	sayErrors.Do(func() { // there is one for all of the SDK
		otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("telemetry failed", slog.Any("error", err)) }))
	})
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(res))
	t.traces, t.flush = provider, provider.Shutdown
	return nil
}
