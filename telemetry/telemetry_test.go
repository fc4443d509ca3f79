package telemetry_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast/holdfast/logs"
	"github.com/holdfast/holdfast/telemetry"
)

func TestTelemetry_ServesMetricsAndHealth(t *testing.T) {
	t.Parallel()
	m, err := telemetry.New(telemetry.Options{Process: telemetry.Worker, Version: "v1", Commit: "abc", Go: "go1", Log: logs.Discard()})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	m.Add(telemetry.StepsLost, 2, "worker_lost")
	m.Observe(telemetry.DecisionStart, .004)
	m.Observed(telemetry.StepsRunning, func(_ context.Context, set telemetry.Set) { set(3) })
	m.Add(telemetry.Requests, 1, "2xx") // web's: nothing of it is shown
	l, err := telemetry.Listen(t.Context(), "127.0.0.1:0", false)
	if err != nil {
		t.Fatal(err)
	}
	other, err := telemetry.Listen(t.Context(), l.Addr().String(), true) // it is taken: another port
	if err != nil {
		t.Fatal(err)
	}
	other.Close()
	if _, err := telemetry.Listen(t.Context(), l.Addr().String(), false); err == nil {
		t.Error("a port that somebody has set was not insisted on")
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- m.Serve(ctx, l, "v1") }()
	get := func(path string) (int, string) {
		res, err := http.Get("http://" + l.Addr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(b)
	}
	_, text := get("/metrics")
	for _, want := range []string{
		`holdfast_build_info{commit="abc",go_version="go1",version="v1"} 1`, `holdfast_steps_lost_total{reason="worker_lost"} 2`, "holdfast_steps_running 3",
		`holdfast_decision_start_seconds_bucket{le="0.005"} 1`, "holdfast_steps_started_total 0", "go_goroutines ", "go_gc_heap_live_bytes ",
	} {
		if !strings.Contains(text, "\n"+want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, telemetry.Requests.Name) {
		t.Errorf("a worker shows a metric of web's:\n%s", text)
	}
	if code, body := get("/healthz"); code != 200 || !json.Valid([]byte(body)) || !strings.Contains(body, `"version":"v1"`) {
		t.Errorf("healthz: %d %s", code, body)
	}
	before, _ := get("/readyz")
	m.SetReady(true)
	if after, _ := get("/readyz"); before != 503 || after != 200 {
		t.Errorf("readyz: %d, then %d", before, after)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestMetrics_AreDeclaredWell(t *testing.T) {
	t.Parallel()
	names := map[string]bool{}
	for _, m := range telemetry.All() {
		if names[m.Name] || !strings.HasPrefix(m.Name, "holdfast_") || m.Help == "" || len(m.By) == 0 {
			t.Errorf("%+v", m)
		}
		names[m.Name] = true
		if (m.Kind == telemetry.Counter) != strings.HasSuffix(m.Name, "_total") || (m.Kind == telemetry.Histogram) != (len(m.Buckets) > 0) || !slices.IsSorted(m.Buckets) {
			t.Errorf("%s is not what its name says", m.Name)
		}
		if m.Unit != "" && !strings.Contains(m.Name, "_"+m.Unit) {
			t.Errorf("%s does not name its unit, %s", m.Name, m.Unit)
		}
	}
}
