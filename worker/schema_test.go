package worker_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store/storetest"
	"github.com/holdfast/holdfast/worker"
)

// record is a log that a test reads while others write to it.
type record struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.b.Write(p)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.b.String()
}

func (r *record) logger() *slog.Logger { return slog.New(slog.NewTextHandler(r, nil)) }

func (r *record) await(t *testing.T, text string) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if strings.Contains(r.String(), text) {
			return
		}
	}
	t.Fatalf("%q does not come: %s", text, r)
}

func TestRun_WaitsUntilTheDatabaseIsMigrated(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.stop()
	dsn := storetest.Server().NewDatabase(t)
	w.store = storetest.Open(t, dsn)
	log := &record{}
	o := w.options()
	o.Logger = log.logger()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- worker.Run(ctx, o) }()
	log.await(t, "run holdfast migrate up")
	if strings.Contains(log.String(), "worker ready") {
		t.Error("it says that it is ready")
	}
	if _, err := w.store.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	log.await(t, "worker ready")
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}

	storetest.Exec(t, dsn, `INSERT INTO bun_migrations (name, group_id) VALUES ('0999', 2)`)
	if err := worker.Run(t.Context(), o); schema.CodeOf(err) != schema.CodeUnsupported {
		t.Errorf("it works on a schema that it does not know: %v", err)
	}
}
