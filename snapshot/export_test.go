package snapshot

import "context"

// CutShort ends a context after some deletions of a collection.
func CutShort(s *Store, after int, cancel context.CancelFunc) {
	if s.deleting = nil; cancel == nil {
		return
	}
	s.deleting = func() {
		if after--; after < 0 {
			cancel()
		}
	}
}

// BeforeDeletion has a function run before each deletion of a collection.
func BeforeDeletion(s *Store, do func()) { s.deleting = do }
