package store

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/holdfast/holdfast/schema"
)

// reasonLost is the reason for everything that ended with a session's workflow.
const (
	reasonLost     = "the session's workflow is gone"
	reasonRunEnded = "run_failed"
)

// UnderWay lists sessions that rely on their workflow, by id and after the given id: a run is under
// way, or a message waits.
func (s *Store) UnderWay(ctx context.Context, after string, limit int) ([]string, error) {
	rows, err := s.pool.Query(ctx, `SELECT s.id::text FROM sessions s
		 WHERE s.id > COALESCE(NULLIF($1::text, '')::uuid, '00000000-0000-0000-0000-000000000000'::uuid)
		   AND s.deleted_at IS NULL AND s.workflow_started_at IS NOT NULL
		   AND (s.id IN (SELECT session_id FROM session_states WHERE status IN ('active', 'suspended'))
		     OR s.id IN (SELECT session_id FROM messages WHERE status = 'queued'))
		 ORDER BY s.id LIMIT $2`, after, page(limit))
	if err != nil {
		return nil, failed("list sessions", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return ids, failed("list sessions", err)
}

// LatestRun returns the id of a session's latest run, and whether it is under way. A session
// without runs has none.
func (s *Store) LatestRun(ctx context.Context, sessionID string) (id string, underWay bool, err error) {
	err = s.pool.QueryRow(ctx, `SELECT id::text, finished_at IS NULL FROM runs WHERE session_id = $1::uuid ORDER BY number DESC LIMIT 1`, sessionID).
		Scan(&id, &underWay)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", false, nil
	}
	return id, underWay, failed("read a run", err)
}

// FailLostRun ends a run whose workflow is gone. The run fails for that reason; its attempts, steps and
// approvals are cancelled. What its hosts still run ends when they next look. A run that is already
// over stays as it is. A suspended session with waiting messages stays suspended: only a person
// lets the next run begin.
func (s *Store) FailLostRun(ctx context.Context, sessionID, runID, why string) error {
	if !schema.ValidID(runID) {
		return noRun(runID)
	}
	a := &apply{
		t:     schema.Transition{RunID: runID, Status: schema.SessionFailed, Phase: schema.PhaseIdle},
		steps: map[string]schema.StepStatus{}, approvals: map[string]approvalState{}, messages: map[int]schema.MessageStatus{},
	}
	var (
		waits bool
		cut   []cutAttempt
	)
	_, err := s.inSessionTx(ctx, "end a run", sessionID, "lost:"+runID, func(c *sessionTx) {
		a.readRun(c)
		c.reads.Queue(`SELECT EXISTS (SELECT FROM messages WHERE session_id = $1::uuid AND status = 'queued')
			OR EXISTS (SELECT FROM texts WHERE session_id = $1::uuid AND accepted)`, c.session).
			QueryRow(func(row pgx.Row) error { return row.Scan(&waits) })
		c.reads.Queue(`SELECT step_id, number, started_at FROM attempts WHERE run_id = $1::uuid AND status = 'running' ORDER BY step_id, number`, runID).
			Query(func(rows pgx.Rows) error {
				var one cutAttempt
				_, err := pgx.ForEachRow(rows, []any{&one.step, &one.number, &one.started}, func() error {
					cut = append(cut, one)
					return nil
				})
				return err
			})
	}, func(c *sessionTx) error {
		if c.deleted || a.finished != nil {
			return errNothing
		}
		if a.status == schema.SessionSuspended && waits {
			a.t.Status = schema.SessionSuspended
		}
		a.t.End = &schema.RunEnd{Status: schema.SessionFailed, Error: why}
		for i := range a.t.Close {
			a.t.Close[i].At = c.now
		}
		for i := range cut {
			closeCut(c, runID, cut[i])
		}
		c.audit(&schema.AuditEntry{RunID: runID, Actor: schema.ActorHoldfast, Action: "fail", Detail: why})
		return a.decide(c)
	})
	return err
}

// cutAttempt is an attempt that ran when its run ended.
type cutAttempt struct {
	step    string
	number  int
	started time.Time
}

// closeCut closes an attempt that was cut off when its run ended.
func closeCut(c *sessionTx, run string, cut cutAttempt) {
	took := max(c.now.Sub(cut.started), 0).Milliseconds()
	c.writes.Queue(`UPDATE attempts SET status = $4, reason = $5, duration_ms = $6, finished_at = $7::timestamptz
		WHERE run_id = $1::uuid AND step_id = $2 AND number = $3`,
		run, cut.step, cut.number, string(schema.AttemptCancelled), string(schema.ReasonCancelled), took, c.now)
	c.event(schema.EventStepFailed, run, cut.step, schema.StepFailedData{
		Attempt: cut.number, Status: schema.AttemptCancelled, Reason: schema.ReasonCancelled, DurationMS: took,
	})
}

// readRun reads into the transition what ending the run has to end.
func (a *apply) readRun(c *sessionTx) {
	a.readState(c)
	c.reads.Queue(`SELECT started_at, finished_at FROM runs WHERE id = $1::uuid AND session_id = $2::uuid`, a.t.RunID, c.session).
		QueryRow(func(row pgx.Row) error { return notFoundIfNoRows(row.Scan(&a.started, &a.finished), noRun(a.t.RunID)) })
	c.reads.Queue(`SELECT step_id, status FROM steps WHERE run_id = $1::uuid ORDER BY position`, a.t.RunID).
		Query(func(rows pgx.Rows) error {
			var id, status string
			_, err := pgx.ForEachRow(rows, []any{&id, &status}, func() error {
				a.steps[id] = schema.StepStatus(status)
				if !a.steps[id].Final() {
					a.t.Steps = append(a.t.Steps, schema.StepChange{ID: id, Status: schema.StepCancelled, Reason: reasonLost})
				}
				return nil
			})
			return err
		})
	c.reads.Queue(`SELECT id::text, step_id, approval_type, created_at FROM approval_requests WHERE session_id = $1::uuid AND status = 'pending' ORDER BY created_at, id`, c.session).
		Query(func(rows pgx.Rows) error {
			var (
				id, step, kind string
				at             time.Time
			)
			_, err := pgx.ForEachRow(rows, []any{&id, &step, &kind, &at}, func() error {
				a.approvals[id] = approvalState{schema.ApprovalPending, schema.ApprovalType(kind), at}
				a.t.Close = append(a.t.Close, schema.ApprovalClose{
					ID: id, StepID: step, Status: schema.ApprovalCancelled, Reason: reasonRunEnded,
				})
				return nil
			})
			return err
		})
}

// Revival reads what a session continues from when its workflow is started anew, once none of its
// runs is under way; nil if it never had a run, and so starts like any other.
func (s *Store) Revival(ctx context.Context, sessionID string) (*schema.Revival, error) {
	var (
		r    schema.Revival
		used time.Time
	)
	err := s.pool.QueryRow(ctx, `SELECT r.number, r.status, COALESCE(r.finished_at, now()),
			COALESCE((SELECT max(m.number) FROM messages m WHERE m.session_id = r.session_id), 0),
			ARRAY(SELECT m.number FROM messages m WHERE m.session_id = r.session_id AND m.status = 'queued' AND m.number > 0 ORDER BY m.number),
			COALESCE((SELECT st.status = 'suspended' FROM session_states st WHERE st.session_id = r.session_id), false),
			COALESCE((SELECT a.host FROM attempts a JOIN runs o ON o.id = a.run_id WHERE o.session_id = r.session_id ORDER BY a.started_at DESC LIMIT 1), ''),
			ARRAY(SELECT DISTINCT a.host FROM attempts a WHERE a.run_id = r.id AND a.status IN ('cancelled', 'lost') ORDER BY 1)
		  FROM runs r WHERE r.session_id = $1::uuid ORDER BY r.number DESC LIMIT 1`, sessionID).
		Scan(&r.Run, &r.Status, &used, &r.Messages, &r.Queue, &r.Suspended, &r.Host, &r.LeftBehind)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil //nolint:nilnil // a session without a run is an ordinary one
	}
	r.LastUsed = timeOf(used).Time
	return &r, failed("read a session", err)
}
