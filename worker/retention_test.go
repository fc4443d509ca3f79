package worker

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast/holdfast/internal/testkit"
	"github.com/holdfast/holdfast/logs"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
	"github.com/holdfast/holdfast/schema/store/storetest"
	"github.com/holdfast/holdfast/snapshot"
)

var must = testkit.Must

// printed is a session whose run has printed something and is over.
func printed(t *testing.T, s *store.Store) string {
	t.Helper()
	ctx := t.Context()
	id := schema.NewID()
	run := schema.RunID(id, 1)
	plan := &schema.Plan{Steps: []schema.PlanStep{{ID: "a", Shell: "true"}}}
	_, _, err := s.CreateSession(ctx, store.NewSession{ID: id, Name: "s", Mode: schema.ModeRunbook, Owner: "ann", Plan: plan})
	must(t, err)
	_, err = s.BeginRun(ctx, store.BeginRun{SessionID: id, RunID: run, Number: 1, Key: "1", Status: schema.SessionActive, Phase: schema.PhaseExecuting})
	must(t, err)
	_, err = s.BeginAttempt(ctx, store.BeginAttempt{SessionID: id, RunID: run, StepID: "a", Execution: "1", Host: "h", Command: []string{"true"}})
	must(t, err)
	chunks := make([]schema.OutputData, 3000)
	for i := range chunks {
		chunks[i] = schema.OutputData{Stream: schema.Stdout, Text: strings.Repeat("so much ", 100), Attempt: 1}
	}
	must(t, s.AppendOutput(ctx, store.AppendOutput{SessionID: id, RunID: run, StepID: "a", Attempt: 1, To: 1, Chunks: chunks}))
	_, err = s.Apply(ctx, schema.Transition{
		SessionID: id, RunID: run, Key: "end", Status: schema.SessionCompleted, Phase: schema.PhaseIdle, End: &schema.RunEnd{Status: schema.SessionCompleted},
	})
	must(t, err)
	return id
}

// Two workers process the same logs, and a log is complete at all times.
func TestRetention_CompactsArchivesAndDeletes(t *testing.T) {
	t.Parallel()
	_, dsn := storetest.NewDSN(t)
	dir := filepath.Join(t.TempDir(), "blobs")
	blobs, err := snapshot.Open(t.Context(), "file://"+dir)
	must(t, err)
	defer blobs.Close()
	s, err := store.Open(t.Context(), dsn, store.Options{Archive: blobs})
	must(t, err)
	defer s.Close()
	id := printed(t, s)
	read := func() []schema.Event {
		t.Helper()
		events, err := s.Events(t.Context(), id, store.EventFilter{Limit: 100_000})
		must(t, err)
		for i := range events {
			if events[i].Seq != int64(i+1) {
				t.Fatalf("event %d has seq %d", i+1, events[i].Seq)
			}
		}
		return events
	}
	want := len(read())
	start := func(r Retention) (stop func()) {
		r.Interval = 20 * time.Millisecond
		o := &Options{Store: s, Logger: logs.Discard(), Retention: r}
		one, two := startRetention(context.Background(), o), startRetention(context.Background(), o)
		return func() { one(); two() }
	}

	stop := start(Retention{}) // does nothing to sessions that nobody has deleted
	defer func() { stop() }()
	testkit.Eventually(t, "a look", func() bool {
		held, err := s.HoldRetention(t.Context(), func(context.Context) error { return nil })
		return err == nil && held
	})
	stop()
	if ids, err := s.Compactable(t.Context(), time.Nanosecond, 1); err != nil || len(ids) != 1 {
		t.Fatalf("%v, %v", ids, err)
	}

	stop = start(Retention{CompactAfter: time.Nanosecond, ArchiveAfter: time.Nanosecond})
	testkit.Eventually(t, "compaction and archive", func() bool {
		if got := len(read()); got != want {
			t.Fatalf("%d events, not %d", got, want)
		}
		found, err := filepath.Glob(filepath.Join(dir, "events", id, "*.zst"))
		return err == nil && len(found) >= 2
	})
	stop()
	if ids, err := s.Compactable(t.Context(), time.Nanosecond, 1); err != nil || len(ids) != 0 {
		t.Fatalf("%v, %v", ids, err)
	}
	if got := len(read()); got != want {
		t.Fatalf("%d events, not %d", got, want)
	}

	stop = start(Retention{DeleteAfter: time.Nanosecond})
	testkit.Eventually(t, "deletion", func() bool {
		_, err := s.Session(t.Context(), id)
		return schema.CodeOf(err) == schema.CodeNotFound
	})
}

// refusing is an archive that refuses to delete some sessions' logs.
type refusing struct {
	store.Archive

	sessions []string
}

func (a *refusing) DeleteObject(ctx context.Context, key string) error {
	if slices.ContainsFunc(a.sessions, func(id string) bool { return strings.Contains(key, id) }) {
		return schema.Errorf(schema.CodeUnavailable, "the object is locked")
	}
	return a.Archive.DeleteObject(ctx, key)
}

// What the archive refuses to delete delays neither other logs nor the collection of blobs.
func TestRetention_PurgesBesideWhatIsRefused(t *testing.T) {
	t.Parallel()
	_, dsn := storetest.NewDSN(t)
	blobs, err := snapshot.Open(t.Context(), "file://"+t.TempDir())
	must(t, err)
	defer blobs.Close()
	archive := &refusing{Archive: blobs}
	s, err := store.Open(t.Context(), dsn, store.Options{Archive: archive})
	must(t, err)
	defer s.Close()
	ids := make([]string, 4) // one more than the number of failures that ends a look
	for i := range ids {
		ids[i] = printed(t, s)
		_, err := s.Compact(t.Context(), ids[i])
		must(t, err)
		must(t, s.DeleteSession(t.Context(), ids[i], "ann"))
		deleted := time.Now().Add(-48*time.Hour + time.Duration(i)*time.Minute)
		storetest.Exec(t, dsn, `UPDATE sessions SET deleted_at = $1, workflow_closed_at = $1 WHERE id = $2`, deleted, ids[i])
	}
	archive.sessions = ids[:3]
	r := &retention{
		store: s, log: logs.Discard(), unpurged: map[string]refusal{},
		files: &Collector{Store: s, Snapshots: blobs, DataDir: t.TempDir(), Logger: logs.Discard()},
	}
	if err := r.runOnce(t.Context()); schema.CodeOf(err) != schema.CodeUnavailable || r.blobs.IsZero() {
		t.Fatalf("%v; blobs were collected: %t", err, !r.blobs.IsZero())
	}
	must(t, r.runOnce(t.Context()))
	left, err := s.Purgeable(t.Context(), time.Hour, nil, 10)
	must(t, err)
	slices.Sort(left)
	want := slices.Sorted(slices.Values(ids[:3]))
	if !slices.Equal(left, want) {
		t.Fatalf("left are %v, not %v", left, want)
	}
	// The refused ones are tried again.
	archive.sessions = nil
	for id, refused := range r.unpurged {
		r.unpurged[id] = refusal{times: refused.times, until: time.Now()}
	}
	must(t, r.runOnce(t.Context()))
	if left, err := s.Purgeable(t.Context(), time.Hour, nil, 10); err != nil || len(left) != 0 || len(r.unpurged) != 0 {
		t.Fatalf("left are %v, %v", left, err)
	}
}
