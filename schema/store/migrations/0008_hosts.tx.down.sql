ALTER TABLE IF EXISTS event_blocks
    DROP COLUMN IF EXISTS archive_failures,
    DROP COLUMN IF EXISTS archive_not_before;
DROP TABLE IF EXISTS worker_hosts;
ALTER TABLE IF EXISTS sessions DROP COLUMN IF EXISTS base_snapshot;
