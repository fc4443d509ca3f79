package worker_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast/holdfast/internal/testkit"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
	"github.com/holdfast/holdfast/worker"
)

// run starts a worker and returns how it ends, and what it logs.
func run(t *testing.T, o worker.Options) (ended chan error, log *testkit.Screen, stop func()) {
	t.Helper()
	log = &testkit.Screen{}
	o.Logger = log.Logger(slog.LevelInfo)
	ctx, cancel := context.WithCancel(context.Background())
	ended = make(chan error, 1)
	go func() { ended <- worker.Run(ctx, o) }()
	t.Cleanup(cancel)
	return ended, log, cancel
}

// A copy of a data folder, on this machine or another, has its host's name, but no right to it.
func TestHost_ASecondFolderUnderALiveNameIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.stop()
	first := w.options()
	ended, log, stop := run(t, first)
	log.Await(t, "worker ready")

	second := w.options()
	second.DataDir = t.TempDir()
	for _, name := range []string{"folder-id", "host-claim"} { // as a copy has them
		text, err := os.ReadFile(filepath.Join(first.DataDir, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(second.DataDir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	refused, log2, _ := run(t, second)
	err := <-refused
	if schema.CodeOf(err) != schema.CodeConflict || !strings.Contains(err.Error(), "the data folder "+first.DataDir) || !strings.Contains(err.Error(), "HOLDFAST_HOST") {
		t.Fatalf("the second worker says %v", err)
	}
	if strings.Contains(log2.String(), "worker ready") {
		t.Error("it has worked before")
	}

	// A worker that stops gives the name back.
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	moved, log3, stop3 := run(t, second)
	log3.Await(t, "worker ready")
	if took := time.Since(began); took > store.HostLease/2 {
		t.Errorf("it waited %s for a name that nobody has", took)
	}
	stop3()
	if err := <-moved; err != nil {
		t.Fatal(err)
	}
}

// A killed worker leaves its name behind. The next one in the same folder gets it at once, one in another folder after
// the lease; a worker that comes back to find its name taken ends.
func TestHost_ANameIsTakenOverWhenItsWorkerIsGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.stop()
	o := w.options()
	ended, log, stop := run(t, o)
	log.Await(t, "worker ready")
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	folder, err := os.ReadFile(filepath.Join(o.DataDir, "host-claim"))
	if err != nil {
		t.Fatal(err)
	}
	killed := store.HostHolder{Host: o.Host, Folder: strings.TrimSpace(strings.TrimPrefix(string(folder), o.Host+" ")), Holder: "killed", Place: "there"}
	if claim, err := w.store.ClaimHost(t.Context(), killed); err != nil || !claim.Taken {
		t.Fatalf("%+v, %v", claim, err)
	}
	began := time.Now()
	ended, log, stop = run(t, o)
	log.Await(t, "worker ready")
	if took := time.Since(began); took > store.HostLease/2 {
		t.Errorf("in the same folder it waited %s", took)
	}

	// Another one has it by now, as if this one had been stopped for a long time.
	stranger := killed
	stranger.Folder, stranger.Holder, stranger.Place = "elsewhere", "stranger", "elsewhere"
	taken, err := w.store.ClaimHost(t.Context(), stranger)
	if err != nil || taken.Taken {
		t.Fatalf("a name that is renewed was given away: %v", err)
	}
	_ = w.store.LeaveHost(t.Context(), store.HostHolder{Host: o.Host, Holder: holderOf(t, w.store, o.Host)})
	if claim, err := w.store.ClaimHost(t.Context(), stranger); err != nil || !claim.Taken {
		t.Fatalf("%+v, %v", claim, err)
	}
	if err := <-ended; schema.CodeOf(err) != schema.CodeConflict || !strings.Contains(err.Error(), "elsewhere") {
		t.Errorf("the worker whose name was taken ends with %v", err)
	}
	stop()
	if log := log.String(); strings.Contains(log, "level=ERROR") {
		t.Error(log)
	}

	// Its new holder is never heard of again.
	ended, log, stop = run(t, o)
	log.Await(t, "waiting for the worker that had this host's name")
	log.Await(t, "worker ready")
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}

func holderOf(t *testing.T, s *store.Store, host string) string {
	t.Helper()
	claim, err := s.ClaimHost(t.Context(), store.HostHolder{Host: host, Folder: "nobody's", Holder: "nobody"})
	if err != nil || claim.Taken {
		t.Fatalf("%+v, %v", claim, err)
	}
	return claim.Other.Holder
}
