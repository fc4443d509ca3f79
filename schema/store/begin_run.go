package store

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/holdfast/holdfast/schema"
)

// BeginRun opens a run of one of the session's plans. Key identifies repetitions.
type BeginRun struct {
	SessionID  string
	RunID      string
	Number     int
	Key        string
	Status     schema.SessionStatus
	Phase      schema.Phase
	PlanDigest string // of the plan; "" for the session's latest
	Message    int    // the number of the message that the run answers; 0 for none
}

// BegunRun is the plan that the run carries out, and its digest.
type BegunRun struct {
	Plan      *schema.Plan // nil if there is a Problem
	Digest    string
	Inherited []string // steps that finished in the session that this one was forked from
	Problem   string   // why the run cannot be carried out; "" if it can
}

// inheritedReason is the reason in the status of an inherited step.
const inheritedReason = "finished in the session that this one was forked from"

// beginTx is a run being begun, with the session as it was before.
type beginTx struct {
	BeginRun
	is     BegunRun
	mode   schema.Mode
	task   string
	forked bool
	latest string // digest of the session's latest plan
	text   string // of the message that the run answers
}

// BeginRun adds a run with all its steps, pending, and the events workflow_started, plan_proposed,
// dag_created and workflow_state_changed. The plan becomes the session's latest, and the message is
// taken. In the first run of a fork, the inherited steps have already succeeded.
//
// If the plan is missing or unreadable, the run is opened without steps, plan_proposed and
// dag_created, and the answer says so in Problem, so that the caller can end the run as failed. A
// repetition changes nothing and returns the same. A second run with the same number is
// [schema.CodeConflict].
func (s *Store) BeginRun(ctx context.Context, r BeginRun) (BegunRun, error) {
	if !schema.ValidID(r.RunID) {
		return BegunRun{}, noRun(r.RunID)
	}
	b := &beginTx{BeginRun: r}
	_, err := s.inSessionTx(ctx, "begin a run", b.SessionID, "run:"+b.Key, b.read, b.decide)
	if isUnique(err) {
		return BegunRun{}, schema.Errorf(schema.CodeConflict, "session %q has a run %d already", b.SessionID, b.Number)
	}
	if err != nil {
		return BegunRun{}, err
	}
	return b.is, nil
}

func (b *beginTx) read(c *sessionTx) {
	c.reads.Queue(`SELECT s.mode, s.task, s.forked_from IS NOT NULL, s.inherited, t.plan_digest, d.digest, COALESCE(`+planText+`, '')
		  FROM sessions s JOIN session_states t ON t.session_id = s.id
		  LEFT JOIN runs r ON r.id = $3::uuid AND r.session_id = s.id
		 CROSS JOIN LATERAL (SELECT COALESCE(r.plan_digest, NULLIF($2::text, ''), t.plan_digest) AS digest) d
		 WHERE s.id = $1::uuid`, b.SessionID, b.PlanDigest, b.RunID).
		QueryRow(func(row pgx.Row) error {
			var (
				text      []byte
				inherited []string
			)
			if err := row.Scan(&b.mode, &b.task, &b.forked, &inherited, &b.latest, &b.is.Digest, &text); err != nil {
				return err
			}
			b.is.Plan, b.is.Problem = runnable(text, b.is.Digest)
			if b.forked && b.Number == 1 && b.is.Plan != nil {
				b.is.Inherited = stepsOf(b.is.Plan, inherited)
			}
			return nil
		})
	c.reads.Queue(`SELECT COALESCE((SELECT content FROM messages WHERE session_id = $1::uuid AND number = $2), '')`, b.SessionID, b.Message).
		QueryRow(func(row pgx.Row) error { return row.Scan(&b.text) })
}

// runnable reads a plan, or says why it cannot be run.
func runnable(text []byte, digest string) (*schema.Plan, string) {
	plan, err := decodePlan(text)
	switch {
	case err != nil || (plan != nil && len(plan.Steps) == 0):
		return nil, "the plan " + digest + " cannot be read"
	case plan == nil && digest == "":
		return nil, "the session has no plan to run"
	case plan == nil:
		return nil, "the session has no plan " + digest
	default:
		return plan, ""
	}
}

// stepsOf returns those of the ids that the plan has, in the plan's order.
func stepsOf(plan *schema.Plan, ids []string) []string {
	var has []string
	for i := range plan.Steps {
		if slices.Contains(ids, plan.Steps[i].ID) {
			has = append(has, plan.Steps[i].ID)
		}
	}
	return has
}

