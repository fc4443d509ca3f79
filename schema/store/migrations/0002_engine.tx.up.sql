-- Every statement tolerates that it was carried out before, as in 0001.

-- Every plan that a session has had, by what it is: a run names its plan by the digest. session_states keeps the latest.
CREATE TABLE IF NOT EXISTS plans (
    session_id uuid NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    digest     text NOT NULL,
    plan       json NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (session_id, digest)
);
INSERT INTO plans (session_id, digest, plan)
SELECT session_id, plan_digest, plan_data FROM session_states WHERE plan_data IS NOT NULL AND plan_digest <> ''
ON CONFLICT DO NOTHING;

-- A fork's first run inherits steps that finished in its source, and goes on with the message that the source's run
-- answered: that one has number 0.
ALTER TABLE sessions
    ADD COLUMN IF NOT EXISTS forked_step text NOT NULL DEFAULT '',
    ADD COLUMN IF NOT EXISTS inherited   text[] NOT NULL DEFAULT '{}';
CREATE INDEX IF NOT EXISTS sessions_forks ON sessions (forked_from, created_at) WHERE forked_from IS NOT NULL;

ALTER TABLE runs ADD COLUMN IF NOT EXISTS message_number integer;
ALTER TABLE steps ADD COLUMN IF NOT EXISTS inherited boolean NOT NULL DEFAULT false;

ALTER TABLE messages
    ADD COLUMN IF NOT EXISTS number integer,
    ADD COLUMN IF NOT EXISTS status text NOT NULL DEFAULT '';
CREATE UNIQUE INDEX IF NOT EXISTS messages_number ON messages (session_id, number) WHERE number IS NOT NULL;
CREATE INDEX IF NOT EXISTS messages_queued ON messages (session_id) WHERE status = 'queued';

-- result holds the modifications that came with a resolution. It is json and not jsonb, so that \u0000 passes.
ALTER TABLE approval_requests
    ADD COLUMN IF NOT EXISTS escalated_at timestamptz,
    ALTER COLUMN result TYPE json USING result::text::json;

-- Who asked for what. There are no foreign keys: what was done stays on record whatever becomes of it, and a command
-- that was ignored may name what never was.
CREATE TABLE IF NOT EXISTS audit_log (
    id          bigserial PRIMARY KEY,
    session_id  uuid NOT NULL,
    run_id      uuid,
    step_id     text NOT NULL DEFAULT '',
    approval_id text NOT NULL DEFAULT '',
    at          timestamptz NOT NULL,
    actor       text NOT NULL,
    action      text NOT NULL,
    outcome     text NOT NULL,
    resolution  text NOT NULL DEFAULT '',
    digest      text NOT NULL DEFAULT '',
    detail      text NOT NULL DEFAULT '',
    request_id  text NOT NULL DEFAULT ''
);
CREATE INDEX IF NOT EXISTS audit_log_session ON audit_log (session_id, id);
