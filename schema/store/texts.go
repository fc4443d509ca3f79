package store

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/holdfast/holdfast/schema"
)

// textLost replaces a text that a command refers to but that is not there: the sender did not store
// it first.
const textLost = "(the text of this message was never stored)"

// SavedText is what is known about a saved text.
type SavedText struct {
	Message  int // number of the message that it has already become; 0 if it has not
	Revivals int // how often the session's workflow has been started anew
}

// SaveText stores a text of a session until the record of its message takes it over, see
// [schema.Text]. Saving it again changes nothing, and one that was taken over is not stored again.
func (s *Store) SaveText(ctx context.Context, sessionID, id, actor, content string) (saved SavedText, err error) {
	if !schema.ValidID(sessionID) {
		return saved, noSession(sessionID)
	}
	err = s.pool.QueryRow(ctx, `WITH session AS (
			SELECT s.id, s.revivals, COALESCE((SELECT m.number FROM messages m WHERE m.session_id = s.id AND m.text_id = $2::uuid LIMIT 1), 0) AS message
			  FROM sessions s WHERE s.id = $1::uuid AND s.deleted_at IS NULL),
		saved AS (
			INSERT INTO texts (session_id, id, actor, content) SELECT id, $2::uuid, $3, $4 FROM session WHERE message = 0
			ON CONFLICT (session_id, id) DO UPDATE SET created_at = clock_timestamp())
		SELECT message, revivals FROM session`, sessionID, id, clean(actor), clean(content)).Scan(&saved.Message, &saved.Revivals)
	return saved, failed("store a text", notFoundIfNoRows(err, noSession(sessionID)))
}

// AcceptText says that the workflow has accepted the command with a text, as the message with that
// number. From then on the text is a message, whatever becomes of the workflow. If the request is
// repeated after its message was recorded, no second message is made. revived reports that the
// workflow has been started anew since the text was saved, when the count was revivals. Then
// nothing is accepted: perhaps only the lost workflow accepted the command, and nobody else has
// heard of it.
func (s *Store) AcceptText(ctx context.Context, sessionID, id string, number, revivals int) (revived bool, err error) {
	// Lock the session's row first, so that this call and one that starts the workflow anew see each other.
	err = s.pool.QueryRow(ctx, `WITH session AS (
			SELECT id, revivals <> $4 AS revived FROM sessions WHERE id = $1::uuid FOR SHARE),
		accepted AS (
			UPDATE texts SET accepted = true FROM session WHERE NOT session.revived AND session_id = session.id AND texts.id = $2::uuid
			   AND NOT EXISTS (SELECT FROM messages WHERE session_id = $1::uuid AND number = $3))
		SELECT COALESCE((SELECT revived FROM session), false)`, sessionID, id, number, revivals).Scan(&revived)
	return revived, failed("accept a text", err)
}

// AdoptTexts queues messages that a workflow had accepted but not recorded when it was lost, in
// order of arrival. It is called before the workflow starts anew.
func (s *Store) AdoptTexts(ctx context.Context, sessionID string) error {
	var last int
	a := &apply{texts: map[string]string{}, messages: map[int]schema.MessageStatus{}}
	_, err := s.inSessionTx(ctx, "adopt texts", sessionID, "", func(c *sessionTx) {
		c.reads.Queue(`SELECT COALESCE(max(number), 0) FROM messages WHERE session_id = $1::uuid`, c.session).
			QueryRow(func(row pgx.Row) error { return row.Scan(&last) })
		c.reads.Queue(`SELECT id::text, actor, content FROM texts WHERE session_id = $1::uuid AND accepted ORDER BY created_at, id LIMIT $2`, c.session, schema.MaxQueuedMessages).
			Query(func(rows pgx.Rows) error {
				var id, actor, content string
				_, err := pgx.ForEachRow(rows, []any{&id, &actor, &content}, func() error {
					a.texts[id] = content
					a.t.Messages = append(a.t.Messages, schema.MessageChange{Status: schema.MessageQueued, Text: &schema.Text{ID: id}, Actor: actor})
					return nil
				})
				return err
			})
	}, func(c *sessionTx) error {
		if c.deleted {
			return errNothing
		}
		c.writes.Queue(`UPDATE sessions SET revivals = revivals + 1 WHERE id = $1::uuid`, c.session)
		for i := range a.t.Messages {
			a.t.Messages[i].Number = last + i + 1
		}
		a.changeMessages(c)
		return nil
	})
	return err
}

