package workspace_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"

	"github.com/holdfast/holdfast/activities/workspace"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/snapshot"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// hosts makes managers that share a blob store, each with its own data dir.
func hosts(t *testing.T, n int, quota snapshot.Quota) []*workspace.Manager {
	t.Helper()
	return hostsOver(t, t.TempDir(), n, quota)
}

func hostsOver(t *testing.T, bucket string, n int, quota snapshot.Quota) []*workspace.Manager {
	t.Helper()
	store, err := snapshot.Open(t.Context(), "file://"+bucket)
	must(t, err)
	t.Cleanup(func() { must(t, store.Close()) })
	out := make([]*workspace.Manager, n)
	for i := range out {
		out[i] = workspace.NewManager(workspace.Options{Store: store, DataDir: t.TempDir(), Quota: quota, Logger: slog.New(slog.DiscardHandler)})
	}
	return out
}

// session plays a session's log: the last recorded snapshot.
type session struct {
	*testing.T

	id       string
	files    map[string]string
	snapshot string
}

func (s *session) enter(k *workspace.Manager, run string) *workspace.Lease {
	s.Helper()
	lease, err := k.Acquire(s.Context(), workspace.Request{SessionID: s.id, RunID: run, Snapshot: s.snapshot, Files: s.files})
	must(s.T, err)
	return lease
}

func (s *session) record(saved *workspace.Saved) error {
	if saved.Err == nil {
		s.snapshot = saved.Digest
	}
	return saved.Err
}

// step runs a step from beginning to end, and wants these changes.
func (s *session) step(k *workspace.Manager, run string, program func(dir string), want ...string) (restored bool) {
	s.Helper()
	lease := s.enter(k, run)
	defer lease.Release()
	program(lease.Dir)
	must(s.T, lease.Save(s.Context(), func(saved *workspace.Saved) error {
		s.wantChanges(saved, want...)
		return s.record(saved)
	}))
	return lease.Restored
}

func (s *session) wantChanges(saved *workspace.Saved, want ...string) {
	s.Helper()
	var got []string
	for _, c := range saved.Changes {
		sign := "~"
		if c.Created {
			sign = "+"
		}
		got = append(got, sign+c.Path)
	}
	if !slices.Equal(got, want) {
		s.Errorf("changes are %v, not %v", got, want)
	}
}

func TestManager_AStepOnAnotherHostGoesOnWhereTheLastOneEnded(t *testing.T) {
	t.Parallel()
	k := hosts(t, 2, snapshot.Quota{})
	s := &session{T: t, id: "s", files: map[string]string{"plan.txt": "plan", "other.txt": "other"}}
	restored := s.step(k[0], "r", func(dir string) {
		write(t, dir, "plan.txt", "what the first step made of it")
		write(t, dir, "a", "1")
	}, "+a", "+plan.txt")
	if restored {
		t.Error("there was nothing to restore")
	}
	restored = s.step(k[1], "r", func(dir string) {
		wantText(t, dir, "plan.txt", "what the first step made of it") // the plan's file is not written over it
		wantText(t, dir, "other.txt", "other")
		wantText(t, dir, "a", "1")
		write(t, dir, "a", "12")
		must(t, os.Remove(filepath.Join(dir, "other.txt")))
	}, "~a")
	if !restored {
		t.Error("the other host had it already")
	}
	if k[0].CurrentSnapshot("s") == k[1].CurrentSnapshot("s") || k[1].CurrentSnapshot("s") != s.snapshot {
		t.Error("where they are is wrong")
	}
	// Back on the first, with an edit of the plan that the second host has written meanwhile.
	s.files["plan.txt"] = "edited"
	s.step(k[1], "r", func(dir string) { wantText(t, dir, "plan.txt", "edited"); write(t, dir, "plan.txt", "used") }, "~plan.txt")
	s.step(k[0], "r", func(dir string) {
		wantText(t, dir, "plan.txt", "used")
		wantText(t, dir, "a", "12")
		if _, err := os.Stat(filepath.Join(dir, "other.txt")); err == nil {
			t.Error("what was deleted has come back")
		}
	})
	// The next run starts from its plan, on any host.
	s.step(k[1], "r2", func(dir string) { wantText(t, dir, "plan.txt", "edited"); wantText(t, dir, "other.txt", "other") })
}

