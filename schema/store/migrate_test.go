package store_test

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
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
		"plans", "audit_log", "request_keys",
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
	mustFail(t, err, schema.CodeUnavailable) // not a fault of ours: somebody has to migrate
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

// What an earlier release has written stays, and works, after migrations that it did not know, and stays when they are
// undone.
func TestMigrate_KeepsTheDataOfTheReleaseBefore(t *testing.T) {
	t.Parallel()
	s, dsn := storetest.NewDSN(t)
	ctx := context1(t)
	conn, err := pgx.Connect(ctx, dsn)
	must(t, err)
	defer conn.Close(ctx)
	back := func() {
		t.Helper()
		text, err := os.ReadFile("migrations/0002_engine.tx.down.sql")
		must(t, err)
		for range 2 { // it may be carried out twice
			_, err = conn.Exec(ctx, string(text))
			must(t, err)
		}
		_, err = conn.Exec(ctx, `DELETE FROM bun_migrations WHERE name = '0002'`)
		must(t, err)
	}
	back()
	old := began{session: schema.NewID()}
	old.run = schema.RunID(old.session, 1)
	for _, statement := range []string{
		`INSERT INTO sessions (id, name, mode, owner, task) VALUES ('SESSION', 'old', 'runbook', 'ann', 'the task')`,
		`INSERT INTO session_states (session_id, plan_data, plan_digest, current_phase, status) VALUES ('SESSION', 'PLAN', 'DIGEST', 'executing', 'active')`,
		`INSERT INTO messages (session_id, role, content) VALUES ('SESSION', 'user', 'the task')`,
		`INSERT INTO runs (id, session_id, number, status, plan_digest, started_at) VALUES ('RUN', 'SESSION', 1, 'active', 'DIGEST', now())`,
		`INSERT INTO steps (run_id, step_id, position, title, kind, needs, status) VALUES ('RUN', 'make', 0, 'Make it', 'run', '{}', 'pending')`,
		`INSERT INTO steps (run_id, step_id, position, title, kind, needs, status) VALUES ('RUN', 'show', 1, 'show', 'shell', '{make}', 'pending')`,
		`INSERT INTO approval_requests (id, session_id, run_id, approval_type, status, created_at, expires_at)
			VALUES ('APPROVAL', 'SESSION', 'RUN', 'plan_approval', 'pending', now(), now())`,
	} {
		fill := strings.NewReplacer("SESSION", old.session, "RUN", old.run, "APPROVAL", schema.ApprovalID(old.session, 1),
			"PLAN", string(schema.Marshal(plan())), "DIGEST", plan().Digest())
		_, err := conn.Exec(ctx, fill.Replace(statement))
		must(t, err)
	}
	_, err = s.Migrate(ctx)
	must(t, err)
	session, err := s.Session(ctx, old.session)
	must(t, err)
	if session.Name != "old" || session.Plan.Digest() != plan().Digest() || len(session.PendingApprovals) != 1 || session.QueuedMessages != 0 {
		t.Fatalf("%+v", session)
	}
	of, err := s.RunPlan(ctx, old.run)
	must(t, err)
	if of.Plan.Digest() != plan().Digest() {
		t.Fatalf("%+v", of)
	}
	must(t, old.resolveModified(s, t))
	_, err = s.Revise(ctx, old.revise("", `{"steps": [{"id": "new", "shell": "true"}]}`))
	must(t, err)
	say(t, s, old, 1, "hello")

	back()
	var status, resolution string
	must(t, conn.QueryRow(ctx, `SELECT status, resolution FROM approval_requests WHERE session_id = $1`, old.session).Scan(&status, &resolution))
	if status != "resolved" || resolution != "modified" {
		t.Fatalf("the approval is %s, %s", status, resolution)
	}
	_, err = s.Migrate(ctx)
	must(t, err)
	if len(log(t, s, old.session)) == 0 {
		t.Fatal("the log is gone")
	}
	if of, err = s.RunPlan(ctx, old.run); err != nil || of.Plan.Steps[0].ID != "new" { // the latest plan came back
		t.Fatalf("%+v, %v", of, err)
	}
}

func (b began) resolveModified(s *store.Store, t *testing.T) error {
	t.Helper()
	_, err := s.Apply(context1(t), schema.Transition{
		SessionID: b.session, RunID: b.run, Key: "resolve", Status: schema.SessionActive, Phase: schema.PhaseExecuting,
		Close: []schema.ApprovalClose{{
			ID: schema.ApprovalID(b.session, 1), Status: schema.ApprovalResolved, Resolution: schema.ResolutionModified, Actor: "bob",
			Modifications: json.RawMessage(`{"plan": "\u0000"}`),
		}},
	})
	return err
}
