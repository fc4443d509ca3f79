package store

import (
	"bytes"
	"context"
	"encoding/json"

	"github.com/jackc/pgx/v5"

	"github.com/holdfast/holdfast/schema"
)

// Revise changes the plan of a run as a human asked. Modifications is a [schema.PlanEdit] when
// StepID is "", else a [schema.StepEdit]. Key identifies repetitions.
type Revise struct {
	SessionID     string
	RunID         string
	StepID        string
	ApprovalID    string
	Key           string
	Actor         string
	Modifications json.RawMessage
}

// reviseTx is a revision being made, with the run as it was before.
type reviseTx struct {
	Revise
	is        BegunRun
	over      bool
	states    map[string]stepState
	inherited []string
	tried     string // a step that has been tried; "" if none has
}

// Revise gives a run its edited plan, which also becomes the session's latest, with the events
// plan_updated and dag_updated. It answers with what the run carries out from then on. A new plan
// replaces all steps, so none may have been tried; an edited step keeps its status. A repetition
// changes nothing and answers with what the run carries out at that time.
//
// Modifications that make no valid plan are [schema.CodeInvalid], with Fields; a run that is over
// or has started, or a step that has succeeded, is [schema.CodeConflict].
func (s *Store) Revise(ctx context.Context, r Revise) (BegunRun, error) {
	if !schema.ValidID(r.RunID) {
		return BegunRun{}, noRun(r.RunID)
	}
	v := &reviseTx{Revise: r, states: map[string]stepState{}}
	_, err := s.inSessionTx(ctx, "change a plan", v.SessionID, "revise:"+v.Key, v.read, v.decide)
	if err != nil {
		return BegunRun{}, err
	}
	return v.is, nil
}

func (v *reviseTx) read(c *sessionTx) {
	c.reads.Queue(`SELECT r.plan_digest, r.finished_at IS NOT NULL, COALESCE(`+planText+`, '')
		  FROM runs r JOIN session_states t ON t.session_id = r.session_id
		 CROSS JOIN LATERAL (SELECT r.plan_digest AS digest) d
		 WHERE r.id = $1::uuid AND r.session_id = $2::uuid`, v.RunID, v.SessionID).
		QueryRow(func(row pgx.Row) error {
			var text []byte
			if err := row.Scan(&v.is.Digest, &v.over, &text); err != nil {
				return notFoundIfNoRows(err, noRun(v.RunID))
			}
			v.is.Plan, v.is.Problem = runnable(text, v.is.Digest)
			return nil
		})
	c.reads.Queue(`SELECT st.step_id, st.status, st.reason, st.inherited,
		       EXISTS (SELECT FROM attempts a WHERE a.run_id = st.run_id AND a.step_id = st.step_id)
		  FROM steps st WHERE st.run_id = $1::uuid ORDER BY st.position`, v.RunID).
		Query(func(rows pgx.Rows) error {
			var (
				id, status, reason string
				inherited, tried   bool
			)
			_, err := pgx.ForEachRow(rows, []any{&id, &status, &reason, &inherited, &tried}, func() error {
				v.states[id] = stepState{schema.StepStatus(status), reason}
				if inherited {
					v.inherited = append(v.inherited, id)
				}
				if tried && v.tried == "" {
					v.tried = id
				}
				return nil
			})
			v.is.Inherited = v.inherited
			return err
		})
}

