package snapshot_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/holdfast/holdfast/internal/testkit"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/snapshot"
)

const (
	grace   = 20 * time.Minute
	orphans = 24 * time.Hour
)

// age makes everything in the store, and what is remembered of it, older.
func (w *world) age(by time.Duration) {
	w.Helper()
	must(w, filepath.WalkDir(w.bucket, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		at := info.ModTime().Add(-by)
		return os.Chtimes(name, at, at)
	}))
}

// objects counts what is in the store.
func (w *world) objects() (n int) {
	w.Helper()
	must(w, filepath.WalkDir(w.bucket, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			n++
		}
		return err
	}))
	return n
}

func (w *world) collect(o snapshot.Collecting) snapshot.Collected {
	w.Helper()
	done, err := w.Collect(w.Context(), o)
	must(w, err)
	return done
}

func TestCollect_FreesWhatOnlyDeletedSessionsHad(t *testing.T) {
	t.Parallel()
	w := start(t)
	dir, f := w.folder("a")
	put(t, dir, "common", strings.Repeat("c", 5000))
	put(t, dir, "own", strings.Repeat("o", 9<<20))
	gone := w.save(f, snapshot.SaveOptions{})
	other, g := w.folder("b")
	put(t, other, "common", strings.Repeat("c", 5000))
	kept := w.save(g, snapshot.SaveOptions{})
	o := snapshot.Collecting{Grace: grace, OrphanGrace: orphans, Full: true, Owners: map[string]snapshot.Owner{
		gone.Digest: {EndedAt: time.Now()}, kept.Digest: {Live: true},
	}}
	before := w.objects()
	if done := w.collect(o); done.Snapshots+done.Blobs != 0 || w.objects() != before {
		t.Fatalf("within its grace it goes: %+v", done)
	}
	w.age(time.Hour)
	o.Owners[gone.Digest] = snapshot.Owner{EndedAt: time.Now().Add(-time.Hour)}
	o.DryRun = true
	dry := w.collect(o)
	if w.objects() != before {
		t.Fatal("a dry run deletes")
	}
	o.DryRun = false
	done := w.collect(o)
	if done.Snapshots != 1 || done.Blobs != 2 || done.Bytes == 0 || done.KeptSnapshots != 1 || done.KeptBlobs != 1 || done != dry {
		t.Fatalf("freed is %+v, and should be %+v", done, dry)
	}
	if w.objects() != before-3 {
		t.Errorf("%d objects of %d are left", w.objects(), before)
	}
	to, h := w.folder("c")
	w.restore(h, kept.Digest)
	w.wantSame(other, to)
	if _, err := w.Manifest(t.Context(), gone.Digest); err == nil {
		t.Log("the list is still known by heart") // it may be
	}
}

// What cannot be deleted keeps nothing else, and goes the next time.
func TestCollect_GoesOnPastWhatIsRefused(t *testing.T) {
	t.Parallel()
	w := start(t)
	dir, f := w.folder("a")
	put(t, dir, "file", strings.Repeat("f", 5000))
	put(t, dir, "other", strings.Repeat("o", 5000))
	gone := w.save(f, snapshot.SaveOptions{})
	w.age(time.Hour)
	o := snapshot.Collecting{Grace: grace, OrphanGrace: orphans, Owners: map[string]snapshot.Owner{gone.Digest: {EndedAt: time.Now().Add(-time.Hour)}}}
	blob, err := filepath.Glob(filepath.Join(w.bucket, "blobs", "sha256", "*", "*"))
	if must(t, err); len(blob) != 2 {
		t.Fatalf("the blobs are %v", blob)
	}
	name, err := filepath.Rel(w.bucket, blob[0])
	must(t, err)
	inTheWay := filepath.Join(w.bucket, "trash", strings.ReplaceAll(filepath.ToSlash(name), "/", "-"))
	snapshot.BeforeDeletion(w.Store, func() { must(t, os.MkdirAll(filepath.Join(inTheWay, "x"), 0o700)) })
	done, err := w.Collect(t.Context(), o)
	if err == nil || !strings.Contains(err.Error(), "could not be deleted: 1,") || done.Blobs != 1 || done.Snapshots != 0 {
		t.Fatalf("freed is %+v: %v", done, err)
	}
	snapshot.BeforeDeletion(w.Store, nil)
	must(t, os.RemoveAll(inTheWay))
	if done := w.collect(o); done.Blobs != 1 || done.Snapshots != 1 || w.objects() != 0 {
		t.Fatalf("freed is %+v, and %d objects are left", done, w.objects())
	}
}

