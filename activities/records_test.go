package activities_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"

	"github.com/holdfast/holdfast/activities"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
	"github.com/holdfast/holdfast/schema/store/storetest"
)

// world is a session with a plan, and what records it.
type world struct {
	t       *testing.T
	records *activities.Records
	session string
	run     string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, records: &activities.Records{Store: storetest.New(t), Host: "here"}, session: schema.NewID()}
	w.run = schema.RunID(w.session, 1)
	_, _, err := w.records.Store.CreateSession(t.Context(), store.NewSession{
		ID: w.session, Name: "n", Mode: schema.ModeRunbook, Owner: "ann",
		Plan: &schema.Plan{Steps: []schema.PlanStep{{ID: "a", Title: "First", Shell: "echo a"}, {ID: "b", Run: []string{"echo", "b"}, Needs: []string{"a"}}}},
	})
	w.must(err)
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) begin(digest string) schema.Outline {
	w.t.Helper()
	o, err := w.records.BeginRun(w.t.Context(), schema.BeginRun{
		SessionID: w.session, RunID: w.run, Number: 1, Key: "1", Phase: schema.PhaseExecuting, PlanDigest: digest,
	})
	w.must(err)
	return o
}

func (w *world) revise(step, modifications string) (schema.Outline, error) {
	return w.records.Revise(w.t.Context(), schema.Revise{
		SessionID: w.session, RunID: w.run, StepID: step, Key: modifications, Actor: "bob", Modifications: json.RawMessage(modifications),
	})
}

// ask opens an approval and reads it back.
func (w *world) ask(o schema.ApprovalOpen) schema.Approval {
	w.t.Helper()
	o.ID, o.ExpiresAt = schema.NewID(), time.Now().Add(time.Minute)
	_, err := w.records.Record(w.t.Context(), schema.Transition{
		SessionID: w.session, RunID: w.run, Key: o.ID, Status: schema.SessionActive, Phase: schema.PhaseAwaitingApproval,
		Open: []schema.ApprovalOpen{o},
	})
	w.must(err)
	a, err := w.records.Store.Approval(w.t.Context(), o.ID)
	w.must(err)
	return a
}

// A step's host has recorded its success, and the worker died before the workflow heard of it.
func TestRecord_SaysWhatStandsOfARunThatIsCancelled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.begin("")
	db := w.records.Store
	begun, err := db.BeginAttempt(t.Context(), store.BeginAttempt{
		SessionID: w.session, RunID: w.run, StepID: "a", Execution: "a/1", Host: "here", Command: []string{"true"},
	})
	w.must(err)
	w.must(db.FinishAttempt(t.Context(), store.FinishAttempt{
		SessionID: w.session, RunID: w.run, StepID: "a", Attempt: begun.Number,
		End: store.AttemptEnd{Status: schema.AttemptSucceeded}, StepStatus: schema.StepSucceeded,
	}))
	cancel := schema.Transition{
		SessionID: w.session, RunID: w.run, Key: "cancel", Status: schema.SessionCancelled, Phase: schema.PhaseIdle,
		Steps: []schema.StepChange{{ID: "a", Status: schema.StepCancelled}, {ID: "b", Status: schema.StepCancelled}},
		End:   &schema.RunEnd{Status: schema.SessionCancelled, Actor: "ada"},
	}
	for range 2 {
		stands, err := w.records.Record(t.Context(), cancel)
		w.must(err)
		if len(stands.Steps) != 2 || stands.Steps[0].Status != schema.StepSucceeded || stands.Steps[1].Status != schema.StepCancelled {
			t.Fatalf("%+v", stands)
		}
	}
}

func TestBeginRun_AnswersWithTheOutlineOfTheRunsOwnPlan(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	o := w.begin("")
	if o.Host != "here" || o.Problem != "" || len(o.Steps) != 2 || o.Steps[0].Title != "First" || o.Steps[1].Needs[0] != "a" || o.Steps[0].Inherited {
		t.Fatalf("%+v", o)
	}
	plan, err := w.records.Store.Plan(t.Context(), w.session)
	w.must(err)
	if want := plan.Outline(); o.Digest != want.Digest || o.Steps[1].Digest != want.Steps[1].Digest {
		t.Fatalf("%+v", o)
	}
	missing := newWorld(t)
	if o := missing.begin("none"); o.Problem == "" || o.Steps == nil || len(o.Steps) != 0 || o.Host != "here" || o.Digest != "none" {
		t.Fatalf("%+v", o)
	}
}

func TestBeginRun_MarksWhatAForkInherits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.begin("")
	begun, err := w.records.Store.BeginAttempt(t.Context(), store.BeginAttempt{SessionID: w.session, RunID: w.run, StepID: "a", Execution: "e"})
	w.must(err)
	w.must(w.records.Store.FinishAttempt(t.Context(), store.FinishAttempt{
		SessionID: w.session, RunID: w.run, StepID: "a", Attempt: begun.Number, StepStatus: schema.StepSucceeded,
		End: store.AttemptEnd{Status: schema.AttemptSucceeded}, Snapshot: "kept",
	}))
	fork, _, err := w.records.Store.Fork(t.Context(), store.NewFork{ID: schema.NewID(), SourceID: w.session, Actor: "carl"})
	w.must(err)
	w.session, w.run = fork.ID, schema.RunID(fork.ID, 1)
	if o := w.begin(""); !o.Steps[0].Inherited || o.Steps[1].Inherited {
		t.Fatalf("%+v", o)
	}
}

