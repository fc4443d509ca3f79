package store

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/holdfast/holdfast/schema"
)

// planText is the text of the plan with digest d.digest, NULL if the session has no such plan. It belongs in a query
// where t is a row of session_states. A plan that an older server has just written is in session_states alone.
const planText = `COALESCE((SELECT p.plan FROM plans p WHERE p.session_id = t.session_id AND p.digest = d.digest),
	CASE WHEN t.plan_digest = d.digest THEN t.plan_data END)::text`

// SavePlan stores a plan for a session and returns its digest, with which a run can be begun. It
// becomes the session's latest plan only then. Saving it again changes nothing. An unknown or
// deleted session is [schema.CodeNotFound].
func (s *Store) SavePlan(ctx context.Context, sessionID string, p *schema.Plan) (digest string, err error) {
	if !schema.ValidID(sessionID) {
		return "", noSession(sessionID)
	}
	text := schema.Marshal(p)
	digest = p.Digest()
	tag, err := s.pool.Exec(ctx, `INSERT INTO plans (session_id, digest, plan)
		SELECT id, $2, $3::text::json FROM sessions WHERE id = $1 AND deleted_at IS NULL ON CONFLICT DO NOTHING`,
		sessionID, digest, string(text))
	if err != nil {
		return "", failed("save a plan", err)
	}
	if tag.RowsAffected() == 0 { // the plan exists already, or the session does not
		if _, err := s.HeadSeq(ctx, sessionID); err != nil {
			return "", err
		}
	}
	return digest, nil
}

// keepPlan queues a plan for a session whose row is locked.
func keepPlan(b *pgx.Batch, session, digest string, text json.RawMessage) {
	b.Queue(`INSERT INTO plans (session_id, digest, plan) VALUES ($1::uuid, $2, $3::text::json) ON CONFLICT DO NOTHING`,
		session, digest, string(text))
}

// makeLatest queues that one of the session's plans becomes its latest.
func makeLatest(b *pgx.Batch, session, digest string) {
	b.Queue(`UPDATE session_states t SET plan_digest = p.digest, plan_data = p.plan FROM plans p
		WHERE t.session_id = $1::uuid AND p.session_id = t.session_id AND p.digest = $2 AND t.plan_digest <> p.digest`, session, digest)
}

// Plan is the latest plan of a session: the one that its next run carries out. It fails with
// [schema.CodeNotFound] if there is none.
func (s *Store) Plan(ctx context.Context, sessionID string) (*schema.Plan, error) {
	if !schema.ValidID(sessionID) {
		return nil, noSession(sessionID)
	}
	var text []byte
	// Also for a deleted session: its workers may not have heard yet.
	err := s.pool.QueryRow(ctx, `SELECT COALESCE(plan_data::text, '') FROM session_states WHERE session_id = $1`,
		sessionID).Scan(&text)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, noSession(sessionID)
	}
	if err != nil {
		return nil, failed("read a plan", err)
	}
	plan, err := decodePlan(text)
	if err == nil && plan == nil {
		return nil, schema.Errorf(schema.CodeNotFound, "session %q has no plan", sessionID)
	}
	return plan, err
}

// RunPlan is what a run carries out.
type RunPlan struct {
	Plan    *schema.Plan
	Message string // what the run answers; "" if it answers no message
	// Snapshot is the session's workspace after the last attempt to finish.
	Snapshot string
}

const selectRunPlan = `SELECT COALESCE(` + planText + `, ''), COALESCE(m.content, ''), t.snapshot
	  FROM runs r JOIN session_states t ON t.session_id = r.session_id
	 CROSS JOIN LATERAL (SELECT r.plan_digest AS digest) d
	  LEFT JOIN messages m ON m.session_id = r.session_id AND m.number = r.message_number
	 WHERE r.id = $1::uuid`

// RunPlan reads what a run carries out now: a human may have edited it. It works for a deleted
// session too, whose workers may not have heard yet. It fails with [schema.CodeNotFound] if there
// is no such run, or it has no plan.
func (s *Store) RunPlan(ctx context.Context, runID string) (RunPlan, error) {
	if !schema.ValidID(runID) {
		return RunPlan{}, noRun(runID)
	}
	return scanRunPlan(s.pool.QueryRow(ctx, selectRunPlan, runID), runID)
}

// Snapshot is a session's workspace after the last attempt to finish; "" if there is none.
func (s *Store) Snapshot(ctx context.Context, sessionID string) (digest string, err error) {
	if !schema.ValidID(sessionID) {
		return "", noSession(sessionID)
	}
	row := s.pool.QueryRow(ctx, `SELECT snapshot FROM session_states WHERE session_id = $1::uuid`, sessionID)
	if err := row.Scan(&digest); err != nil {
		return "", failed("read a snapshot", notFoundIfNoRows(err, noSession(sessionID)))
	}
	return digest, nil
}

func scanRunPlan(row pgx.Row, runID string) (RunPlan, error) {
	var (
		is   RunPlan
		text []byte
	)
	if err := row.Scan(&text, &is.Message, &is.Snapshot); err != nil {
		return RunPlan{}, failed("read a plan", notFoundIfNoRows(err, noRun(runID)))
	}
	var err error
	is.Plan, err = decodePlan(text)
	if err == nil && is.Plan == nil {
		err = schema.Errorf(schema.CodeNotFound, "run %q has no plan", runID)
	}
	return is, err
}

// Asking reads what a run carries out, and how the latest attempt at each of some of its steps
// ended, in one round trip. Steps that were not tried yet are missing from the answer. It fails as
// [Store.RunPlan] does.
func (s *Store) Asking(ctx context.Context, runID string, steps []string) (RunPlan, map[string]schema.StepResult, error) {
	if !schema.ValidID(runID) {
		return RunPlan{}, nil, noRun(runID)
	}
	if len(steps) == 0 {
		is, err := s.RunPlan(ctx, runID)
		return is, nil, err
	}
	var is RunPlan
	last := make(map[string]schema.StepResult, len(steps))
	b := &pgx.Batch{}
	b.Queue(selectRunPlan, runID).QueryRow(func(row pgx.Row) (err error) {
		is, err = scanRunPlan(row, runID)
		return err
	})
	b.Queue(`SELECT DISTINCT ON (step_id) step_id, status, number, exit_code, signal, reason, message FROM attempts
		WHERE run_id = $1::uuid AND step_id = ANY ($2::text[]) ORDER BY step_id, number DESC`, runID, steps).
		Query(func(rows pgx.Rows) error {
			defer rows.Close()
			for rows.Next() {
				var (
					id string
					r  schema.StepResult
				)
				if err := rows.Scan(&id, &r.Status, &r.Attempt, &r.ExitCode, &r.Signal, &r.Reason, &r.Message); err != nil {
					return err
				}
				last[id] = r
			}
			return rows.Err()
		})
	if err := s.pool.SendBatch(ctx, b).Close(); err != nil {
		return RunPlan{}, nil, failed("read what is asked about", err)
	}
	return is, last, nil
}
