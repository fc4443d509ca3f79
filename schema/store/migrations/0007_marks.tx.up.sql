-- older releases: work
-- Every statement tolerates that it was carried out before, as in 0001.

-- What a release says of its migrations to releases that do not have them: its own name, and whether those "work" with
-- the database or have to "stop". The first line of a migration says so; without one, they stop.
CREATE TABLE IF NOT EXISTS migration_marks (
    name           text PRIMARY KEY,
    title          text NOT NULL,
    release        text NOT NULL DEFAULT '',
    older_releases text NOT NULL,
    marked_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT migration_marks_older CHECK (older_releases IN ('work', 'stop'))
);