func TestManager_AHostThatIsWhereItShouldBeRestoresNothing(t *testing.T) {
	t.Parallel()
	k := hosts(t, 1, snapshot.Quota{})[0]
	s := &session{T: t, id: "s"}
	s.step(k, "r", func(dir string) { write(t, dir, "a", "1") }, "+a")
	first := s.snapshot
	// An attempt that died with its worker: what it left stays, as it would without snapshots.
	lease := s.enter(k, "r")
	write(t, lease.Dir, "left", "1")
	lease.Release()
	if s.step(k, "r", func(dir string) { wantText(t, dir, "left", "1") }, "+left") {
		t.Error("restored")
	}
	// A saved but never recorded attempt: nobody has heard of it.
	s.snapshot = first
	if !s.step(k, "r", func(dir string) {
		if _, err := os.Stat(filepath.Join(dir, "left")); err == nil {
			t.Error("what was never recorded is there")
		}
	}) {
		t.Error("not restored")
	}
}

// A step is requested, another one ends, and then the first one starts: what it knew is outdated.
func TestManager_WhatACallerKnowsMayHaveBeenOvertaken(t *testing.T) {
	t.Parallel()
	s := &session{T: t, id: "s"}
	store, err := snapshot.Open(t.Context(), "file://"+t.TempDir())
	must(t, err)
	t.Cleanup(func() { must(t, store.Close()) })
	k := workspace.NewManager(workspace.Options{
		Store: store, DataDir: t.TempDir(), Logger: slog.New(slog.DiscardHandler),
		Latest: func(context.Context, string) (string, error) { return s.snapshot, nil },
	})
	s.step(k, "r", func(dir string) { write(t, dir, "a", "1") }, "+a")
	old := s.snapshot
	s.step(k, "r", func(dir string) { write(t, dir, "b", "1") }, "+b")
	lease, err := k.Acquire(t.Context(), workspace.Request{SessionID: "s", RunID: "r", Snapshot: old})
	must(t, err)
	if lease.Restored {
		t.Error("it was set back")
	}
	must(t, lease.Save(t.Context(), func(saved *workspace.Saved) error { s.wantChanges(saved); return nil }))
	lease.Release()
}

// Another host may make the same state that this one had earlier: a file came and went.
func TestManager_AnEarlierStateThatComesBackIsRestoredLikeAnyOther(t *testing.T) {
	t.Parallel()
	k := hosts(t, 2, snapshot.Quota{})
	s := &session{T: t, id: "s"}
	s.step(k[0], "r", func(dir string) { write(t, dir, "a", "1") }, "+a")
	first := s.snapshot
	s.step(k[0], "r", func(dir string) { write(t, dir, "scratch", "1") }, "+scratch")
	s.step(k[1], "r", func(dir string) { must(t, os.Remove(filepath.Join(dir, "scratch"))) })
	if s.snapshot != first {
		t.Fatal("the snapshot is not the first one again")
	}
	s.step(k[0], "r", func(dir string) {
		if _, err := os.Stat(filepath.Join(dir, "scratch")); err == nil {
			t.Error("what was removed on the other host is there")
		}
	})
}

func TestManager_AForkStartsFromTheSnapshotAndNotFromThePlansFiles(t *testing.T) {
	t.Parallel()
	k := hosts(t, 2, snapshot.Quota{})
	s := &session{T: t, id: "source", files: map[string]string{"data": "raw", "program": "1"}}
	s.step(k[0], "r", func(dir string) { write(t, dir, "data", "cooked") }, "+data")
	fork := &session{T: t, id: "fork", files: map[string]string{"data": "raw", "program": "2"}, snapshot: s.snapshot}
	for _, host := range k {
		fork.snapshot = s.snapshot
		fork.step(host, "r-of-the-fork", func(dir string) {
			wantText(t, dir, "data", "cooked")
			wantText(t, dir, "program", "2")
			write(t, dir, "data", "eaten")
		}, "~data")
	}
	s.step(k[0], "r", func(dir string) { wantText(t, dir, "data", "cooked") })
	fork.step(k[1], "the-next-run", func(dir string) { wantText(t, dir, "data", "raw") })
}

