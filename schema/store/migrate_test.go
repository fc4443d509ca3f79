package store_test

import (
	"slices"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store/storetest"
)

func tables(t *testing.T, dsn string) []string {
	t.Helper()
	conn, err := pgx.Connect(context1(t), dsn)
	must(t, err)
	defer conn.Close(context1(t))
	rows, err := conn.Query(context1(t), `SELECT tablename::text FROM pg_tables WHERE schemaname = 'public' AND tablename NOT LIKE 'bun%' ORDER BY 1`)
	must(t, err)
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	must(t, err)
	return names
}

func TestMigrate_UpDownUpWithData(t *testing.T) {
	t.Parallel()
	s, dsn := storetest.NewDSN(t)
	ctx := context1(t)
	up := tables(t, dsn)
	for _, name := range []string{
		"sessions", "session_states", "runs", "steps", "attempts", "approval_requests", "active_connections", "messages", "events",
	} {
		if !slices.Contains(up, name) {
			t.Errorf("there is no table %s in %v", name, up)
		}
	}
	b := newRun(t, s)
	b.attempt(t, s, "make")
	must(t, s.AppendOutput(ctx, b.output("make", 1, 0, "x")))
	ask(t, s, b)
	names, err := s.Migrate(ctx)
	must(t, err)
	if len(names) != 0 || len(log(t, s, b.session)) == 0 {
		t.Fatalf("migrating again applied %v", names)
	}
	status, err := s.MigrationStatus(ctx)
	must(t, err)
	for _, m := range status {
		if m.AppliedAt == nil {
			t.Errorf("%s is not applied", m.Name)
		}
	}
	names, err = s.MigrateDown(ctx)
	must(t, err)
	if len(names) == 0 {
		t.Fatal("nothing was undone")
	}
	must(t, s.MigrateDownAll(ctx))
	if left := tables(t, dsn); len(left) != 0 {
		t.Fatalf("down leaves %v", left)
	}
	_, err = s.Session(ctx, b.session)
	mustFail(t, err, schema.CodeUnavailable) // and not a fault of ours: somebody has to migrate
	status, err = s.MigrationStatus(ctx)
	must(t, err)
	if len(status) == 0 || status[0].AppliedAt != nil {
		t.Fatalf("%+v", status)
	}
	names, err = s.Migrate(ctx)
	must(t, err)
	if len(names) != len(status) || !slices.Equal(tables(t, dsn), up) {
		t.Fatalf("up again applied %v", names)
	}
	newRun(t, s)
}

func TestMigrate_ManyAtOnceApplyOnce(t *testing.T) {
	t.Parallel()
	dsn := storetest.Server().NewDatabase(t)
	var (
		all     sync.WaitGroup
		mu      sync.Mutex
		applied []string
	)
	for range 6 {
		s := storetest.Open(t, dsn)
		all.Go(func() {
			names, err := s.Migrate(context1(t))
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			applied = append(applied, names...)
		})
	}
	all.Wait()
	status, err := storetest.Open(t, dsn).MigrationStatus(context1(t))
	must(t, err)
	if len(applied) != len(status) {
		t.Fatalf("applied were %v", applied)
	}
}

// A process may die between a migration's commit and the record of it.
func TestMigrate_RepeatsWhatIsNotRecorded(t *testing.T) {
	t.Parallel()
	s, dsn := storetest.NewDSN(t)
	session := newSession(t, s)
	conn, err := pgx.Connect(context1(t), dsn)
	must(t, err)
	defer conn.Close(context1(t))
	_, err = conn.Exec(context1(t), `DELETE FROM bun_migrations`)
	must(t, err)
	names, err := s.Migrate(context1(t))
	must(t, err)
	if len(names) == 0 {
		t.Fatal("nothing was applied")
	}
	_, err = s.Session(context1(t), session.ID)
	must(t, err)
}
