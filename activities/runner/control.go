//go:build unix

package runner

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/holdfast/holdfast/activities/runner/supervisor"
	"github.com/holdfast/holdfast/schema"
)

// rememberStopped is how long a stopped run is remembered, to refuse activities that were already
// on their way to this host.
const rememberStopped = 10 * time.Minute

// of lists the steps of a run that are running here.
func (r *Runner) of(runID string) []*running {
	var list []*running
	for _, run := range r.live {
		if run.arg.RunID == runID {
			list = append(list, run)
		}
	}
	slices.SortFunc(list, func(a, b *running) int { return cmp.Compare(a.arg.StepID, b.arg.StepID) })
	return list
}

// Stop ends every process of the run's steps here, with grace between SIGTERM and SIGKILL, and
// counts. It returns when they are gone and recorded, or when ctx ends.
func (r *Runner) Stop(ctx context.Context, runID string, grace time.Duration) schema.StoppedSteps {
	r.mu.Lock()
	for id, at := range r.stopped {
		if time.Since(at) > rememberStopped {
			delete(r.stopped, id)
		}
	}
	r.stopped[runID] = time.Now()
	r.setFrozen(runID, false)
	list := r.of(runID)
	r.mu.Unlock()
	r.changed.Broadcast()
	each(list, func(run *running) { run.stop(grace) })
	var sum schema.StoppedSteps
	for _, run := range list {
		select {
		case <-run.done:
			killed, survivors := run.count()
			sum.ProcessesKilled += killed
			sum.Survivors += survivors
		case <-ctx.Done():
			sum.Survivors++
		}
	}
	return sum
}

// endQuietly ends a step without a record, and removes anything that could be taken for one.
func (r *Runner) endQuietly(run *running) {
	s := run.suppressRecord()
	if s == nil {
		run.stop(0)
		return
	}
	r.end(s)
	r.remove(s.dir)
}

// endMarked ends processes that an attempt left behind without a supervisor.
func endMarked(arg schema.RunStep) error {
	if _, alive := supervisor.KillMarked(marks(arg)); alive > 0 {
		return fmt.Errorf("%d processes of an earlier attempt cannot be killed", alive)
	}
	return nil
}

func each(list []*running, do func(*running)) {
	var all sync.WaitGroup
	for _, run := range list {
		all.Go(func() { do(run) })
	}
	all.Wait()
}
