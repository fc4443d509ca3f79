// Package embeddedtest gives tests a real Postgres and a real Temporal of their own: one server per test binary, one
// database per test. In TestMain:
//
//	func TestMain(m *testing.M) {
//		os.Exit(testkit.Main(m, embeddedtest.WithPostgres(&postgres), embeddedtest.WithTemporal(&temporal)))
//	}
//
// or StartTestPostgres and StartTestTemporal with a testing.TB, which stop the server when that test ends. The servers
// die with the test binary even when it is killed.
//
// Imports: embedded, internal/testkit.
// Imported by: schema/store/storetest.
package embeddedtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/holdfast/holdfast/embedded"
	"github.com/holdfast/holdfast/internal/testkit"
)

// Postgres is a running server for tests.
type Postgres struct {
	*embedded.Postgres
	databases atomic.Int64
}

// Temporal is a running development server for tests, without a Web UI.
type Temporal struct {
	*embedded.Temporal
}

// WithPostgres has testkit.Main start a Postgres and put it in target.
func WithPostgres(target **Postgres) testkit.Option {
	return func() (func() error, error) {
		server, stop, err := startPostgres()
		*target = server
		return stop, err
	}
}

// WithTemporal has testkit.Main start a Temporal and put it in target.
func WithTemporal(target **Temporal) testkit.Option {
	return func() (func() error, error) {
		server, stop, err := startTemporal(nil)
		*target = server
		return stop, err
	}
}

// StartTestPostgres starts a Postgres that is stopped when the test ends.
func StartTestPostgres(tb testing.TB) *Postgres {
	tb.Helper()
	server, stop, err := startPostgres()
	cleanup(tb, stop)
	if err != nil {
		tb.Fatalf("start postgres: %v", err)
	}
	return server
}

// StartTestTemporal starts a Temporal that is stopped when the test ends.
func StartTestTemporal(tb testing.TB) *Temporal {
	tb.Helper()
	server, stop, err := startTemporal(nil)
	cleanup(tb, stop)
	if err != nil {
		tb.Fatalf("start temporal: %v", err)
	}
	return server
}

func cleanup(tb testing.TB, stop func() error) {
	tb.Helper()
	if stop == nil {
		return
	}
	tb.Cleanup(func() {
		if err := stop(); err != nil {
			tb.Errorf("stop: %v", err)
		}
	})
}

// NewDatabase makes an empty database for this test and returns its address. It is dropped, with every connection to
// it, when the test ends.
func (p *Postgres) NewDatabase(tb testing.TB) string {
	tb.Helper()
	name := fmt.Sprintf("test_%d", p.databases.Add(1))
	// This strategy is the fastest here: other tests need not wait for a checkpoint.
	if err := p.exec("CREATE DATABASE " + name + " TEMPLATE template0 STRATEGY wal_log"); err != nil {
		tb.Fatalf("create database: %v", err)
	}
	tb.Cleanup(func() {
		if err := p.exec("DROP DATABASE IF EXISTS " + name + " WITH (FORCE)"); err != nil {
			tb.Logf("drop database: %v", err)
		}
	})
	return p.DSN(name)
}

func (p *Postgres) exec(sql string) error {
	const timeout = 30 * time.Second
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, p.DSN("postgres"))
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, sql); err != nil {
		return fmt.Errorf("%s: %w", sql, err)
	}
	return nil
}

func startPostgres() (*Postgres, func() error, error) {
	dir, err := tempDir("postgres")
	if err != nil {
		return nil, nil, err
	}
	server := &Postgres{Postgres: &embedded.Postgres{
		Dir: dir,
		// Nothing here has to survive a crash of the machine, only crashes of processes.
		Settings: map[string]string{"fsync": "off", "full_page_writes": "off", "max_connections": "500"},
	}}
	stop := stopAndRemove(dir, server.Stop)
	if err := server.Start(context.Background()); err != nil {
		return nil, stop, err
	}
	return server, stop, nil
}

func startTemporal(searchAttributes map[string]string) (*Temporal, func() error, error) {
	dir, err := tempDir("temporal")
	if err != nil {
		return nil, nil, err
	}
	server := &Temporal{Temporal: &embedded.Temporal{Dir: dir, Headless: true, SearchAttributes: searchAttributes}}
	stop := stopAndRemove(dir, kill(server))
	if err := server.Start(context.Background()); err != nil {
		return nil, stop, err
	}
	return server, stop, nil
}

// kill ends a server whose data nobody needs any more: Temporal takes seconds to stop cleanly.
func kill(server *Temporal) func(context.Context) error {
	return func(ctx context.Context) error {
		ended, cancel := context.WithCancel(ctx)
		cancel()
		return server.Stop(ended)
	}
}

func stopAndRemove(dir string, stop func(context.Context) error) func() error {
	return func() error {
		const grace = 5 * time.Second
		ctx, cancel := context.WithTimeout(context.Background(), grace)
		defer cancel()
		return errors.Join(stop(ctx), os.RemoveAll(dir))
	}
}

const prefix = "holdfast-test-"

// tempDir makes a folder whose name says which process it belongs to, and removes those of dead processes: a killed test
// binary cannot remove its own.
func tempDir(name string) (string, error) {
	left, _ := filepath.Glob(filepath.Join(os.TempDir(), prefix+"*"))
	for _, dir := range left {
		pid, start, found := strings.Cut(strings.TrimPrefix(filepath.Base(dir), prefix), "-")
		start, _, _ = strings.Cut(start, "-")
		owner := embedded.Owned{Name: "test"}
		var err error
		if owner.PID, err = strconv.Atoi(pid); err != nil || !found {
			continue
		}
		if owner.Start, err = strconv.ParseUint(start, 10, 64); err == nil && !owner.Alive() {
			_ = os.RemoveAll(dir) // still in use, or another user's: the next run removes it
		}
	}
	self, err := embedded.OwnedBy("test", os.Getpid())
	if err != nil {
		return "", fmt.Errorf("temporary folder: %w", err)
	}
	dir, err := os.MkdirTemp("", fmt.Sprintf("%s%d-%d-%s-", prefix, self.PID, self.Start, name))
	if err != nil {
		return "", fmt.Errorf("temporary folder: %w", err)
	}
	return dir, nil
}
