package store_test

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/holdfast/holdfast/internal/testkit"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
	"github.com/holdfast/holdfast/schema/store/storetest"
)

// newerRelease leaves what a future release will: a migration that this one does not know.
func newerRelease(t *testing.T, dsn, number, olderReleases string) {
	t.Helper()
	conn := connect(t, dsn)
	_, err := conn.Exec(context1(t), `INSERT INTO bun_migrations (name, group_id) VALUES ($1, 2)`, number)
	must(t, err)
	if olderReleases != "" {
		_, err = conn.Exec(context1(t), `INSERT INTO migration_marks (name, title, release, older_releases) VALUES ($1, 'shinier', 'v9', $2)`, number, olderReleases)
		must(t, err)
	}
}

func connect(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(context1(t), dsn)
	must(t, err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func execute(t *testing.T, conn *pgx.Conn, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		_, err := conn.Exec(context1(t), statement)
		must(t, err)
	}
}

func TestMigrateDown_LeavesANewerSchemaAlone(t *testing.T) {
	t.Parallel()
	for _, mark := range []string{"work", "stop", ""} {
		s, dsn := storetest.NewDSN(t)
		session := newSession(t, s)
		newerRelease(t, dsn, "0999", mark)
		names, err := s.MigrateDown(context1(t))
		mustFail(t, err, schema.CodeConflict)
		if len(names) != 0 || !strings.Contains(err.Error(), "0999") {
			t.Errorf("undone were %v, and it says %v", names, err)
		}
		if mark != "" && !strings.Contains(err.Error(), "0999_shinier (of release v9)") {
			t.Errorf("it does not say whose it is: %v", err)
		}
		if _, err := s.Session(context1(t), session.ID); err != nil {
			t.Errorf("the data is gone: %v", err)
		}
	}
}

func TestSchemaReady_SaysWhetherThisReleaseCanWork(t *testing.T) {
	t.Parallel()
	ctx := context1(t)
	dsn := storetest.Server().NewDatabase(t)
	s := storetest.Open(t, dsn)
	mustFail(t, s.SchemaReady(ctx), schema.CodeUnavailable) // nothing was ever applied
	state, err := s.Schema(ctx)
	must(t, err)
	_, err = s.Migrate(ctx)
	must(t, err)
	must(t, s.SchemaReady(ctx))
	last := state.Missing[len(state.Missing)-1]
	number, _, _ := strings.Cut(last, "_")
	_, err = connect(t, dsn).Exec(ctx, `DELETE FROM bun_migrations WHERE name = $1`, number)
	must(t, err)
	err = s.SchemaReady(ctx)
	mustFail(t, err, schema.CodeUnavailable)
	if !strings.Contains(err.Error(), last) || !strings.Contains(err.Error(), "holdfast migrate up") {
		t.Errorf("it says %v", err)
	}
	_, err = s.Migrate(ctx)
	must(t, err)

	newerRelease(t, dsn, "0998", "work")
	must(t, s.SchemaReady(ctx))
	state, err = s.Schema(ctx)
	must(t, err)
	if state.Newer() != "0998_shinier (of release v9)" {
		t.Errorf("what is newer is %q", state.Newer())
	}
	_, err = s.Migrate(ctx) // nothing to do, and no reason to refuse
	must(t, err)

	for number, mark := range map[string]string{"0999": "stop", "1000": ""} { // a release that was cut short says nothing
		newerRelease(t, dsn, number, mark)
		mustFail(t, s.SchemaReady(ctx), schema.CodeUnsupported)
		_, err = s.Migrate(ctx)
		mustFail(t, err, schema.CodeUnsupported)
		_, err = connect(t, dsn).Exec(ctx, `DELETE FROM bun_migrations WHERE name = $1`, number)
		must(t, err)
	}
	must(t, s.SchemaReady(ctx))
}

func TestMigrationStatus_ListsWhatThisReleaseDoesNotKnow(t *testing.T) {
	t.Parallel()
	ctx := context1(t)
	dsn := storetest.Server().NewDatabase(t)
	s, err := store.Open(ctx, dsn, store.Options{Release: "v3", Logger: slog.New(slog.DiscardHandler)})
	must(t, err)
	t.Cleanup(s.Close)
	_, err = s.Migrate(ctx)
	must(t, err)
	newerRelease(t, dsn, "0999", "work")
	all, err := s.MigrationStatus(ctx)
	must(t, err)
	for i := range all {
		if m := &all[i]; m.Unknown != (i == len(all)-1) || m.AppliedAt == nil || (!m.Unknown && m.Release != "v3") {
			t.Errorf("%+v", m)
		}
	}
	if m := all[len(all)-1]; m.Name != "0999_shinier" || m.Release != "v9" || m.OlderReleases != "work" {
		t.Errorf("%+v", m)
	}
}

// An index on millions of events is built while others write: nobody waits for it.
func TestMigrate_BuildsAnIndexBesideThoseWhoWrite(t *testing.T) {
	t.Parallel()
	s, dsn := storetest.NewDSN(t)
	ctx := context1(t)
	back := connect(t, dsn)
	execute(t, back,
		`DROP INDEX events_story`,
		// What an interrupted build leaves has the name, but is of no use.
		`CREATE INDEX events_story ON events (seq)`,
		`UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'events_story'::regclass`,
		`DELETE FROM bun_migrations WHERE name = '0005'`,
	)
	const add = `INSERT INTO events (session_id, seq, type, size, data) VALUES (gen_random_uuid(), 1, 'output', 2, '{}')`
	early, err := back.Begin(ctx) // a writer in the middle of a transaction when the build began
	must(t, err)
	_, err = early.Exec(ctx, add)
	must(t, err)
	done, waits := make(chan error, 2), s.MigrationWaits()
	migrateToo := func() {
		_, err := s.Migrate(ctx)
		done <- err
	}
	go migrateToo()
	other := connect(t, dsn)
	for waits := false; !waits; {
		must(t, other.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%INDEX%events_story%'
			AND pid <> pg_backend_pid() AND wait_event_type = 'Lock')`).Scan(&waits))
		select {
		case err := <-done:
			t.Fatalf("it did not wait for the writer: %v", err)
		case <-time.After(5 * time.Millisecond):
		}
	}
	_, err = other.Exec(ctx, `SET lock_timeout = '2s'`)
	must(t, err)
	if _, err = other.Exec(ctx, add); err != nil {
		t.Errorf("who writes meanwhile waits for the build: %v", err)
	}
	go migrateToo() // nor does the build wait for those that wait for it
	testkit.Receive(t, "a migration that waits for the other", waits)
	must(t, early.Commit(ctx))
	must(t, <-done)
	must(t, <-done)
	var on string
	must(t, other.QueryRow(ctx, `SELECT indexdef FROM pg_indexes JOIN pg_index ON indexrelid = indexname::regclass
		WHERE indexname = 'events_story' AND indisvalid`).Scan(&on))
	if !strings.Contains(on, "(session_id, seq) WHERE") {
		t.Errorf("the index is %s", on)
	}
}

// An older release running beside a migration takes an unmarked migration for one that it cannot work with, and
// ends.
func TestMigrate_MarksBeforeItApplies(t *testing.T) {
	t.Parallel()
	s, dsn := storetest.NewDSN(t)
	ctx := context1(t)
	conn := connect(t, dsn)
	execute(t, conn,
		`DROP INDEX events_story`,
		`DELETE FROM bun_migrations WHERE name = '0005'`,
		`DELETE FROM migration_marks WHERE name = '0005'`,
		`CREATE FUNCTION marked() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			IF NOT EXISTS (SELECT FROM migration_marks WHERE name = NEW.name) THEN RAISE 'migration % has no mark', NEW.name; END IF;
			RETURN NEW; END $$`,
		`CREATE TRIGGER marked BEFORE INSERT ON bun_migrations FOR EACH ROW EXECUTE FUNCTION marked()`,
	)
	names, err := s.Migrate(ctx)
	must(t, err)
	if len(names) != 1 {
		t.Errorf("applied are %v", names)
	}
}

// Under a transaction pooler, each statement may use another connection to Postgres: what belongs to a connection uses
// the direct address, and no lock is left behind.
func TestOpen_WhatBelongsToAConnectionGoesByTheDirectAddress(t *testing.T) {
	t.Parallel()
	ctx := context1(t)
	dsn := storetest.Server().NewDatabase(t)
	named := func(name string) string {
		if strings.Contains(dsn, "?") {
			return dsn + "&application_name=" + name
		}
		return dsn + "?application_name=" + name
	}
	s, err := store.Open(ctx, named("pooled"), store.Options{Direct: named("direct"), Logger: slog.New(slog.DiscardHandler)})
	must(t, err)
	t.Cleanup(s.Close)
	look := connect(t, dsn)
	const locks = `SELECT array_agg(DISTINCT a.application_name) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
		WHERE l.locktype = 'advisory' AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())`
	var names []string

	// A migration that waits for the lock shows by its connection how it asks for it.
	hold, err := look.Begin(ctx)
	must(t, err)
	_, err = hold.Exec(ctx, `SET LOCAL application_name = 'holder'`)
	must(t, err)
	_, err = hold.Exec(ctx, `SELECT pg_advisory_xact_lock(x'686f6c64666173'::bigint)`)
	must(t, err)
	done := make(chan error, 1)
	go func() {
		_, err := s.Migrate(ctx)
		done <- err
	}()
	second := connect(t, dsn)
	for !slices.Contains(names, "direct") {
		must(t, second.QueryRow(ctx, `SELECT array_agg(DISTINCT application_name) FROM pg_stat_activity
			WHERE datname = current_database() AND query ~* 'advisory|set_config|rollback'`).Scan(&names))
		if slices.Contains(names, "pooled") {
			t.Fatal("a migration's lock goes by the pooler")
		}
	}
	must(t, hold.Rollback(ctx))
	must(t, <-done)

	held, err := s.HoldRetention(ctx, func(ctx context.Context) error {
		must(t, second.QueryRow(ctx, locks).Scan(&names))
		if !slices.Equal(names, []string{"direct"}) {
			t.Errorf("the locks of retention are held by %v", names)
		}
		var snapshots int
		must(t, second.QueryRow(ctx, `SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
			WHERE l.locktype = 'advisory' AND a.datname = current_database() AND (a.backend_xmin IS NOT NULL OR a.backend_xid IS NOT NULL)`).Scan(&snapshots))
		if snapshots != 0 {
			t.Error("who holds the lock holds up vacuum, too")
		}
		other := storetest.Open(t, dsn)
		if held, err := other.HoldRetention(ctx, func(context.Context) error { return nil }); held || err != nil {
			t.Errorf("another one works at the same time: %v", err)
		}
		return nil
	})
	must(t, err)
	if !held {
		t.Fatal("the lock was not to be had")
	}
	must(t, second.QueryRow(ctx, locks).Scan(&names))
	if len(names) != 0 {
		t.Errorf("locks of %v are left", names)
	}

	listening, stop := context.WithCancel(ctx)
	connected := make(chan struct{})
	heard := make(chan error, 1)
	go func() {
		heard <- s.Listen(listening, store.Listener{Notice: func(store.Notice) {}, Connected: func() { close(connected) }})
	}()
	<-connected
	must(t, second.QueryRow(ctx, `SELECT array_agg(application_name) FROM pg_stat_activity WHERE query LIKE 'LISTEN %' AND datname = current_database()`).Scan(&names))
	if !slices.Equal(names, []string{"direct"}) {
		t.Errorf("LISTEN goes by %v", names)
	}
	stop()
	must(t, <-heard)
}

// Some poolers cannot prepare statements: then the address says how to query.
func TestOpen_TheAddressSaysWhetherStatementsArePrepared(t *testing.T) {
	t.Parallel()
	ctx := context1(t)
	dsn := storetest.Server().NewDatabase(t)
	mode := "default_query_exec_mode=exec"
	if strings.Contains(dsn, "?") {
		mode = dsn + "&" + mode
	} else {
		mode = dsn + "?" + mode
	}
	s, err := store.Open(ctx, mode, store.Options{Logger: slog.New(slog.DiscardHandler), MaxConns: 2})
	must(t, err)
	t.Cleanup(s.Close)
	_, err = s.Migrate(ctx)
	must(t, err)
	// The worst pooler: every connection loses its prepared statements all the time.
	b := newRun(t, s)
	b.attempt(t, s, "make")
	must(t, s.AppendOutput(ctx, b.output("make", 1, 0, "x")))
	if _, err := s.Subject(ctx, ask(t, s, b)); err != nil && schema.CodeOf(err) != schema.CodeNotFound {
		t.Error(err)
	}
	if len(log(t, s, b.session)) == 0 {
		t.Error("there is no log")
	}
	must(t, s.ReadTails(ctx, []store.Tail{{SessionID: b.session}}, 100, 1<<20))
	_, err = s.RunPlan(ctx, b.run)
	must(t, err)
	readByBun(t, s, b)
	prepared, err := s.PreparedStatements(ctx)
	must(t, err)
	if len(prepared) != 0 {
		t.Errorf("prepared are %v", prepared)
	}
}
