package store_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
	"github.com/holdfast/holdfast/schema/store/storetest"
)

func otherPlan() *schema.Plan {
	return &schema.Plan{Steps: []schema.PlanStep{{ID: "other", Shell: "echo \x01"}}, Files: map[string]string{"it": "\x00"}}
}

func TestSavePlan_KeepsItBesideTheLatestOnce(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	ctx := context1(t)
	session := newSession(t, s)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			digest, err := s.SavePlan(ctx, session.ID, otherPlan())
			if err != nil || digest != otherPlan().Digest() {
				t.Errorf("%q, %v", digest, err)
			}
		})
	}
	all.Wait()
	latest, err := s.Plan(ctx, session.ID)
	must(t, err)
	if latest.Digest() != plan().Digest() {
		t.Fatalf("the latest plan is %+v", latest)
	}
	for _, id := range []string{schema.NewID(), "not an id"} {
		_, err = s.SavePlan(ctx, id, otherPlan())
		mustFail(t, err, schema.CodeNotFound)
	}
	must(t, s.DeleteSession(ctx, session.ID, "bob"))
	_, err = s.SavePlan(ctx, session.ID, plan())
	mustFail(t, err, schema.CodeNotFound)
}

func TestBeginRun_TakesTheNamedPlanAndMakesItTheLatest(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	ctx := context1(t)
	b := newRun(t, s)
	end(t, s, b)
	digest, err := s.SavePlan(ctx, b.session, otherPlan())
	must(t, err)
	second := b.begin()
	second.RunID, second.Number, second.Key, second.PlanDigest = schema.RunID(b.session, 2), 2, "2", digest
	for range 2 {
		got, err := s.BeginRun(ctx, second)
		must(t, err)
		if got.Digest != digest || got.Plan.Digest() != digest || got.Problem != "" || got.Inherited != nil {
			t.Fatalf("%+v", got)
		}
	}
	session, err := s.Session(ctx, b.session)
	must(t, err)
	if session.Plan.Digest() != digest || session.Status != schema.SessionActive {
		t.Fatalf("%+v", session)
	}
	run, err := s.Run(ctx, second.RunID)
	must(t, err)
	if run.PlanDigest != digest || len(run.Steps) != 1 || run.Steps[0].ID != "other" || run.Message != "" {
		t.Fatalf("%+v", run)
	}
	// The first run keeps its own.
	first, err := s.RunPlan(ctx, b.run)
	must(t, err)
	if first.Plan.Digest() != plan().Digest() || first.Message != "" {
		t.Fatalf("%+v", first)
	}
	for _, id := range []string{schema.NewID(), "not an id"} {
		_, err = s.RunPlan(ctx, id)
		mustFail(t, err, schema.CodeNotFound)
	}
}

// end completes a run.
func end(t *testing.T, s *store.Store, b began) {
	t.Helper()
	_, err := s.Apply(context1(t), schema.Transition{
		SessionID: b.session, RunID: b.run, Key: "end/" + b.run, Status: schema.SessionCompleted, Phase: schema.PhaseIdle,
		End: &schema.RunEnd{Status: schema.SessionCompleted},
	})
	must(t, err)
}

func TestBeginRun_OpensARunThatCannotBeCarriedOutAndSaysWhy(t *testing.T) {
	t.Parallel()
	s, dsn := storetest.NewDSN(t)
	ctx := context1(t)
	bare := newSession(t, s, func(n *store.NewSession) { n.Plan = nil })
	missing := newSession(t, s)
	broken := newSession(t, s)
	conn, err := pgx.Connect(ctx, dsn)
	must(t, err)
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, `UPDATE plans SET plan = '{"steps": 7}' WHERE session_id = $1`, broken.ID)
	must(t, err)
	for _, c := range []struct{ session, digest, says string }{
		{bare.ID, "", "the session has no plan to run"},
		{missing.ID, "abc", "the session has no plan abc"},
		{broken.ID, "", "cannot be read"},
	} {
		b := began{session: c.session, run: schema.RunID(c.session, 1)}
		begin := b.begin()
		begin.PlanDigest = c.digest
		for range 2 {
			got, err := s.BeginRun(ctx, begin)
			must(t, err)
			if got.Plan != nil || !strings.Contains(got.Problem, c.says) {
				t.Fatalf("%+v", got)
			}
		}
		if got := types(log(t, s, c.session)); !slices.Equal(got, []schema.EventType{schema.EventWorkflowStarted, schema.EventWorkflowStateChanged}) {
			t.Fatalf("the log is %v", got)
		}
		_, err := s.RunPlan(ctx, b.run)
		if err == nil {
			t.Fatal("there is a plan after all")
		}
		_, err = s.Apply(ctx, schema.Transition{
			SessionID: b.session, RunID: b.run, Key: "end", Status: schema.SessionFailed, Phase: schema.PhaseIdle,
			End: &schema.RunEnd{Status: schema.SessionFailed, Error: c.says},
		})
		must(t, err)
		run, err := s.Run(ctx, b.run)
		must(t, err)
		if run.Status != schema.SessionFailed || run.Error != c.says || len(run.Steps) != 0 {
			t.Fatalf("%+v", run)
		}
	}
}

