DROP TABLE IF EXISTS viewers, active_connections, web_instances;
DROP FUNCTION IF EXISTS holdfast_tell_viewers();
DROP SEQUENCE IF EXISTS connection_numbers;

CREATE TABLE active_connections (
    id              text PRIMARY KEY,
    client_id       text NOT NULL DEFAULT '',
    session_id      uuid,
    user_name       text NOT NULL DEFAULT '',
    address         text NOT NULL DEFAULT '',
    server_instance text NOT NULL,
    connected_at    timestamptz NOT NULL DEFAULT now(),
    last_heartbeat  timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 80);
CREATE INDEX active_connections_instance ON active_connections (server_instance);
