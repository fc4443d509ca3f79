package telemetry

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/holdfast/holdfast/logs"
)

// down is a collector that may be.
type down struct{ err error }

func (d *down) ExportSpans(context.Context, []sdktrace.ReadOnlySpan) error { return d.err }
func (d *down) Shutdown(context.Context) error                             { return nil }

func TestCollector_IsLostAndFoundOnceEach(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	to := &down{}
	c := collector{SpanExporter: to, log: logs.New(&b, logs.FormatJSON, slog.LevelInfo)}
	for _, err := range []error{nil, errors.New("refused"), errors.New("refused"), nil, nil, errors.New("refused")} {
		to.err = err
		if err := c.ExportSpans(t.Context(), nil); err != nil {
			t.Error("the SDK would say it again, with every batch:", err)
		}
	}
	if lost, found := strings.Count(b.String(), "collector lost"), strings.Count(b.String(), "collector found"); lost != 2 || found != 1 {
		t.Errorf("lost %d times, found %d times:\n%s", lost, found, b.String())
	}
}

func TestDescribe_WhatIsSetWins(t *testing.T) {
	o := &Options{Process: Worker, Version: "v1", Instance: "i"}
	for _, c := range []struct{ attributes, name, want string }{
		{"", "", "holdfast-worker v1 i"},
		{"service.version=v2,service.instance.id=j,service.name=ours", "", "ours v2 j"},
		{"service.version=v2", "theirs", "theirs v2 i"},
	} {
		t.Setenv("OTEL_RESOURCE_ATTRIBUTES", c.attributes)
		t.Setenv("OTEL_SERVICE_NAME", c.name)
		about, err := describe(o)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for _, a := range about.Attributes() {
			got[string(a.Key)] = a.Value.AsString()
		}
		if got := got["service.name"] + " " + got["service.version"] + " " + got["service.instance.id"]; got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}
