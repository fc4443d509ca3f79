package workflows

import (
	"fmt"
	"testing"
	"time"

	"github.com/holdfast/holdfast/internal/testkit"
	"github.com/holdfast/holdfast/schema"
)

// Temporal takes a workflow for stuck whose task computes for longer than this.
const deadlockAfter = time.Second

// quick checks that a move of the largest plan takes a small part of the time that it may
// take, in processor time: the machine may have other things to do.
func quick(t *testing.T, what string, prepare func() *State, move func(*State)) {
	t.Helper()
	best := time.Hour
	for range 5 {
		s := prepare()
		took, err := testkit.CPU(func() { move(s) })
		if err != nil {
			t.Fatal(err)
		}
		best = min(best, took)
	}
	t.Logf("%s: %v", what, best)
	if best > deadlockAfter/5 {
		t.Errorf("%s takes %v; a workflow has %v for all it does at once", what, best, deadlockAfter)
	}
}

// fan is quick steps, and a chain whose every step needs the one before it and all of the
// quick ones. The chain stands backwards in the plan.
func fan(quick, chain int) []schema.OutlineStep {
	steps := make([]schema.OutlineStep, 0, quick+chain)
	var all []string
	for i := range quick {
		all = append(all, fmt.Sprintf("q%d", i))
		steps = append(steps, step(all[i]))
	}
	for i := chain - 1; i >= 0; i-- {
		needs := append([]string{}, all...)
		if i > 0 {
			needs = append(needs, fmt.Sprintf("c%d", i-1))
		}
		steps = append(steps, step(fmt.Sprintf("c%d", i), needs...))
	}
	return steps
}

// dense is as many needs as a plan can have: each step needs all that come after it in the plan.
func dense() []schema.OutlineStep {
	steps := make([]schema.OutlineStep, schema.MaxSteps)
	var before []string
	for i := range schema.MaxSteps {
		id := fmt.Sprintf("s%d", i)
		steps[schema.MaxSteps-1-i] = step(id, append([]string{}, before...)...)
		before = append(before, id)
	}
	return steps
}

// finishAll ends every step that runs; a failure does not fail the run.
func finishAll(s *State, as schema.AttemptStatus) {
	for i := range s.Run.Steps {
		if st := &s.Run.Steps[i]; st.Status == schema.StepRunning {
			st.OnError = schema.OnErrorContinue
			finish(s, st.ID, as, epoch)
		}
	}
}

func TestLargestPlan_EveryMoveIsQuick(t *testing.T) {
	t.Parallel()
	plans := map[string]func() []schema.OutlineStep{
		"50 quick steps and a chain of 350": func() []schema.OutlineStep { return fan(50, 350) },
		"50 quick steps and a chain of 450": func() []schema.OutlineStep { return fan(50, schema.MaxSteps-50) },
		"every need there can be":           dense,
	}
	for name, plan := range plans {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			started := func() *State {
				s := newState(t, schema.Config{Parallel: schema.MaxParallel}, plan()...)
				startIDs(s, epoch)
				return s
			}
			quick(t, "begin", func() *State {
				return NewState(schema.SessionInput{SessionID: "11111111-2222-4333-8444-555555555555", ApprovalTimeout: testTimeout})
			}, func(s *State) {
				s.Begun(schema.Outline{Digest: "digest", Steps: plan()}, epoch)
				settle(s, epoch)
			})
			later := func() *State { // all that started first has succeeded, and what needed it runs
				s := started()
				finishAll(s, schema.AttemptSucceeded)
				startIDs(s, epoch)
				return s
			}
			quick(t, "a success", started, func(s *State) {
				finishAll(s, schema.AttemptSucceeded)
				startIDs(s, epoch)
			})
			quick(t, "a failure that skips all others, one after the other", later, func(s *State) {
				finishAll(s, schema.AttemptFailed)
				settle(s, epoch)
				if s.Status() != schema.SessionCompleted {
					t.Errorf("the run is %s", s.Status())
				}
			})
			quick(t, "a failure that fails the run", later, func(s *State) {
				s.fail("a step failed")
				finishAll(s, schema.AttemptFailed)
				settle(s, epoch)
				if s.Status() != schema.SessionFailed {
					t.Errorf("the run is %s", s.Status())
				}
			})
			quick(t, "a cancel", started, func(s *State) {
				if _, err := s.RequestCancel(epoch, ada); err != nil {
					t.Error(err)
				}
				s.Cancelled(schema.Receipt{}, epoch)
				settle(s, epoch)
			})
		})
	}
}

func TestLargestPlan_EveryQuestionAtOnceIsQuick(t *testing.T) {
	t.Parallel()
	asked := func() *State {
		steps := make([]schema.OutlineStep, schema.MaxSteps)
		for i := range steps {
			steps[i] = step(fmt.Sprintf("s%d", i))
		}
		return newState(t, schema.Config{ApprovalMode: schema.ApproveBeforeEachStep}, steps...)
	}
	quick(t, "asking", asked, func(s *State) { settle(s, epoch) })
	waiting := func() *State {
		s := asked()
		settle(s, epoch)
		return s
	}
	quick(t, "expiring", waiting, func(s *State) { settle(s, epoch.Add(testTimeout)) })
	quick(t, "asking again", func() *State {
		s := waiting()
		settle(s, epoch.Add(testTimeout))
		return s
	}, func(s *State) {
		if _, err := s.Resume(epoch.Add(2*testTimeout), ada); err != nil {
			t.Error(err)
		}
		settle(s, epoch.Add(2*testTimeout))
		if n := len(s.PendingViews()); n != schema.MaxSteps {
			t.Errorf("%d questions are asked", n)
		}
	})
	quick(t, "files of every step changed by one edit", waiting, func(s *State) {
		s.Edits = []Edit{{StepID: "s0", Actor: "ada"}}
		o := schema.Outline{Digest: "another"}
		for i := range s.Run.Steps {
			step := s.Run.Steps[i].OutlineStep
			step.Digest += " changed"
			o.Steps = append(o.Steps, step)
		}
		s.Revised(o, epoch)
		settle(s, epoch)
	})
}