func TestManager_NeverRestoresUnderAStepThatRuns(t *testing.T) {
	t.Parallel()
	k := hosts(t, 2, snapshot.Quota{})
	s := &session{T: t, id: "s"}
	s.step(k[0], "r", func(dir string) { write(t, dir, "a", "1") }, "+a")
	one := s.enter(k[1], "r")
	write(t, one.Dir, "mine", "1")
	s.step(k[0], "r", func(dir string) { write(t, dir, "a", "elsewhere") }, "~a")
	two := s.enter(k[1], "r")
	if two.Restored {
		t.Fatal("restored")
	}
	wantText(t, two.Dir, "mine", "1")
	two.Release()
	one.Release()
	if three := s.enter(k[1], "r"); !three.Restored {
		t.Error("not restored once it was free")
	} else {
		three.Release()
	}
	// The same for one that was there before this worker.
	back, err := k[1].Reacquire(workspace.Request{SessionID: "s", RunID: "r", Snapshot: s.snapshot})
	must(t, err)
	s.step(k[0], "r", func(dir string) { write(t, dir, "a", "elsewhere again") }, "~a")
	if four := s.enter(k[1], "r"); four.Restored {
		t.Error("restored")
	} else {
		four.Release()
	}
	back.Release()
}

// Two attempts end together: the last record must hold what both have made.
func TestManager_TheSnapshotThatIsRecordedLastIsTheNewest(t *testing.T) {
	t.Parallel()
	k := hosts(t, 2, snapshot.Quota{})
	s := &session{T: t, id: "s"}
	const steps = 20
	var ends sync.WaitGroup
	told := map[string]int{}
	stays := make([]*workspace.Lease, steps)
	for i := range stays {
		stays[i] = s.enter(k[0], "r")
	}
	for i, lease := range stays {
		ends.Go(func() {
			defer lease.Release()
			write(t, lease.Dir, string(rune('a'+i)), "1")
			if err := lease.Save(t.Context(), func(saved *workspace.Saved) error {
				for _, c := range saved.Changes {
					told[c.Path]++
				}
				return s.record(saved)
			}); err != nil {
				t.Error(err)
			}
		})
	}
	ends.Wait()
	s.step(k[1], "r", func(dir string) {
		for i := range steps {
			wantText(t, dir, string(rune('a'+i)), "1")
			if told[string(rune('a'+i))] != 1 {
				t.Errorf("file %d was told %d times", i, told[string(rune('a'+i))])
			}
		}
	})
}

func TestManager_ChangesAreToldAgainUntilTheyAreRecorded(t *testing.T) {
	t.Parallel()
	k := hosts(t, 1, snapshot.Quota{})[0]
	s := &session{T: t, id: "s"}
	s.step(k, "r", func(dir string) { write(t, dir, "a", "1") }, "+a")
	lease := s.enter(k, "r")
	write(t, lease.Dir, "b", "1")
	lost := errors.New("the worker died here")
	if err := lease.Save(t.Context(), func(saved *workspace.Saved) error { s.wantChanges(saved, "+b"); return lost }); !errors.Is(err, lost) {
		t.Fatal(err)
	}
	lease.Release()
	// The next worker continues it.
	lease, err := k.Reacquire(workspace.Request{SessionID: "s", RunID: "r", Snapshot: s.snapshot})
	must(t, err)
	must(t, lease.Save(t.Context(), func(saved *workspace.Saved) error { s.wantChanges(saved, "+b"); return s.record(saved) }))
	lease.Release()
	lease.Release()
	s.step(k, "r", func(string) {})
}