func (v *reviseTx) decide(c *sessionTx) error {
	switch {
	case v.over:
		return schema.Errorf(schema.CodeConflict, "the run is over; its plan cannot be changed any more")
	case v.is.Problem != "":
		return schema.Errorf(schema.CodeConflict, "%s", v.is.Problem)
	}
	var (
		plan *schema.Plan
		err  error
	)
	if v.StepID == "" {
		plan, err = v.newPlan(c)
	} else {
		plan, err = v.newStep(c)
	}
	if err != nil {
		return err
	}
	v.is.Plan, v.is.Digest = plan, plan.Digest()
	keepPlan(c.writes, c.session, v.is.Digest, schema.Marshal(plan))
	makeLatest(c.writes, c.session, v.is.Digest)
	c.writes.Queue(`UPDATE runs SET plan_digest = $2 WHERE id = $1::uuid`, v.RunID, v.is.Digest)
	c.event(schema.EventPlanUpdated, v.RunID, v.StepID, schema.PlanUpdatedData{
		Plan: plan, Digest: v.is.Digest, ApprovalID: v.ApprovalID, StepID: v.StepID, Actor: v.Actor,
	})
	c.event(schema.EventDAGUpdated, v.RunID, "", graph(plan, v.states))
	return nil
}

// newPlan replaces the steps of a run in which nothing has run yet.
func (v *reviseTx) newPlan(c *sessionTx) (*schema.Plan, error) {
	if v.tried != "" {
		return nil, schema.Errorf(schema.CodeConflict, "step %q has been started; the plan cannot be replaced any more", v.tried)
	}
	plan, wrong := schema.ParsePlanEdit(v.Modifications)
	if wrong != nil {
		return nil, invalidEdit(wrong)
	}
	v.is.Inherited = unchanged(v.is.Plan, plan, v.inherited)
	v.states = inheritedAs(v.is.Inherited)
	c.writes.Queue(`DELETE FROM steps WHERE run_id = $1::uuid`, v.RunID)
	queueSteps(c, v.RunID, plan, v.is.Inherited)
	return plan, nil
}

func (v *reviseTx) newStep(c *sessionTx) (*schema.Plan, error) {
	state, ok := v.states[v.StepID]
	switch {
	case !ok:
		return nil, schema.Errorf(schema.CodeConflict, "the run has no step %q", v.StepID)
	case state.status == schema.StepSucceeded:
		return nil, schema.Errorf(schema.CodeConflict, "step %q has succeeded; it cannot be changed any more", v.StepID)
	}
	edit, wrong := schema.ParseStepEdit(v.Modifications)
	if wrong != nil {
		return nil, invalidEdit(wrong)
	}
	plan, wrong := v.is.Plan.Edited(v.StepID, edit)
	if wrong != nil {
		return nil, invalidEdit(wrong)
	}
	step, _ := plan.Step(v.StepID)
	c.writes.Queue(`UPDATE steps SET title = $3, kind = $4 WHERE run_id = $1::uuid AND step_id = $2`,
		v.RunID, v.StepID, clean(step.Name()), string(step.Kind()))
	return plan, nil
}

func invalidEdit(wrong []schema.FieldError) error {
	return &schema.Error{Code: schema.CodeInvalid, Message: "the modifications make no valid plan: " + wrong[0].Message, Fields: wrong}
}

// unchanged returns the finished steps that are the same in the other plan, and whose needs are all among them. It
// looks at each step and each need once.
func unchanged(was, is *schema.Plan, finished []string) []string {
	before := make(map[string]*schema.PlanStep, len(was.Steps))
	for i := range was.Steps {
		before[was.Steps[i].ID] = &was.Steps[i]
	}
	after := make(map[string]*schema.PlanStep, len(is.Steps))
	for i := range is.Steps {
		after[is.Steps[i].ID] = &is.Steps[i]
	}
	same := make(map[string]bool, len(finished))
	for _, id := range finished {
		b, a := before[id], after[id]
		same[id] = b != nil && a != nil && bytes.Equal(schema.Marshal(b), schema.Marshal(a))
	}
	looked := make(map[string]bool, len(finished))
	var look func(id string) bool
	look = func(id string) bool {
		if looked[id] || !same[id] {
			return same[id]
		}
		looked[id] = true
		for _, need := range after[id].Needs {
			if !look(need) {
				same[id] = false // a step that is not inherited excludes those that need it
				break
			}
		}
		return same[id]
	}
	var kept []string
	for i := range is.Steps {
		if id := is.Steps[i].ID; look(id) {
			kept = append(kept, id)
		}
	}
	return kept
}
