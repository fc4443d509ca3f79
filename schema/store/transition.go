package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"github.com/holdfast/holdfast/schema"
)

const (
	roleUser      = "user"
	reasonExpired = "expired"
)

// apply is a transition being applied, with the rows as they were before.
type apply struct {
	t         schema.Transition
	status    schema.SessionStatus
	phase     schema.Phase
	expires   *time.Time
	steps     map[string]schema.StepStatus
	approvals map[string]approvalState
	messages  map[int]schema.MessageStatus // by number: those that exist
	texts     map[string]string            // of new messages, by id
	subjects  map[string]*schema.Subject   // of the approvals that it opens, by id
	started   *time.Time                   // of the run; nil if there is no such run
	finished  *time.Time
}

// Apply records a transition: rows and events in one transaction, as [schema.Transition] says, and
// returns the head of the log after it. A repetition of its key changes nothing and returns the
// current head. Opening an approval that exists, closing or extending one that is closed and adding
// a message whose number is taken do nothing. A step, an approval to close or extend, or a run that
// does not exist is [schema.CodeNotFound]. RunID may be that of a run that is over, or "".
func (s *Store) Apply(ctx context.Context, t schema.Transition) (head int64, err error) {
	a := &apply{t: t, steps: map[string]schema.StepStatus{}, approvals: map[string]approvalState{}, messages: map[int]schema.MessageStatus{}}
	if t.RunID != "" && !schema.ValidID(t.RunID) {
		return 0, noRun(t.RunID)
	}
	for i := range t.Open {
		if !schema.ValidID(t.Open[i].ID) {
			return 0, schema.Errorf(schema.CodeInvalid, "%q is not the id of an approval", t.Open[i].ID)
		}
		if err := readable("context", t.Open[i].Context); err != nil {
			return 0, err
		}
	}
	for i := range t.Close {
		if !schema.ValidID(t.Close[i].ID) {
			return 0, noApproval(t.Close[i].ID)
		}
		if err := readable("modifications", t.Close[i].Modifications); err != nil {
			return 0, err
		}
	}
	for i := range t.Extend {
		if !schema.ValidID(t.Extend[i].ID) {
			return 0, noApproval(t.Extend[i].ID)
		}
	}
	a.subjects = s.shortSubjects(ctx, &t)
	return s.inSessionTx(ctx, "record a transition", t.SessionID, "apply:"+t.Key, a.read, a.decide)
}

// maxStoredDepth is far more than sessions accept, see [schema.MaxJSONDepth], and far less than what Postgres and
// encoding/json can read back from inside an event.
const maxStoredDepth = 1000

// readable refuses JSON that could be written, perhaps, but not read again.
func readable(what string, text json.RawMessage) error {
	if schema.NestedDeeper(text, maxStoredDepth) || (len(text) > 0 && !json.Valid(validText(text))) {
		return schema.Errorf(schema.CodeInvalid, "the %s of an approval cannot be stored: not JSON, or nested too deeply", what)
	}
	return nil
}

func (a *apply) read(c *sessionTx) {
	a.readState(c)
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
	if n := len(a.t.Open) + len(a.t.Close) + len(a.t.Extend); n > 0 {
		ids := make([]string, 0, n)
		for i := range a.t.Open {
			ids = append(ids, a.t.Open[i].ID)
		}
		for i := range a.t.Close {
			ids = append(ids, a.t.Close[i].ID)
		}
		for i := range a.t.Extend {
			ids = append(ids, a.t.Extend[i].ID)
		}
		c.reads.Queue(`SELECT id::text, status, approval_type, created_at FROM approval_requests WHERE id = ANY ($1::uuid[])`, ids).
			Query(a.scanApprovals)
	}
	a.readTexts(c)
	if len(a.t.Messages) > 0 {
		numbers := make([]int, 0, len(a.t.Messages))
		for i := range a.t.Messages {
			numbers = append(numbers, a.t.Messages[i].Number)
		}
		c.reads.Queue(`SELECT number, status FROM messages WHERE session_id = $1::uuid AND number = ANY ($2::integer[])`, c.session, numbers).
			Query(func(rows pgx.Rows) error {
				var (
					number int
					status string
				)
				_, err := pgx.ForEachRow(rows, []any{&number, &status}, func() error {
					a.messages[number] = schema.MessageStatus(status)
					return nil
				})
				return err
			})
	}
}

// readState reads what workflow_state_changed reports.
func (a *apply) readState(c *sessionTx) {
	c.reads.Queue(`SELECT status, current_phase, expires_at FROM session_states WHERE session_id = $1::uuid`, c.session).
		QueryRow(func(row pgx.Row) error { return row.Scan(&a.status, &a.phase, &a.expires) })
}

// stateChanged reports whether the transition changes what workflow_state_changed reports.
func (a *apply) stateChanged() bool {
	if a.t.Status != a.status || a.t.Phase != a.phase {
		return true
	}
	was, is := a.expires, a.t.ExpiresAt
	if was == nil || is == nil {
		return was != is
	}
	return !was.Equal(is.Truncate(time.Microsecond)) // as precise as Postgres keeps it
}

func scanPairs[V ~string](rows pgx.Rows, into map[string]V) error {
	var key, value string
	_, err := pgx.ForEachRow(rows, []any{&key, &value}, func() error {
		into[key] = V(value)
		return nil
	})
	return err
}

