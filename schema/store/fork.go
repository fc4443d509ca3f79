package store

import (
	"context"
	"encoding/json"
	"errors"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"github.com/holdfast/holdfast/schema"
)

// NewFork describes a session to make from another one, up to a step that has succeeded.
type NewFork struct {
	ID       string // of the new session
	SourceID string
	RunID    string       // of the source; "" for its latest run
	StepID   string       // of that run; "" for the last one to finish, if any has
	Plan     *schema.Plan // valid; nil for the run's own
	Name     string       // "" for the source's name with "(fork)" appended
	Actor    string       // who asks, and becomes the owner
	// ApprovalTimeout is for the new session's config if the source's has none; 0 for none.
	ApprovalTimeout time.Duration
	IdempotencyKey  string // of the actor's request; "" for none
	RequestDigest   string // tells different requests with the same key apart
}

// maxName bounds the name that a fork gets by default, in characters.
const maxName = 200

// forkTx is a fork being made, with its source.
type forkTx struct {
	NewFork

	pack *packer // for the new session's log

	earlier string // the session that an earlier request with the key made
	name    string
	mode    schema.Mode
	task    string
	config  string
	vars    string

	run      string // "" if the source has none yet
	number   int    // of the run; 0 without one
	message  *int   // number of the message that the run answers
	snapshot string // the session's latest workspace, then the one that the fork starts with
	base     string // the workspace that the source was forked with; "" if it was not forked, or that is unknown
	before   string // the workspace that the run began with; "" for an empty one
	unsaved  bool   // whether that workspace was not saved
	plan     *schema.Plan
	began    time.Time
	steps    []forkStep

	cut       time.Time // the end of the copied conversation; zero for all of it
	inherited []string
}

// forkStep is a step of the source's run.
type forkStep struct {
	id        string
	status    schema.StepStatus
	inherited bool
	finished  time.Time // when its latest attempt ended, or for an inherited step, when the run began
	snapshot  string    // the workspace after it; "" if it was not saved
}

// Fork makes a new session with the config, context, plan and conversation that another one had
// when one of its steps finished. The new session's first run inherits the steps that had succeeded
// by then and does not run them again. If the fork has its own plan, it inherits only those that
// are unchanged in it, along with everything that they need. Both logs record this with
// session_forked, and so do both audit trails.
//
// The workspace is the one that the step left, or the one that the run began with if no step has
// succeeded; it is never a later one. If that workspace was not saved, the fork fails.
//
// An idempotency key works as in [Store.CreateSession]. A source, run or step that does not exist
// is [schema.CodeNotFound]; a step that has not succeeded, or whose workspace was not saved, is
// [schema.CodeConflict].
func (s *Store) Fork(ctx context.Context, n NewFork) (session schema.Session, created bool, err error) {
	if !schema.ValidID(n.ID) {
		return session, false, schema.Errorf(schema.CodeInvalid, "%q is not the id of a session", n.ID)
	}
	if n.RunID != "" && !schema.ValidID(n.RunID) {
		return session, false, noRun(n.RunID)
	}
	f := &forkTx{NewFork: n, pack: newPacker()}
	defer f.pack.release()
	id := n.ID
	_, err = s.inSessionTx(ctx, "fork a session", n.SourceID, "", f.read, f.decide)
	if isUnique(err) { // another request with the same key came first, or a session with this id exists
		f.earlier, err = earlierSession(ctx, s.pool, f.request())
		if errors.Is(err, pgx.ErrNoRows) {
			err = schema.Errorf(schema.CodeConflict, "there is a session %q already", n.ID)
		}
	}
	if err != nil {
		return session, false, failed("fork a session", err)
	}
	created = f.earlier == ""
	if created {
		s.created(ctx, id, n.Actor)
	} else {
		id = f.earlier
	}
	session, err = s.Session(ctx, id)
	return session, created, err
}

// request identifies the request, to find an earlier one.
func (f *forkTx) request() *NewSession {
	return &NewSession{ID: f.ID, Owner: f.Actor, IdempotencyKey: f.IdempotencyKey, RequestDigest: f.RequestDigest}
}

