package cli

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/holdfast/holdfast/cmd/holdfast/settings"
	"github.com/holdfast/holdfast/internal/testkit"
	"github.com/holdfast/holdfast/logs"
	"github.com/holdfast/holdfast/telemetry"
)

// A worker that was told to end is watched until it has.
func TestServeMetrics_ServesUntilItIsStopped(t *testing.T) {
	t.Parallel()
	m, err := telemetry.New(telemetry.Options{Process: telemetry.Worker, Log: logs.Discard()})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	ctx, cancel := context.WithCancel(t.Context())
	addr := testkit.FreeAddr(t)
	stop, err := serveMetrics(ctx, m, settings.Metrics{Addr: addr}, logs.Discard())
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	for range 20 { // it would take a moment to end
		res, err := http.Get("http://" + addr + "/healthz")
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		time.Sleep(5 * time.Millisecond)
	}
	stop()
	if res, err := http.Get("http://" + addr + "/healthz"); err == nil {
		res.Body.Close()
		t.Error("it goes on after it was stopped")
	}
}
