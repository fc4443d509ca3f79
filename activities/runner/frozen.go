//go:build unix

package runner

import (
	"context"
	"log/slog"
	"time"

	"github.com/holdfast/holdfast/logs"
	"github.com/holdfast/holdfast/schema"
)

// Freeze suspends every process of the run's steps here; steps that start later wait for Thaw. When
// it returns, they all stand still, including those that were about to start or to be recovered.
func (r *Runner) Freeze(runID string) {
	r.mu.Lock()
	r.setFrozen(runID, true)
	r.settleLaunches(runID)
	list := r.of(runID)
	r.mu.Unlock()
	each(list, r.syncFrozen)
}

// Thaw resumes them.
func (r *Runner) Thaw(runID string) {
	r.mu.Lock()
	r.setFrozen(runID, false)
	list := r.of(runID)
	r.mu.Unlock()
	r.changed.Broadcast()
	each(list, r.syncFrozen)
}

// setFrozen records whether a run is to be frozen; r.mu is held. frozenVersion shows other sources
// of that information whether it has changed meanwhile.
func (r *Runner) setFrozen(runID string, frozen bool) {
	r.frozenVersion++
	if frozen {
		r.frozen[runID] = true
	} else {
		delete(r.frozen, runID)
	}
}

// settleLaunches waits until every step of a run that is about to have a process has one that takes
// orders; r.mu is held.
func (r *Runner) settleLaunches(runID string) {
	until := time.Now().Add(ackTimeout)
	wake := time.AfterFunc(ackTimeout, r.changed.Broadcast)
	defer wake.Stop()
	launching := func() bool {
		for _, run := range r.live {
			if run.arg.RunID == runID && run.launching {
				return true
			}
		}
		return false
	}
	for launching() && time.Now().Before(until) && r.ctx.Err() == nil {
		r.changed.Wait()
	}
}

// isFrozen reports whether the run is to stand still here.
func (r *Runner) isFrozen(runID string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.frozen[runID]
}

// syncFrozen freezes or thaws a step's processes to match its run. Of several callers, the last acts on
// the newest state.
func (r *Runner) syncFrozen(run *running) {
	run.syncing.Lock()
	defer run.syncing.Unlock()
	run.setFrozen(r.isFrozen(run.arg.RunID))
}

// waitWhileFrozen waits until the run is thawed. It returns false if the step must not begin.
func (r *Runner) waitWhileFrozen(run *running) bool {
	defer context.AfterFunc(run.waiting, r.changed.Broadcast)()
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.frozen[run.arg.RunID] && run.waiting.Err() == nil {
		r.changed.Wait()
	}
	return run.waiting.Err() == nil
}

// mayLaunch waits like [Runner.waitWhileFrozen], and makes freezes wait for the step from here on
// until [Runner.launched].
func (r *Runner) mayLaunch(run *running) bool {
	defer context.AfterFunc(run.waiting, r.changed.Broadcast)()
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.frozen[run.arg.RunID] && run.waiting.Err() == nil {
		r.changed.Wait()
	}
	run.launching = run.waiting.Err() == nil
	return run.launching
}

// mayReattach is mayLaunch for a step that already runs, frozen or not.
func (r *Runner) mayReattach(run *running) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	run.launching = r.ctx.Err() == nil
	return run.launching
}

func (r *Runner) launched(run *running) {
	r.mu.Lock()
	defer r.mu.Unlock()
	run.launching = false
	r.changed.Broadcast()
}

// loadFrozen reads from the store whether the run is to be frozen, unless a newer order has
// come meanwhile.
func (r *Runner) loadFrozen(ctx context.Context, arg *schema.RunStep) error {
	r.mu.Lock()
	version := r.frozenVersion
	r.mu.Unlock()
	suspended, err := r.o.Store.Suspended(ctx, arg.SessionID)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.frozenVersion == version && r.frozen[arg.RunID] != suspended {
		r.setFrozen(arg.RunID, suspended)
		r.changed.Broadcast()
	}
	return nil
}

// reconcileFrozen periodically compares what runs or waits here with what the sessions say. An order
// that did not get through in time is not sent again, but Postgres has the decision.
func (r *Runner) reconcileFrozen() {
	every := time.NewTicker(r.o.CheckEvery)
	defer every.Stop()
	mismatched := map[string]bool{} // runs that also differed at the last check
	for {
		select {
		case <-every.C:
		case <-r.ctx.Done():
			return
		}
		now := map[string]bool{}
		for _, arg := range r.Running() {
			if now[arg.RunID] {
				continue
			}
			suspended, err := r.o.Store.Suspended(r.ctx, arg.SessionID)
			if err != nil || suspended == r.isFrozen(arg.RunID) {
				continue // Postgres is down, or all is well
			}
			if now[arg.RunID] = true; !mismatched[arg.RunID] {
				continue // the order may be on its way
			}
			r.o.Logger.InfoContext(logs.With(r.ctx, logs.Session(arg.SessionID), logs.Run(arg.RunID)), "run frozen or thawed to match its session", slog.Bool("frozen", suspended))
			if suspended {
				r.Freeze(arg.RunID)
			} else {
				r.Thaw(arg.RunID)
			}
		}
		mismatched = now
	}
}
