package store

import (
	"context"

	"github.com/holdfast/holdfast/schema"
)

// AppendOutput is one flush of what an attempt printed.
type AppendOutput struct {
	SessionID string
	RunID     string
	StepID    string
	Attempt   int
	// From and To are the range of the attempt's spool, in bytes: From is where the previous flush
	// ended. Without output they are equal.
	From, To int64
	Chunks   []schema.OutputData
	Progress []schema.StepProgressData // comes after the chunks
}

// Answers of holdfast_append_output other than a head.
const (
	appendUnknown = -1
	appendBefore  = -2
	appendOver    = -3
	appendGap     = -4
)

// AppendOutput adds an `output` event for each chunk and a `step_progress` for each progress, and
// moves the attempt's spool offset, exactly once, in one transaction, which it may share with
// flushes of other attempts. A repetition succeeds without effect; only progress without output may
// be added twice. It fails with [schema.CodeStale] when the attempt is no longer running, with
// [schema.CodeConflict] when something before it is missing and with [schema.CodeNotFound] for an
// attempt that never began.
func (s *Store) AppendOutput(ctx context.Context, o AppendOutput) error {
	if !schema.ValidID(o.SessionID) || !schema.ValidID(o.RunID) {
		return noAttempt(o.RunID, o.StepID, o.Attempt)
	}
	pack := newPacker()
	types := make([]string, 0, len(o.Chunks)+len(o.Progress))
	for i := range o.Chunks {
		pack.addOutput(&o.Chunks[i])
		types = append(types, string(schema.EventOutput))
	}
	for i := range o.Progress {
		pack.add(schema.Marshal(&o.Progress[i]))
		types = append(types, string(schema.EventStepProgress))
	}
	sizes, data, packed := pack.columns()
	head, err := s.appends.append(ctx, &appendCall{
		args:    []any{o.SessionID, o.RunID, o.StepID, o.Attempt, o.From, o.To, types, sizes, data, packed},
		session: o.SessionID, size: pack.bytes(), release: pack.release,
	})
	switch {
	case err != nil:
		return failed("append output", err)
	case head == appendUnknown:
		return noAttempt(o.RunID, o.StepID, o.Attempt)
	case head == appendOver:
		return attemptOver(o.StepID, o.Attempt)
	case head == appendGap:
		return schema.Errorf(schema.CodeConflict, "output of step %q from %d on leaves a gap before it", o.StepID, o.From)
	default: // appendBefore, or the new head
		return nil
	}
}

func noAttempt(run, step string, number int) error {
	return schema.Errorf(schema.CodeNotFound, "there is no attempt %d of step %q in run %q", number, step, run)
}

func attemptOver(step string, number int) error {
	return schema.Errorf(schema.CodeStale, "attempt %d of step %q is over", number, step)
}
