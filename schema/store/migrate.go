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

// migrationLock names the advisory lock under which migrations run. It belongs to a transaction, so that it is held to
// the right connection behind a pooler too, and Postgres drops it with the connection: a migrate that was killed blocks
// nobody.
const migrationLock = 0x686f6c64666173 // "holdfas"

// migrationRest is how long whoever does not get it waits before it tries again.
const migrationRest = 100 * time.Millisecond

// Migrate applies what is missing, in order, and returns the names of what it applied. Any
// number of processes may call it at once: one works, the others wait and find nothing to do.
// On a database that a newer release has migrated, and with which this one cannot work, it is
// [schema.CodeUnsupported].
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
		// Before them where that is possible: an older release that works meanwhile takes what has no mark for one with
		// which it cannot.
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

// MigrateDown undoes the migrations that were applied together last, and returns their names.
// When there are applied ones that this release does not know, it undoes nothing and is
// [schema.CodeConflict]: what is known may not be taken from under them.
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

// MigrateDownAll undoes every migration: all data is gone afterwards.
func (s *Store) MigrateDownAll(ctx context.Context) error {
	for {
		names, err := s.MigrateDown(ctx)
		if err != nil || len(names) == 0 {
			return err
		}
	}
}

// migrating runs do while no other process migrates, with connections of its own that keep clear of a pooler.
func (s *Store) migrating(ctx context.Context, do func(*migrate.Migrator) error) error {
	known, err := knownMigrations()
	if err != nil {
		return err
	}
	conn, err := pgx.ConnectConfig(ctx, s.direct.Copy())
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer hangUp(ctx, conn)
	// Tried for, not waited for: a statement that waits has a snapshot, and whoever holds the lock and builds an index
	// beside those who write waits for all of them.
	var lock *txLock
	for lock == nil {
		if lock, err = lockIn(ctx, conn, `SELECT pg_try_advisory_xact_lock($1::bigint)`, migrationLock); err != nil {
			return fmt.Errorf("lock: %w", err)
		}
		if lock == nil {
			select {
			case <-time.After(migrationRest):
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

// knownMigrations are those of this release.
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

// earlyIndex is an index of a table that may have many millions of rows. A migration runs in a transaction, where an
// index is built while nobody can write: this one is built before it, beside those who write, and the migration finds it.
type earlyIndex struct {
	migration string
	name      string
	table     string
	on        string
}

// earlyIndexes has every index that a migration adds to events after 0001. To a table that does not exist yet, on a new
// database, the migration adds it itself.
var earlyIndexes = []earlyIndex{
	{"0005", "events_story", "events", "(session_id, seq) WHERE type NOT IN ('output', 'step_progress')"},
}

// buildIndexes builds those indexes whose migrations are missing.
func buildIndexes(ctx context.Context, db *bun.DB, state Schema) error {
	for _, index := range earlyIndexes {
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
			"DROP INDEX CONCURRENTLY IF EXISTS " + index.name, // what a build that was cut short left
			"CREATE INDEX CONCURRENTLY " + index.name + " ON " + index.table + " " + index.on,
		} {
			if _, err := db.ExecContext(ctx, statement); err != nil {
				return fmt.Errorf("build the index %s: %w", index.name, err)
			}
		}
	}
	return nil
}

// markMigrations says of this release's migrations what other releases cannot know: their titles, who applied them, and
// whether releases that do not know them can work with them. Those that the database missed before are applied by this
// release.
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

// What a migration's first line may say of releases that do not know it.
const (
	olderWork = "work"
	olderStop = "stop"
	olderLine = "-- older releases: "
)

// olderReleases reads the first line of a migration. One that does not say that older releases work stops them.
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
