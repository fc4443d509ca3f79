// Package telemetry is how a process is watched from outside: its metrics by OpenTelemetry in the Prometheus format, and
// its traces by OTLP over HTTP.
//
// Each metric is declared once, in metrics.go, and docs/observability.md is generated from that. [New] makes what a process
// needs; its methods work on a nil [Telemetry], which measures nothing, so that no caller has to ask.
//
// Traces are off unless the standard variables of OpenTelemetry turn them on, see [TracesFromEnv]. How a process writes its
// log is the business of package logs, and what it says about sessions that of package journal below this one.
//
// Imports: schema.
// Imported by: cmd/holdfast/cli, telemetry/docs, telemetry/journal, web, worker.
package telemetry

//go:generate go run ./docs ../docs/observability.md