func (f *forkTx) read(c *sessionTx) {
	if f.IdempotencyKey != "" {
		c.reads.Queue(earlierQuery, clean(f.Actor), clean(f.IdempotencyKey)).QueryRow(func(row pgx.Row) (err error) {
			f.earlier, err = scanEarlier(row, f.request())
			if errors.Is(err, pgx.ErrNoRows) {
				return nil
			}
			return err
		})
	}
	c.reads.Queue(`SELECT s.name, s.mode, s.task, s.config::text, t.context_variables::text, t.snapshot, s.base_snapshot,
		       COALESCE(b.snapshot, s.base_snapshot), COALESCE(b.snapshot, s.base_snapshot) = '' AND (b.snapshot IS NOT NULL OR s.forked_step <> ''),
		       COALESCE(r.id::text, ''), COALESCE(r.number, 0), r.message_number, COALESCE(r.started_at, s.created_at), COALESCE(`+planText+`, '')
		  FROM sessions s JOIN session_states t ON t.session_id = s.id
		  LEFT JOIN LATERAL (SELECT r.id, r.number, r.message_number, r.started_at, r.plan_digest FROM runs r
		                     WHERE r.session_id = s.id AND ($2::text = '' OR r.id::text = $2)
		                     ORDER BY r.number DESC LIMIT 1) r ON true
		  LEFT JOIN LATERAL (SELECT a.snapshot FROM attempts a JOIN runs e ON e.id = a.run_id
		                     WHERE e.session_id = s.id AND e.number < r.number AND a.finished_at IS NOT NULL AND a.status <> 'lost'
		                     ORDER BY a.finished_at DESC LIMIT 1) b ON true
		 CROSS JOIN LATERAL (SELECT COALESCE(r.plan_digest, t.plan_digest) AS digest) d
		 WHERE s.id = $1::uuid`, c.session, f.RunID).
		QueryRow(func(row pgx.Row) error {
			var text []byte
			if err := row.Scan(&f.name, &f.mode, &f.task, &f.config, &f.vars, &f.snapshot, &f.base, &f.before, &f.unsaved, &f.run, &f.number, &f.message, &f.began, &text); err != nil {
				return err
			}
			f.plan, _ = decodePlan(text) // an unreadable plan counts as none: the new session may be given another
			return nil
		})
	c.reads.Queue(`SELECT st.step_id, st.status, st.inherited, CASE WHEN st.inherited THEN r.started_at ELSE
		       (SELECT max(a.finished_at) FROM attempts a WHERE a.run_id = st.run_id AND a.step_id = st.step_id) END,
		       COALESCE((SELECT a.snapshot FROM attempts a WHERE a.run_id = st.run_id AND a.step_id = st.step_id ORDER BY a.number DESC LIMIT 1), '')
		  FROM (SELECT r.id, r.started_at FROM runs r WHERE r.session_id = $1::uuid AND ($2::text = '' OR r.id::text = $2)
		         ORDER BY r.number DESC LIMIT 1) r
		  JOIN steps st ON st.run_id = r.id ORDER BY st.position`, c.session, f.RunID).
		Query(func(rows pgx.Rows) error {
			var (
				id, status, snapshot string
				inherited            bool
				finished             *time.Time
			)
			_, err := pgx.ForEachRow(rows, []any{&id, &status, &inherited, &finished, &snapshot}, func() error {
				step := forkStep{id: id, status: schema.StepStatus(status), inherited: inherited, snapshot: snapshot}
				if finished != nil {
					step.finished = *finished
				}
				f.steps = append(f.steps, step)
				return nil
			})
			return err
		})
}

func (f *forkTx) decide(c *sessionTx) error {
	switch {
	case f.earlier != "":
		return errNothing
	case c.deleted:
		return noSession(f.SourceID)
	case f.RunID != "" && f.run == "":
		return noRun(f.RunID)
	}
	if err := f.inherit(); err != nil {
		return err
	}
	f.queueSession(c)
	f.queueConversation(c)
	forked := schema.SessionForkedData{SessionID: f.ID, Direction: "to", Name: clean(f.Name), StepID: f.StepID, Actor: f.Actor}
	c.event(schema.EventSessionForked, f.run, f.StepID, forked)
	entry := schema.AuditEntry{RunID: f.run, StepID: f.StepID, Actor: f.Actor, Action: "fork", Detail: "to " + f.ID}
	c.audit(&entry)

	forked.SessionID, forked.Direction, forked.Name = f.SourceID, "from", f.name
	fresh := &sessionTx{session: f.ID, now: c.now, list: true, writes: c.writes, reads: c.reads}
	fresh.event(schema.EventSessionForked, "", f.StepID, forked)
	entry.RunID, entry.Detail = "", "from "+f.SourceID
	fresh.audit(&entry)
	fresh.finish(f.pack)
	return nil
}

