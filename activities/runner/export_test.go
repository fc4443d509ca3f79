//go:build unix

package runner

import (
	"maps"
	"slices"
	"time"
)

// SetFaultPatience is for tests that do not wait for a minute.
func (r *Runner) SetFaultPatience(d time.Duration) { r.faultPatience = d }

// IsFrozen reports whether an order has come.
func (r *Runner) IsFrozen(runID string) bool { return r.isFrozen(runID) }

// Waiting lists what steps wait for.
func (r *Runner) Waiting() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Values(r.short))
}
