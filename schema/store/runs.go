package store

import (
	"context"
	"database/sql"
	"errors"

	"github.com/uptrace/bun"

	"github.com/holdfast/holdfast/schema"
)

func selectRuns(db reader, into any, args ...any) *bun.SelectQuery {
	return db.selectWith(args...).Model(into).
		ColumnExpr("r.id, r.session_id, r.number, r.status, r.error, r.plan_digest, r.started_at, r.finished_at").
		ColumnExpr("COALESCE(m.content, '') AS message").
		Join("LEFT JOIN messages AS m ON m.session_id = r.session_id AND m.number = r.message_number")
}

// Runs lists the runs of a session, oldest first, with their steps in the order of the plan and the
// attempts at each.
func (s *Store) Runs(ctx context.Context, sessionID string) ([]schema.Run, error) {
	if _, err := s.HeadSeq(ctx, sessionID); err != nil {
		return nil, err
	}
	return runsOf(ctx, s.db, sessionID)
}

func runsOf(ctx context.Context, db reader, sessionID string) ([]schema.Run, error) {
	var rows []runRow
	if err := selectRuns(db, &rows, sessionID).Where("r.session_id = $1").OrderExpr("r.number").Scan(ctx); err != nil {
		return nil, failed("list runs", err)
	}
	return fillRuns(ctx, db, rows)
}

// Run reads one run with its steps and attempts.
func (s *Store) Run(ctx context.Context, id string) (schema.Run, error) {
	if !schema.ValidID(id) {
		return schema.Run{}, noRun(id)
	}
	rows := make([]runRow, 1)
	err := selectRuns(s.db, &rows[0], id).Join("JOIN sessions AS s ON s.id = r.session_id").
		Where("s.deleted_at IS NULL").Where("r.id = $1").Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return schema.Run{}, noRun(id)
	}
	if err != nil {
		return schema.Run{}, failed("read a run", err)
	}
	runs, err := fillRuns(ctx, s.db, rows)
	if err != nil {
		return schema.Run{}, err
	}
	return runs[0], nil
}

// fillRuns reads the steps and attempts of all the runs, with one query for each.
func fillRuns(ctx context.Context, db reader, rows []runRow) ([]schema.Run, error) {
	runs := make([]schema.Run, 0, len(rows))
	if len(rows) == 0 {
		return runs, nil
	}
	ids := make([]string, 0, len(rows))
	for i := range rows {
		runs = append(runs, rows[i].object())
		ids = append(ids, rows[i].ID)
	}
	var steps []stepRow
	err := db.selectWith(ids).Model(&steps).Where("st.run_id = ANY($1::uuid[])").OrderExpr("st.run_id, st.position").Scan(ctx)
	if err != nil {
		return nil, failed("list steps", err)
	}
	var attempts []attemptRow
	err = db.selectWith(ids).Model(&attempts).Where("a.run_id = ANY($1::uuid[])").OrderExpr("a.run_id, a.step_id, a.number").Scan(ctx)
	if err != nil {
		return nil, failed("list attempts", err)
	}
	type stepKey struct{ run, step string }
	tried := make(map[stepKey][]schema.Attempt)
	for i := range attempts {
		key := stepKey{attempts[i].RunID, attempts[i].StepID}
		tried[key] = append(tried[key], attempts[i].object())
	}
	where := make(map[string]int, len(runs))
	for i := range runs {
		where[runs[i].ID] = i
	}
	for i := range steps {
		step := steps[i].object()
		if list := tried[stepKey{steps[i].RunID, steps[i].StepID}]; list != nil {
			step.Attempts = list
		}
		run := &runs[where[steps[i].RunID]]
		run.Steps = append(run.Steps, step)
		if step.Status == schema.StepFailed {
			run.FailedSteps++
		}
	}
	return runs, nil
}

// StepStatuses lists the steps of a run with their statuses, in the order of the plan.
func (s *Store) StepStatuses(ctx context.Context, runID string) ([]schema.StepChange, error) {
	if !schema.ValidID(runID) {
		return nil, noRun(runID)
	}
	var steps []stepRow
	if err := s.db.selectWith(runID).Model(&steps).Where("st.run_id = $1").OrderExpr("st.position").Scan(ctx); err != nil {
		return nil, failed("list steps", err)
	}
	list := make([]schema.StepChange, 0, len(steps))
	for i := range steps {
		list = append(list, schema.StepChange{ID: steps[i].StepID, Status: steps[i].Status, Reason: steps[i].Reason})
	}
	return list, nil
}