// inherit finds the step up to which the fork copies its source, and the steps that had succeeded
// by then.
func (f *forkTx) inherit() error {
	var upTo *forkStep
	for i := range f.steps {
		step := &f.steps[i]
		switch {
		case f.StepID != "" && step.id != f.StepID:
		case f.StepID != "" && step.status != schema.StepSucceeded:
			return schema.Errorf(schema.CodeConflict, "step %q is %s; a session can be forked from a step that has succeeded", step.id, step.status)
		case step.status == schema.StepSucceeded && (upTo == nil || !step.finished.Before(upTo.finished)):
			upTo = step
		}
	}
	switch {
	case upTo == nil && f.StepID != "":
		if f.run == "" {
			return schema.Errorf(schema.CodeNotFound, "session %q has no run yet, so no step %q", f.SourceID, f.StepID)
		}
		return noStep(f.run, f.StepID)
	case upTo == nil && f.run != "":
		f.cut = f.began
		if f.snapshot = f.before; f.unsaved {
			return schema.Errorf(schema.CodeConflict, "the workspace that run %d began with was not saved; fork from a step that has succeeded", f.number)
		}
	case upTo != nil:
		f.StepID, f.cut, f.snapshot = upTo.id, upTo.finished, upTo.snapshot
		if upTo.inherited {
			f.snapshot = f.base
		}
		if f.snapshot == "" {
			return schema.Errorf(schema.CodeConflict, "the workspace after step %q was not saved, so the session cannot be forked from it; name another step", upTo.id)
		}
		for i := range f.steps {
			if step := &f.steps[i]; step.status == schema.StepSucceeded && !step.finished.After(f.cut) {
				f.inherited = append(f.inherited, step.id)
			}
		}
	}
	switch {
	case f.plan == nil:
		f.inherited = nil
	case f.Plan == nil:
		f.Plan = f.plan
	default:
		f.inherited = unchanged(f.plan, f.Plan, f.inherited)
	}
	return nil
}

func (f *forkTx) queueSession(c *sessionTx) {
	if f.Name == "" {
		const behind = " (fork)"
		f.Name = f.name + behind
		if utf8.RuneCountInString(f.Name) > maxName {
			f.Name = string([]rune(f.name)[:maxName-len(behind)]) + behind
		}
	}
	var (
		text   json.RawMessage
		digest string
	)
	if f.Plan != nil {
		text, digest = schema.Marshal(f.Plan), f.Plan.Digest()
	}
	c.writes.Queue(`INSERT INTO sessions (id, name, mode, owner, task, config, idempotency_key, request_digest, forked_from, forked_step, inherited, base_snapshot)
		VALUES ($1::uuid, $2, $3, $4, $5, jsonb_strip_nulls(jsonb_build_object('approval_timeout_seconds', NULLIF($13::float8, 0))) || $6::jsonb,
		        NULLIF($7::text, ''), $8, $9::uuid, $10, $11::text[], $12)`,
		f.ID, clean(f.Name), string(f.mode), clean(f.Actor), f.task, f.config, clean(f.IdempotencyKey), f.RequestDigest, f.SourceID, f.StepID,
		append([]string{}, f.inherited...), f.snapshot, f.ApprovalTimeout.Seconds())
	c.writes.Queue(`INSERT INTO session_states (session_id, plan_data, plan_digest, context_variables, current_phase, status, snapshot)
		VALUES ($1::uuid, NULLIF($2::text, '')::json, $3, $4::jsonb, $5, $6, $7)`,
		f.ID, string(text), digest, f.vars, string(schema.PhasePlanning), string(schema.SessionActive), f.snapshot)
	if digest != "" {
		keepPlan(c.writes, f.ID, digest, text)
	}
}

// queueConversation copies the conversation, except for messages that wait for a later run. The message that the
// source's run answers is also the one that the new session's first run answers: it gets number 0. The others get none,
// since the new session starts counting again.
func (f *forkTx) queueConversation(c *sessionTx) {
	var cut *time.Time
	if !f.cut.IsZero() {
		cut = &f.cut
	}
	c.writes.Queue(`WITH said AS (
			INSERT INTO messages (session_id, run_id, role, agent, actor, content, created_at, status, number)
			SELECT $2::uuid, CASE WHEN m.number = $5 THEN $6::uuid END, m.role, m.agent, m.actor, m.content, m.created_at, m.status,
			       CASE WHEN m.number = $5 THEN 0 END
			  FROM messages m LEFT JOIN runs r ON r.id = m.run_id
			 WHERE m.session_id = $1::uuid
			   AND ((m.status = '' AND ($3::timestamptz IS NULL OR m.created_at <= $3))
			     OR (m.status = 'taken' AND COALESCE(r.number, 0) <= $4))
			 ORDER BY m.id RETURNING id)
		UPDATE session_states SET conversation_position = COALESCE((SELECT max(id) FROM said), 0) WHERE session_id = $2::uuid`,
		c.session, f.ID, cut, f.number, f.message, schema.RunID(f.ID, 1))
}
