package store_test

import (
	"encoding/json"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store/storetest"
)

// everything is a transition with every kind of event and row in it.
func everything(b began, closed, extended, escalated, voided string, at time.Time) schema.Transition {
	t := full(b, closed)
	t.Key, t.ExpiresAt = "everything", &at
	t.Close[0].Resolution = schema.ResolutionModified
	t.Close[0].Modifications = json.RawMessage("{\"shell\": \"\\u0000 \xff\"}")
	t.Close = append(t.Close, schema.ApprovalClose{ID: voided, StepID: "show", Status: schema.ApprovalVoid, Reason: "plan_changed", At: at})
	t.Extend = []schema.ApprovalExtend{
		{ID: extended, StepID: "make", ExpiresAt: at.Add(time.Hour), Seconds: 90, Actor: "bob", At: at},
		{ID: escalated, StepID: "make", ExpiresAt: at.Add(2 * time.Hour), Escalates: true, At: at},
		{ID: closed, ExpiresAt: at.Add(3 * time.Hour), Seconds: 1, Actor: "bob", At: at}, // already closed by then
	}
	t.Messages = []schema.MessageChange{{Number: 1, Status: schema.MessageQueued, Content: "hello", Actor: "bob", At: at}}
	t.Audit = []schema.AuditEntry{
		{
			RunID: b.run, At: schema.Time{Time: at}, Actor: "bob", Action: "resolve_approval", Outcome: schema.AuditTaken, ApprovalID: closed,
			StepID: "make", Resolution: schema.ResolutionModified, Digest: "d", Detail: "no\x00", RequestID: "r1",
		},
		{RunID: "not an id", Actor: "carl", Action: "resolve_approval", Outcome: schema.AuditIgnored, ApprovalID: "not an id\x00", Detail: "too late"},
	}
	t.End = &schema.RunEnd{Status: schema.SessionExpired}
	t.Status, t.Phase = schema.SessionExpired, schema.PhaseIdle
	return t
}

