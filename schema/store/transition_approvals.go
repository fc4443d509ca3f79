package store

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/holdfast/holdfast/schema"
)

// approvalState is what a transition knows of an approval.
type approvalState struct {
	status schema.ApprovalStatus
	kind   schema.ApprovalType
	asked  time.Time // zero for one that the transition opens itself
}

func (a *apply) scanApprovals(rows pgx.Rows) error {
	var (
		id, status, kind string
		at               time.Time
	)
	_, err := pgx.ForEachRow(rows, []any{&id, &status, &kind, &at}, func() error {
		a.approvals[id] = approvalState{schema.ApprovalStatus(status), schema.ApprovalType(kind), at}
		return nil
	})
	return err
}

// asks reports whether the transition itself opens an approval. It may also close it, for instance if the run fails at
// the same moment.
func (a *apply) asks(id string) bool {
	return slices.ContainsFunc(a.t.Open, func(o schema.ApprovalOpen) bool { return o.ID == id })
}

func (a *apply) closeApprovals(c *sessionTx, which func(id string) bool) error {
	for i := range a.t.Close {
		end := &a.t.Close[i]
		if !which(end.ID) {
			continue
		}
		was, ok := a.approvals[end.ID]
		if !ok {
			return noApproval(end.ID)
		}
		if was.status != schema.ApprovalPending {
			continue
		}
		a.approvals[end.ID] = approvalState{end.Status, was.kind, was.asked}
		c.list = true
		at := end.At
		if at.IsZero() {
			at = c.now
		}
		if !was.asked.IsZero() {
			c.closed = append(c.closed, ClosedApproval{Type: was.kind, Status: end.Status, Waited: max(at.Sub(was.asked), 0)})
		}
		edits := validText(end.Modifications)
		c.writes.Queue(`UPDATE approval_requests SET status = $2, resolution = $3, feedback = $4, actor = $5, resolved_at = $6::timestamptz,
				result = NULLIF($7::text, '')::json
			WHERE id = $1::uuid`, end.ID, string(end.Status), string(end.Resolution), clean(end.Feedback), clean(end.Actor), at, string(edits))
		if end.Status == schema.ApprovalResolved {
			c.event(schema.EventApprovalReceived, a.t.RunID, end.StepID, schema.ApprovalReceivedData{
				ApprovalID: end.ID, Resolution: end.Resolution, Actor: end.Actor, Feedback: end.Feedback, Modifications: edits, ResolvedAt: timePtr(&at),
			})
			continue
		}
		c.event(schema.EventApprovalExpired, a.t.RunID, end.StepID, schema.ApprovalExpiredData{
			ApprovalID: end.ID, Reason: end.Reason, OnTimeout: end.OnTimeout, Status: end.Status, Actor: end.Actor, ResolvedAt: timePtr(&at),
		})
	}
	return nil
}

// extendApprovals moves the deadlines of those that are still pending.
func (a *apply) extendApprovals(c *sessionTx, which func(id string) bool) error {
	for i := range a.t.Extend {
		to := &a.t.Extend[i]
		if !which(to.ID) {
			continue
		}
		is, ok := a.approvals[to.ID]
		if !ok {
			return noApproval(to.ID)
		}
		if is.status != schema.ApprovalPending {
			continue
		}
		c.list = true
		var escalated *time.Time
		if to.Escalates {
			escalated = &c.now
			if !to.At.IsZero() {
				escalated = &to.At
			}
		}
		c.writes.Queue(`UPDATE approval_requests SET expires_at = $2::timestamptz, escalated_at = COALESCE($3::timestamptz, escalated_at)
			WHERE id = $1::uuid`, to.ID, to.ExpiresAt, escalated)
		if to.Escalates {
			c.event(schema.EventApprovalEscalated, a.t.RunID, to.StepID,
				schema.ApprovalEscalatedData{ApprovalID: to.ID, ExpiresAt: timeOf(to.ExpiresAt), EscalatedAt: timePtr(escalated)})
			continue
		}
		c.event(schema.EventApprovalExtended, a.t.RunID, to.StepID, schema.ApprovalExtendedData{
			ApprovalID: to.ID, ExpiresAt: timeOf(to.ExpiresAt), Seconds: to.Seconds, Actor: to.Actor,
		})
	}
	return nil
}

func (a *apply) openApprovals(c *sessionTx) {
	for i := range a.t.Open {
		ask := &a.t.Open[i]
		if _, ok := a.approvals[ask.ID]; ok {
			continue
		}
		a.approvals[ask.ID] = approvalState{status: schema.ApprovalPending, kind: ask.Type}
		c.list = true
		about := validText(ask.Context)
		if len(about) == 0 {
			about = json.RawMessage(`{}`)
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
			Context: about, Digest: ask.Digest, ExpiresAt: timeOf(ask.ExpiresAt), CreatedAt: timePtr(&created), OnTimeout: ask.OnTimeout, Subject: a.subjects[ask.ID],
		})
	}
}