func TestRevise_ErrorsThatNoRetryChangesAreFinal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.begin("")
	o, err := w.revise("b", `{"shell": "echo B"}`)
	w.must(err)
	if o.Host != "here" || len(o.Steps) != 2 {
		t.Fatalf("%+v", o)
	}
	for step, edit := range map[string]string{"b": `{"timeout": "soon"}`, "none": `{"shell": "x"}`, "": `{"plan": {}}`} {
		_, err := w.revise(step, edit)
		refused, ok := errors.AsType[*temporal.ApplicationError](err)
		if !ok || !refused.NonRetryable() {
			t.Errorf("%s is refused with %v", edit, err)
		}
	}
}

func TestRecord_SaysWhatIsAskedInWords(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.begin("")
	_, err := w.revise("b", `{"shell": "echo B"}`)
	w.must(err)
	// What the session would run next is not what is asked about.
	if a := w.ask(schema.ApprovalOpen{Type: schema.ApprovalStep, StepID: "b", Why: "edited by bob"}); a.Description != `Run "b": echo B (asked again: edited by bob)` ||
		!strings.Contains(string(a.Context), `"shell":"echo B"`) {
		t.Errorf("%s with %s", a.Description, a.Context)
	}
	if a := w.ask(schema.ApprovalOpen{Type: schema.ApprovalPlan}); a.Description != "Run this plan of 2 steps: First, b" || !strings.Contains(string(a.Context), "echo B") {
		t.Errorf("%s with %s", a.Description, a.Context)
	}
	begun, err := w.records.Store.BeginAttempt(t.Context(), store.BeginAttempt{SessionID: w.session, RunID: w.run, StepID: "a", Execution: "e"})
	w.must(err)
	code := 7
	w.must(w.records.Store.FinishAttempt(t.Context(), store.FinishAttempt{
		SessionID: w.session, RunID: w.run, StepID: "a", Attempt: begun.Number, StepStatus: schema.StepReady,
		End: store.AttemptEnd{Status: schema.AttemptFailed, ExitCode: &code, Reason: schema.ReasonExit},
	}))
	const failed = `This step failed (exit code 7, attempt 1); retry, skip or give up: "First": echo a`
	if a := w.ask(schema.ApprovalOpen{Type: schema.ApprovalErrorRecovery, StepID: "a"}); a.Description != failed {
		t.Errorf("%s", a.Description)
	}
	if a := w.ask(schema.ApprovalOpen{Type: schema.ApprovalProgramAsk, StepID: "a", Description: "Go on?", Context: json.RawMessage(`{"n":1}`)}); a.Description != "Go on?" ||
		string(a.Context) != `{"n":1}` {
		t.Errorf("%s with %s", a.Description, a.Context)
	}
	// A step may ask without any context.
	if a := w.ask(schema.ApprovalOpen{Type: schema.ApprovalBudget, StepID: "a"}); string(a.Context) != `{}` {
		t.Errorf("%s with %s", a.Description, a.Context)
	}
}

// A question nested so deep that Postgres cannot read it: repeating it does not help.
func TestRecord_IsFinalAboutWhatPostgresCannotHold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.begin("")
	open := schema.ApprovalOpen{ID: schema.NewID(), Type: schema.ApprovalProgramAsk, StepID: "a", Description: "Really?", ExpiresAt: time.Now().Add(time.Minute)}
	asked := schema.Transition{
		SessionID: w.session, RunID: w.run, Key: "1", Status: schema.SessionActive, Phase: schema.PhaseAwaitingApproval, Open: []schema.ApprovalOpen{open},
	}
	nested := func(n int, key string) schema.Transition {
		tr := asked
		tr.Key, tr.Open = key, []schema.ApprovalOpen{open}
		tr.Open[0].Context = json.RawMessage(strings.Repeat(`[`, n) + strings.Repeat(`]`, n))
		return tr
	}
	gone := asked
	gone.Open, gone.Close = nil, []schema.ApprovalClose{{ID: schema.NewID(), Status: schema.ApprovalCancelled}}
	for name, tr := range map[string]schema.Transition{
		"nested": nested(9_000, "2"), "nested as deep as Go can read": nested(9_999, "3"), "an approval that is not there": gone,
	} {
		_, err := w.records.Record(t.Context(), tr)
		if app, ok := errors.AsType[*temporal.ApplicationError](err); !ok || !app.NonRetryable() {
			t.Errorf("%s: %v, want a final error", name, err)
		}
	}
	if _, err := w.records.Store.Approval(t.Context(), open.ID); schema.CodeOf(err) != schema.CodeNotFound {
		t.Fatalf("half of it was recorded: %v", err)
	}
}

func TestDecoded_IsFinalAboutWhatCannotBeDecoded(t *testing.T) {
	t.Parallel()
	record := activities.Decoded(func(_ context.Context, tr schema.Transition) (string, error) { return tr.Key, nil })
	payload := func(text string) converter.RawValue {
		p, err := converter.GetDefaultDataConverter().ToPayload(json.RawMessage(text))
		if err != nil {
			p, err = converter.GetDefaultDataConverter().ToPayload("")
			p.Data = []byte(text)
		}
		if err != nil {
			t.Fatal(err)
		}
		return converter.NewRawValue(p)
	}
	if key, err := record(t.Context(), payload(`{"key":"k"}`)); key != "k" || err != nil {
		t.Fatal(key, err)
	}
	deep := `{"open":[{"context":` + strings.Repeat(`[`, 9_998) + strings.Repeat(`]`, 9_998) + `}]}`
	for _, text := range []string{deep, `{"key":7}`, `nonsense`} {
		_, err := record(t.Context(), payload(text))
		if app, ok := errors.AsType[*temporal.ApplicationError](err); !ok || !app.NonRetryable() {
			t.Errorf("%.20s: %v, want a final error", text, err)
		}
	}
}
