package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"time"

	"go.temporal.io/api/workflowservice/v1"

	"github.com/holdfast/holdfast/schema"
)

// talk is a conversation with a session: each message starts a run of one trivial step.
type talk struct {
	w     *world
	id    string
	s     *stream
	turns int
}

func (w *world) newTalk(ctx context.Context) (*talk, error) {
	id, err := w.session(ctx, running("echo", "hello"))
	if err != nil {
		return nil, err
	}
	s, err := w.subscribe(ctx, id)
	if err != nil {
		return nil, err
	}
	return &talk{w: w, id: id, s: s}, s.until(schema.EventWorkflowCompleted)
}

// turn is the time from a message to the first line that answers it, in milliseconds.
// It returns when the run is over.
func (t *talk) turn(ctx context.Context) (float64, error) {
	t.turns++
	answered := make(chan error, 1)
	began := time.Now()
	go func() {
		answered <- t.w.call(ctx, http.MethodPost, "/api/sessions/"+t.id+"/messages", obj{"content": fmt.Sprintf("turn %d", t.turns)}, nil)
	}()
	err := t.s.until(schema.EventOutput)
	took := milliseconds(time.Since(began))
	if said := <-answered; said != nil {
		return 0, said
	}
	if err == nil {
		err = t.s.until(schema.EventWorkflowCompleted)
	}
	return took, err
}

// benchTurns measures the last turns of a long session and those of a young one alternately,
// so that both see the same machine.
func benchTurns(ctx context.Context, w *world) ([]measurement, error) {
	old, err := w.newTalk(ctx)
	if err != nil {
		return nil, err
	}
	defer old.s.close()
	last := min(w.size(60, 2), w.turns/2)
	var grown []float64
	for old.turns < w.turns-last {
		took, err := old.turn(ctx)
		if err != nil {
			return nil, fmt.Errorf("turn %d: %w", old.turns, err)
		}
		grown = append(grown, took)
		if old.turns%100 == 0 {
			fmt.Fprintf(os.Stderr, "  turn %d\n", old.turns)
		}
	}
	young, err := w.newTalk(ctx)
	if err != nil {
		return nil, err
	}
	defer young.s.close()
	var ours, bare rounds
	for range w.roundsOf() {
		var late, early []float64
		for range last / w.roundsOf() {
			o, err := old.turn(ctx)
			if err != nil {
				return nil, fmt.Errorf("turn %d: %w", old.turns, err)
			}
			y, err := young.turn(ctx)
			if err != nil {
				return nil, err
			}
			late, early = append(late, o), append(early, y)
		}
		ours, bare = append(ours, late), append(bare, early)
	}
	longest, executions, err := w.histories(ctx, old.id)
	if err != nil {
		return nil, err
	}
	compare := compared(fmt.Sprintf("message → first line, p50 of the turns to %d; bare: to %d of another session", old.turns, young.turns), "ms", ours, bare)
	compare.RatioGoal, compare.Better = 1.15, lower
	return []measurement{
		compare,
		one(fmt.Sprintf("message → first line, p50 of the turns to %d", len(grown)), "ms", 0, "", grown),
		{Figure: fmt.Sprintf("the longest history of %d turns", old.turns), Unit: "events", Goal: 8192, Better: lower, Value: float64(longest)},
		{Figure: "in how many executions", Unit: "", Value: float64(executions)},
	}, nil
}

// histories is the length of the longest history of a session in Temporal, and the number of
// its executions: each continues the one before as new.
func (w *world) histories(ctx context.Context, id string) (longest, executions int, err error) {
	var page []byte
	for {
		list, err := w.temporal.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
			Query: fmt.Sprintf("WorkflowId = '%s'", schema.WorkflowID(id)), NextPageToken: page,
		})
		if err != nil {
			return 0, 0, err
		}
		for _, e := range list.GetExecutions() {
			is, err := w.temporal.DescribeWorkflowExecution(ctx, e.GetExecution().GetWorkflowId(), e.GetExecution().GetRunId())
			if err != nil {
				return 0, 0, err
			}
			executions++
			longest = max(longest, int(is.GetWorkflowExecutionInfo().GetHistoryLength()))
		}
		if page = list.GetNextPageToken(); len(page) == 0 {
			return longest, executions, nil
		}
	}
}