// say queues a user's message.
func say(t *testing.T, s *store.Store, b began, number int, content string) {
	t.Helper()
	_, err := s.Apply(context1(t), schema.Transition{
		SessionID: b.session, RunID: b.run, Key: fmt.Sprintf("say/%q", content), Status: schema.SessionCompleted, Phase: schema.PhaseIdle,
		Messages: []schema.MessageChange{{Number: number, Status: schema.MessageQueued, Content: content, Actor: "bob", At: time.Now()}},
	})
	must(t, err)
}

func TestMessages_WaitAreTakenAndAreDropped(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	ctx := context1(t)
	b := newRun(t, s)
	end(t, s, b)
	events := since(t, s, b, func() {
		say(t, s, b, 1, "first\x00")
		say(t, s, b, 2, "second")
		say(t, s, b, 2, "a second second")
	})
	wantTypes(t, events, schema.EventAgentMessage, schema.EventAgentMessage)
	if d := dataOf[schema.AgentMessageData](t, events[0]); d.Role != "user" || d.Agent != "" || d.Message != "first\x00" || d.Actor != "bob" || d.Number != 1 {
		t.Fatalf("%+v", d)
	}
	queued := func(want int) {
		t.Helper()
		session, err := s.Session(ctx, b.session)
		must(t, err)
		list, _, _, err := s.Sessions(ctx, store.SessionFilter{})
		must(t, err)
		if session.QueuedMessages != want || list[0].QueuedMessages != want {
			t.Fatalf("%d and %d wait, not %d", session.QueuedMessages, list[0].QueuedMessages, want)
		}
	}
	queued(2)
	second := b.begin()
	second.RunID, second.Number, second.Key, second.Message = schema.RunID(b.session, 2), 2, "2", 1
	_, err := s.BeginRun(ctx, second)
	must(t, err)
	queued(1)
	_, err = s.Apply(ctx, schema.Transition{
		SessionID: b.session, RunID: second.RunID, Key: "drop", Status: schema.SessionActive, Phase: schema.PhaseExecuting,
		Messages: []schema.MessageChange{{Number: 2, Status: schema.MessageDropped}, {Number: 1, Status: schema.MessageDropped}},
	})
	must(t, err)
	queued(0)
	said, _, err := s.Messages(ctx, b.session, 0, "")
	must(t, err)
	if len(said) != 2 || said[0].Number != 1 || said[0].Status != schema.MessageTaken || said[0].RunID != second.RunID || said[0].Role != "user" ||
		said[1].Number != 2 || said[1].Status != schema.MessageDropped || said[1].RunID != "" || said[1].Actor != "bob" {
		t.Fatalf("%+v", said)
	}
	run, err := s.Run(ctx, second.RunID)
	must(t, err)
	of, err := s.RunPlan(ctx, second.RunID)
	must(t, err)
	if run.Message != "first\uFFFD" || of.Message != run.Message {
		t.Fatalf("the run answers %q and %q", run.Message, of.Message)
	}
	for _, e := range log(t, s, b.session) {
		if e.Type == schema.EventWorkflowStarted && e.RunID == second.RunID {
			if d := dataOf[schema.WorkflowStartedData](t, e); d.Message != 1 || d.RunNumber != 2 {
				t.Fatalf("%+v", d)
			}
		}
	}
}
