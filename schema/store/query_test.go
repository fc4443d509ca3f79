package store_test

import (
	"context"
	"log/slog"
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

// readByBun makes each kind of read that bun builds.
func readByBun(t testing.TB, s *store.Store, b began) {
	t.Helper()
	ctx := context1(t)
	session, err := s.Session(ctx, b.session)
	must(t, err)
	for _, query := range []string{"a", "b", "c"} {
		_, _, _, err = s.Sessions(ctx, store.SessionFilter{Query: query})
		must(t, err)
	}
	_, err = s.UnstartedSessions(ctx, time.Hour, 1)
	must(t, err)
	_, err = s.Runs(ctx, b.session)
	must(t, err)
	_, err = s.Run(ctx, b.run)
	must(t, err)
	_, err = s.StepStatuses(ctx, b.run)
	must(t, err)
	_, _, err = s.Messages(ctx, b.session, 10, "")
	must(t, err)
	_, _, err = s.Approvals(ctx, store.ApprovalFilter{SessionID: b.session})
	must(t, err)
	_, err = s.CountApprovals(ctx, store.ApprovalFilter{Open: true})
	must(t, err)
	for i := range session.PendingApprovals {
		_, err = s.Approval(ctx, session.PendingApprovals[i].ID)
		must(t, err)
	}
}

func TestStore_PreparesSelectsButNotThoseWithFilters(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	b := newRun(t, s)
	ask(t, s, b)
	readByBun(t, s, b)
	prepared, err := s.PreparedStatements(context1(t)) // of the connection that all the reads were made on, one by one
	must(t, err)
	for _, text := range []string{"t.plan_data", "r.number", `"steps"`, `"attempts"`, `"messages"`, "a.context"} {
		if !slices.ContainsFunc(prepared, func(statement string) bool {
			return strings.Contains(statement, text) && strings.Contains(statement, "$1")
		}) {
			t.Errorf("no prepared statement has %s", text)
		}
	}
	for _, statement := range prepared {
		if strings.Contains(statement, "ILIKE") || strings.Contains(statement, b.session) {
			t.Errorf("prepared is %s", statement)
		}
	}
}

// A full pool makes callers wait; it neither grows nor deadlocks, and reads by bun leave half of it to others.
func TestStore_HasOnePoolOfWhichReadsLeaveHalf(t *testing.T) {
	t.Parallel()
	ctx := context1(t)
	_, dsn := storetest.NewDSN(t)
	const size, callers = 4, 8
	s, err := store.Open(ctx, dsn, store.Options{MaxConns: size, Logger: slog.New(slog.DiscardHandler)})
	must(t, err)
	t.Cleanup(s.Close)
	b := newRun(t, s)

	config, err := pgx.ParseConfig(dsn)
	must(t, err)
	config.RuntimeParams["application_name"] = "admin"
	admin, err := pgx.ConnectConfig(ctx, config)
	must(t, err)
	defer admin.Close(ctx)
	tx, err := admin.Begin(ctx)
	must(t, err)
	_, err = tx.Exec(ctx, `LOCK TABLE sessions IN ACCESS EXCLUSIVE MODE`)
	must(t, err)
	waiting := func(want int) {
		t.Helper()
		for got := -1; got != want; time.Sleep(5 * time.Millisecond) {
			must(t, tx.QueryRow(ctx, `SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'sessions'::regclass`).Scan(&got))
		}
	}

	var all sync.WaitGroup
	call := func(f func(context.Context) error) {
		for range callers {
			all.Go(func() {
				if err := f(ctx); err != nil {
					t.Error(err)
				}
			})
		}
	}
	call(func(ctx context.Context) error { _, _, _, err := s.Sessions(ctx, store.SessionFilter{}); return err })
	call(func(ctx context.Context) error { _, err := s.Session(ctx, b.session); return err })
	waiting(size / 2)
	must(t, s.Ping(ctx))
	call(func(ctx context.Context) error {
		_, err := s.Apply(ctx, schema.Transition{SessionID: b.session, RunID: b.run, Key: schema.NewID(), Status: schema.SessionActive, Phase: schema.PhaseExecuting})
		return err
	})
	waiting(size)
	full, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	mustFail(t, s.Ping(full), schema.CodeUnavailable)
	must(t, tx.Commit(ctx))
	all.Wait()
}
