-- Every statement tolerates that it was carried out before, as in 0001.

-- A step's output waits in a spool on its host: spool_offset is how far it has been taken over, and moves with the events.
-- snapshot names what the workspace was after the attempt, in the blob store.
ALTER TABLE attempts
    ADD COLUMN IF NOT EXISTS spool_offset bigint NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS read_bytes   bigint NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS write_bytes  bigint NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS snapshot     text NOT NULL DEFAULT '';

-- The workspace as it was after the attempt that finished last; '' while there is none.
ALTER TABLE session_states ADD COLUMN IF NOT EXISTS snapshot text NOT NULL DEFAULT '';

DROP FUNCTION IF EXISTS holdfast_append_output(uuid, uuid, text, integer, bigint, integer[], text[], bytea[]);

-- Adds what an attempt printed between two offsets of its spool, and how far it has come, in one round trip. Answers the
-- new head, or -1 for an attempt that never began, -2 for what is in already, -3 for an attempt that is over, -4 when
-- something before is missing.
CREATE OR REPLACE FUNCTION holdfast_append_output(
    p_session uuid, p_run uuid, p_step text, p_attempt integer, p_from bigint, p_to bigint,
    p_types text[], p_sizes integer[], p_data text[], p_packed bytea[]
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    n        integer := COALESCE(cardinality(p_sizes), 0); -- an empty flush may come as NULL
    head     bigint;
    s_status text;
    consumed bigint;
BEGIN
    SELECT head_seq INTO head FROM sessions WHERE id = p_session FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN -1;
    END IF;
    UPDATE attempts SET spool_offset = p_to
     WHERE run_id = p_run AND step_id = p_step AND number = p_attempt AND status = 'running' AND spool_offset = p_from;
    IF NOT FOUND THEN
        SELECT status, spool_offset INTO s_status, consumed FROM attempts
         WHERE run_id = p_run AND step_id = p_step AND number = p_attempt;
        IF NOT FOUND THEN
            RETURN -1;
        END IF;
        IF s_status <> 'running' THEN
            RETURN -3;
        END IF;
        IF consumed >= p_to THEN
            RETURN -2;
        END IF;
        RETURN -4;
    END IF;
    IF n = 0 THEN
        RETURN head;
    END IF;
    UPDATE sessions SET head_seq = head + n WHERE id = p_session;
    INSERT INTO events (session_id, seq, type, run_id, step_id, size, data, packed)
    SELECT p_session, head + e.i, e.type, p_run, p_step, e.size, NULLIF(e.data, '')::json, e.packed
      FROM unnest(p_types, p_sizes, p_data, p_packed) WITH ORDINALITY AS e (type, size, data, packed, i);
    PERFORM pg_notify('holdfast_feed', p_session::text || ' ' || (head + n)::text || ' 0');
    RETURN head + n;
END
$$;
