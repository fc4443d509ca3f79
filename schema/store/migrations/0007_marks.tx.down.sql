DROP TABLE IF EXISTS migration_marks;
