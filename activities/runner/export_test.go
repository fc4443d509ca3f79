//go:build unix

package runner

import (
	"maps"
	"slices"
	"time"
)

// SetFaultPatience is for tests that do not wait a minute.
func (r *Runner) SetFaultPatience(d time.Duration) { r.faultPatience = d }

// IsFrozen reports whether an order has come.
func (r *Runner) IsFrozen(runID string) bool { return r.isFrozen(runID) }

// IsStopping reports whether a stop has reached an execution that runs here.
func (r *Runner) IsStopping(execution string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	run := r.live[execution]
	return run != nil && run.waiting.Err() != nil
}

// Waiting lists what steps wait for.
func (r *Runner) Waiting() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Values(r.short))
}
