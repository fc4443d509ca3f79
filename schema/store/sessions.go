package store

import (
	"context"
	"encoding/json"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/holdfast/holdfast/schema"
)

// NewSession is a session to create. The plan must be valid.
type NewSession struct {
	ID             string
	Name           string
	Mode           schema.Mode
	Owner          string
	Task           string
	Config         schema.Config
	Plan           *schema.Plan // nil if the mode drafts one
	ForkedFrom     string       // the id of a session, or ""
	IdempotencyKey string       // of the owner's request; "" for none
	RequestDigest  string       // tells different requests with the same key apart
}

// CreateSession creates a session: active, planning, its workflow not started yet. If the owner has
// used the idempotency key before, it returns the earlier session with created false. It fails with
// [schema.CodeConflict] if that request was a different one (its digest differs), or its session
// has been deleted.
func (s *Store) CreateSession(ctx context.Context, n NewSession) (session schema.Session, created bool, err error) {
	if !schema.ValidID(n.ID) || (n.ForkedFrom != "" && !schema.ValidID(n.ForkedFrom)) {
		return session, false, schema.Errorf(schema.CodeInvalid, "%q is not the id of a session", n.ID)
	}
	id := n.ID
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		var err error
		created, err = insertSession(ctx, tx, &n)
		if err == nil && !created {
			id, err = earlierSession(ctx, tx, &n)
		}
		return err
	})
	if isUnique(err) {
		return session, false, schema.Errorf(schema.CodeConflict, "there is a session %q already", n.ID)
	}
	if err != nil {
		return session, false, failed("create a session", err)
	}
	if created {
		s.created(ctx, id, n.Owner)
	}
	session, err = s.Session(ctx, id)
	return session, created, err
}

func insertSession(ctx context.Context, tx pgx.Tx, n *NewSession) (bool, error) {
	plan, digest := planOf(n)
	tag, err := tx.Exec(ctx, `INSERT INTO sessions (id, name, mode, owner, task, config, idempotency_key, request_digest, forked_from)
		VALUES ($1::uuid, $2, $3, $4, $5, $6::jsonb, NULLIF($7::text, ''), $8, NULLIF($9::text, '')::uuid)
		ON CONFLICT ON CONSTRAINT sessions_idempotency DO NOTHING`,
		n.ID, clean(n.Name), string(n.Mode), clean(n.Owner), clean(n.Task), string(schema.Marshal(n.Config)),
		clean(n.IdempotencyKey), n.RequestDigest, n.ForkedFrom)
	if err != nil || tag.RowsAffected() == 0 {
		return false, err
	}
	rest := &pgx.Batch{}
	rest.Queue(`INSERT INTO session_states (session_id, plan_data, plan_digest, current_phase, status)
		VALUES ($1::uuid, NULLIF($2::text, '')::json, $3, $4, $5)`,
		n.ID, string(plan), digest, string(schema.PhasePlanning), string(schema.SessionActive))
	if digest != "" {
		keepPlan(rest, n.ID, digest, plan)
	}
	if n.Task != "" {
		queueMessage(rest, &messageRow{SessionID: n.ID, Role: roleUser, Actor: n.Owner, Content: n.Task})
	}
	queueAudit(rest, n.ID, &schema.AuditEntry{Actor: n.Owner, Action: "start"})
	rest.Queue(`SELECT pg_notify($1, $2)`, channel, notice(n.ID, 0, true))
	return true, tx.SendBatch(ctx, rest).Close()
}

func planOf(n *NewSession) (text json.RawMessage, digest string) {
	if n.Plan == nil {
		return nil, ""
	}
	return schema.Marshal(n.Plan), n.Plan.Digest()
}

// querier is a transaction, or the pool.
type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// earlierSession finds the session that the same request made before; pgx.ErrNoRows if there is none.
func earlierSession(ctx context.Context, q querier, n *NewSession) (id string, err error) {
	return scanEarlier(q.QueryRow(ctx, earlierQuery, clean(n.Owner), clean(n.IdempotencyKey)), n)
}

const earlierQuery = `SELECT id::text, request_digest, deleted_at IS NOT NULL FROM sessions WHERE owner = $1 AND idempotency_key = $2`

func scanEarlier(row pgx.Row, n *NewSession) (id string, err error) {
	var (
		digest  string
		deleted bool
	)
	err = row.Scan(&id, &digest, &deleted)
	switch {
	case err != nil:
		return "", err
	case digest != n.RequestDigest:
		return "", schema.Errorf(schema.CodeConflict, "the idempotency key %q was used for another request", n.IdempotencyKey)
	case deleted:
		return "", schema.Errorf(schema.CodeConflict, "the session that was created with the idempotency key %q has been deleted", n.IdempotencyKey)
	default:
		return id, nil
	}
}