func TestApply_MakesEveryEventInOrderOnce(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	ctx := context1(t)
	b := newRun(t, s)
	ids := make([]string, 5)
	open := make([]schema.ApprovalOpen, 0, 4)
	for i := range ids {
		ids[i] = schema.DeriveID(b.session, strconv.Itoa(i))
		if i > 0 {
			open = append(open, schema.ApprovalOpen{ID: ids[i], Type: schema.ApprovalStep, StepID: "make", ExpiresAt: time.Now(), OnTimeout: schema.OnTimeoutEscalate})
		}
	}
	_, err := s.Apply(ctx, schema.Transition{
		SessionID: b.session, RunID: b.run, Key: "open", Status: schema.SessionActive, Phase: schema.PhaseExecuting, Open: open,
	})
	must(t, err)
	at := time.Now().Add(time.Hour).UTC().Truncate(time.Millisecond)
	transition := everything(b, ids[1], ids[2], ids[3], ids[4], at)
	events := since(t, s, b, func() {
		for range 2 {
			_, err := s.Apply(ctx, transition)
			must(t, err)
		}
	})
	wantTypes(t, events,
		schema.EventAgentMessage, schema.EventDAGNodeStatusChanged, schema.EventDAGNodeStatusChanged, schema.EventApprovalReceived,
		schema.EventApprovalExpired, schema.EventApprovalExtended, schema.EventApprovalEscalated, schema.EventApprovalRequested,
		schema.EventWorkflowPaused, schema.EventWorkflowStateChanged, schema.EventWorkflowCancelled)
	const edit = `{"shell":"\u0000 ` + "\uFFFD" + `"}`
	if d := dataOf[schema.ApprovalReceivedData](t, events[3]); d.Resolution != schema.ResolutionModified || string(d.Modifications) != edit {
		t.Errorf("%+v with %s", d, d.Modifications)
	}
	if d := dataOf[schema.ApprovalExpiredData](t, events[4]); d.ApprovalID != ids[4] || d.Reason != "plan_changed" {
		t.Errorf("%+v", d)
	}
	if d := dataOf[schema.ApprovalExtendedData](t, events[5]); d.ApprovalID != ids[2] || d.Seconds != 90 || d.Actor != "bob" || !d.ExpiresAt.Equal(at.Add(time.Hour)) {
		t.Errorf("%+v", d)
	}
	if d := dataOf[schema.ApprovalEscalatedData](t, events[6]); d.ApprovalID != ids[3] || !d.ExpiresAt.Equal(at.Add(2*time.Hour)) {
		t.Errorf("%+v", d)
	}
	if d := dataOf[schema.WorkflowCancelledData](t, events[10]); d.Reason != "expired" {
		t.Errorf("%+v", d)
	}
	edited, err := s.Approval(ctx, ids[1])
	must(t, err)
	if !json.Valid(edited.Modifications) || edited.Resolution != schema.ResolutionModified || edited.EscalatedAt != nil ||
		edited.OnTimeout != schema.OnTimeoutEscalate || edited.ExpiresAt.After(at) {
		t.Errorf("%+v", edited)
	}
	extended, err := s.Approval(ctx, ids[2])
	must(t, err)
	escalated, err := s.Approval(ctx, ids[3])
	must(t, err)
	if extended.EscalatedAt != nil || !extended.ExpiresAt.Equal(at.Add(time.Hour)) || extended.RemainingSeconds < 3600 || extended.Modifications != nil ||
		escalated.EscalatedAt == nil || !escalated.EscalatedAt.Equal(at) || !escalated.ExpiresAt.Equal(at.Add(2*time.Hour)) {
		t.Errorf("%+v\n%+v", extended, escalated)
	}
	session, err := s.Session(ctx, b.session)
	must(t, err)
	if session.ExpiresAt == nil || !session.ExpiresAt.Equal(at) || session.Status != schema.SessionExpired || session.QueuedMessages != 1 {
		t.Errorf("%+v", session)
	}
	trail, next, err := s.Audit(ctx, b.session, 0, 1)
	must(t, err)
	if len(trail) != 1 || trail[0].Action != "start" || trail[0].Actor != session.Owner || trail[0].Outcome != schema.AuditTaken || !trail[0].At.Equal(session.CreatedAt.Time) {
		t.Errorf("%+v", trail)
	}
	trail, next, err = s.Audit(ctx, b.session, next, 1)
	must(t, err)
	if len(trail) != 1 || next != trail[0].ID || trail[0].Detail != "no\uFFFD" || trail[0].RunID != b.run || trail[0].RequestID != "r1" ||
		trail[0].Resolution != schema.ResolutionModified || !trail[0].At.Equal(at) || trail[0].SessionID != b.session || trail[0].Digest != "d" {
		t.Errorf("%+v", trail)
	}
	trail, next, err = s.Audit(ctx, b.session, next, 1)
	must(t, err)
	if len(trail) != 1 || next != 0 || trail[0].Outcome != schema.AuditIgnored || trail[0].ApprovalID != "not an id\uFFFD" || trail[0].RunID != "" || trail[0].At.IsZero() {
		t.Errorf("%+v", trail)
	}

	// Later: a transition changes nothing that it does not mention, but the session is in use again.
	_, err = s.Apply(ctx, schema.Transition{
		SessionID: b.session, RunID: b.run, Key: "later", Status: schema.SessionExpired, Phase: schema.PhaseIdle,
	})
	must(t, err)
	session, err = s.Session(ctx, b.session)
	must(t, err)
	if session.ExpiresAt != nil {
		t.Errorf("it expires at %v", session.ExpiresAt)
	}
	for _, id := range []string{schema.NewID(), "not an id"} {
		_, err = s.Apply(ctx, schema.Transition{
			SessionID: b.session, RunID: b.run, Key: "extend " + id, Extend: []schema.ApprovalExtend{{ID: id, ExpiresAt: at}},
		})
		mustFail(t, err, schema.CodeNotFound)
		_, _, err = s.Audit(ctx, id, 0, 0)
		mustFail(t, err, schema.CodeNotFound)
	}
}

func TestAudit_SaysWhoStartedRenamedAndDeleted(t *testing.T) {
	t.Parallel()
	s, dsn := storetest.NewDSN(t)
	ctx := context1(t)
	session := newSession(t, s)
	_, err := s.RenameSession(ctx, session.ID, 7, "stale", "carl")
	mustFail(t, err, schema.CodeConflict)
	_, err = s.RenameSession(ctx, session.ID, 1, "better", "bob")
	must(t, err)
	trail, next, err := s.Audit(ctx, session.ID, 0, 0)
	must(t, err)
	if len(trail) != 2 || next != 0 || trail[0].Action != "start" || trail[1].Actor != "bob" || trail[1].Action != "rename" || trail[1].Detail != "better" || trail[1].Outcome != schema.AuditTaken {
		t.Fatalf("%+v", trail)
	}
	must(t, s.DeleteSession(ctx, session.ID, "dora"))
	must(t, s.DeleteSession(ctx, session.ID, "emil"))
	_, _, err = s.Audit(ctx, session.ID, 0, 0)
	mustFail(t, err, schema.CodeNotFound)
	conn, err := pgx.Connect(ctx, dsn)
	must(t, err)
	defer conn.Close(ctx)
	var actor string // the trail of a hidden session stays
	must(t, conn.QueryRow(ctx, `SELECT string_agg(actor, ' ') FROM audit_log WHERE session_id = $1 AND action = 'delete'`, session.ID).Scan(&actor))
	if actor != "dora" {
		t.Fatalf("deleted by %q", actor)
	}
}