// A snapshot waits for its own blobs, and not for those of others.
func TestCollect_OnlySnapshotsOfWhatIsRefusedStay(t *testing.T) {
	t.Parallel()
	w := start(t)
	owners := map[string]snapshot.Owner{}
	save := func(name string) {
		dir, f := w.folder(name)
		put(t, dir, "file", strings.Repeat(name, 5000))
		owners[w.save(f, snapshot.SaveOptions{}).Digest] = snapshot.Owner{EndedAt: time.Now().Add(-time.Hour)}
	}
	save("a")
	blob, err := filepath.Glob(filepath.Join(w.bucket, "blobs", "sha256", "*", "*"))
	if must(t, err); len(blob) != 1 {
		t.Fatalf("the blobs are %v", blob)
	}
	save("b")
	w.age(time.Hour)
	name, err := filepath.Rel(w.bucket, blob[0])
	must(t, err)
	inTheWay := filepath.Join(w.bucket, "trash", strings.ReplaceAll(filepath.ToSlash(name), "/", "-"))
	snapshot.BeforeDeletion(w.Store, func() { must(t, os.MkdirAll(filepath.Join(inTheWay, "x"), 0o700)) })
	done, err := w.Collect(t.Context(), snapshot.Collecting{Grace: grace, OrphanGrace: orphans, Owners: owners})
	if err == nil || done.Blobs != 1 || done.Snapshots != 1 {
		t.Fatalf("freed is %+v: %v", done, err)
	}
}

// A save may take up, at any moment, what is about to be collected: it stays.
func TestCollect_WhatASaveTakesUpStays(t *testing.T) {
	t.Parallel()
	w := start(t)
	dir, f := w.folder("a")
	put(t, dir, "f", "the same")
	saved := w.save(f, snapshot.SaveOptions{})
	w.age(time.Hour)
	owners := map[string]snapshot.Owner{saved.Digest: {EndedAt: time.Now().Add(-time.Hour)}}
	// Another session makes the same blob, in another list, and has not said so yet.
	other, g := w.folder("b")
	put(t, other, "f", "the same")
	put(t, other, "g", "more")
	again := w.save(g, snapshot.SaveOptions{})
	w.collect(snapshot.Collecting{Owners: owners, Grace: grace, OrphanGrace: orphans, Full: true})
	to, h := w.folder("c")
	w.restore(h, again.Digest)
	w.wantSame(other, to)

	// Nobody was told of it for longer than that, so it goes; and the next save of the folder does not rely on it.
	w.age(2 * orphans)
	if done := w.collect(snapshot.Collecting{Grace: grace, OrphanGrace: orphans}); done.Snapshots != 1 || w.objects() != 0 {
		t.Fatalf("%+v, and %d objects are left", done, w.objects())
	}
	if third := w.save(g, snapshot.SaveOptions{}); third.Digest != again.Digest {
		t.Fatal("the same is another snapshot")
	}
	fresh, i := w.folder("d")
	w.restore(i, again.Digest)
	w.wantSame(other, fresh)
}

// Two sessions that have the same have one snapshot: one of them is deleted while the other's
// record waits.
func TestCollect_WhatIsHeldOutlivesAnotherSessionsEnd(t *testing.T) {
	t.Parallel()
	w := start(t)
	dir, f := w.folder("a")
	put(t, dir, "f", "the same")
	saved := w.save(f, snapshot.SaveOptions{})
	w.age(time.Hour)
	o := snapshot.Collecting{Grace: grace, OrphanGrace: orphans, Full: true, Owners: map[string]snapshot.Owner{saved.Digest: {EndedAt: time.Now().Add(-time.Hour)}}}
	must(t, w.Hold(t.Context(), saved.Digest))
	w.collect(o)
	to, g := w.folder("b")
	w.restore(g, saved.Digest)
	w.wantSame(dir, to)
	w.age(time.Hour)
	o.Owners[saved.Digest] = snapshot.Owner{EndedAt: time.Now().Add(-time.Hour)}
	if done := w.collect(o); done.Snapshots != 1 {
		t.Fatalf("%+v", done)
	}
	if err := w.Hold(t.Context(), saved.Digest); !errors.Is(err, snapshot.ErrCollected) {
		t.Fatalf("what is gone is held: %v", err)
	}
}

// model is what Postgres knows of sessions, and what has not been told it yet.
type model struct {
	session map[int]*modelled
}

type modelled struct {
	dir     string
	f       *snapshot.Folder
	named   []string // snapshots that it names, the latest last
	pending string   // saved, and not recorded
	over    time.Time
}

func (m *model) known() map[string]snapshot.Owner {
	owners := map[string]snapshot.Owner{}
	for _, s := range m.session {
		for _, digest := range s.named {
			o := owners[digest]
			o.Live = o.Live || s.over.IsZero()
			if s.over.After(o.EndedAt) {
				o.EndedAt = s.over
			}
			owners[digest] = o
		}
	}
	return owners
}

func (s *modelled) latest() string {
	if len(s.named) == 0 {
		return ""
	}
	return s.named[len(s.named)-1]
}

