// Package storetest gives tests a store over a real Postgres: one server for the test binary, one migrated database for
// each test. In TestMain:
//
//	func TestMain(m *testing.M) { os.Exit(storetest.Main(m)) }
//
// and in a test storetest.New(t). A test binary that starts its own server uses storetest.NewOn.
//
// Imports: embedded/embeddedtest, internal/testkit, schema/store.
// Imported by: nothing of this module.
package storetest

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/holdfast/holdfast/embedded/embeddedtest"
	"github.com/holdfast/holdfast/internal/testkit"
	"github.com/holdfast/holdfast/schema/store"
)

var server *embeddedtest.Postgres

// Main is [testkit.Main] with a Postgres for [New].
func Main(m *testing.M, options ...testkit.Option) int {
	return testkit.Main(m, append(options, embeddedtest.WithPostgres(&server))...)
}

// Server is the Postgres that [Main] started.
func Server() *embeddedtest.Postgres { return server }

// New opens a store on its own migrated database; both are gone when the test ends. Without [Main],
// the test also gets its own server.
func New(tb testing.TB) *store.Store {
	tb.Helper()
	s, _ := NewDSN(tb)
	return s
}

// NewDSN is New with the address of the database, for another process or connection.
func NewDSN(tb testing.TB) (*store.Store, string) {
	tb.Helper()
	on := server
	if on == nil {
		on = embeddedtest.StartTestPostgres(tb)
	}
	return NewOn(tb, on)
}

// NewOn is NewDSN on a given server.
func NewOn(tb testing.TB, on *embeddedtest.Postgres) (*store.Store, string) {
	tb.Helper()
	dsn := on.NewDatabase(tb)
	s := Open(tb, dsn)
	if _, err := s.Migrate(context.Background()); err != nil {
		tb.Fatalf("migrate: %v", err)
	}
	return s, dsn
}

// Open opens another store on a database; it is closed when the test ends.
func Open(tb testing.TB, dsn string) *store.Store {
	tb.Helper()
	s, err := store.Open(context.Background(), dsn, store.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		tb.Fatalf("open the store: %v", err)
	}
	tb.Cleanup(s.Close)
	return s
}

// Exec runs a statement on a database, bypassing every store: for what a crash, an operator or another release left.
func Exec(tb testing.TB, dsn, statement string, args ...any) {
	tb.Helper()
	const limit = 30 * time.Second
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		tb.Fatalf("connect: %v", err)
	}
	_, err = conn.Exec(ctx, statement, args...)
	if err = errors.Join(err, conn.Close(ctx)); err != nil {
		tb.Fatalf("%s: %v", statement, err)
	}
}
