package store

// SetCompactEvents makes the steps of compaction smaller.
func SetCompactEvents(s *Store, most int) { s.compactEvents = most }