// A record may wait so long for Postgres that nobody knows what was saved.
func TestManager_WhatWasCollectedBeforeItsRecordIsSavedAgain(t *testing.T) {
	t.Parallel()
	bucket := t.TempDir()
	k := hostsOver(t, bucket, 2, snapshot.Quota{})
	s := &session{T: t, id: "s"}
	s.step(k[0], "r", func(dir string) { write(t, dir, "a", "1") }, "+a")
	lease := s.enter(k[0], "r")
	write(t, lease.Dir, "b", "1")
	calls := 0
	must(t, lease.Save(t.Context(), func(saved *workspace.Saved) error {
		s.wantChanges(saved, "+b")
		if calls++; calls == 1 {
			must(t, os.Remove(filepath.Join(bucket, "manifests", "sha256", saved.Digest[:2], saved.Digest)))
			return fmt.Errorf("record: %w", snapshot.ErrCollected)
		}
		return s.record(saved)
	}))
	lease.Release()
	s.step(k[1], "r", func(dir string) {
		wantText(t, dir, "a", "1")
		wantText(t, dir, "b", "1")
	})
}

func TestManager_AWorkspaceOverItsQuotaIsNotKept(t *testing.T) {
	t.Parallel()
	k := hosts(t, 1, snapshot.Quota{Files: 3})[0]
	s := &session{T: t, id: "s"}
	s.step(k, "r", func(dir string) { write(t, dir, "a", "1") }, "+a")
	lease := s.enter(k, "r")
	for _, name := range []string{"a", "b", "c", "d"} {
		write(t, lease.Dir, name, "1")
	}
	must(t, lease.Save(t.Context(), func(saved *workspace.Saved) error {
		if !snapshot.Exceeds(saved.Err) || saved.Digest != "" || saved.Err.Error() != "the workspace holds 4 files and folders; the limit is 3" {
			t.Errorf("%+v", saved)
		}
		return nil
	}))
	lease.Release()
	// The next attempt finds what was there before it grew.
	if !s.step(k, "r", func(dir string) {
		if left, _ := os.ReadDir(dir); len(left) != 2 {
			t.Errorf("left are %v", left)
		}
	}) {
		t.Error("not restored")
	}
}

func TestManager_WhatAStepPutsWhereOurFilesAreDoesNoHarm(t *testing.T) {
	t.Parallel()
	k := hosts(t, 1, snapshot.Quota{})[0]
	s := &session{T: t, id: "s", files: map[string]string{"p": "1"}}
	outside := filepath.Join(t.TempDir(), "outside")
	must(t, os.WriteFile(outside, []byte("precious"), 0o600))
	s.step(k, "r", func(dir string) {
		record := filepath.Join(dir, schema.WorkspacePrivate, "prepared-r")
		must(t, os.Remove(record))
		must(t, syscall.Mkfifo(record, 0o600)) // opening it would block for ever
	}, "+p")
	lease, err := k.Acquire(t.Context(), workspace.Request{SessionID: "s", RunID: "r", Snapshot: s.snapshot, Files: s.files})
	if err == nil {
		t.Error("a pipe was read as what was prepared")
		lease.Release()
	}
	s.files = map[string]string{"p": "2"}
	lease = s.enter(k, "r2")
	must(t, os.Remove(filepath.Join(lease.Dir, "p")))
	must(t, os.Link(outside, filepath.Join(lease.Dir, "p"))) // another name for a file outside
	lease.Release()
	s.files = map[string]string{"p": "3"}
	s.step(k, "r2", func(dir string) { wantText(t, dir, "p", "3") })
	wantText(t, filepath.Dir(outside), "outside", "precious")
}

func BenchmarkManager_AcquireWhereNothingIsToDo(b *testing.B) {
	store, err := snapshot.Open(b.Context(), "file://"+b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	k := workspace.NewManager(workspace.Options{Store: store, DataDir: b.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	v := workspace.Request{SessionID: "s", RunID: "r", Files: map[string]string{"a": "1"}}
	enter := func() *workspace.Lease {
		lease, err := k.Acquire(b.Context(), v)
		if err != nil {
			b.Fatal(err)
		}
		return lease
	}
	lease := enter()
	if err := lease.Save(b.Context(), func(s *workspace.Saved) error { v.Snapshot = s.Digest; return s.Err }); err != nil {
		b.Fatal(err)
	}
	lease.Release()
	for b.Loop() {
		enter().Release()
	}
}
