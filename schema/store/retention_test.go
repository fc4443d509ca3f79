package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
	"github.com/holdfast/holdfast/schema/store/storetest"
)

// memory is an archive in memory.
type memory struct {
	mu      sync.Mutex
	objects map[string][]byte
	fails   int              // this many writes fail after they have been done
	away    bool             // reads fail
	wrote   func(key string) // after a write
}

func (m *memory) ReadObject(_ context.Context, key string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.away {
		return nil, schema.Errorf(schema.CodeUnavailable, "away")
	}
	data, ok := m.objects[key]
	if !ok {
		return nil, schema.Errorf(schema.CodeNotFound, "there is no %q", key)
	}
	return data, nil
}

func (m *memory) WriteObject(_ context.Context, key string, data []byte) error {
	m.mu.Lock()
	m.objects[key] = data
	fail := m.fails > 0
	m.fails--
	m.mu.Unlock()
	if m.wrote != nil {
		m.wrote(key)
	}
	if fail {
		return schema.Errorf(schema.CodeUnavailable, "the answer is lost")
	}
	return nil
}

func (m *memory) DeleteObject(_ context.Context, key string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.objects, key)
	return nil
}

func (m *memory) keys() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var keys []string
	for key := range m.objects {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

func withArchive(t testing.TB, dsn string, a store.Archive) *store.Store {
	t.Helper()
	s, err := store.Open(context1(t), dsn, store.Options{Archive: a})
	must(t, err)
	t.Cleanup(s.Close)
	return s
}

func (b began) end(t testing.TB, s *store.Store) {
	t.Helper()
	b.endAs(t, s, "end")
}

func (b began) endAs(t testing.TB, s *store.Store, key string) {
	t.Helper()
	_, err := s.Apply(context1(t), schema.Transition{
		SessionID: b.session, RunID: b.run, Key: key, Status: schema.SessionCompleted, Phase: schema.PhaseIdle,
		End: &schema.RunEnd{Status: schema.SessionCompleted},
	})
	must(t, err)
}

func exec1(t testing.TB, dsn, statement string, args ...any) {
	t.Helper()
	conn, err := pgx.Connect(context1(t), dsn)
	must(t, err)
	defer conn.Close(context1(t))
	_, err = conn.Exec(context1(t), statement, args...)
	must(t, err)
}

const (
	envCompact = "HOLDFAST_TEST_COMPACT"
	smallSteps = 200 // events per step of compaction, where a test wants many steps
)

// compactChild runs when a test starts this binary to kill it: it compacts a session of a database.
func compactChild() {
	dsn, session, _ := strings.Cut(os.Getenv(envCompact), " ")
	s, err := store.Open(context.Background(), dsn, store.Options{})
	if err == nil {
		store.SetCompactEvents(s, smallSteps)
	}
	for more := true; err == nil && more; {
		var done store.Compacted
		done, err = s.Compact(context.Background(), session)
		more = done.More
	}
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func TestCompact_AKillAnywhereLeavesAWholeLog(t *testing.T) {
	t.Parallel()
	s, dsn := storetest.NewDSN(t)
	b := newRun(t, s)
	const events = 5000
	bulk(t, s, b, events)
	want := log(t, s, b.session)
	exe, err := os.Executable()
	must(t, err)
	for attempt := 0; ; attempt++ {
		child := exec.CommandContext(context1(t), exe)
		child.Env = append(os.Environ(), envCompact+"="+dsn+" "+b.session)
		child.Stderr = os.Stderr
		must(t, child.Start())
		ended := make(chan error, 1)
		go func() { ended <- child.Wait() }()
		// Each child dies at another point, between two steps or within one. The fifth may finish.
		var over bool
		if attempt < 4 {
			select {
			case err := <-ended:
				must(t, err)
				over = true
			case <-time.After(time.Duration(50+40*attempt) * time.Millisecond):
				_ = child.Process.Kill()
				<-ended
			}
		} else {
			must(t, <-ended)
			over = true
		}
		same(t, fmt.Sprint("after kill ", attempt+1), log(t, s, b.session), want)
		if over {
			break
		}
	}
	if left := rowsOf(t, dsn, `SELECT count(*) FROM events WHERE session_id = $1 AND type = 'output'`, b.session); left != 0 {
		t.Errorf("%d rows are left", left)
	}
	if n := rowsOf(t, dsn, `SELECT sum(events) FROM event_blocks WHERE session_id = $1`, b.session); n != events {
		t.Errorf("%d events are in blocks", n)
	}
}

// A connection that breaks within the transaction undoes everything.
func TestCompact_ALostConnectionLosesNothing(t *testing.T) {
	t.Parallel()
	s, dsn := storetest.NewDSN(t)
	b := newRun(t, s)
	bulk(t, s, b, 500)
	want := log(t, s, b.session)
	// The rows are removed after the blocks were added: there the server ends the connection.
	exec1(t, dsn, `CREATE FUNCTION cut() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN OLD; END $$`)
	exec1(t, dsn, `CREATE TRIGGER cut BEFORE DELETE ON events EXECUTE FUNCTION cut()`)
	_, err := s.Compact(context1(t), b.session)
	mustFail(t, err, schema.CodeUnavailable)
	same(t, "cut", log(t, s, b.session), want)
	if n := rowsOf(t, dsn, `SELECT count(*) FROM event_blocks`); n != 0 {
		t.Errorf("%d blocks are there", n)
	}
	exec1(t, dsn, `DROP TRIGGER cut ON events`)
	compactAll(t, s, b.session)
	same(t, "done", log(t, s, b.session), want)
}

func TestCompactable_AreSessionsWhoseRunIsOverForLong(t *testing.T) {
	t.Parallel()
	s, dsn := storetest.NewDSN(t)
	running, over, old, deleted := newRun(t, s), newRun(t, s), newRun(t, s), newRun(t, s)
	for _, b := range []began{over, old, deleted} {
		b.end(t, s)
	}
	must(t, s.DeleteSession(context1(t), deleted.session, "ann"))
	for _, b := range []began{running, old, deleted} {
		exec1(t, dsn, `UPDATE runs SET finished_at = finished_at - interval '2 hours', started_at = started_at - interval '2 hours' WHERE id = $1`, b.run)
	}
	want := func(what string, after time.Duration, ids ...string) {
		t.Helper()
		got, err := s.Compactable(context1(t), after, 10)
		must(t, err)
		slices.Sort(got)
		slices.Sort(ids)
		if !slices.Equal(got, ids) {
			t.Errorf("%s: %v, not %v", what, got, ids)
		}
	}
	want("an hour", time.Hour, old.session)
	want("at once", 0, old.session, over.session)
	compactAll(t, s, old.session)
	want("done", time.Hour)
	happen(t, s, old.session, 1)
	want("more", time.Hour, old.session)
	_, err := s.Compact(context1(t), deleted.session)
	mustFail(t, err, schema.CodeNotFound)
}

func TestArchive_BlocksAreReadBackFromThere(t *testing.T) {
	t.Parallel()
	plain, dsn := storetest.NewDSN(t)
	a := &memory{objects: map[string][]byte{}, fails: 1}
	s := withArchive(t, dsn, a)
	b := newRun(t, s)
	talk(t, s, b, 100)
	want := log(t, s, b.session)
	compactAll(t, s, b.session)
	_, err := s.ArchiveBlocks(context1(t), time.Hour)
	must(t, err)
	if n := len(a.keys()); n != 0 {
		t.Fatalf("%d blocks of this minute are archived", n)
	}
	// The first write succeeds, but its answer is lost: it is repeated.
	done, err := s.ArchiveBlocks(context1(t), 0)
	must(t, err)
	if len(done.Failed) != 1 || done.Failed[0].SessionID != b.session || schema.CodeOf(done.Failed[0].Err) != schema.CodeUnavailable || done.Blocks < 1 {
		t.Fatalf("a block that fails keeps others waiting, or nobody hears of it: %+v", done)
	}
	same(t, "half", log(t, withArchive(t, dsn, a), b.session), want)
	others := done.Blocks
	if done, err = s.ArchiveBlocks(context1(t), 0); err != nil || done.Blocks != 0 || len(done.Failed) != 0 {
		t.Fatalf("it is tried again at once: %+v, %v", done, err)
	}
	storetest.Exec(t, dsn, `UPDATE event_blocks SET archive_not_before = now() - interval '1 second' WHERE archive_failures > 0`)
	done, err = s.ArchiveBlocks(context1(t), 0)
	must(t, err)
	done.Blocks += others
	blocks := rowsOf(t, dsn, `SELECT count(*) FROM event_blocks WHERE blob IS NOT NULL AND packed IS NULL`)
	if int64(done.Blocks) != blocks || blocks < 2 || len(a.keys()) != done.Blocks || done.Bytes == 0 || done.More {
		t.Fatalf("%+v, %d blocks, %v", done, blocks, a.keys())
	}
	first := a.keys()[0]
	if !strings.HasPrefix(first, "events/"+b.session+"/") || !strings.HasSuffix(first, ".zst") {
		t.Errorf("a key is %s", first)
	}
	same(t, "archived", log(t, withArchive(t, dsn, a), b.session), want)

	// Without the archive, archived events cannot be read, and the error says so; the rest can.
	if kept, lost := readable(t, plain, b.session); kept == 0 || lost == 0 || kept+lost != len(want) {
		t.Errorf("%d events can be read, %d cannot, of %d", kept, lost, len(want))
	}
	_, err = plain.Events(context1(t), b.session, store.EventFilter{Types: []schema.EventType{schema.EventFileUpdated}})
	must(t, err)
	a.away = true
	_, err = withArchive(t, dsn, a).Events(context1(t), b.session, store.EventFilter{})
	mustFail(t, err, schema.CodeUnavailable)
	a.away = false
	// Another object in its place is not taken for the log.
	a.objects[first] = a.objects[a.keys()[1]]
	if kept, lost := readable(t, withArchive(t, dsn, a), b.session); kept == 0 || lost == 0 || kept+lost != len(want) {
		t.Errorf("%d events can be read, %d cannot, of %d", kept, lost, len(want))
	}
}

// readable counts the events of a log that can be read, each in its place, and those that are reported as
// lost.
func readable(t *testing.T, s *store.Store, session string) (kept, lost int) {
	t.Helper()
	head, err := s.HeadSeq(context1(t), session)
	must(t, err)
	for at := int64(0); at < head; {
		events, err := s.Events(context1(t), session, store.EventFilter{Since: at, Limit: 100})
		if gone, ok := errors.AsType[*store.RangeError](err); ok {
			if gone.From != at+1 || gone.To <= at || gone.To > head || schema.CodeOf(err) != schema.CodeRange {
				t.Fatalf("after %d: %v, %d to %d", at, err, gone.From, gone.To)
			}
			lost += int(gone.To - at)
			at = gone.To
			continue
		}
		must(t, err)
		for i := range events {
			if at++; events[i].Seq != at {
				t.Fatalf("event %d stands in the place of %d", events[i].Seq, at)
			}
		}
		kept += len(events)
	}
	return kept, lost
}

func TestPurge_RemovesTheLogOfADeletedSessionAndNothingElse(t *testing.T) {
	t.Parallel()
	_, dsn := storetest.NewDSN(t)
	a := &memory{objects: map[string][]byte{}}
	s := withArchive(t, dsn, a)
	gone, stays := newRun(t, s), newRun(t, s)
	for _, b := range []began{gone, stays} {
		talk(t, s, b, 30)
		b.end(t, s)
		compactAll(t, s, b.session)
		_, err := s.ArchiveBlocks(context1(t), 0)
		must(t, err)
		happen(t, s, b.session, 5)
	}
	want := log(t, s, stays.session)
	purgeable := func() []string {
		ids, err := s.Purgeable(context1(t), time.Hour, nil, 10)
		must(t, err)
		return ids
	}
	_, err := s.Purge(context1(t), gone.session)
	mustFail(t, err, schema.CodeNotFound) // it is not deleted
	must(t, s.DeleteSession(context1(t), gone.session, "ann"))
	must(t, s.MarkWorkflowClosed(context1(t), gone.session))
	if ids := purgeable(); len(ids) != 0 {
		t.Fatalf("%v within its grace", ids)
	}
	exec1(t, dsn, `UPDATE sessions SET deleted_at = deleted_at - interval '2 hours', workflow_closed_at = NULL WHERE id = $1`, gone.session)
	if ids := purgeable(); len(ids) != 0 {
		t.Fatalf("%v although its workflow runs", ids)
	}
	must(t, s.MarkWorkflowClosed(context1(t), gone.session))
	if ids := purgeable(); !slices.Equal(ids, []string{gone.session}) {
		t.Fatalf("%v", ids)
	}
	purge := func() {
		t.Helper()
		for more := true; more; {
			done, err := s.Purge(context1(t), gone.session)
			must(t, err)
			more = done.More
		}
		for _, table := range []string{"events", "event_blocks", "applied_keys"} {
			if n := rowsOf(t, dsn, `SELECT count(*) FROM `+table+` WHERE session_id = $1`, gone.session); n != 0 {
				t.Errorf("%d rows of %s are left", n, table)
			}
		}
		if ids := purgeable(); len(ids) != 0 {
			t.Errorf("purgeable again: %v", ids)
		}
	}
	purge()
	for _, key := range a.keys() {
		if strings.Contains(key, gone.session) {
			t.Errorf("%s is left", key)
		}
	}
	// What an unaware worker still writes is purged too.
	happen(t, s, gone.session, 3)
	if ids := purgeable(); !slices.Equal(ids, []string{gone.session}) {
		t.Fatalf("%v", ids)
	}
	purge()
	if n := rowsOf(t, dsn, `SELECT count(*) FROM audit_log WHERE session_id = $1 AND action = 'delete'`, gone.session); n != 1 {
		t.Errorf("%d entries of the deletion are in the audit trail", n)
	}
	same(t, "the other", log(t, withArchive(t, dsn, a), stays.session), want)
}

// An archived object of a session that was removed meanwhile is not left behind.
func TestArchive_OfASessionThatIsRemovedLeavesNothing(t *testing.T) {
	t.Parallel()
	s, dsn := storetest.NewDSN(t)
	b := newRun(t, s)
	talk(t, s, b, 5)
	compactAll(t, s, b.session)
	a := &memory{objects: map[string][]byte{}}
	a.wrote = func(string) { exec1(t, dsn, `DELETE FROM event_blocks`) }
	_, err := withArchive(t, dsn, a).ArchiveBlocks(context1(t), 0)
	must(t, err)
	if keys := a.keys(); len(keys) != 0 {
		t.Errorf("%v", keys)
	}
}

func TestDeleteOutdated_IsADeletionByThePolicy(t *testing.T) {
	t.Parallel()
	s, dsn := storetest.NewDSN(t)
	b := newRun(t, s)
	b.end(t, s)
	ids, err := s.Outdated(context1(t), time.Hour, 10)
	must(t, err)
	if len(ids) != 0 {
		t.Fatalf("%v", ids)
	}
	exec1(t, dsn, `UPDATE runs SET finished_at = finished_at - interval '2 hours', started_at = started_at - interval '2 hours' WHERE id = $1`, b.run)
	if ids, err = s.Outdated(context1(t), time.Hour, 10); err != nil || !slices.Equal(ids, []string{b.session}) {
		t.Fatalf("%v, %v", ids, err)
	}
	// Somebody starts a run before the policy reaches the session.
	next := b.begin()
	next.RunID, next.Number, next.Key = schema.RunID(b.session, 2), 2, "2"
	_, err = s.BeginRun(context1(t), next)
	must(t, err)
	if deleted, err := s.DeleteOutdated(context1(t), b.session, time.Hour); err != nil || deleted {
		t.Fatalf("%v, %v", deleted, err)
	}
	(began{session: b.session, run: next.RunID}).endAs(t, s, "end 2")
	exec1(t, dsn, `UPDATE runs SET finished_at = now() - interval '2 hours', started_at = now() - interval '3 hours' WHERE id = $1`, next.RunID)
	for i, want := range []bool{true, false} {
		if deleted, err := s.DeleteOutdated(context1(t), b.session, time.Hour); err != nil || deleted != want {
			t.Fatalf("%d: %v, %v", i, deleted, err)
		}
	}
	_, err = s.Session(context1(t), b.session)
	mustFail(t, err, schema.CodeNotFound)
	if n := rowsOf(t, dsn, `SELECT count(*) FROM audit_log WHERE session_id = $1 AND action = 'delete' AND actor = 'retention'`, b.session); n != 1 {
		t.Errorf("%d entries", n)
	}
}

func TestHoldRetention_IsHeldByOneAtATime(t *testing.T) {
	t.Parallel()
	s, dsn := storetest.NewDSN(t)
	other := storetest.Open(t, dsn)
	held, err := s.HoldRetention(context1(t), func(ctx context.Context) error {
		if held, err := other.HoldRetention(ctx, func(context.Context) error { return nil }); err != nil || held {
			t.Errorf("held twice: %v", err)
		}
		return nil
	})
	if err != nil || !held {
		t.Fatal(held, err)
	}
	if held, err := other.HoldRetention(context1(t), func(context.Context) error { return nil }); err != nil || !held {
		t.Errorf("not given back: %v", err)
	}
}

// A release that does not know blocks would show logs with gaps: once there are blocks, migrations cannot be
// undone.
func TestMigrate_DoesNotGoBackOverBlocks(t *testing.T) {
	t.Parallel()
	s, dsn := storetest.NewDSN(t)
	b := newRun(t, s)
	talk(t, s, b, 5)
	want := log(t, s, b.session)
	compactAll(t, s, b.session)
	if err := s.MigrateDownAll(context1(t)); err == nil {
		t.Fatal("the migration was undone")
	}
	_, err := s.Migrate(context1(t))
	must(t, err)
	same(t, "after", log(t, storetest.Open(t, dsn), b.session), want)
}

// What the archive refuses for good is retried less and less often, and an archive that is down is not asked for
// everything.
func TestArchive_ABlockThatIsRefusedKeepsNobodyWaiting(t *testing.T) {
	t.Parallel()
	_, dsn := storetest.NewDSN(t)
	a := &memory{objects: map[string][]byte{}, fails: 3}
	s := withArchive(t, dsn, a)
	for range 5 {
		b := newRun(t, s)
		talk(t, s, b, 20)
		compactAll(t, s, b.session)
	}
	total := rowsOf(t, dsn, `SELECT count(*) FROM event_blocks`)
	done, err := s.ArchiveBlocks(context1(t), 0)
	must(t, err)
	if len(done.Failed) != 3 || done.Blocks != 0 || done.More || total < 5 {
		t.Fatalf("an archive that is away is asked for %d of %d blocks", len(done.Failed), total)
	}
	if n := rowsOf(t, dsn, `SELECT count(*) FROM event_blocks WHERE archive_failures = 1 AND archive_not_before > now() + interval '30 seconds'`); n != 3 {
		t.Errorf("%d blocks wait for another try", n)
	}
	if done, err = s.ArchiveBlocks(context1(t), 0); err != nil || int64(done.Blocks) != total-3 || len(done.Failed) != 0 {
		t.Fatalf("the others wait for those that failed: %+v, %v", done, err)
	}
}
