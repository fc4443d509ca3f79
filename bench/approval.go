package main

import (
	"context"
	"errors"
	"time"

	"github.com/holdfast/holdfast/schema"
)

// roundsOf is how many rounds a comparison takes: ours and the bare reference in turn.
func (w *world) roundsOf() int { return w.size(3, 1) }

// benchApproval measures from a decision to the first line of the step behind it, and to the
// answer. The reference is an update of a bare workflow with a bare activity behind it.
func benchApproval(ctx context.Context, w *world) ([]measurement, error) {
	b, err := newBare(w)
	if err != nil {
		return nil, err
	}
	defer b.stop()
	var line, answer, bareRuns, bareAnswer rounds
	bares, samples := 0, w.size(20, 2)
	for range w.roundsOf() {
		// Alternate ours and bare, so that the machine's other work weighs on both.
		var l, a, r, u []float64
		for i := range samples + warmUp {
			ours, err := decide(ctx, w)
			if err != nil {
				return nil, err
			}
			bare, err := b.decideAndRun(ctx, bares)
			if err != nil {
				return nil, err
			}
			bares++
			if i < warmUp {
				continue
			}
			l, a = append(l, ours.run), append(a, ours.answer)
			r, u = append(r, bare.run), append(u, bare.answer)
		}
		line, answer, bareRuns, bareAnswer = append(line, l), append(answer, a), append(bareRuns, r), append(bareAnswer, u)
	}
	first := compared("decision → first line, p50; bare: update → activity runs", "ms", line, bareRuns)
	first.Goal, first.Better = 50, lower
	return []measurement{first, compared("decision → answer, p50; bare: update → answer", "ms", answer, bareAnswer)}, nil
}

// reading is less than any person needs to read the question.
const reading = 200 * time.Millisecond

// took is the time from a decision to its answer, and to what runs because of it, in
// milliseconds.
type took struct{ answer, run float64 }

// decide approves a step of a new session while watching it.
func decide(ctx context.Context, w *world) (took, error) {
	step := running("echo", "hello")
	step["approval"] = true
	id, err := w.session(ctx, step)
	if err != nil {
		return took{}, err
	}
	s, err := w.subscribe(ctx, id)
	if err != nil {
		return took{}, err
	}
	defer s.close()
	if err := s.until(schema.EventApprovalRequested); err != nil {
		return took{}, err
	}
	select {
	case <-time.After(reading): // by then the session is at rest, like the bare workflow
	case <-ctx.Done():
		return took{}, ctx.Err()
	}
	answered := make(chan error, 1)
	var t took
	began := time.Now()
	go func() {
		err := w.approve(ctx, schema.ApprovalID(id, 1))
		t.answer = milliseconds(time.Since(began))
		answered <- err
	}()
	err = s.until(schema.EventOutput)
	t.run = milliseconds(time.Since(began))
	if decided := <-answered; decided != nil {
		return t, decided
	}
	if err != nil {
		return t, err
	}
	err = s.until(schema.EventWorkflowCompleted) // the next decision must not wait for this run
	return t, err
}

// decideAndRun does the same with a bare workflow and its activity.
func (b *bare) decideAndRun(ctx context.Context, i int) (took, error) {
	if err := b.start(ctx, i, true); err != nil {
		return took{}, err
	}
	if err := b.ready(ctx, i+1); err != nil {
		return took{}, err
	}
	var t took
	began := time.Now()
	if err := b.decide(ctx, i); err != nil {
		return t, err
	}
	t.answer = milliseconds(time.Since(began))
	select {
	case at := <-b.runs:
		t.run = milliseconds(at.Sub(began))
		return t, nil
	case <-time.After(time.Minute):
		return t, errors.New("the bare activity does not run")
	case <-ctx.Done():
		return t, ctx.Err()
	}
}
