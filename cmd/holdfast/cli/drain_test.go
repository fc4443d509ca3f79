package cli

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.temporal.io/sdk/client"

	"github.com/holdfast/holdfast/embedded/embeddedtest"
	"github.com/holdfast/holdfast/internal/testkit"
	"github.com/holdfast/holdfast/schema/store/storetest"
	"github.com/holdfast/holdfast/worker"
)

func TestDrain_EndsTheWorkerOfADataFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	env := []string{"HOLDFAST_DATA_DIR=" + dir, "NO_COLOR=1"}
	run(t, env, "", "worker", "--drain").want(t, exitError, "no worker runs with the data folder "+dir)
	run(t, env, "", "worker", "--json").want(t, exitUsage, "--json and --timeout go with --drain")
	run(t, env, "", "worker", "--drain", "--timeout=-1s").want(t, exitUsage, "--timeout is -1s")

	temporal, err := client.Dial(client.Options{HostPort: embeddedtest.StartTestTemporal(t).Addr(), Logger: worker.TemporalLogger(slog.New(slog.DiscardHandler))})
	if err != nil {
		t.Fatal(err)
	}
	defer temporal.Close()
	for _, json := range []bool{false, true} {
		done := make(chan error, 1)
		db := storetest.New(t)
		go func() {
			done <- worker.Run(t.Context(), worker.Options{Store: db, Temporal: temporal, DataDir: dir, Host: "one", Supervisor: os.Args[0], Logger: slog.New(slog.DiscardHandler)})
		}()
		// It holds the folder before it listens.
		var r result
		testkit.EventuallyRight(t, "a worker that listens", func() string {
			if _, err := os.Stat(filepath.Join(dir, "worker.json")); err != nil {
				return err.Error()
			}
			args := []string{"worker", "--drain"}
			if json {
				args = append(args, "--json")
			}
			if r = run(t, env, "", args...); strings.Contains(r.errOut, "does not listen") {
				return r.errOut
			}
			return ""
		})
		if json {
			r.want(t, exitOK, `{"state":"drained","host":"one","running":[]}`)
		} else {
			r.want(t, exitOK, "drained: the worker of host one has ended")
		}
		if err := testkit.Receive(t, "the end of the worker", done); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDrain_NamesWhatStillRuns(t *testing.T) {
	t.Parallel()
	list := make([]worker.DrainedStep, 10)
	for i := range list {
		list[i] = worker.DrainedStep{SessionID: "11111111-2222-4333-8444-555555555555", StepID: "build"}
	}
	if got := stillRun(list[:1]) + ": " + steps(list[:1]); got != "1 step still runs: build of session 11111111" {
		t.Error(got)
	}
	if got := stillRun(list) + ": " + steps(list); !strings.HasPrefix(got, "10 steps still run: build of") || !strings.HasSuffix(got, ", and 2 more") {
		t.Error(got)
	}
}
