-- Every statement tolerates that it was carried out before, as in 0001.

-- What somebody says, stored before the command that it belongs to is sent: a workflow carries the id. The record of
-- the message takes the text from here; one whose command was refused is collected after a while, and one that was
-- accepted by a workflow which is gone since is recorded without it.
CREATE TABLE IF NOT EXISTS texts (
    session_id uuid NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    id         uuid NOT NULL,
    actor      text NOT NULL,
    content    text NOT NULL,
    accepted   boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (session_id, id)
);
CREATE INDEX IF NOT EXISTS texts_oldest ON texts (created_at);

-- Questions of steps that their session refused: nobody waits for an answer to the signal that asked them.
CREATE TABLE IF NOT EXISTS refused_asks (
    id         uuid PRIMARY KEY,
    session_id uuid NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    reason     text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS refused_asks_session ON refused_asks (session_id);

-- What one process of many does at a time, and until when it may.
CREATE TABLE IF NOT EXISTS leases (
    name   text PRIMARY KEY,
    holder text NOT NULL,
    until  timestamptz NOT NULL
);

-- Sessions that count on their workflow: somebody looks whether it is there.
CREATE INDEX IF NOT EXISTS session_states_under_way ON session_states (session_id) WHERE status IN ('active', 'suspended');
