package health

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/holdfast/holdfast/logs"
)

// While Temporal is away, nobody knows of workers: what was known of them stays, and is not said again.
func TestMonitor_AWorkerIsNotFoundWhileTemporalIsAway(t *testing.T) {
	t.Parallel()
	gone := errors.New("gone")
	var b bytes.Buffer
	m := New(nil, nil, logs.New(&b, logs.FormatJSON, slog.LevelInfo))
	record := func(temporal, worker error) {
		for range maxFailures {
			m.record(t.Context(), Failures{Temporal: temporal, Worker: worker})
		}
	}
	said := func(msg string) int {
		return strings.Count(b.String(), `"msg":"dependency `+msg+`","dependency":"worker"`)
	}
	record(gone, nil)
	if said("found") != 0 {
		t.Errorf("a worker was found without Temporal:\n%s", &b)
	}
	record(nil, gone)
	record(gone, nil)
	if m.State().Up[Worker] || said("lost") != 1 || said("found") != 0 {
		t.Errorf("up: %v; a worker that was lost before Temporal is not found by that:\n%s", m.State().Up, &b)
	}
	record(nil, nil)
	record(gone, nil)
	if !m.State().Up[Worker] || said("lost") != 1 || said("found") != 1 {
		t.Errorf("up: %v; a worker that was there before Temporal went is not lost by that:\n%s", m.State().Up, &b)
	}
	record(nil, gone)
	if m.State().Up[Worker] || said("lost") != 2 {
		t.Errorf("up: %v; a worker that is gone when Temporal comes back is lost:\n%s", m.State().Up, &b)
	}
}
