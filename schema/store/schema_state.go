package store

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/holdfast/holdfast/schema"
)

// Migration is one migration of the database. AppliedAt is nil while it is not applied.
type Migration struct {
	Name      string       `json:"name"`
	AppliedAt *schema.Time `json:"applied_at,omitempty"`
	// Unknown says that it is applied, but not part of this release.
	Unknown bool `json:"unknown,omitempty"`
	// Release is the release that applied it; "" if unknown.
	Release string `json:"release,omitempty"`
	// OlderReleases, for an unknown one: whether releases that do not know it "work" with it, or have to
	// "stop".
	OlderReleases string `json:"older_releases,omitempty"`
}

// Schema compares the migrations of a database with those of this release.
type Schema struct {
	Missing []string    // migrations of this release, by name
	Unknown []Migration // applied, but not part of this release
	applied map[string]Migration
}

// Err is nil if this release can work with the database. Missing migrations are
// [schema.CodeUnavailable]: somebody has to migrate. Migrations of a newer release that this one
// cannot work with are [schema.CodeUnsupported]. Both texts are for people.
func (d *Schema) Err() error {
	if err := d.newer(); err != nil {
		return err
	}
	if len(d.Missing) > 0 {
		return schema.Errorf(schema.CodeUnavailable, "the database lacks migrations of this release: %s; run holdfast migrate up", strings.Join(d.Missing, ", "))
	}
	return nil
}

// Newer lists migrations that this release does not know but can work with; "" if there are none.
func (d *Schema) Newer() string {
	if len(d.Unknown) == 0 || d.newer() != nil {
		return ""
	}
	return d.unknownNames()
}

// newer is an error if a newer release has changed the database so that this one cannot work with it.
func (d *Schema) newer() error {
	for i := range d.Unknown {
		if d.Unknown[i].OlderReleases != olderWork {
			return schema.Errorf(schema.CodeUnsupported, "a newer release has migrated the database: this one does not know %s, and cannot work with it; start a release that does", d.unknownNames())
		}
	}
	return nil
}

func (d *Schema) unknownNames() string {
	names := make([]string, len(d.Unknown))
	for i := range d.Unknown {
		if names[i] = d.Unknown[i].Name; d.Unknown[i].Release != "" {
			names[i] += " (of release " + d.Unknown[i].Release + ")"
		}
	}
	return strings.Join(names, ", ")
}

// misses reports whether a migration, given by its number, is missing.
func (d *Schema) misses(number string) bool {
	_, is := d.applied[number]
	return !is
}

// SchemaReady is [Store.Schema] in the form that a readiness check needs: nil, or why this release
// cannot work with the database. It is one short query, two if the database is newer.
func (s *Store) SchemaReady(ctx context.Context) error {
	state, err := s.Schema(ctx)
	if err != nil {
		return err
	}
	return state.Err()
}

// Schema compares the database's migrations with those of this release. An error says that Postgres
// could not be queried; a database without migrations is not an error.
func (s *Store) Schema(ctx context.Context) (Schema, error) {
	known, err := knownMigrations()
	if err != nil {
		return Schema{}, failed("read the migrations", err)
	}
	state := Schema{applied: map[string]Migration{}}
	if err := s.readApplied(ctx, &state); err != nil {
		return Schema{}, failed("read the migrations", err)
	}
	sorted := known.Sorted()
	unknown := make(map[string]bool, len(state.applied))
	for number := range state.applied {
		unknown[number] = true
	}
	for i := range sorted {
		delete(unknown, sorted[i].Name)
		if state.misses(sorted[i].Name) {
			state.Missing = append(state.Missing, sorted[i].String())
		}
	}
	if len(unknown) == 0 {
		return state, nil
	}
	if err := s.readMarks(ctx, state.applied); err != nil {
		return Schema{}, failed("read the migrations", err)
	}
	for _, number := range slices.Sorted(maps.Keys(unknown)) {
		m := state.applied[number]
		m.Unknown = true
		if m.OlderReleases == "" {
			m.OlderReleases = olderStop // the release that applied it was cut short before it could say
		}
		state.Unknown = append(state.Unknown, m)
	}
	return state, nil
}

func (s *Store) readApplied(ctx context.Context, state *Schema) error {
	rows, err := s.pool.Query(ctx, `SELECT name, max(migrated_at) FROM bun_migrations GROUP BY name`)
	if err == nil {
		var (
			number string
			at     time.Time
		)
		_, err = pgx.ForEachRow(rows, []any{&number, &at}, func() error {
			state.applied[number] = Migration{Name: number, AppliedAt: &schema.Time{Time: at}}
			return nil
		})
	}
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok && refused.Code == sqlUndefinedTable {
		return nil // nothing was ever applied
	}
	return err
}

// readMarks adds what other releases recorded about the migrations that they applied.
func (s *Store) readMarks(ctx context.Context, applied map[string]Migration) error {
	rows, err := s.pool.Query(ctx, `SELECT name, title, release, older_releases FROM migration_marks`)
	if err == nil {
		var number, title, release, older string
		_, err = pgx.ForEachRow(rows, []any{&number, &title, &release, &older}, func() error {
			if m, is := applied[number]; is {
				m.Name, m.Release, m.OlderReleases = number+"_"+title, release, older
				applied[number] = m
			}
			return nil
		})
	}
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok && refused.Code == sqlUndefinedTable {
		return nil // from before there were marks
	}
	return err
}

// MigrationStatus lists every migration in order, applied or not, known to this release or not.
func (s *Store) MigrationStatus(ctx context.Context) ([]Migration, error) {
	state, err := s.Schema(ctx)
	if err != nil {
		return nil, err
	}
	known, err := knownMigrations()
	if err != nil {
		return nil, failed("read the migrations", err)
	}
	if err := s.readMarks(ctx, state.applied); err != nil {
		return nil, failed("read the migrations", err)
	}
	sorted := known.Sorted()
	all := make([]Migration, 0, len(sorted)+len(state.Unknown))
	for i := range sorted {
		one := Migration{Name: sorted[i].String()}
		if m, is := state.applied[sorted[i].Name]; is {
			one.AppliedAt, one.Release = m.AppliedAt, m.Release
		}
		all = append(all, one)
	}
	return append(all, state.Unknown...), nil
}
