package cli

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"

	"github.com/holdfast/holdfast/cmd/holdfast/disk"
	"github.com/holdfast/holdfast/cmd/holdfast/settings"
	"github.com/holdfast/holdfast/logs"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/telemetry"
)

// measured makes what a server process is watched by.
func (inv *invocation) measured(process telemetry.Process, log *slog.Logger) (*telemetry.Telemetry, error) {
	traces, err := telemetry.TracesFromEnv(inv.env.Get)
	if err != nil {
		return nil, withCode(exitUsage, err)
	}
	v := versions()
	return telemetry.New(telemetry.Options{
		Process: process, Instance: schema.NewID(), Version: v.Version, Commit: v.Commit, Go: v.Go, Log: log, Traces: traces,
	})
}

// measureDisk has the disk of the data folder measured.
func measureDisk(t *telemetry.Telemetry, room *disk.Watch) {
	number := func(m *telemetry.Metric, read func(free, used int64) int64) {
		t.Observed(m, func(_ context.Context, set telemetry.Set) {
			if free, used, err := disk.Room(room.Dir); err == nil { // else nobody can tell
				set(float64(read(free, used)))
			}
		})
	}
	number(telemetry.DiskFree, func(free, _ int64) int64 { return free })
	number(telemetry.DiskUsed, func(_, used int64) int64 { return used })
	t.Observed(telemetry.DiskLow, func(_ context.Context, set telemetry.Set) {
		if room.Now() != nil {
			set(1)
			return
		}
		set(0)
	})
}

// serveMetrics serves a worker's metrics until stop is called, if they are to be served: also while the worker stops,
// after ctx.
func serveMetrics(ctx context.Context, t *telemetry.Telemetry, m settings.Metrics, log *slog.Logger) (stop func(), err error) {
	if m.Addr == "" {
		return func() {}, nil
	}
	l, err := telemetry.Listen(ctx, m.Addr, m.Usual)
	if err != nil {
		return nil, withCode(exitUsage, fmt.Errorf("the setting %s: %w", settings.EnvMetricsAddr, err))
	}
	if at, ok := l.Addr().(*net.TCPAddr); ok && !at.IP.IsLoopback() {
		log.WarnContext(ctx, "metrics are served beyond this machine: whoever reaches them may read them", slog.String("addr", l.Addr().String()))
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := t.Serve(ctx, l, version()); err != nil {
			log.ErrorContext(ctx, "metrics endpoint failed", logs.Err(err))
		}
	})
	return func() { cancel(); serving.Wait() }, nil
}
