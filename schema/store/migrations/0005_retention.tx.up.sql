-- Every statement tolerates that it was carried out before, as in 0001.

-- The output of runs that are over moves from rows of events to blocks: many events in one compressed text. All of a
-- session's output up to compacted_seq is in blocks, and none after it. purged_seq is how much of a deleted session's log
-- has been removed.
ALTER TABLE sessions
    ADD COLUMN IF NOT EXISTS compacted_seq bigint NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS purged_seq    bigint NOT NULL DEFAULT 0;

-- A block has the events of types from first_seq to last_seq that were output; events of other types between them stay
-- rows. Its text is zstd: in packed, or in the object of the blob store that blob names. size is that of the JSON of the
-- events' data. The key is the last seq, so that what follows a seq is found by it.
CREATE TABLE IF NOT EXISTS event_blocks (
    session_id uuid NOT NULL,
    first_seq  bigint NOT NULL,
    last_seq   bigint NOT NULL,
    events     integer NOT NULL,
    size       bigint NOT NULL,
    types      text[] NOT NULL,
    packed     bytea,
    blob       text,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (session_id, last_seq),
    CONSTRAINT event_blocks_one_body CHECK (num_nonnulls(packed, blob) = 1)
);
ALTER TABLE event_blocks ALTER COLUMN packed SET STORAGE EXTERNAL;
CREATE INDEX IF NOT EXISTS event_blocks_here ON event_blocks (created_at) WHERE blob IS NULL;

-- What happened, without what was printed: a few events of a log that may have millions.
CREATE INDEX IF NOT EXISTS events_story ON events (session_id, seq) WHERE type NOT IN ('output', 'step_progress');
