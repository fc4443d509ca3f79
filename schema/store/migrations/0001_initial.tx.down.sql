DROP FUNCTION IF EXISTS holdfast_append_output(uuid, uuid, text, integer, bigint, integer[], text[], bytea[]);
DROP TABLE IF EXISTS applied_keys, events, messages, active_connections, approval_requests, attempts, steps, runs, session_states, sessions;