func (b *beginTx) decide(c *sessionTx) error {
	c.writes.Queue(`INSERT INTO runs (id, session_id, number, status, plan_digest, message_number, started_at)
		VALUES ($1::uuid, $2::uuid, $3, $4, $5, $6, $7::timestamptz)`,
		b.RunID, b.SessionID, b.Number, string(b.Status), b.is.Digest, b.messageNumber(), c.now)
	c.list = true
	if b.messageNumber() == nil {
		b.text = ""
	}
	c.event(schema.EventWorkflowStarted, b.RunID, "",
		schema.WorkflowStartedData{Mode: b.mode, RunNumber: b.Number, Task: b.task, Message: b.Message, Text: b.text, PlanDigest: b.is.Digest})
	if plan := b.is.Plan; plan != nil {
		queueSteps(c, b.RunID, plan, b.is.Inherited)
		c.event(schema.EventPlanProposed, b.RunID, "", schema.PlanProposedData{Plan: plan, Digest: b.is.Digest})
		c.event(schema.EventDAGCreated, b.RunID, "", graph(plan, inheritedAs(b.is.Inherited)))
		if b.is.Digest != b.latest {
			makeLatest(c.writes, b.SessionID, b.is.Digest)
		}
	}
	if b.Message > 0 {
		c.writes.Queue(`UPDATE messages SET status = $3, run_id = $4::uuid WHERE session_id = $1::uuid AND number = $2`,
			b.SessionID, b.Message, string(schema.MessageTaken), b.RunID)
	}
	c.writes.Queue(`UPDATE session_states SET status = $2, current_phase = $3, current_step = '', expires_at = NULL, version = version + 1
		WHERE session_id = $1::uuid`, b.SessionID, string(b.Status), string(b.Phase))
	c.event(schema.EventWorkflowStateChanged, b.RunID, "", schema.WorkflowStateChangedData{Status: b.Status, Phase: b.Phase})
	return nil
}

// messageNumber is the number of the message that the run answers, or nil. A fork's first run has number 0 if the run
// it was forked from answered a message.
func (b *beginTx) messageNumber() *int {
	if b.Message > 0 || (b.forked && b.Number == 1) {
		return &b.Message
	}
	return nil
}

// stepState is where a step stands, and why.
type stepState struct {
	status schema.StepStatus
	reason string
}

// inheritedAs is the state of each inherited step.
func inheritedAs(inherited []string) map[string]stepState {
	is := make(map[string]stepState, len(inherited))
	for _, id := range inherited {
		is[id] = stepState{schema.StepSucceeded, inheritedReason}
	}
	return is
}

// queueSteps queues the rows of a run's steps: pending, or inherited.
func queueSteps(c *sessionTx, run string, plan *schema.Plan, inherited []string) {
	type row struct {
		ID        string            `json:"id"`
		Position  int               `json:"position"`
		Title     string            `json:"title"`
		Kind      schema.StepKind   `json:"kind"`
		Needs     []string          `json:"needs"`
		Status    schema.StepStatus `json:"status"`
		Reason    string            `json:"reason"`
		Inherited bool              `json:"inherited"`
	}
	rows := make([]row, 0, len(plan.Steps))
	for i := range plan.Steps {
		step := &plan.Steps[i]
		r := row{
			ID: step.ID, Position: i, Title: clean(step.Name()), Kind: step.Kind(), Needs: append([]string{}, step.Needs...),
			Status: schema.StepPending,
		}
		if slices.Contains(inherited, step.ID) {
			r.Status, r.Reason, r.Inherited = schema.StepSucceeded, inheritedReason, true
		}
		rows = append(rows, r)
	}
	c.writes.Queue(`INSERT INTO steps (run_id, step_id, position, title, kind, needs, status, reason, inherited)
		SELECT $1::uuid, x.id, x.position, x.title, x.kind, ARRAY(SELECT json_array_elements_text(x.needs)), x.status, x.reason, x.inherited
		  FROM json_to_recordset($2::json)
		    AS x (id text, position integer, title text, kind text, needs json, status text, reason text, inherited boolean)`,
		run, string(schema.Marshal(rows)))
}

// graph is the plan's graph with the state of each step; a step without one is pending.
func graph(plan *schema.Plan, is map[string]stepState) schema.DAGCreatedData {
	data := schema.DAGCreatedData{Nodes: []schema.DAGNode{}, Edges: []schema.DAGEdge{}}
	for i := range plan.Steps {
		step := &plan.Steps[i]
		state, ok := is[step.ID]
		if !ok {
			state.status = schema.StepPending
		}
		data.Nodes = append(data.Nodes, schema.DAGNode{ID: step.ID, Title: step.Name(), Kind: step.Kind(), Status: state.status, Reason: state.reason})
		for _, need := range step.Needs {
			data.Edges = append(data.Edges, schema.DAGEdge{From: need, To: step.ID})
		}
	}
	return data
}