// Whatever sessions save, fork and delete, and wherever collections are cut short: nothing that a session names, or is
// about to, is lost; and when all are deleted, nothing is left.
func TestCollect_LosesNothingThatIsNamedAndLeavesNothingElse(t *testing.T) {
	t.Parallel()
	outer := t
	rapid.Check(t, func(t *rapid.T) {
		w := &world{TB: rapidTB{outer, t}}
		folder, err := os.MkdirTemp("", "collect")
		must(w, err)
		defer os.RemoveAll(folder)
		w.bucket, w.host = filepath.Join(folder, "blobs"), filepath.Join(folder, "host")
		w.Store, err = snapshot.Open(w.Context(), "file://"+w.bucket)
		must(w, err)
		defer w.Close()
		m := &model{session: map[int]*modelled{}}
		made := 0
		begin := func(named ...string) *modelled {
			made++
			s := &modelled{named: named}
			s.dir, s.f = w.folder(fmt.Sprint("s", made))
			m.session[made] = s
			return s
		}
		live := func(t *rapid.T) *modelled {
			var ids []int
			for id, s := range m.session {
				if s.over.IsZero() {
					ids = append(ids, id)
				}
			}
			if len(ids) == 0 {
				return begin()
			}
			slices.Sort(ids)
			return m.session[rapid.SampledFrom(ids).Draw(t, "session")]
		}
		age := func(by time.Duration) {
			w.age(by)
			for _, s := range m.session {
				if !s.over.IsZero() {
					s.over = s.over.Add(-by)
				}
				if by >= orphans {
					s.pending = "" // whoever was about to record it is gone
				}
				if s.pending != "" {
					must(w, w.Hold(w.Context(), s.pending)) // as its host does all the time
				}
			}
		}
		check := func() {
			fresh, err := snapshot.Open(w.Context(), "file://"+w.bucket) // that knows nothing by heart
			must(w, err)
			defer fresh.Close()
			for id, s := range m.session {
				for _, digest := range append(slices.Clone(s.named), s.pending) {
					if digest == "" || !s.over.IsZero() {
						continue
					}
					dir := filepath.Join(folder, "check")
					must(w, os.Mkdir(dir, 0o700))
					if _, err := fresh.Restore(w.Context(), snapshot.NewFolder(dir, filepath.Join(folder, "check-state")), digest); err != nil {
						t.Fatalf("session %d: %v", id, err)
					}
					must(w, os.RemoveAll(dir))
					must(w, os.RemoveAll(filepath.Join(folder, "check-state")))
				}
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"begin": func(*rapid.T) { begin() },
			"write": func(t *rapid.T) {
				put(w, live(t).dir, rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "name"), rapid.SampledFrom([]string{"1", "2", "3"}).Draw(t, "text"))
			},
			"save": func(t *rapid.T) {
				s := live(t)
				s.pending = w.save(s.f, snapshot.SaveOptions{Base: s.latest()}).Digest
			},
			"record": func(t *rapid.T) {
				if s := live(t); s.pending != "" {
					s.named, s.pending = append(s.named, s.pending), ""
				}
			},
			"fork": func(t *rapid.T) {
				s := live(t)
				if len(s.named) == 0 {
					return
				}
				digest := rapid.SampledFrom(s.named).Draw(t, "snapshot")
				w.restore(begin(digest).f, digest)
			},
			"delete": func(t *rapid.T) {
				s := live(t)
				s.over, s.pending = time.Now(), ""
			},
			"wait":      func(*rapid.T) { age(time.Hour) },
			"wait long": func(*rapid.T) { age(orphans + time.Hour) },
			"collect": func(t *rapid.T) {
				ctx, cancel := context.WithCancel(w.Context())
				defer cancel()
				o := snapshot.Collecting{Owners: m.known(), Grace: grace, OrphanGrace: orphans, Full: rapid.Bool().Draw(t, "full")}
				if rapid.Bool().Draw(t, "cut short") {
					snapshot.CutShort(w.Store, rapid.IntRange(0, 4).Draw(t, "after"), cancel)
					defer snapshot.CutShort(w.Store, 0, nil)
				}
				_, err := w.Collect(ctx, o)
				if err != nil && ctx.Err() == nil {
					t.Fatal(err)
				}
				check()
			},
		})
		for _, s := range m.session {
			if s.over.IsZero() {
				s.over = time.Now()
			}
		}
		age(2 * orphans)
		w.collect(snapshot.Collecting{Owners: m.known(), Grace: grace, OrphanGrace: orphans, Full: true})
		if n := w.objects(); n != 0 {
			t.Fatalf("%d objects are left", n)
		}
	})
}

// rapidTB is a rapid test for helpers that want a testing.TB.
type rapidTB struct {
	testing.TB // the test that it is part of

	t *rapid.T
}

