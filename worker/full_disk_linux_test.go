package worker_test

import (
	"testing"

	"go.temporal.io/sdk/client"

	"github.com/holdfast/holdfast/embedded/embeddedtest"
	"github.com/holdfast/holdfast/internal/testkit"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store/storetest"
	"github.com/holdfast/holdfast/worker"
)

// The disk may be full of the output of this host's steps: only a worker removes that.
func TestWorker_StartsOnAFullDisk(t *testing.T) {
	t.Parallel()
	disk := testkit.NewDisk(t, 2<<20)
	c, err := client.Dial(client.Options{HostPort: embeddedtest.StartTestTemporal(t).Addr(), Identity: "holdfast test", Logger: worker.TemporalLogger(quiet())})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	w := &world{t: t, store: storetest.New(t), temporal: c, dir: disk.Dir, host: "host-" + schema.NewID()[:8], supervisor: supervise}
	w.snapshots = openSnapshots(t, t.TempDir())
	w.start()
	t.Cleanup(func() { w.stop() })
	w.awaitType(w.session(schema.Config{}, `{"steps":[{"id":"s","shell":"true"}]}`), schema.EventWorkflowCompleted)
	w.stop()
	disk.Fill(0)
	w.start()
	id := w.session(schema.Config{}, `{"steps":[{"id":"s","shell":"echo $HOLDFAST_ATTEMPT"}]}`)
	w.awaitType(id, schema.EventStepProgress) // it waits for space, and says so
	disk.Free()
	if got := output(t, w.awaitType(id, schema.EventWorkflowCompleted), "s"); got != "1\n" {
		t.Fatalf("it printed %q", got)
	}
}
