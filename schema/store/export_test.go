package store

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// SetCompactEvents makes the steps of compaction smaller.
func SetCompactEvents(s *Store, most int) { s.compactEvents = most }

// PreparedStatements lists what a connection of the pool has prepared.
func (s *Store) PreparedStatements(ctx context.Context) ([]string, error) {
	rows, err := s.pool.Query(ctx, `SELECT statement FROM pg_prepared_statements`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// MigrationWaits receives a value each time that Migrate finds that another one is under way. It is called before Migrate.
func (s *Store) MigrationWaits() <-chan struct{} {
	s.migrationWaits.Init()
	return s.migrationWaits.C()
}