func (r rapidTB) Fatal(args ...any)                 { r.t.Fatal(args...) }
func (r rapidTB) Fatalf(format string, args ...any) { r.t.Fatalf(format, args...) }

// killed is what the children of the next test do, as processes of their own.
const killed = "SNAPSHOT_TEST_KILLED"

type errand struct {
	What   string                    `json:"what"`
	Bucket string                    `json:"bucket"`
	Dir    string                    `json:"dir"`
	State  string                    `json:"state"`
	Base   string                    `json:"base"`
	Record string                    `json:"record"`
	Owners map[string]snapshot.Owner `json:"owners"`
	Seed   uint64                    `json:"seed"`
}

func (e *errand) run() error {
	s, err := snapshot.Open(context.Background(), "file://"+e.Bucket)
	if err != nil {
		return err
	}
	if e.What == "collect" {
		for {
			if _, err := s.Collect(context.Background(), snapshot.Collecting{Owners: e.Owners, Grace: grace, OrphanGrace: orphans, Full: true}); err != nil {
				return err
			}
		}
	}
	random := rand.New(rand.NewPCG(e.Seed, 1))
	f := snapshot.NewFolder(e.Dir, e.State)
	for base := e.Base; ; {
		for range 5 {
			if err := os.WriteFile(filepath.Join(e.Dir, strconv.Itoa(random.IntN(20))), fmt.Append(nil, random.IntN(50)), 0o600); err != nil {
				return err
			}
		}
		saved, err := s.Save(context.Background(), f, snapshot.SaveOptions{Base: base})
		if err != nil {
			return err
		}
		if err := os.WriteFile(e.Record+".new", []byte(saved.Digest), 0o600); err != nil {
			return err
		}
		if err := os.Rename(e.Record+".new", e.Record); err != nil {
			return err
		}
		base = saved.Digest
	}
}

func TestCollect_AKillOfItAndOfASaveAtOnceLosesNothing(t *testing.T) {
	t.Parallel()
	w := start(t)
	dir, _ := w.folder("a")
	errandOf := func(what string) *errand {
		return &errand{What: what, Bucket: w.bucket, Dir: dir, State: snapshot.StateDir(w.host, "a"), Record: filepath.Join(w.host, "record")}
	}
	owners := map[string]snapshot.Owner{}
	var base string
	for round := range uint64(12) {
		// All that was saved before, but for the last one that was recorded, is of sessions that are over.
		w.age(time.Hour)
		must(t, filepath.WalkDir(filepath.Join(w.bucket, "manifests"), func(_ string, d fs.DirEntry, err error) error {
			if err == nil && snapshot.ValidDigest(d.Name()) {
				owners[d.Name()] = snapshot.Owner{EndedAt: time.Now().Add(-time.Hour), Live: d.Name() == base}
			}
			if os.IsNotExist(err) {
				return nil
			}
			return err
		}))
		save, collect := errandOf("save"), errandOf("collect")
		save.Base, save.Seed, collect.Owners = base, round, owners
		var children []*exec.Cmd
		for _, e := range []*errand{save, collect} {
			c := exec.Command(os.Args[0])
			c.Env = append(os.Environ(), killed+"="+string(schema.Marshal(e)))
			c.Stderr = os.Stderr
			must(t, c.Start())
			children = append(children, c)
		}
		testkit.Eventually(t, "the record of a save", func() bool { // some way into it
			text, err := os.ReadFile(save.Record)
			return err == nil && string(text) != base
		})
		time.Sleep(time.Duration(rand.N(int64(30 * time.Millisecond))))
		for _, c := range children {
			must(t, c.Process.Kill())
			if err := c.Wait(); err == nil || c.ProcessState.Exited() {
				t.Fatalf("a child has ended by itself: %v", err)
			}
		}
		text, err := os.ReadFile(save.Record)
		must(t, err)
		base = string(text)
		// What a killed collection has in its hands comes back with the next one.
		fresh, err := snapshot.Open(t.Context(), "file://"+w.bucket)
		must(t, err)
		_, err = fresh.Collect(t.Context(), snapshot.Collecting{Owners: map[string]snapshot.Owner{base: {Live: true}}, Grace: grace, OrphanGrace: 2 * orphans})
		must(t, err)
		to, state := t.TempDir(), t.TempDir()
		if _, err := fresh.Restore(t.Context(), snapshot.NewFolder(filepath.Join(to, "w"), state), base); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		must(t, fresh.Close())
	}
}

// runErrand is for TestMain.
func runErrand() bool {
	text := os.Getenv(killed)
	if text == "" {
		return false
	}
	var e errand
	err := json.Unmarshal([]byte(text), &e) //nolint:musttag // an owner is written and read here alone
	if err == nil {
		err = e.run()
	}
	fmt.Fprintln(os.Stderr, err)
	return true
}
