package worker_test

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/holdfast/holdfast/embedded/embeddedtest"
	"github.com/holdfast/holdfast/internal/testkit"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store/storetest"
	"github.com/holdfast/holdfast/worker"
)

// A step runs, one fails and is retried, one is cancelled while running, one while frozen, a session is deleted,
// workers are replaced under a step, and the last one ends: nobody needs to look at any of it.
func TestLog_NormalOperationHasNoWarnings(t *testing.T) {
	t.Parallel()
	said := &testkit.Screen{}
	logger := said.Logger(slog.LevelWarn)
	c, err := client.Dial(client.Options{HostPort: embeddedtest.StartTestTemporal(t).Addr(), Identity: "holdfast test", Logger: worker.TemporalLogger(logger)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	w := &world{t: t, store: storetest.New(t), temporal: c, dir: t.TempDir(), host: "host-" + schema.NewID()[:8], supervisor: supervise, logger: logger, keepSteps: true}
	w.snapshots = openSnapshots(t, w.dir)
	w.start()
	const sleeper = `{"steps":[{"id":"s","shell":"echo up; while [ ! -e go ]; do sleep 0.05; done"}]}`
	none := schema.Config{ApprovalMode: schema.ApproveNone}
	begun := func() string {
		id := w.session(none, sleeper)
		w.await(id, "output", func(events []schema.Event) bool { return output(t, events, "s") == "up\n" })
		return id
	}
	must := func(id, name string, arg any) {
		t.Helper()
		if _, err := w.update(id, name, arg); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}

	w.awaitType(w.session(none, `{"steps":[{"id":"s","shell":"[ $HOLDFAST_ATTEMPT = 2 ]","retries":1}]}`), schema.EventWorkflowCompleted)
	cancelled, frozen, deleted, kept := begun(), begun(), begun(), begun()
	must(cancelled, schema.CommandCancel, schema.Command{})
	must(frozen, schema.CommandSuspend, schema.Command{})
	w.awaitType(frozen, schema.EventWorkflowPaused)
	must(frozen, schema.CommandCancel, schema.Command{})
	must(deleted, schema.CommandClose, schema.Command{})
	for _, id := range []string{cancelled, frozen, deleted} {
		w.awaitType(id, schema.EventWorkflowCancelled)
	}
	w.stop()
	w.start()
	w.awaitType(kept, schema.EventStepReattached)
	testkit.Never(t, 2*time.Second, "a warning while what the restart cut off is retried", func() bool { return said.String() != "" })
	w.stop()
	w.start()
	if err := os.WriteFile(filepath.Join(schema.WorkspaceDir(w.dir, kept), "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	w.awaitType(kept, schema.EventWorkflowCompleted)
	w.stop()
	if said := said.String(); said != "" {
		t.Errorf("the log has:\n%s", said)
	}
}

func TestTemporalLogger_TellsAnEndFromTrouble(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		want bool
	}{
		{temporal.NewCanceledError(), false},
		{serviceerror.NewNotFound("workflow execution already completed"), false},
		{fmt.Errorf("record: %w", serviceerror.NewCanceled("")), false},
		{errors.New("the disk is on fire"), true},
		{serviceerror.NewUnavailable("nobody is there"), true},
	} {
		said := &testkit.Screen{}
		log := worker.TemporalLogger(said.Logger(slog.LevelWarn))
		log.Warn("heartbeat", "Error", c.err)
		log.Error("activity", "Error", c.err)
		if got := strings.Count(said.String(), "\n"); (got == 2) != c.want || (got == 0) == c.want {
			t.Errorf("%v made %d lines", c.err, got)
		}
	}
}
