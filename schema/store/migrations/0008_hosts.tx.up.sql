-- older releases: work
-- Every statement tolerates that it was carried out before, as in 0001.

-- The workspace that a fork began with, for forks from what it has inherited; '' when it is none, or not known.
ALTER TABLE sessions ADD COLUMN IF NOT EXISTS base_snapshot text NOT NULL DEFAULT '';
UPDATE sessions s SET base_snapshot = t.snapshot FROM session_states t
 WHERE t.session_id = s.id AND s.forked_from IS NOT NULL AND s.base_snapshot = ''
   AND NOT EXISTS (SELECT FROM runs r JOIN attempts a ON a.run_id = r.id WHERE r.session_id = s.id);

-- Which data folder has a host's name: one at a time. folder tells it from every copy of it, holder is the process that
-- works there.
CREATE TABLE IF NOT EXISTS worker_hosts (
    host     text PRIMARY KEY,
    folder   text NOT NULL,
    holder   text NOT NULL,
    place    text NOT NULL DEFAULT '', -- for people: the machine and the path
    since    timestamptz NOT NULL DEFAULT now(),
    seen_at  timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);

-- A block that cannot be archived is tried again later, and keeps no other waiting.
ALTER TABLE event_blocks
    ADD COLUMN IF NOT EXISTS archive_failures integer NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS archive_not_before timestamptz;
