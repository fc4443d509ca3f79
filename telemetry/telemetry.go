package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/otlptranslator"
	"go.opentelemetry.io/otel/attribute"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// scope names what makes the metrics and spans of this module.
const scope = "github.com/holdfast/holdfast"

// Options configures a process's telemetry.
type Options struct {
	Process  Process
	Instance string // of the process, in its traces
	Version  string
	Commit   string
	Go       string
	Log      *slog.Logger // what goes wrong with exporting; slog.Default()
	Traces   bool         // are sent where the variables of OpenTelemetry say
}

// Telemetry is what a process is watched by. Close it to send what was traced last.
type Telemetry struct {
	process  Process
	registry *prometheus.Registry
	metrics  *sdkmetric.MeterProvider
	traces   trace.TracerProvider
	flush    func(context.Context) error // of traces; nil without
	log      *slog.Logger
	ready    atomic.Bool

	counters   map[string]metric.Float64Counter
	histograms map[string]metric.Float64Histogram
}

// New makes the telemetry of a process, with the metrics that it exposes.
func New(o Options) (*Telemetry, error) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	handleErrors(o.Log)
	t := &Telemetry{
		process: o.Process, registry: prometheus.NewRegistry(), traces: noop.NewTracerProvider(), log: o.Log,
		counters: map[string]metric.Float64Counter{}, histograms: map[string]metric.Float64Histogram{},
	}
	exporter, err := otelprometheus.New(otelprometheus.WithRegisterer(t.registry), otelprometheus.WithoutScopeInfo(), otelprometheus.WithoutTargetInfo(),
		otelprometheus.WithTranslationStrategy(otlptranslator.UnderscoreEscapingWithSuffixes))
	if err != nil {
		return nil, fmt.Errorf("make the exporter of metrics: %w", err)
	}
	t.metrics = sdkmetric.NewMeterProvider(sdkmetric.WithReader(exporter), sdkmetric.WithView(temporalView))
	err = errors.Join(
		t.registry.Register(collectors.NewGoCollector(collectors.WithGoCollectorRuntimeMetrics(collectors.MetricsGC, collectors.MetricsMemory, collectors.MetricsScheduler))),
		t.registry.Register(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})),
		t.instruments(),
	)
	if err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	t.Observed(BuildInfo, func(_ context.Context, set Set) { set(1, o.Version, o.Commit, o.Go) })
	if o.Traces {
		if err := t.trace(&o); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// instruments makes those that are not read only when somebody looks. They begin at 0, so that a rate sees the first.
func (t *Telemetry) instruments() (err error) {
	meter := t.metrics.Meter(scope)
	for _, m := range all {
		if !slices.Contains(m.By, t.process) {
			continue
		}
		switch {
		case m.Kind == Gauge || m.Read: // somebody has to say how it is read
		case m.Kind == Counter:
			if t.counters[m.Name], err = meter.Float64Counter(m.Name, metric.WithDescription(m.Help)); err != nil {
				return err
			}
			if len(m.Labels) == 0 {
				t.counters[m.Name].Add(context.Background(), 0)
			}
		case m.Kind == Histogram:
			t.histograms[m.Name], err = meter.Float64Histogram(m.Name, metric.WithDescription(m.Help), metric.WithExplicitBucketBoundaries(m.Buckets...))
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// Add counts n more.
func (t *Telemetry) Add(m *Metric, n float64, labels ...string) {
	if t == nil {
		return
	}
	if c := t.counters[m.Name]; c != nil {
		c.Add(context.Background(), n, metric.WithAttributeSet(m.attributes(labels)))
	}
}

// Observe adds a value to a histogram.
func (t *Telemetry) Observe(m *Metric, value float64, labels ...string) {
	if t == nil {
		return
	}
	if h := t.histograms[m.Name]; h != nil {
		h.Record(context.Background(), value, metric.WithAttributeSet(m.attributes(labels)))
	}
}

// Set tells a value, with the values of the metric's labels.
type Set func(value float64, labels ...string)

// Observed has a gauge, or the total of a counter, read by a function whenever somebody looks at the metrics.
func (t *Telemetry) Observed(m *Metric, read func(ctx context.Context, set Set)) {
	if t == nil {
		return
	}
	meter := t.metrics.Meter(scope)
	call := func(ctx context.Context, o metric.Float64Observer) error {
		read(ctx, func(value float64, labels ...string) { o.Observe(value, metric.WithAttributeSet(m.attributes(labels))) })
		return nil
	}
	var err error
	if m.Kind == Counter {
		_, err = meter.Float64ObservableCounter(m.Name, metric.WithDescription(m.Help), metric.WithFloat64Callback(call))
	} else {
		_, err = meter.Float64ObservableGauge(m.Name, metric.WithDescription(m.Help), metric.WithFloat64Callback(call))
	}
	if err != nil {
		t.log.Error("a metric cannot be exposed", slog.String("name", m.Name), slog.Any("error", err))
	}
}

// attributes are the labels with these values, which come in the order of the declaration.
func (m *Metric) attributes(values []string) attribute.Set {
	if len(values) == 0 {
		return *attribute.EmptySet()
	}
	list := make([]attribute.KeyValue, 0, len(values))
	for i, v := range values {
		list = append(list, attribute.String(m.Labels[i], v))
	}
	return attribute.NewSet(list...)
}

// Handler serves the metrics in the Prometheus format.
func (t *Telemetry) Handler() http.Handler {
	return promhttp.HandlerFor(t.registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError, EnableOpenMetrics: false})
}

// Tracer makes spans; without traces, it makes none.
func (t *Telemetry) Tracer() trace.Tracer {
	if t == nil {
		return noop.NewTracerProvider().Tracer(scope)
	}
	return t.traces.Tracer(scope)
}

// Traced reports whether there are traces.
func (t *Telemetry) Traced() bool { return t != nil && t.flush != nil }

// closeTimeout bounds the sending of what was traced last.
const closeTimeout = 3 * time.Second

// Close sends what was traced last, and ends.
func (t *Telemetry) Close() {
	if t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if t.flush != nil {
		if err := t.flush(ctx); err != nil {
			t.log.WarnContext(ctx, "the last spans were not sent", slog.Any("error", err))
		}
	}
	_ = t.metrics.Shutdown(ctx) // nothing is sent by it
}
