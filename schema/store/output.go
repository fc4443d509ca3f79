package store

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/holdfast/holdfast/schema"
)

// AppendOutput is one flush of what an attempt printed.
type AppendOutput struct {
	SessionID string
	RunID     string
	StepID    string
	Attempt   int
	Batch     int64 // 0, 1, 2, … within the attempt
	Chunks    []schema.OutputData
}

// What holdfast_append_output answers instead of a head.
const (
	appendUnknown = -1
	appendBefore  = -2
	appendOver    = -3
	appendGap     = -4
)

// AppendOutput adds an `output` event for each chunk, exactly once, in one round trip. A
// batch that is in already succeeds without effect. It fails with [schema.CodeStale] when
// the attempt is not running any more, with [schema.CodeConflict] when an earlier batch is
// missing and with [schema.CodeNotFound] for an attempt that never began.
func (s *Store) AppendOutput(ctx context.Context, o AppendOutput) error {
	if !schema.ValidID(o.SessionID) || !schema.ValidID(o.RunID) {
		return noAttempt(o.RunID, o.StepID, o.Attempt)
	}
	pack := newPacker()
	defer pack.release()
	for i := range o.Chunks {
		pack.addOutput(&o.Chunks[i])
	}
	sizes, data, packed := pack.columns()
	var head int64
	err := s.pool.QueryRow(ctx, `SELECT holdfast_append_output($1, $2, $3, $4, $5, $6, $7, $8)`, pgx.QueryExecModeCacheStatement,
		o.SessionID, o.RunID, o.StepID, o.Attempt, o.Batch, sizes, data, packed).Scan(&head)
	switch {
	case err != nil:
		return failed("append output", err)
	case head == appendUnknown:
		return noAttempt(o.RunID, o.StepID, o.Attempt)
	case head == appendOver:
		return attemptOver(o.StepID, o.Attempt)
	case head == appendGap:
		return schema.Errorf(schema.CodeConflict, "output batch %d of step %q comes before an earlier one", o.Batch, o.StepID)
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
