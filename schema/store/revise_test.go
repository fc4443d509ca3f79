package store_test

import (
	"encoding/json"
	"sync"
	"testing"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
	"github.com/holdfast/holdfast/schema/store/storetest"
)

func (b began) revise(step, modifications string) store.Revise {
	return store.Revise{
		SessionID: b.session, RunID: b.run, StepID: step, ApprovalID: schema.ApprovalID(b.session, 1), Key: "1", Actor: "bob",
		Modifications: json.RawMessage(modifications),
	}
}

func TestRevise_ANewPlanTakesThePlaceOfAllStepsOnce(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	ctx := context1(t)
	b := newRun(t, s)
	edit := b.revise("", `{"plan": {"steps": [{"id": "make", "shell": "true\u0001"}, {"id": "new", "run": ["x"], "needs": ["make"]}], "files": {"it": "\u0000"}}}`)
	events := since(t, s, b, func() {
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				got, err := s.Revise(ctx, edit)
				if err != nil || got.Problem != "" || len(got.Plan.Steps) != 2 || got.Digest != got.Plan.Digest() || got.Plan.Files["it"] != "\x00" {
					t.Errorf("%+v, %v", got, err)
				}
			})
		}
		all.Wait()
	})
	wantTypes(t, events, schema.EventPlanUpdated, schema.EventDAGUpdated)
	updated := dataOf[schema.PlanUpdatedData](t, events[0])
	if updated.Actor != "bob" || updated.ApprovalID != schema.ApprovalID(b.session, 1) || updated.StepID != "" || updated.Digest != updated.Plan.Digest() {
		t.Fatalf("%+v", updated)
	}
	if d := dataOf[schema.DAGCreatedData](t, events[1]); len(d.Nodes) != 2 || d.Nodes[1].ID != "new" || d.Nodes[1].Status != schema.StepPending ||
		len(d.Edges) != 1 || d.Edges[0] != (schema.DAGEdge{From: "make", To: "new"}) {
		t.Fatalf("%+v", d)
	}
	run, err := s.Run(ctx, b.run)
	must(t, err)
	session, err := s.Session(ctx, b.session)
	must(t, err)
	of, err := s.RunPlan(ctx, b.run)
	must(t, err)
	if run.PlanDigest != updated.Digest || session.Plan.Digest() != updated.Digest || of.Plan.Digest() != updated.Digest ||
		len(run.Steps) != 2 || run.Steps[0].Kind != schema.KindShell || run.Steps[1].ID != "new" || session.Totals.Steps != 2 {
		t.Fatalf("%+v\n%+v", run, session)
	}

	b.attempt(t, s, "make")
	late := b.revise("", `{"steps": [{"id": "a", "shell": "true"}]}`)
	late.Key = "2"
	_, err = s.Revise(ctx, late)
	mustFail(t, err, schema.CodeConflict)
}

func TestRevise_AnEditedStepKeepsItsStatus(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	ctx := context1(t)
	b := newRun(t, s)
	b.attempt(t, s, "make")
	must(t, s.FinishAttempt(ctx, b.finish(1, schema.AttemptFailed, schema.StepReady)))
	edit := b.revise("make", `{"shell": "make it anyway", "env": {"A": "1"}, "files": {"more": "text"}}`)
	var got store.BegunRun
	events := since(t, s, b, func() {
		for range 2 {
			var err error
			got, err = s.Revise(ctx, edit)
			must(t, err)
		}
	})
	wantTypes(t, events, schema.EventPlanUpdated, schema.EventDAGUpdated)
	step, _ := got.Plan.Step("make")
	if step.Shell != "make it anyway" || step.Run != nil || step.Env["A"] != "1" || got.Plan.Files["more"] != "text" || got.Plan.Files["it"] != "a\x00b" {
		t.Fatalf("%+v", got.Plan)
	}
	if d := dataOf[schema.DAGCreatedData](t, events[1]); d.Nodes[0].Status != schema.StepReady || d.Nodes[0].Kind != schema.KindShell {
		t.Fatalf("%+v", d)
	}
	run, err := s.Run(ctx, b.run)
	must(t, err)
	if run.Steps[0].Kind != schema.KindShell || run.Steps[0].Status != schema.StepReady || len(run.Steps[0].Attempts) != 1 || run.PlanDigest != got.Digest {
		t.Fatalf("%+v", run)
	}
}

func TestRevise_WritesNothingWhenItCannotBeUsed(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	ctx := context1(t)
	b := newRun(t, s)
	for _, c := range []struct {
		step, edit, location string
	}{
		{"", `{"plan": {"steps": []}}`, "modifications.plan.steps"},
		{"", `{}`, "modifications.plan"},
		{"make", `{"timeout": "soon"}`, "modifications.timeout"},
		{"make", `{"files": {"it/x": "it is a file"}}`, "modifications.files"},
		{"make", `nonsense`, "modifications"},
	} {
		events := since(t, s, b, func() {
			_, err := s.Revise(ctx, b.revise(c.step, c.edit))
			mustFail(t, err, schema.CodeInvalid)
			if known := err.(*schema.Error); len(known.Fields) == 0 || known.Fields[0].Location != c.location { //nolint:errorlint // every error of the store is one
				t.Errorf("%s: %+v", c.edit, known.Fields)
			}
		})
		wantTypes(t, events)
	}
	_, err := s.Revise(ctx, b.revise("none", `{"shell": "true"}`))
	mustFail(t, err, schema.CodeConflict)
	elsewhere := b.revise("make", `{"shell": "true"}`)
	elsewhere.SessionID = newSession(t, s).ID
	_, err = s.Revise(ctx, elsewhere)
	mustFail(t, err, schema.CodeNotFound)
	of, err := s.RunPlan(ctx, b.run)
	must(t, err)
	if of.Plan.Digest() != plan().Digest() {
		t.Fatalf("the plan is %+v", of.Plan)
	}
	end(t, s, b)
	_, err = s.Revise(ctx, b.revise("make", `{"shell": "true"}`))
	mustFail(t, err, schema.CodeConflict)
}
