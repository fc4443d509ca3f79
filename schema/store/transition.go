package store

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/holdfast/holdfast/schema"
)

// apply is a transition on its way, with the rows as they were before it.
type apply struct {
	t         schema.Transition
	status    schema.SessionStatus
	phase     schema.Phase
	steps     map[string]schema.StepStatus
	approvals map[string]schema.ApprovalStatus
	started   *time.Time // of the run; nil when there is no such run
	finished  *time.Time
}

// Apply records a transition: rows and events in one transaction, as [schema.Transition]
// says, and returns the head of the log after it. A repetition of its key changes nothing
// and returns the head as it is by then. Opening an approval that exists and closing one
// that is closed do nothing; a step, an approval to close or a run that does not exist is
// [schema.CodeNotFound].
func (s *Store) Apply(ctx context.Context, t schema.Transition) (head int64, err error) {
	a := &apply{t: t, steps: map[string]schema.StepStatus{}, approvals: map[string]schema.ApprovalStatus{}}
	if t.RunID != "" && !schema.ValidID(t.RunID) {
		return 0, noRun(t.RunID)
	}
	for i := range t.Open {
		if !schema.ValidID(t.Open[i].ID) {
			return 0, schema.Errorf(schema.CodeInvalid, "%q is not the id of an approval", t.Open[i].ID)
		}
	}
	for i := range t.Close {
		if !schema.ValidID(t.Close[i].ID) {
			return 0, noApproval(t.Close[i].ID)
		}
	}
	return s.change(ctx, "record a transition", t.SessionID, "apply:"+t.Key, a.read, a.decide)
}

func (a *apply) read(c *change) {
	c.reads.Queue(`SELECT status, current_phase FROM session_states WHERE session_id = $1::uuid`, c.session).
		QueryRow(func(row pgx.Row) error { return row.Scan(&a.status, &a.phase) })
	if a.t.RunID != "" {
		c.reads.Queue(`SELECT started_at, finished_at FROM runs WHERE id = $1::uuid AND session_id = $2::uuid`, a.t.RunID, c.session).
			QueryRow(func(row pgx.Row) error {
				err := row.Scan(&a.started, &a.finished)
				if errors.Is(err, pgx.ErrNoRows) {
					return noRun(a.t.RunID)
				}
				return err
			})
	}
	if len(a.t.Steps) > 0 {
		ids := make([]string, 0, len(a.t.Steps))
		for i := range a.t.Steps {
			ids = append(ids, a.t.Steps[i].ID)
		}
		c.reads.Queue(`SELECT step_id, status FROM steps WHERE run_id = NULLIF($1::text, '')::uuid AND step_id = ANY ($2::text[])`, a.t.RunID, ids).
			Query(func(rows pgx.Rows) error { return scanPairs(rows, a.steps) })
	}
	if len(a.t.Open)+len(a.t.Close) > 0 {
		ids := make([]string, 0, len(a.t.Open)+len(a.t.Close))
		for i := range a.t.Open {
			ids = append(ids, a.t.Open[i].ID)
		}
		for i := range a.t.Close {
			ids = append(ids, a.t.Close[i].ID)
		}
		c.reads.Queue(`SELECT id::text, status FROM approval_requests WHERE id = ANY ($1::uuid[])`, ids).
			Query(func(rows pgx.Rows) error { return scanPairs(rows, a.approvals) })
	}
}

func scanPairs[V ~string](rows pgx.Rows, into map[string]V) error {
	var key, value string
	_, err := pgx.ForEachRow(rows, []any{&key, &value}, func() error {
		into[key] = V(value)
		return nil
	})
	return err
}

func (a *apply) decide(c *change) error {
	if err := a.moveSteps(c); err != nil {
		return err
	}
	if err := a.closeApprovals(c); err != nil {
		return err
	}
	a.openApprovals(c)
	for i := range a.t.Notes {
		c.event(a.t.Notes[i].Type, a.t.RunID, a.t.Notes[i].StepID, a.t.Notes[i].Data)
	}
	if a.t.Status != a.status || a.t.Phase != a.phase {
		c.list = true
		c.event(schema.EventWorkflowStateChanged, a.t.RunID, "", schema.WorkflowStateChangedData{Status: a.t.Status, Phase: a.t.Phase})
	}
	c.writes.Queue(`UPDATE session_states SET status = $2, current_phase = $3, current_step = $4, version = version + 1
		WHERE session_id = $1::uuid`, c.session, string(a.t.Status), string(a.t.Phase), a.t.CurrentStep)
	a.moveRun(c)
	return nil
}

func (a *apply) moveSteps(c *change) error {
	for i := range a.t.Steps {
		to := &a.t.Steps[i]
		from, ok := a.steps[to.ID]
		if !ok {
			return schema.Errorf(schema.CodeNotFound, "run %q has no step %q", a.t.RunID, to.ID)
		}
		moveStep(c, a.t.RunID, to.ID, from, to.Status, to.Reason)
		a.steps[to.ID] = to.Status
	}
	return nil
}

