package store

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
	"github.com/uptrace/bun/migrate"

	"github.com/holdfast/holdfast/schema"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// migrationLock identifies the advisory lock under which migrations run. It belongs to a transaction, so that it is
// held on the right connection even behind a pooler, and Postgres drops it with the connection: a killed migrate blocks
// nobody.
const migrationLock = 0x686f6c64666173 // "holdfas"

// lockPoll is how long a process waits before it tries again for the lock.
const lockPoll = 100 * time.Millisecond

// Migrate applies missing migrations in order, and returns their names. Any number of processes may
// call it at once: one works, the others wait and find nothing to do. If a newer release has
// migrated the database so that this one cannot work with it, it returns [schema.CodeUnsupported].
func (s *Store) Migrate(ctx context.Context) ([]string, error) {
	var names []string
	err := s.migrating(ctx, func(m *migrate.Migrator) error {
		state, err := s.Schema(ctx)
		if err != nil {
			return err
		}
		if err := state.newer(); err != nil {
			return err
		}
		if err := buildIndexes(ctx, m.DB(), state); err != nil {
			return err
		}
		// Where possible, mark them before applying them: an older release running meanwhile takes an unmarked
		// migration for one that it cannot work with.
		var marked bool
		if err := m.DB().QueryRowContext(ctx, `SELECT to_regclass('migration_marks') IS NOT NULL`).Scan(&marked); err != nil {
			return err
		}
		if marked {
			if err := s.markMigrations(ctx, m.DB(), state); err != nil {
				return err
			}
		}
		group, err := m.Migrate(ctx)
		names = groupNames(group)
		if err != nil || marked {
			return err
		}
		return s.markMigrations(ctx, m.DB(), state)
	})
	return names, failed("migrate", err)
}

// MigrateDown undoes the migrations that were last applied together, and returns their names. If
// this release does not know all applied migrations, it undoes nothing and returns
// [schema.CodeConflict]: unknown ones may depend on the known ones.
func (s *Store) MigrateDown(ctx context.Context) ([]string, error) {
	var names []string
	err := s.migrating(ctx, func(m *migrate.Migrator) error {
		state, err := s.Schema(ctx)
		if err != nil {
			return err
		}
		if len(state.Unknown) > 0 {
			return schema.Errorf(schema.CodeConflict, "the database has migrations that this release does not know: %s; nothing was undone: undo them with the release that applied them first", state.unknownNames())
		}
		group, err := m.Rollback(ctx)
		names = groupNames(group)
		return err
	})
	return names, failed("undo a migration", err)
}

// MigrateDownAll undoes every migration: all data is lost.
func (s *Store) MigrateDownAll(ctx context.Context) error {
	for {
		names, err := s.MigrateDown(ctx)
		if err != nil || len(names) == 0 {
			return err
		}
	}
}

// migrating runs do while no other process migrates, on its own connections, which bypass a pooler.
func (s *Store) migrating(ctx context.Context, do func(*migrate.Migrator) error) error {
	known, err := knownMigrations()
	if err != nil {
		return err
	}
	conn, err := pgx.ConnectConfig(ctx, s.direct.Copy())
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer closeConn(ctx, conn)
	// Poll for the lock instead of waiting: a waiting statement has a snapshot, and a process that holds the lock and
	// builds an index concurrently waits for all snapshots.
	var lock *txLock
	for lock == nil {
		if lock, err = lockIn(ctx, conn, `SELECT pg_try_advisory_xact_lock($1::bigint)`, migrationLock); err != nil {
			return fmt.Errorf("lock: %w", err)
		}
		if lock == nil {
			s.migrationWaits.Signal()
			select {
			case <-time.After(lockPoll):
			case <-ctx.Done():
				return fmt.Errorf("lock: %w", ctx.Err())
			}
		}
	}
	defer lock.release(ctx)
	config := s.direct.Copy()
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	db := bun.NewDB(stdlib.OpenDB(*config), pgdialect.New())
	defer db.Close()
	m := migrate.NewMigrator(db, known, migrate.WithMarkAppliedOnSuccess(true))
	if err := m.Init(ctx); err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	return do(m)
}

