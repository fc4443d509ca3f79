package worker_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/holdfast/holdfast/internal/testkit"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store/storetest"
	"github.com/holdfast/holdfast/worker"
)

func TestRun_WaitsUntilTheDatabaseIsMigrated(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.stop()
	dsn := storetest.Server().NewDatabase(t)
	w.store = storetest.Open(t, dsn)
	log := &testkit.Screen{}
	o := w.options()
	o.Logger = log.Logger(slog.LevelInfo)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- worker.Run(ctx, o) }()
	log.Await(t, "run holdfast migrate up")
	if strings.Contains(log.String(), "worker ready") {
		t.Error("it says that it is ready")
	}
	if _, err := w.store.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	log.Await(t, "worker ready")
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}

	storetest.Exec(t, dsn, `INSERT INTO bun_migrations (name, group_id) VALUES ('0999', 2)`)
	if err := worker.Run(t.Context(), o); schema.CodeOf(err) != schema.CodeUnsupported {
		t.Errorf("it works on a schema that it does not know: %v", err)
	}
}
