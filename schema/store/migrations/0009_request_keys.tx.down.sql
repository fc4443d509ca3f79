DROP TABLE IF EXISTS request_keys;