// moveStep queues a step's new status and the event that says so, when it is new.
func moveStep(c *change, run, step string, from, to schema.StepStatus, reason string) {
	if from == to {
		return
	}
	c.writes.Queue(`UPDATE steps SET status = $3, reason = $4 WHERE run_id = $1::uuid AND step_id = $2`, run, step, string(to), clean(reason))
	c.event(schema.EventDAGNodeStatusChanged, run, step,
		schema.DAGNodeStatusChangedData{NodeID: step, OldStatus: from, NewStatus: to, Reason: reason})
}

func (a *apply) closeApprovals(c *change) error {
	for i := range a.t.Close {
		end := &a.t.Close[i]
		status, ok := a.approvals[end.ID]
		if !ok {
			return noApproval(end.ID)
		}
		if status != schema.ApprovalPending {
			continue
		}
		a.approvals[end.ID] = end.Status
		c.list = true
		at := end.At
		if at.IsZero() {
			at = c.now
		}
		c.writes.Queue(`UPDATE approval_requests SET status = $2, resolution = $3, feedback = $4, actor = $5, resolved_at = $6::timestamptz
			WHERE id = $1::uuid`, end.ID, string(end.Status), string(end.Resolution), clean(end.Feedback), clean(end.Actor), at)
		if end.Status == schema.ApprovalResolved {
			c.event(schema.EventApprovalReceived, a.t.RunID, end.StepID, schema.ApprovalReceivedData{
				ApprovalID: end.ID, Resolution: end.Resolution, Actor: end.Actor, Feedback: end.Feedback,
			})
			continue
		}
		c.event(schema.EventApprovalExpired, a.t.RunID, end.StepID, schema.ApprovalExpiredData{
			ApprovalID: end.ID, Reason: end.Reason, OnTimeout: end.OnTimeout,
		})
	}
	return nil
}

func (a *apply) openApprovals(c *change) {
	for i := range a.t.Open {
		ask := &a.t.Open[i]
		if _, ok := a.approvals[ask.ID]; ok {
			continue
		}
		a.approvals[ask.ID] = schema.ApprovalPending
		c.list = true
		about := ask.Context
		if len(about) == 0 {
			about = emptyObject
		}
		created := ask.CreatedAt
		if created.IsZero() {
			created = c.now
		}
		options := make([]string, 0, len(ask.Options))
		for _, option := range ask.Options {
			options = append(options, string(option))
		}
		c.writes.Queue(`INSERT INTO approval_requests (id, session_id, run_id, step_id, approval_type, description, options, context, digest,
				status, on_timeout, created_at, expires_at)
			VALUES ($1::uuid, $2::uuid, $3::uuid, $4, $5, $6, $7::text[], $8::json, $9, $10, $11, $12::timestamptz, $13::timestamptz)`,
			ask.ID, c.session, a.t.RunID, ask.StepID, string(ask.Type), clean(ask.Description), options, string(about), ask.Digest,
			string(schema.ApprovalPending), string(ask.OnTimeout), created, ask.ExpiresAt)
		c.event(schema.EventApprovalRequested, a.t.RunID, ask.StepID, schema.ApprovalRequestedData{
			ApprovalID: ask.ID, Type: ask.Type, Description: ask.Description, Options: append([]schema.Resolution{}, ask.Options...),
			Context: about, Digest: ask.Digest, ExpiresAt: timeOf(ask.ExpiresAt),
		})
	}
}

// moveRun keeps the run's status that of its session, and closes it. A run that is over stays as it ended.
func (a *apply) moveRun(c *change) {
	if a.started == nil || a.finished != nil {
		return
	}
	end := a.t.End
	if end == nil {
		if a.t.Status != a.status {
			c.writes.Queue(`UPDATE runs SET status = $2 WHERE id = $1::uuid`, a.t.RunID, string(a.t.Status))
		}
		return
	}
	c.list = true
	c.writes.Queue(`UPDATE runs SET status = $2, error = $3, finished_at = $4::timestamptz WHERE id = $1::uuid`,
		a.t.RunID, string(end.Status), clean(end.Error), c.now)
	took := max(c.now.Sub(*a.started), 0).Milliseconds()
	switch end.Status {
	case schema.SessionCompleted:
		c.event(schema.EventWorkflowCompleted, a.t.RunID, "", schema.WorkflowCompletedData{DurationMS: took})
	case schema.SessionCancelled:
		data := schema.WorkflowCancelledData{Actor: end.Actor}
		if end.Receipt != nil {
			data.Receipt = *end.Receipt
		}
		c.event(schema.EventWorkflowCancelled, a.t.RunID, "", data)
	default:
		c.event(schema.EventWorkflowFailed, a.t.RunID, "", schema.WorkflowFailedData{Error: end.Error, DurationMS: took})
	}
}
