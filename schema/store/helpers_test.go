package store_test

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/holdfast/holdfast/internal/testkit"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
)

const testTimeout = testkit.Patience

func context1(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	t.Cleanup(cancel)
	return ctx
}

var must = testkit.Must

func mustFail(t testing.TB, err error, want schema.Code) {
	t.Helper()
	if got := schema.CodeOf(err); got != want {
		t.Fatalf("the code is %q (%v), not %q", got, err, want)
	}
}

func plan() *schema.Plan {
	return &schema.Plan{
		Steps: []schema.PlanStep{
			{ID: "make", Title: "Make it", Run: []string{"make", "it"}},
			{ID: "show", Shell: "cat it", Needs: []string{"make"}},
		},
		Files: map[string]string{"it": "a\x00b"},
	}
}

func newSession(t testing.TB, s *store.Store, change ...func(*store.NewSession)) schema.Session {
	t.Helper()
	n := store.NewSession{ID: schema.NewID(), Name: "a session", Mode: schema.ModeRunbook, Owner: "ann", Plan: plan()}
	for _, f := range change {
		f(&n)
	}
	session, created, err := s.CreateSession(context1(t), n)
	must(t, err)
	if !created {
		t.Fatal("the session was there already")
	}
	return session
}

// began is a session whose run has begun.
type began struct {
	session, run string
}

func newRun(t testing.TB, s *store.Store) began {
	t.Helper()
	session := newSession(t, s)
	b := began{session: session.ID, run: schema.RunID(session.ID, 1)}
	_, err := s.BeginRun(context1(t), b.begin())
	must(t, err)
	return b
}

func (b began) begin() store.BeginRun {
	return store.BeginRun{SessionID: b.session, RunID: b.run, Number: 1, Key: "1", Status: schema.SessionActive, Phase: schema.PhaseExecuting}
}

func (b began) attempt(t testing.TB, s *store.Store, step string) int {
	t.Helper()
	a, err := s.BeginAttempt(context1(t), store.BeginAttempt{
		SessionID: b.session, RunID: b.run, StepID: step, Execution: step + "/1", Host: "here", Command: []string{"make", "it"},
	})
	must(t, err)
	return a.Number
}

func (b began) output(step string, attempt int, batch int64, texts ...string) store.AppendOutput {
	o := store.AppendOutput{SessionID: b.session, RunID: b.run, StepID: step, Attempt: attempt, From: batch, To: batch + 1}
	for i, text := range texts {
		o.Chunks = append(o.Chunks, schema.OutputData{Stream: schema.Stdout, Text: text, Offset: int64(i), Attempt: attempt})
	}
	return o
}

// log reads a whole log and checks that it is 1, 2, 3, … up to the head.
func log(t testing.TB, s *store.Store, session string) []schema.Event {
	t.Helper()
	head, err := s.HeadSeq(context1(t), session)
	must(t, err)
	events, err := s.Events(context1(t), session, store.EventFilter{Until: head, Limit: 1_000_000})
	must(t, err)
	if int64(len(events)) != head {
		t.Fatalf("the head is %d, but there are %d events", head, len(events))
	}
	for i, e := range events {
		if e.Seq != int64(i+1) {
			t.Fatalf("event %d has seq %d", i+1, e.Seq)
		}
		if !json.Valid(e.Data) {
			t.Fatalf("the data of event %d is not JSON: %.100s", e.Seq, e.Data)
		}
	}
	return events
}

func types(events []schema.Event) []schema.EventType {
	list := make([]schema.EventType, 0, len(events))
	for i := range events {
		list = append(list, events[i].Type)
	}
	return list
}

func dataOf[T any](t testing.TB, e schema.Event) T {
	t.Helper()
	var data T
	must(t, json.Unmarshal(e.Data, &data))
	return data
}
