package cli

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"go.temporal.io/sdk/client"

	"github.com/holdfast/holdfast/embedded/embeddedtest"
	"github.com/holdfast/holdfast/internal/testkit"
	"github.com/holdfast/holdfast/schema/store/storetest"
	"github.com/holdfast/holdfast/worker"
)

func TestCheck_SaysWhetherTheWorkerOfADataFolderIsHeardOf(t *testing.T) {
	t.Parallel()
	dir, address := t.TempDir(), embeddedtest.StartTestTemporal(t).Addr()
	env := []string{"HOLDFAST_DATA_DIR=" + dir, "TEMPORAL_ADDRESS=" + address, "NO_COLOR=1"}
	run(t, env, "", "worker", "--check").want(t, exitError, "no worker runs with the data folder "+dir)
	run(t, env, "", "worker", "--check", "--json").want(t, exitUsage, "--json and --timeout go with --drain")
	run(t, env, "", "worker", "--check", "--drain").want(t, exitUsage, "--check")

	temporal, err := client.Dial(client.Options{HostPort: address, Logger: worker.TemporalLogger(slog.New(slog.DiscardHandler))})
	if err != nil {
		t.Fatal(err)
	}
	defer temporal.Close()
	db := storetest.New(t)
	for range 2 { // what Temporal remembers of the first must not make the second healthy
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			done <- worker.Run(ctx, worker.Options{Store: db, Temporal: temporal, DataDir: dir, Host: "one", Supervisor: os.Args[0], Logger: slog.New(slog.DiscardHandler)})
		}()
		var r result
		testkit.EventuallyRight(t, "a healthy worker", func() string {
			if r = run(t, env, "", "worker", "--check"); r.code != exitOK {
				return r.errOut
			}
			return ""
		})
		r.want(t, exitOK, "the worker runs, and Temporal hears of it")
		stop()
		testkit.Receive(t, "the end of the worker", done)
		run(t, env, "", "worker", "--check").want(t, exitError, "no worker runs")
	}
	// A worker that waits, here for a database that lacks migrations, runs but is not heard from. Temporal still knows the one before.
	lacking := storetest.Open(t, storetest.Server().NewDatabase(t))
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- worker.Run(ctx, worker.Options{Store: lacking, Temporal: temporal, DataDir: dir, Host: "one", Supervisor: os.Args[0], Logger: slog.New(slog.DiscardHandler)})
	}()
	testkit.Eventually(t, "a worker", func() bool { _, err := os.Stat(filepath.Join(dir, "worker.json")); return err == nil })
	run(t, env, "", "worker", "--check").want(t, exitError, "is not polling Temporal")
	stop()
	testkit.Receive(t, "the end of the worker", done)
}