// knownMigrations are the migrations of this release.
var knownMigrations = sync.OnceValues(func() (*migrate.Migrations, error) {
	files, err := fs.Sub(migrationFiles, "migrations")
	if err != nil {
		return nil, fmt.Errorf("find the migrations: %w", err)
	}
	known := migrate.NewMigrations()
	if err := known.Discover(files); err != nil {
		return nil, fmt.Errorf("read the migrations: %w", err)
	}
	return known, nil
})

func groupNames(group *migrate.MigrationGroup) []string {
	names := []string{}
	if group == nil {
		return names
	}
	for i := range group.Migrations {
		names = append(names, group.Migrations[i].String())
	}
	return names
}

// concurrentIndex is an index on a table that may have many millions of rows. A migration runs in a transaction, where
// building an index blocks all writers. So this one is built before the migration, concurrently, and the migration
// finds it.
type concurrentIndex struct {
	migration string
	name      string
	table     string
	on        string
}

// concurrentIndexes lists every index that a migration after 0001 adds to events. On a new database, where the table does
// not exist yet, the migration adds it itself.
var concurrentIndexes = []concurrentIndex{
	{"0005", "events_story", "events", "(session_id, seq) WHERE type NOT IN ('output', 'step_progress')"},
}

// buildIndexes builds the indexes whose migrations are missing.
func buildIndexes(ctx context.Context, db *bun.DB, state Schema) error {
	for _, index := range concurrentIndexes {
		if !state.misses(index.migration) {
			continue
		}
		var table, whole bool
		err := db.QueryRowContext(ctx, `SELECT to_regclass(?) IS NOT NULL, COALESCE((SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(?)), false)`,
			index.table, index.name).Scan(&table, &whole)
		if err != nil {
			return fmt.Errorf("look for the index %s: %w", index.name, err)
		}
		if !table || whole {
			continue
		}
		for _, statement := range []string{
			"DROP INDEX CONCURRENTLY IF EXISTS " + index.name, // left by a build that was cut short
			"CREATE INDEX CONCURRENTLY " + index.name + " ON " + index.table + " " + index.on,
		} {
			if _, err := db.ExecContext(ctx, statement); err != nil {
				return fmt.Errorf("build the index %s: %w", index.name, err)
			}
		}
	}
	return nil
}

// markMigrations records what other releases cannot know about this release's migrations: their titles, who applied
// them, and whether releases that do not know them can work with them. This release is recorded for the ones that were
// missing before.
func (s *Store) markMigrations(ctx context.Context, db *bun.DB, before Schema) error {
	known, err := knownMigrations()
	if err != nil {
		return err
	}
	sorted := known.Sorted()
	for i := range sorted {
		older, err := olderReleases(sorted[i].String())
		if err != nil {
			return err
		}
		_, err = db.ExecContext(ctx, `INSERT INTO migration_marks (name, title, release, older_releases) VALUES (?, ?, ?, ?)
			ON CONFLICT (name) DO UPDATE SET title = EXCLUDED.title, older_releases = EXCLUDED.older_releases,
				release = CASE WHEN ? THEN EXCLUDED.release ELSE migration_marks.release END`,
			sorted[i].Name, sorted[i].Comment, s.release, older, before.misses(sorted[i].Name))
		if err != nil {
			return fmt.Errorf("mark %s: %w", sorted[i].Name, err)
		}
	}
	return nil
}

// What a migration's first line may say about releases that do not know it.
const (
	olderWork = "work"
	olderStop = "stop"
	olderLine = "-- older releases: "
)

// olderReleases reads the first line of a migration. Unless it says that older releases work, they must stop.
func olderReleases(migration string) (string, error) {
	text, err := migrationFiles.ReadFile("migrations/" + migration + ".tx.up.sql")
	if err != nil {
		return "", fmt.Errorf("read a migration: %w", err)
	}
	first, _, _ := strings.Cut(string(text), "\n")
	switch says, is := strings.CutPrefix(first, olderLine); {
	case !is:
		return olderStop, nil
	case says == olderWork || says == olderStop:
		return says, nil
	default:
		return "", fmt.Errorf("the first line of migration %s says %q", migration, first)
	}
}
