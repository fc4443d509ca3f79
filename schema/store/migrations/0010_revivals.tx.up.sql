-- older releases: work
-- Every statement tolerates that it was carried out before, as in 0001.

-- How often the session's workflow was about to begin anew. What a command was answered before that may be forgotten.
ALTER TABLE sessions ADD COLUMN IF NOT EXISTS revivals integer NOT NULL DEFAULT 0;

-- The text that became the message, so that the same request again, of another workflow, is not another message.
ALTER TABLE messages ADD COLUMN IF NOT EXISTS text_id uuid;
CREATE INDEX IF NOT EXISTS messages_text ON messages (session_id, text_id) WHERE text_id IS NOT NULL;
