package store_test

import (
	"testing"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
	"github.com/holdfast/holdfast/schema/store/storetest"
)

func TestSmoke(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	ctx := context1(t)
	b := newRun(t, s)
	n := b.attempt(t, s, "make")
	must(t, s.AppendOutput(ctx, b.output("make", n, 0, "hello\n")))
	must(t, s.FinishAttempt(ctx, store.FinishAttempt{SessionID: b.session, RunID: b.run, StepID: "make", Attempt: n, End: store.AttemptEnd{Status: schema.AttemptSucceeded}, StepStatus: schema.StepSucceeded, Files: []store.FileChange{{Path: "x", Size: 1, Created: true}}}))
	_, err := s.Apply(ctx, schema.Transition{SessionID: b.session, RunID: b.run, Key: "2", Status: schema.SessionActive, Phase: schema.PhaseAwaitingApproval, Steps: []schema.StepChange{{ID: "show", Status: schema.StepAwaitingApproval}}, Open: []schema.ApprovalOpen{{ID: schema.NewID(), Type: schema.ApprovalStep, Options: schema.Resolutions}}})
	must(t, err)
	for _, e := range log(t, s, b.session) {
		t.Logf("%d %s %s %s", e.Seq, e.Type, e.StepID, e.Data)
	}
	got, err := s.Session(ctx, b.session)
	must(t, err)
	t.Logf("%+v", got)
	runs, err := s.Runs(ctx, b.session)
	must(t, err)
	t.Logf("%+v", runs)
	list, total, next, err := s.Sessions(ctx, store.SessionFilter{Query: "SESS", Status: []schema.SessionStatus{schema.SessionActive}})
	must(t, err)
	t.Logf("%+v %d %q", list, total, next)
	must(t, s.Connect(ctx, store.Connection{ID: "1", ServerInstance: "a"}))
	must(t, s.TouchConnections(ctx, "a"))
	cs, err := s.Connections(ctx)
	must(t, err)
	t.Logf("%+v", cs)
}
