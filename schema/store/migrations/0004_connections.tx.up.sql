-- Which web instances live, who is connected to them, and what they look at. All of it describes processes that run: when a
-- crash of Postgres empties these tables, every instance finds its row gone and says everything again. So they have no log,
-- and what was in active_connections is not kept.
DROP TABLE IF EXISTS active_connections, viewers, web_instances;

CREATE UNLOGGED TABLE web_instances (
    instance       text PRIMARY KEY,
    started_at     timestamptz NOT NULL DEFAULT now(),
    last_heartbeat timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);

-- The order in which clients have connected, over all instances.
CREATE SEQUENCE IF NOT EXISTS connection_numbers;

CREATE UNLOGGED TABLE active_connections (
    id              text PRIMARY KEY,
    number          bigint NOT NULL,
    client_id       text NOT NULL DEFAULT '',
    session_id      uuid,
    user_name       text NOT NULL DEFAULT '',
    address         text NOT NULL DEFAULT '',
    server_instance text NOT NULL REFERENCES web_instances (instance) ON DELETE CASCADE,
    connected_at    timestamptz NOT NULL DEFAULT now(),
    last_activity   timestamptz NOT NULL DEFAULT now(),
    last_heartbeat  timestamptz NOT NULL DEFAULT now(),
    lag             bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 80);
CREATE INDEX active_connections_instance ON active_connections (server_instance);
CREATE INDEX active_connections_client ON active_connections (user_name, client_id, number) WHERE client_id <> '';

CREATE UNLOGGED TABLE viewers (
    session_id      uuid NOT NULL,
    connection_id   text NOT NULL,
    server_instance text NOT NULL REFERENCES web_instances (instance) ON DELETE CASCADE,
    user_name       text NOT NULL DEFAULT '',
    client_id       text NOT NULL DEFAULT '',
    approval_id     text NOT NULL DEFAULT '',
    since           timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (session_id, connection_id)
) WITH (fillfactor = 80);

-- Tells the sessions whose viewers have changed, whatever has changed them. A notification has less than 8000 bytes.
CREATE OR REPLACE FUNCTION holdfast_tell_viewers() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('holdfast_viewers', string_agg(n.session_id::text, ' '))
       FROM (SELECT s.session_id, row_number() OVER () / 200 AS part FROM (SELECT DISTINCT session_id FROM changed) s) n
      GROUP BY n.part;
    RETURN NULL;
END
$$;
CREATE TRIGGER viewers_come AFTER INSERT ON viewers REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION holdfast_tell_viewers();
CREATE TRIGGER viewers_turn AFTER UPDATE ON viewers REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION holdfast_tell_viewers();
CREATE TRIGGER viewers_leave AFTER DELETE ON viewers REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION holdfast_tell_viewers();
