//go:build unix

package runner

import (
	"context"
	"time"

	"github.com/holdfast/holdfast/schema"
)

// Freeze suspends every process of the run's steps here; what starts later waits for Thaw. When
// it returns they stand still, those included that are about to start or to be found again.
func (r *Runner) Freeze(runID string) {
	r.mu.Lock()
	r.turn(runID, true)
	r.settleLaunches(runID)
	list := r.of(runID)
	r.mu.Unlock()
	each(list, r.align)
}

// Thaw lets them go on.
func (r *Runner) Thaw(runID string) {
	r.mu.Lock()
	r.turn(runID, false)
	list := r.of(runID)
	r.mu.Unlock()
	r.changed.Broadcast()
	each(list, r.align)
}

// turn takes in what a run is to do; r.mu is held. Whoever learns it elsewhere counts the turns
// to see that nothing came in between.
func (r *Runner) turn(runID string, frozen bool) {
	r.turns++
	if frozen {
		r.frozen[runID] = true
	} else {
		delete(r.frozen, runID)
	}
}

// settleLaunches waits until every step of a run that is about to have a process has it, and can
// be given orders; r.mu is held.
func (r *Runner) settleLaunches(runID string) {
	until := time.Now().Add(ackPatience)
	wake := time.AfterFunc(ackPatience, r.changed.Broadcast)
	defer wake.Stop()
	launching := func() bool {
		for _, run := range r.live {
			if run.ask.RunID == runID && run.launching {
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

// align brings a step's processes to what its run is to do. Of several callers the last one
// acts on the newest word.
func (r *Runner) align(run *running) {
	run.aligning.Lock()
	defer run.aligning.Unlock()
	run.bring(r.isFrozen(run.ask.RunID))
}

// waitWhileFrozen waits for the run to be thawed. It says no when the step is not to begin.
func (r *Runner) waitWhileFrozen(run *running) bool {
	defer context.AfterFunc(run.waiting, r.changed.Broadcast)()
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.frozen[run.ask.RunID] && run.waiting.Err() == nil {
		r.changed.Wait()
	}
	return run.waiting.Err() == nil
}

// mayLaunch waits as [Runner.waitWhileFrozen] does, and has a freeze wait for the step from here
// on until [Runner.launched].
func (r *Runner) mayLaunch(run *running) bool {
	defer context.AfterFunc(run.waiting, r.changed.Broadcast)()
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.frozen[run.ask.RunID] && run.waiting.Err() == nil {
		r.changed.Wait()
	}
	run.launching = run.waiting.Err() == nil
	return run.launching
}

// comeBack is mayLaunch for a step that runs already, frozen or not.
func (r *Runner) comeBack(run *running) bool {
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

// askWhetherFrozen takes from the session's own record what its run is to do, unless an order
// has come meanwhile: that is newer.
func (r *Runner) askWhetherFrozen(ctx context.Context, ask *schema.RunStep) error {
	r.mu.Lock()
	turns := r.turns
	r.mu.Unlock()
	suspended, err := r.o.Store.Suspended(ctx, ask.SessionID)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.turns == turns && r.frozen[ask.RunID] != suspended {
		r.turn(ask.RunID, suspended)
		r.changed.Broadcast()
	}
	return nil
}

// keepInLine looks now and then whether what runs here, or waits, is what its sessions say. An
// order that did not come through in time is not sent again: Postgres has what was decided.
func (r *Runner) keepInLine() {
	every := time.NewTicker(r.o.CheckEvery)
	defer every.Stop()
	odd := map[string]bool{} // runs that were not in line at the last look, too
	for {
		select {
		case <-every.C:
		case <-r.ctx.Done():
			return
		}
		now := map[string]bool{}
		for _, ask := range r.Running() {
			if now[ask.RunID] {
				continue
			}
			suspended, err := r.o.Store.Suspended(r.ctx, ask.SessionID)
			if err != nil || suspended == r.isFrozen(ask.RunID) {
				continue // Postgres is away, or all is well
			}
			if now[ask.RunID] = true; !odd[ask.RunID] {
				continue // the order may be on its way
			}
			r.o.Logger.Info("run brought in line with its session", "session_id", ask.SessionID, "run_id", ask.RunID, "frozen", suspended)
			if suspended {
				r.Freeze(ask.RunID)
			} else {
				r.Thaw(ask.RunID)
			}
		}
		odd = now
	}
}
