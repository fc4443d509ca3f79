package store

import (
	"context"
	"embed"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/uptrace/bun/migrate"

	"github.com/holdfast/holdfast/schema"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// migrationLock names the advisory lock under which migrations run. Postgres drops it with the connection, so a migrate
// that was killed blocks nobody.
const migrationLock = 0x686f6c64666173 // "holdfas"

// Migration is one step of the schema. AppliedAt is nil while it is not applied.
type Migration struct {
	Name      string       `json:"name"`
	AppliedAt *schema.Time `json:"applied_at,omitempty"`
}

// Migrate applies what is missing, in order, and returns the names of what it applied. Any
// number of processes may call it at once: one works, the others wait and find nothing to do.
func (s *Store) Migrate(ctx context.Context) ([]string, error) {
	var names []string
	err := s.migrating(ctx, func(m *migrate.Migrator) error {
		group, err := m.Migrate(ctx)
		names = groupNames(group)
		return err
	})
	return names, failed("migrate", err)
}

// MigrateDown undoes the migrations that were applied together last, and returns their names.
func (s *Store) MigrateDown(ctx context.Context) ([]string, error) {
	var names []string
	err := s.migrating(ctx, func(m *migrate.Migrator) error {
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

// MigrationStatus lists every migration in order, applied or not.
func (s *Store) MigrationStatus(ctx context.Context) ([]Migration, error) {
	var all []Migration
	err := s.migrating(ctx, func(m *migrate.Migrator) error {
		known, err := m.MigrationsWithStatus(ctx)
		for i := range known {
			one := Migration{Name: known[i].String()}
			if known[i].IsApplied() {
				one.AppliedAt = &schema.Time{Time: known[i].MigratedAt}
			}
			all = append(all, one)
		}
		return err
	})
	return all, failed("read the migrations", err)
}

func (s *Store) migrating(ctx context.Context, do func(*migrate.Migrator) error) error {
	files, err := fs.Sub(migrationFiles, "migrations")
	if err != nil {
		return fmt.Errorf("find the migrations: %w", err)
	}
	migrations := migrate.NewMigrations()
	if err := migrations.Discover(files); err != nil {
		return fmt.Errorf("read the migrations: %w", err)
	}
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer conn.Release()
	if _, err := conn.Exec(ctx, `SELECT pg_advisory_lock($1::bigint)`, int64(migrationLock)); err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	defer unlockMigrations(ctx, conn)
	m := migrate.NewMigrator(s.db, migrations, migrate.WithMarkAppliedOnSuccess(true))
	if err := m.Init(ctx); err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	return do(m)
}

// unlockMigrations gives the lock back; when it cannot, it closes the connection, which does the same.
func unlockMigrations(ctx context.Context, conn *pgxpool.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
	defer cancel()
	if _, err := conn.Exec(ctx, `SELECT pg_advisory_unlock($1::bigint)`, int64(migrationLock)); err != nil {
		_ = conn.Conn().Close(ctx)
	}
}

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