// CollectTexts removes texts that nobody has taken over for that long, at most limit of them, and
// returns how many: their commands were refused, or had been accepted before.
func (s *Store) CollectTexts(ctx context.Context, olderThan time.Duration, limit int) (int64, error) {
	tag, err := s.pool.Exec(ctx, `DELETE FROM texts WHERE (session_id, id) IN (
		SELECT session_id, id FROM texts WHERE created_at < now() - make_interval(secs => $1) ORDER BY created_at LIMIT $2)`,
		olderThan.Seconds(), limit)
	return tag.RowsAffected(), failed("collect texts", err)
}

// readTexts reads what the new messages of a transition say.
func (a *apply) readTexts(c *sessionTx) {
	var ids []string
	for i := range a.t.Messages {
		if text := a.t.Messages[i].Text; text != nil {
			ids = append(ids, text.ID)
		}
	}
	if len(ids) == 0 {
		return
	}
	a.texts = map[string]string{}
	c.reads.Queue(`SELECT id::text, content FROM texts WHERE session_id = $1::uuid AND id = ANY ($2::uuid[])`, c.session, ids).
		Query(func(rows pgx.Rows) error { return scanPairs(rows, a.texts) })
}

// claimText returns the text of a new message and that text's id. From here on the message owns the
// text.
func (a *apply) claimText(c *sessionTx, m *schema.MessageChange) (content, id string) {
	if m.Text == nil {
		return m.Content, ""
	}
	content, ok := a.texts[m.Text.ID]
	if !ok {
		return textLost, ""
	}
	c.writes.Queue(`DELETE FROM texts WHERE session_id = $1::uuid AND id = $2::uuid`, c.session, m.Text.ID)
	return content, m.Text.ID
}

// refuseAsk records for the step why its question was refused.
func (c *sessionTx) refuseAsk(e *schema.AuditEntry) {
	if e.Action != schema.CommandAsk || e.Outcome != schema.AuditIgnored || !schema.ValidID(e.ApprovalID) {
		return
	}
	c.writes.Queue(`INSERT INTO refused_asks (id, session_id, reason) VALUES ($1::uuid, $2::uuid, $3) ON CONFLICT (id) DO NOTHING`,
		e.ApprovalID, c.session, clean(e.Detail))
}

// RefusedAsk says why the question with this id was refused; "" if it was not, or that is not
// recorded yet.
func (s *Store) RefusedAsk(ctx context.Context, id string) (reason string, err error) {
	err = s.pool.QueryRow(ctx, `SELECT reason FROM refused_asks WHERE id = $1::uuid`, id).Scan(&reason)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", nil
	}
	return reason, failed("read a refusal", err)
}

// Ended says how an execution of a step ended; ok is false if it has not, or was lost.
func (s *Store) Ended(ctx context.Context, runID, stepID, execution string) (result schema.StepResult, ok bool, err error) {
	if !schema.ValidID(runID) {
		return result, false, noRun(runID)
	}
	err = s.pool.QueryRow(ctx, `SELECT number, status, exit_code, signal, reason, message FROM attempts
		WHERE run_id = $1::uuid AND step_id = $2 AND execution = $3 AND status NOT IN ('running', 'lost') ORDER BY number DESC LIMIT 1`,
		runID, stepID, execution).
		Scan(&result.Attempt, &result.Status, &result.ExitCode, &result.Signal, &result.Reason, &result.Message)
	if errors.Is(err, pgx.ErrNoRows) {
		return schema.StepResult{}, false, nil
	}
	return result, err == nil, failed("read an attempt", err)
}

// HoldLease takes or renews a lease for that long, unless another holder has it. It is for work
// that one of many processes does at a time, and needs no connection of its own: the lease of a
// dead process expires.
func (s *Store) HoldLease(ctx context.Context, name, holder string, lasts time.Duration) (held bool, err error) {
	tag, err := s.pool.Exec(ctx, `INSERT INTO leases AS l (name, holder, until) VALUES ($1, $2, clock_timestamp() + make_interval(secs => $3))
		ON CONFLICT (name) DO UPDATE SET holder = EXCLUDED.holder, until = EXCLUDED.until
		WHERE l.holder = EXCLUDED.holder OR l.until < clock_timestamp()`, name, holder, lasts.Seconds())
	return tag.RowsAffected() > 0, failed("take a lease", err)
}
