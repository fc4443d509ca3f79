package telemetry_test

import (
	"strings"
	"testing"

	"github.com/holdfast/holdfast/telemetry"
)

func TestTracesFromEnv_FollowsTheStandardVariables(t *testing.T) {
	t.Parallel()
	for entries, want := range map[string]string{
		"":                                     "off",
		"OTEL_TRACES_EXPORTER=otlp":            "on",
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://c": "on",
		"OTEL_TRACES_EXPORTER=none OTEL_EXPORTER_OTLP_ENDPOINT=http://c":                                              "off",
		"OTEL_SDK_DISABLED=true OTEL_TRACES_EXPORTER=otlp":                                                            "off",
		"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://c":                                                                 "on",
		"OTEL_TRACES_EXPORTER=zipkin":                                                                                 "otlp or none",
		"OTEL_TRACES_EXPORTER=otlp OTEL_EXPORTER_OTLP_PROTOCOL=grpc":                                                  `OTEL_EXPORTER_OTLP_PROTOCOL is "grpc"; allowed is http/protobuf`,
		"OTEL_TRACES_EXPORTER=otlp OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=http/protobuf":                                  "on",
		"OTEL_TRACES_EXPORTER=otlp OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=http/protobuf OTEL_EXPORTER_OTLP_PROTOCOL=grpc": "on",
		"OTEL_TRACES_EXPORTER=otlp OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=grpc OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf": "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL is \"grpc\"",
	} {
		env := map[string]string{}
		for entry := range strings.FieldsSeq(entries) {
			name, value, _ := strings.Cut(entry, "=")
			env[name] = value
		}
		traces, err := telemetry.TracesFromEnv(func(name string) string { return env[name] })
		got := "off"
		if traces {
			got = "on"
		}
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, want) {
			t.Errorf("%q: %s, want %s", entries, got, want)
		}
	}
}
