-- What is in blocks cannot be made rows again by SQL, and nobody wants to lose it.
DO $$
BEGIN
    IF to_regclass('event_blocks') IS NOT NULL THEN
        IF EXISTS (SELECT FROM event_blocks) THEN
            RAISE EXCEPTION 'logs have been compacted, and the release before cannot read them'
                USING ERRCODE = 'object_not_in_prerequisite_state';
        END IF;
    END IF;
END
$$;
DROP INDEX IF EXISTS events_story;
DROP TABLE IF EXISTS event_blocks;
ALTER TABLE IF EXISTS sessions DROP COLUMN IF EXISTS compacted_seq, DROP COLUMN IF EXISTS purged_seq;