func (a *apply) decide(c *sessionTx) error {
	c.was = a.status
	a.changeMessages(c)
	if err := a.moveSteps(c); err != nil {
		return err
	}
	// Approvals from before this transition are closed and extended first, so that an answer precedes the question
	// that follows from it. The transition's own approvals must be opened before they can be closed or extended.
	before := func(id string) bool { return !a.asks(id) }
	if err := a.closeApprovals(c, before); err != nil {
		return err
	}
	if err := a.extendApprovals(c, before); err != nil {
		return err
	}
	a.openApprovals(c)
	if err := a.extendApprovals(c, a.asks); err != nil {
		return err
	}
	if err := a.closeApprovals(c, a.asks); err != nil {
		return err
	}
	for i := range a.t.Notes {
		c.event(a.t.Notes[i].Type, a.t.RunID, a.t.Notes[i].StepID, a.t.Notes[i].Data)
	}
	if a.stateChanged() {
		c.list = true
		c.event(schema.EventWorkflowStateChanged, a.t.RunID, "",
			schema.WorkflowStateChangedData{Status: a.t.Status, Phase: a.t.Phase, ExpiresAt: timePtr(a.t.ExpiresAt)})
	}
	c.writes.Queue(`UPDATE session_states SET status = $2, current_phase = $3, current_step = $4, expires_at = $5::timestamptz,
			version = version + 1
		WHERE session_id = $1::uuid`, c.session, string(a.t.Status), string(a.t.Phase), a.t.CurrentStep, a.t.ExpiresAt)
	a.moveRun(c)
	for i := range a.t.Audit {
		c.audit(&a.t.Audit[i])
		c.refuseAsk(&a.t.Audit[i])
	}
	return nil
}

// changeMessages adds a user's messages to the conversation, where they wait for their run, or drops
// waiting ones.
func (a *apply) changeMessages(c *sessionTx) {
	for i := range a.t.Messages {
		m := &a.t.Messages[i]
		if m.Status != schema.MessageQueued {
			if a.messages[m.Number] != schema.MessageQueued {
				continue
			}
			a.messages[m.Number] = m.Status
			c.list = true
			c.event(schema.EventMessageDropped, "", "", schema.MessageDroppedData{Number: m.Number})
			c.writes.Queue(`UPDATE messages SET status = $3 WHERE session_id = $1::uuid AND number = $2 AND status = 'queued'`,
				c.session, m.Number, string(m.Status))
			continue
		}
		if _, exists := a.messages[m.Number]; exists {
			continue
		}
		a.messages[m.Number] = m.Status
		c.list = true
		at := m.At
		if at.IsZero() {
			at = c.now
		}
		content, text := a.claimText(c, m)
		queueMessage(c.writes, &messageRow{
			SessionID: c.session, Role: roleUser, Actor: m.Actor, Content: content, Number: m.Number, Status: m.Status, CreatedAt: at, TextID: text,
		})
		c.event(schema.EventAgentMessage, "", "", schema.AgentMessageData{Role: roleUser, Message: content, Actor: m.Actor, Number: m.Number})
	}
}

func (a *apply) moveSteps(c *sessionTx) error {
	for i := range a.t.Steps {
		to := &a.t.Steps[i]
		from, ok := a.steps[to.ID]
		if !ok {
			return schema.Errorf(schema.CodeNotFound, "run %q has no step %q", a.t.RunID, to.ID)
		}
		a.steps[to.ID] = moveStep(c, a.t.RunID, to.ID, from, to.Status, to.Reason)
	}
	return nil
}

// moveStep queues a step's new status and its event, if it is new. A step that is over stays as it is: its host may
// have recorded that while the workflow was freezing or stopping it. It returns the step's resulting status.
func moveStep(c *sessionTx, run, step string, from, to schema.StepStatus, reason string) schema.StepStatus {
	if from == to || from.Final() {
		return from
	}
	c.writes.Queue(`UPDATE steps SET status = $3, reason = $4 WHERE run_id = $1::uuid AND step_id = $2`, run, step, string(to), clean(reason))
	c.event(schema.EventDAGNodeStatusChanged, run, step,
		schema.DAGNodeStatusChangedData{NodeID: step, OldStatus: from, NewStatus: to, Reason: reason})
	return to
}

// validText is JSON text that a json column takes: the input may contain invalid UTF-8.
func validText(text json.RawMessage) json.RawMessage {
	if utf8.Valid(text) {
		return text
	}
	return bytes.ToValidUTF8(text, []byte("\uFFFD"))
}

// moveRun keeps the run's status the same as its session's, and closes the run. A run that is over stays
// as it is.
func (a *apply) moveRun(c *sessionTx) {
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
		c.event(schema.EventWorkflowCompleted, a.t.RunID, "", schema.WorkflowCompletedData{DurationMS: took, Steps: end.Steps, FailedSteps: end.FailedSteps})
	case schema.SessionCancelled, schema.SessionExpired:
		data := schema.WorkflowCancelledData{Actor: end.Actor, Reason: end.Reason}
		if end.Status == schema.SessionExpired {
			data.Reason = reasonExpired
		}
		if end.Receipt != nil {
			data.Receipt = *end.Receipt
		}
		c.event(schema.EventWorkflowCancelled, a.t.RunID, "", data)
	default:
		c.event(schema.EventWorkflowFailed, a.t.RunID, "", schema.WorkflowFailedData{Error: end.Error, DurationMS: took})
	}
}
