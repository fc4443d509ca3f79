-- Every statement tolerates that it was carried out before: a process that dies between the commit of this file and
-- the record of it leaves a database that the next migrate finds half known.

CREATE TABLE IF NOT EXISTS sessions (
    id                  uuid PRIMARY KEY,
    name                text NOT NULL,
    mode                text NOT NULL,
    owner               text NOT NULL,
    task                text NOT NULL DEFAULT '',
    config              jsonb NOT NULL DEFAULT '{}',
    head_seq            bigint NOT NULL DEFAULT 0,
    version             bigint NOT NULL DEFAULT 1,
    workflow_started_at timestamptz,
    workflow_closed_at timestamptz,
    idempotency_key     text,
    request_digest      text NOT NULL DEFAULT '',
    forked_from         uuid,
    deleted_at          timestamptz,
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT sessions_idempotency UNIQUE (owner, idempotency_key)
) WITH (fillfactor = 50); -- head_seq moves with every flush: room for updates on the same page
CREATE INDEX IF NOT EXISTS sessions_newest ON sessions (created_at DESC, id DESC) WHERE deleted_at IS NULL;
CREATE INDEX IF NOT EXISTS sessions_unstarted ON sessions (created_at) WHERE workflow_started_at IS NULL AND deleted_at IS NULL;
CREATE INDEX IF NOT EXISTS sessions_unclosed ON sessions (deleted_at) WHERE workflow_closed_at IS NULL AND deleted_at IS NOT NULL;

CREATE TABLE IF NOT EXISTS session_states (
    session_id            uuid PRIMARY KEY REFERENCES sessions (id) ON DELETE CASCADE,
    conversation_position bigint NOT NULL DEFAULT 0,
    context_variables     jsonb NOT NULL DEFAULT '{}',
    plan_data             json,
    plan_digest           text NOT NULL DEFAULT '',
    current_phase         text NOT NULL,
    current_step          text NOT NULL DEFAULT '',
    status                text NOT NULL,
    expires_at            timestamptz,
    version               bigint NOT NULL DEFAULT 1
) WITH (fillfactor = 80);

CREATE TABLE IF NOT EXISTS runs (
    id          uuid PRIMARY KEY,
    session_id  uuid NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    number      integer NOT NULL,
    status      text NOT NULL,
    plan_digest text NOT NULL DEFAULT '',
    error       text NOT NULL DEFAULT '',
    started_at  timestamptz NOT NULL,
    finished_at timestamptz,
    CONSTRAINT runs_number UNIQUE (session_id, number)
);

CREATE TABLE IF NOT EXISTS steps (
    run_id   uuid NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    step_id  text NOT NULL,
    position integer NOT NULL,
    title    text NOT NULL,
    kind     text NOT NULL,
    needs    text[] NOT NULL DEFAULT '{}',
    status   text NOT NULL,
    reason   text NOT NULL DEFAULT '',
    PRIMARY KEY (run_id, step_id)
);

CREATE TABLE IF NOT EXISTS attempts (
    run_id         uuid NOT NULL,
    step_id        text NOT NULL,
    number         integer NOT NULL,
    execution      text NOT NULL,
    status         text NOT NULL,
    exit_code      integer,
    signal         text NOT NULL DEFAULT '',
    reason         text NOT NULL DEFAULT '',
    message        text NOT NULL DEFAULT '',
    host           text NOT NULL DEFAULT '',
    started_at     timestamptz NOT NULL,
    finished_at    timestamptz,
    duration_ms    bigint NOT NULL DEFAULT 0,
    cpu_seconds    double precision NOT NULL DEFAULT 0,
    max_rss_bytes  bigint NOT NULL DEFAULT 0,
    output_batches bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (run_id, step_id, number),
    FOREIGN KEY (run_id, step_id) REFERENCES steps (run_id, step_id) ON DELETE CASCADE
) WITH (fillfactor = 50); -- output_batches moves with every flush

CREATE TABLE IF NOT EXISTS approval_requests (
    id            uuid PRIMARY KEY,
    session_id    uuid NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    run_id        uuid NOT NULL,
    step_id       text NOT NULL DEFAULT '',
    approval_type text NOT NULL,
    description   text NOT NULL DEFAULT '',
    options       text[] NOT NULL DEFAULT '{}',
    context       json NOT NULL DEFAULT '{}',
    digest        text NOT NULL DEFAULT '',
    status        text NOT NULL,
    resolution    text NOT NULL DEFAULT '',
    feedback      text NOT NULL DEFAULT '',
    actor         text NOT NULL DEFAULT '',
    result        jsonb,
    on_timeout    text NOT NULL DEFAULT '',
    created_at    timestamptz NOT NULL,
    expires_at    timestamptz NOT NULL,
    resolved_at   timestamptz
);
CREATE INDEX IF NOT EXISTS approval_requests_pending ON approval_requests (expires_at) WHERE status = 'pending';
CREATE INDEX IF NOT EXISTS approval_requests_session ON approval_requests (session_id, created_at DESC, id DESC);
CREATE INDEX IF NOT EXISTS approval_requests_newest ON approval_requests (created_at DESC, id DESC);

CREATE TABLE IF NOT EXISTS active_connections (
    id              text PRIMARY KEY,
    client_id       text NOT NULL DEFAULT '',
    session_id      uuid,
    user_name       text NOT NULL DEFAULT '',
    address         text NOT NULL DEFAULT '',
    server_instance text NOT NULL,
    connected_at    timestamptz NOT NULL DEFAULT now(),
    last_heartbeat  timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 80);
CREATE INDEX IF NOT EXISTS active_connections_instance ON active_connections (server_instance);

CREATE TABLE IF NOT EXISTS messages (
    id         bigserial PRIMARY KEY,
    session_id uuid NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    run_id     uuid,
    role       text NOT NULL,
    agent      text NOT NULL DEFAULT '',
    actor      text NOT NULL DEFAULT '',
    content    text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS messages_session ON messages (session_id, id);

-- The log. data is json and not jsonb, so that bytes stay as they were written and \u0000 passes; packed is the zstd
-- of the same JSON text, made by the writer, so Postgres must not try its own compression on either. size is the
-- length of the JSON text. There is no foreign key: it would cost one lookup for each row on the hot path.
CREATE TABLE IF NOT EXISTS events (
    session_id uuid NOT NULL,
    seq        bigint NOT NULL,
    type       text NOT NULL,
    run_id     uuid,
    step_id    text,
    at         timestamptz(3) NOT NULL DEFAULT clock_timestamp(),
    idem_key   text,
    size       integer NOT NULL,
    data       json,
    packed     bytea,
    PRIMARY KEY (session_id, seq),
    CONSTRAINT events_one_body CHECK (num_nonnulls(data, packed) = 1)
);
ALTER TABLE events ALTER COLUMN data SET STORAGE EXTERNAL;
ALTER TABLE events ALTER COLUMN packed SET STORAGE EXTERNAL;
CREATE UNIQUE INDEX IF NOT EXISTS events_idempotency ON events (session_id, idem_key) WHERE idem_key IS NOT NULL;

-- The keys of keyed writes. Not every transition makes an event, so events.idem_key cannot hold them all.
CREATE TABLE IF NOT EXISTS applied_keys (
    session_id uuid NOT NULL,
    key        text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (session_id, key)
);

-- One flush of a step's output, in one round trip. The answer is the new head, or
-- -1 no such session or attempt, -2 this batch is in already, -3 the attempt is over, -4 a batch before it is missing.
-- The session's row is locked first, as in every other write, so that no two writers wait for each other.
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
