package worker

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/holdfast/holdfast/internal/testkit"
	"github.com/holdfast/holdfast/logs"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
	"github.com/holdfast/holdfast/schema/store/storetest"
	"github.com/holdfast/holdfast/snapshot"
)

// worked is a session whose step has left files in its folder and in the blob store.
func worked(t *testing.T, s *store.Store, blobs *snapshot.Store, dataDir, text string) string {
	t.Helper()
	ctx := t.Context()
	id := schema.NewID()
	run := schema.RunID(id, 1)
	plan := &schema.Plan{Steps: []schema.PlanStep{{ID: "a", Shell: "true"}}}
	_, _, err := s.CreateSession(ctx, store.NewSession{ID: id, Name: "s", Mode: schema.ModeRunbook, Owner: "ann", Plan: plan})
	must(t, err)
	_, err = s.BeginRun(ctx, store.BeginRun{SessionID: id, RunID: run, Number: 1, Key: "1", Status: schema.SessionActive, Phase: schema.PhaseExecuting})
	must(t, err)
	a, err := s.BeginAttempt(ctx, store.BeginAttempt{SessionID: id, RunID: run, StepID: "a", Execution: "1", Host: "h", Command: []string{"true"}})
	must(t, err)
	dir := schema.WorkspaceDir(dataDir, id)
	must(t, os.MkdirAll(filepath.Join(dir, "sub"), 0o700))
	must(t, os.WriteFile(filepath.Join(dir, "sub", "f"), []byte(text), 0o400))
	must(t, os.Chmod(filepath.Join(dir, "sub"), 0o500))
	saved, err := blobs.Save(ctx, snapshot.NewFolder(dir, snapshot.StateDir(dataDir, id)), snapshot.SaveOptions{})
	must(t, err)
	must(t, s.FinishAttempt(ctx, store.FinishAttempt{
		SessionID: id, RunID: run, StepID: "a", Attempt: a.Number, StepStatus: schema.StepSucceeded, Snapshot: saved.Digest,
		End: store.AttemptEnd{Status: schema.AttemptSucceeded},
	}))
	return id
}

func exists(name string) bool {
	_, err := os.Lstat(name)
	return err == nil
}

// A deleted session's disk space comes back, on its host and in the blob store; what a fork uses stays.
func TestCollector_FreesADeletedSessionAndKeepsWhatItsForkHas(t *testing.T) {
	t.Parallel()
	s, dsn := storetest.NewDSN(t)
	dataDir := t.TempDir()
	bucket := filepath.Join(dataDir, "blobs")
	blobs, err := snapshot.Open(t.Context(), "file://"+bucket)
	must(t, err)
	defer blobs.Close()
	alone, forked, kept := worked(t, s, blobs, dataDir, "alone"), worked(t, s, blobs, dataDir, "forked"), worked(t, s, blobs, dataDir, "kept")
	fork, _, err := s.Fork(t.Context(), store.NewFork{ID: schema.NewID(), SourceID: forked, StepID: "a", Actor: "carl"})
	must(t, err)
	lost := schema.NewID() // unknown to the database: it may belong to another one
	must(t, os.MkdirAll(schema.WorkspaceDir(dataDir, lost), 0o700))
	cutShort := filepath.Join(filepath.Dir(schema.WorkspaceDir(dataDir, "x")), ".gone-before", "sub")
	must(t, os.MkdirAll(cutShort, 0o700))

	c := &Collector{Store: s, Snapshots: blobs, DataDir: dataDir, Logger: logs.Discard()}
	for _, id := range []string{alone, forked} {
		must(t, s.DeleteSession(t.Context(), id, "ann"))
	}
	folders, err := c.Folders(t.Context(), true)
	must(t, err)
	done, held, err := c.Blobs(t.Context(), true)
	must(t, err)
	if folders.Sessions != 0 || done.Snapshots+done.Blobs != 0 || !held || !exists(schema.WorkspaceDir(dataDir, alone)) || exists(cutShort) {
		t.Fatalf("it goes while its workflow may still run: %+v, %+v", folders, done)
	}
	ago := time.Now().Add(-time.Hour)
	storetest.Exec(t, dsn, `UPDATE sessions SET deleted_at = $1, workflow_closed_at = $1 WHERE id = ANY ($2::uuid[])`, ago.Add(30*time.Minute), []string{alone, forked})
	must(t, filepath.WalkDir(bucket, func(name string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chtimes(name, ago, ago)
	}))
	c.DryRun = true
	dry, err := c.Folders(t.Context(), true)
	must(t, err)
	if dry.Sessions != 2 || dry.Bytes == 0 || dry.Kept != 2 || dry.KeptBytes == 0 || !exists(schema.WorkspaceDir(dataDir, alone)) {
		t.Errorf("a dry run says %+v", dry)
	}

	// The workers do it on their own.
	stop := startRetention(context.Background(), &Options{
		Store: s, Snapshots: blobs, DataDir: dataDir, Logger: logs.Discard(), Retention: Retention{Interval: 20 * time.Millisecond},
	})
	defer stop()
	testkit.Eventually(t, "the folders are gone", func() bool {
		return !exists(schema.WorkspaceDir(dataDir, alone)) && !exists(schema.WorkspaceDir(dataDir, forked)) && !exists(snapshot.StateDir(dataDir, alone))
	})
	testkit.Eventually(t, "its blobs are gone", func() bool {
		left := 0
		must(t, filepath.WalkDir(bucket, func(_ string, d os.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				left++
			}
			if os.IsNotExist(err) {
				return nil
			}
			return err
		}))
		return left == 4 // two manifests, and a blob of each
	})
	stop()
	if !exists(schema.WorkspaceDir(dataDir, kept)) || !exists(schema.WorkspaceDir(dataDir, lost)) {
		t.Error("a folder is gone that somebody needs")
	}
	for _, id := range []string{kept, fork.ID} {
		digest, err := s.Snapshot(t.Context(), id)
		must(t, err)
		_, err = blobs.Restore(t.Context(), snapshot.NewFolder(t.TempDir()+"/w", t.TempDir()), digest)
		must(t, err)
	}
}
