// Package wait pauses a goroutine for as long as its context lives.
//
// Imports: nothing of this module.
// Imported by: web/control, web/feed, web/health, web/presence, web/socket, worker.
package wait

import (
	"context"
	"time"
)

// For returns after d, or as soon as ctx has ended. It reports whether ctx lives.
func For(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
