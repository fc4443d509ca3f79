DROP TABLE IF EXISTS audit_log, plans;
ALTER TABLE IF EXISTS approval_requests
    DROP COLUMN IF EXISTS escalated_at,
    ALTER COLUMN result TYPE jsonb USING NULL::jsonb; -- 0001 neither reads nor writes it, and jsonb cannot hold \u0000
DROP INDEX IF EXISTS messages_number, messages_queued, sessions_forks;
ALTER TABLE IF EXISTS messages DROP COLUMN IF EXISTS number, DROP COLUMN IF EXISTS status;
ALTER TABLE IF EXISTS steps DROP COLUMN IF EXISTS inherited;
ALTER TABLE IF EXISTS runs DROP COLUMN IF EXISTS message_number;
ALTER TABLE IF EXISTS sessions DROP COLUMN IF EXISTS forked_step, DROP COLUMN IF EXISTS inherited;