// MarkWorkflowStarted records that a session's workflow is known to run.
func (s *Store) MarkWorkflowStarted(ctx context.Context, id string) error {
	if !schema.ValidID(id) {
		return noSession(id)
	}
	tag, err := s.pool.Exec(ctx, `UPDATE sessions SET workflow_started_at = COALESCE(workflow_started_at, now()) WHERE id = $1::uuid`, id)
	if err == nil && tag.RowsAffected() == 0 {
		return noSession(id)
	}
	return failed("record a workflow's start", err)
}

// UnstartedSessions lists sessions whose workflow was never confirmed to run, created at least
// olderThan ago, oldest first: their start was cut off halfway. They carry neither plan nor
// approvals.
func (s *Store) UnstartedSessions(ctx context.Context, olderThan time.Duration, limit int) ([]schema.Session, error) {
	var rows []sessionRow
	err := selectSessions(s.db.selectWith(olderThan.Seconds())).
		Where("s.workflow_started_at IS NULL").
		Where("s.created_at <= now() - make_interval(secs => $1)").
		OrderExpr("s.created_at").Limit(int64(page(limit))).Scan(ctx, &rows)
	if err != nil {
		return nil, failed("list sessions", err)
	}
	return sessionObjects(rows)
}

// MarkWorkflowClosed records that a deleted session's workflow is known to end.
func (s *Store) MarkWorkflowClosed(ctx context.Context, id string) error {
	if !schema.ValidID(id) {
		return noSession(id)
	}
	_, err := s.pool.Exec(ctx, `UPDATE sessions SET workflow_closed_at = COALESCE(workflow_closed_at, now()) WHERE id = $1::uuid`, id)
	return failed("record a workflow's end", err)
}

// UnclosedSessions lists the ids of deleted sessions whose workflow may still run, oldest first:
// their deletion was cut off halfway. One whose workflow was never confirmed to run is listed a
// minute later, when no start can still be on its way.
func (s *Store) UnclosedSessions(ctx context.Context, limit int) ([]string, error) {
	rows, err := s.pool.Query(ctx, `SELECT id::text FROM sessions WHERE deleted_at IS NOT NULL AND workflow_closed_at IS NULL
		AND (workflow_started_at IS NOT NULL OR deleted_at < now() - interval '1 minute') ORDER BY deleted_at LIMIT $1`, page(limit))
	if err != nil {
		return nil, failed("list deleted sessions", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return ids, failed("list deleted sessions", err)
}

// RenameSession renames a session. version is the one that the caller has seen; if it is no longer
// the current one, the call fails with [schema.CodeConflict]. actor is who asks.
func (s *Store) RenameSession(ctx context.Context, id string, version int64, name, actor string) (schema.Session, error) {
	var now int64
	_, err := s.inSessionTx(ctx, "rename a session", id, "", func(c *sessionTx) {
		c.reads.Queue(`SELECT version FROM sessions WHERE id = $1::uuid`, id).QueryRow(func(row pgx.Row) error { return row.Scan(&now) })
	}, func(c *sessionTx) error {
		if c.deleted {
			return noSession(id)
		}
		if now != version {
			return schema.Errorf(schema.CodeConflict, "the session is at version %d by now, not %d; read it again", now, version)
		}
		c.list = true
		c.writes.Queue(`UPDATE sessions SET name = $2, version = version + 1 WHERE id = $1::uuid`, id, clean(name))
		c.event(schema.EventSessionRenamed, "", "", schema.SessionRenamedData{Name: clean(name), Version: version + 1})
		c.audit(&schema.AuditEntry{Actor: actor, Action: "rename", Detail: name})
		return nil
	})
	if err != nil {
		return schema.Session{}, err
	}
	return s.Session(ctx, id)
}

// DeleteSession hides a session from every read. Its rows stay, and what its workers still write is
// stored without complaint. Deleting it again changes nothing. actor is who asks.
func (s *Store) DeleteSession(ctx context.Context, id, actor string) error {
	_, err := s.inSessionTx(ctx, "delete a session", id, "", nil, func(c *sessionTx) error {
		if c.deleted {
			return errNothing
		}
		c.delete(actor)
		return nil
	})
	return err
}

func (c *sessionTx) delete(actor string) {
	c.list = true
	c.writes.Queue(`UPDATE sessions SET deleted_at = clock_timestamp(), version = version + 1 WHERE id = $1::uuid`, c.session)
	c.audit(&schema.AuditEntry{Actor: actor, Action: "delete"})
}

// Suspended reports whether nothing in a session may start now. It fails with [schema.CodeNotFound]
// if the session does not exist or was deleted.
func (s *Store) Suspended(ctx context.Context, id string) (suspended bool, err error) {
	if !schema.ValidID(id) {
		return false, noSession(id)
	}
	err = s.pool.QueryRow(ctx, `SELECT t.status = $2 FROM session_states t JOIN sessions s ON s.id = t.session_id
		WHERE s.id = $1::uuid AND s.deleted_at IS NULL`, id, string(schema.SessionSuspended)).Scan(&suspended)
	return suspended, failed("read a session", notFoundIfNoRows(err, noSession(id)))
}
