-- Every statement tolerates that it was carried out before, as in 0001.

-- What each Idempotency-Key and request_id was used for: the same key with another request is a conflict. A key is kept
-- for a week.
CREATE TABLE IF NOT EXISTS request_keys (
    key     text PRIMARY KEY,
    digest  text NOT NULL,
    used_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS request_keys_used ON request_keys (used_at);
