DROP INDEX IF EXISTS session_states_under_way;
DROP TABLE IF EXISTS leases;
DROP TABLE IF EXISTS refused_asks;
DROP TABLE IF EXISTS texts;
