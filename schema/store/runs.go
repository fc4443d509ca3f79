package store

import (
	"context"
	"database/sql"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/uptrace/bun"

	"github.com/holdfast/holdfast/schema"
)

// BeginRun opens a run over the session's plan. Key tells repetitions apart.
type BeginRun struct {
	SessionID string
	RunID     string
	Number    int
	Key       string
	Status    schema.SessionStatus
	Phase     schema.Phase
}

// BegunRun is the plan that the run carries out, and the name of exactly that plan.
type BegunRun struct {
	Plan   *schema.Plan
	Digest string
}

// BeginRun adds a run with all its steps, pending, and the events workflow_started,
// plan_proposed, dag_created and workflow_state_changed. A repetition changes nothing and
// returns the same. A session without a plan is [schema.CodeInvalid]; a second run with the
// same number is [schema.CodeConflict].
func (s *Store) BeginRun(ctx context.Context, b BeginRun) (BegunRun, error) {
	if !schema.ValidID(b.RunID) {
		return BegunRun{}, noRun(b.RunID)
	}
	var (
		begun    BegunRun
		mode     schema.Mode
		task     string
		planText []byte
	)
	_, err := s.change(ctx, "begin a run", b.SessionID, "run:"+b.Key, func(c *change) {
		c.reads.Queue(`SELECT s.mode, s.task, COALESCE(t.plan_data::text, ''), t.plan_digest
			FROM sessions s JOIN session_states t ON t.session_id = s.id WHERE s.id = $1::uuid`, b.SessionID).
			QueryRow(func(row pgx.Row) error { return row.Scan(&mode, &task, &planText, &begun.Digest) })
	}, func(c *change) error {
		plan, err := decodePlan(planText)
		if err != nil {
			return err
		}
		if plan == nil {
			return schema.Errorf(schema.CodeInvalid, "session %q has no plan to run", b.SessionID)
		}
		b.queue(c, begun.Digest, plan)
		c.list = true
		c.event(schema.EventWorkflowStarted, b.RunID, "", schema.WorkflowStartedData{Mode: mode, RunNumber: b.Number, Task: task})
		c.event(schema.EventPlanProposed, b.RunID, "", schema.PlanProposedData{Plan: plan, Digest: begun.Digest})
		c.event(schema.EventDAGCreated, b.RunID, "", graph(plan))
		c.event(schema.EventWorkflowStateChanged, b.RunID, "", schema.WorkflowStateChangedData{Status: b.Status, Phase: b.Phase})
		return nil
	})
	if isUnique(err) {
		return BegunRun{}, schema.Errorf(schema.CodeConflict, "session %q has a run %d already", b.SessionID, b.Number)
	}
	if err != nil {
		return BegunRun{}, err
	}
	begun.Plan, err = decodePlan(planText)
	return begun, err
}

func (b *BeginRun) queue(c *change, digest string, plan *schema.Plan) {
	type row struct {
		ID       string          `json:"id"`
		Position int             `json:"position"`
		Title    string          `json:"title"`
		Kind     schema.StepKind `json:"kind"`
		Needs    []string        `json:"needs"`
	}
	rows := make([]row, 0, len(plan.Steps))
	for i := range plan.Steps {
		step := &plan.Steps[i]
		rows = append(rows, row{ID: step.ID, Position: i, Title: clean(step.Name()), Kind: step.Kind(), Needs: append([]string{}, step.Needs...)})
	}
	c.writes.Queue(`INSERT INTO runs (id, session_id, number, status, plan_digest, started_at)
		VALUES ($1::uuid, $2::uuid, $3, $4, $5, clock_timestamp())`, b.RunID, b.SessionID, b.Number, string(b.Status), digest)
	c.writes.Queue(`INSERT INTO steps (run_id, step_id, position, title, kind, needs, status)
		SELECT $1::uuid, x.id, x.position, x.title, x.kind, ARRAY(SELECT json_array_elements_text(x.needs)), $2
		  FROM json_to_recordset($3::json) AS x (id text, position integer, title text, kind text, needs json)`,
		b.RunID, string(schema.StepPending), string(schema.Marshal(rows)))
	c.writes.Queue(`UPDATE session_states SET status = $2, current_phase = $3, current_step = '', version = version + 1
		WHERE session_id = $1::uuid`, b.SessionID, string(b.Status), string(b.Phase))
}

func graph(plan *schema.Plan) schema.DAGCreatedData {
	data := schema.DAGCreatedData{Nodes: []schema.DAGNode{}, Edges: []schema.DAGEdge{}}
	for i := range plan.Steps {
		step := &plan.Steps[i]
		data.Nodes = append(data.Nodes, schema.DAGNode{ID: step.ID, Title: step.Name(), Kind: step.Kind(), Status: schema.StepPending})
		for _, need := range step.Needs {
			data.Edges = append(data.Edges, schema.DAGEdge{From: need, To: step.ID})
		}
	}
	return data
}

// Runs lists the runs of a session, the first one first, with their steps in the order of
// the plan and the attempts at each.
func (s *Store) Runs(ctx context.Context, sessionID string) ([]schema.Run, error) {
	if _, err := s.HeadSeq(ctx, sessionID); err != nil {
		return nil, err
	}
	var rows []runRow
	if err := s.db.NewSelect().Model(&rows).Where("r.session_id = ?", sessionID).OrderExpr("r.number").Scan(ctx); err != nil {
		return nil, failed("list runs", err)
	}
	return s.fillRuns(ctx, rows)
}

// Run reads one run with its steps and attempts.
func (s *Store) Run(ctx context.Context, id string) (schema.Run, error) {
	if !schema.ValidID(id) {
		return schema.Run{}, noRun(id)
	}
	rows := make([]runRow, 1)
	err := s.db.NewSelect().Model(&rows[0]).Join("JOIN sessions AS s ON s.id = r.session_id").
		Where("s.deleted_at IS NULL").Where("r.id = ?", id).Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return schema.Run{}, noRun(id)
	}
	if err != nil {
		return schema.Run{}, failed("read a run", err)
	}
	runs, err := s.fillRuns(ctx, rows)
	if err != nil {
		return schema.Run{}, err
	}
	return runs[0], nil
}

// fillRuns reads the steps and attempts of all the runs, with one query for each kind.
func (s *Store) fillRuns(ctx context.Context, rows []runRow) ([]schema.Run, error) {
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
	err := s.db.NewSelect().Model(&steps).Where("st.run_id IN (?)", bun.List(ids)).OrderExpr("st.run_id, st.position").Scan(ctx)
	if err != nil {
		return nil, failed("list steps", err)
	}
	var attempts []attemptRow
	err = s.db.NewSelect().Model(&attempts).Where("a.run_id IN (?)", bun.List(ids)).OrderExpr("a.run_id, a.step_id, a.number").Scan(ctx)
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
	}
	return runs, nil
}
