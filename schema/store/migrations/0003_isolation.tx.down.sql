DROP FUNCTION IF EXISTS holdfast_append_output(uuid, uuid, text, integer, bigint, bigint, text[], integer[], text[], bytea[]);
ALTER TABLE IF EXISTS session_states DROP COLUMN IF EXISTS snapshot;
ALTER TABLE IF EXISTS attempts
    DROP COLUMN IF EXISTS spool_offset,
    DROP COLUMN IF EXISTS read_bytes,
    DROP COLUMN IF EXISTS write_bytes,
    DROP COLUMN IF EXISTS snapshot;

-- As 0001 had it.
CREATE OR REPLACE FUNCTION holdfast_append_output(
    p_session uuid, p_run uuid, p_step text, p_attempt integer, p_batch bigint,
    p_sizes integer[], p_data text[], p_packed bytea[]
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    n        integer := COALESCE(cardinality(p_sizes), 0); -- an empty flush may come as NULL
    head     bigint;
    s_status text;
    batches  bigint;
BEGIN
    SELECT head_seq INTO head FROM sessions WHERE id = p_session FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN -1;
    END IF;
    UPDATE attempts SET output_batches = output_batches + 1
     WHERE run_id = p_run AND step_id = p_step AND number = p_attempt AND status = 'running' AND output_batches = p_batch;
    IF NOT FOUND THEN
        SELECT status, output_batches INTO s_status, batches FROM attempts
         WHERE run_id = p_run AND step_id = p_step AND number = p_attempt;
        IF NOT FOUND THEN
            RETURN -1;
        END IF;
        IF s_status <> 'running' THEN
            RETURN -3;
        END IF;
        IF batches > p_batch THEN
            RETURN -2;
        END IF;
        RETURN -4;
    END IF;
    IF n = 0 THEN
        RETURN head;
    END IF;
    UPDATE sessions SET head_seq = head + n WHERE id = p_session;
    INSERT INTO events (session_id, seq, type, run_id, step_id, size, data, packed)
    SELECT p_session, head + e.i, 'output', p_run, p_step, e.size, NULLIF(e.data, '')::json, e.packed
      FROM unnest(p_sizes, p_data, p_packed) WITH ORDINALITY AS e (size, data, packed, i);
    PERFORM pg_notify('holdfast_feed', p_session::text || ' ' || (head + n)::text || ' 0');
    RETURN head + n;
END
$$;
