package store_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
	"github.com/holdfast/holdfast/schema/store/storetest"
)

func TestFailLostRun_EndsEverythingOfItOnce(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	ctx := context1(t)
	b := newRun(t, s)
	must(t, s.MarkWorkflowStarted(ctx, b.session))
	b.attempt(t, s, "make")
	ask(t, s, b)
	ids, err := s.UnderWay(ctx, "", 10)
	must(t, err)
	if !slices.Equal(ids, []string{b.session}) {
		t.Fatalf("under way are %v", ids)
	}
	for range 2 {
		must(t, s.FailLostRun(ctx, b.session, b.run, "it is gone"))
	}
	run, err := s.Run(ctx, b.run)
	must(t, err)
	if run.Status != schema.SessionFailed || run.Error != "it is gone" || run.FinishedAt == nil {
		t.Fatalf("the run is %+v", run)
	}
	for _, step := range run.Steps {
		if step.Status != schema.StepCancelled {
			t.Errorf("step %s is %s", step.ID, step.Status)
		}
		for _, a := range step.Attempts {
			if a.Status != schema.AttemptCancelled || a.FinishedAt == nil {
				t.Errorf("its attempt is %+v", a)
			}
		}
	}
	session, err := s.Session(ctx, b.session)
	must(t, err)
	if session.Status != schema.SessionFailed || session.Phase != schema.PhaseIdle || len(session.PendingApprovals) != 0 {
		t.Fatalf("the session is %s, %s, with %d approvals", session.Status, session.Phase, len(session.PendingApprovals))
	}
	failed := 0
	for _, e := range log(t, s, b.session) {
		if e.Type == schema.EventWorkflowFailed {
			failed++
		}
	}
	if failed != 1 {
		t.Fatalf("it failed %d times", failed)
	}
	// The host's reports are no longer wanted: it ends what it runs.
	mustFail(t, s.AppendOutput(ctx, b.output("make", 1, 0, "x")), schema.CodeStale)

	revival, err := s.Revival(ctx, b.session)
	must(t, err)
	if revival.Run != 1 || revival.Status != schema.SessionFailed || revival.Host == "" || !slices.Equal(revival.LeftBehind, []string{revival.Host}) {
		t.Fatalf("%+v", revival)
	}
	if ids, err := s.UnderWay(ctx, "", 10); err != nil || len(ids) != 0 {
		t.Fatalf("under way are %v: %v", ids, err)
	}
	if fresh, err := s.Revival(ctx, newSession(t, s).ID); err != nil || fresh != nil {
		t.Fatalf("a session without runs is revived as %+v: %v", fresh, err)
	}
}

// A person has suspended the session: what waits in it still waits after its run is lost.
func TestFailLostRun_LeavesASuspendedSessionSuspendedWhileMessagesWait(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	ctx := context1(t)
	for name, c := range map[string]struct {
		queued, accepted bool
		want             schema.SessionStatus
	}{
		"nothing waits":       {want: schema.SessionFailed},
		"a message is queued": {queued: true, want: schema.SessionSuspended},
		"a text is accepted":  {accepted: true, want: schema.SessionSuspended},
	} {
		b := newRun(t, s)
		suspend := schema.Transition{SessionID: b.session, RunID: b.run, Key: "held", Status: schema.SessionSuspended, Phase: schema.PhaseExecuting}
		if c.queued {
			suspend.Messages = []schema.MessageChange{{Number: 1, Status: schema.MessageQueued, Content: "later", Actor: "ada"}}
		}
		_, err := s.Apply(ctx, suspend)
		must(t, err)
		if c.accepted {
			id := schema.TextID(b.session, "request", "later")
			accept(t, s, b.session, id, 1, save(t, s, b.session, id, "later"))
		}
		must(t, s.FailLostRun(ctx, b.session, b.run, "it is gone"))
		must(t, s.AdoptTexts(ctx, b.session))
		session, err := s.Session(ctx, b.session)
		must(t, err)
		revival, err := s.Revival(ctx, b.session)
		must(t, err)
		held := c.want == schema.SessionSuspended
		if session.Status != c.want || session.Phase != schema.PhaseIdle || revival.Suspended != held || (len(revival.Queue) > 0) != held {
			t.Errorf("%s: the session is %s, %s; it is revived with %+v", name, session.Status, session.Phase, revival)
		}
	}
}

func TestTexts_AreTakenOverByTheirMessage(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	ctx := context1(t)
	b := newRun(t, s)
	id := schema.TextID(b.session, "request", "hello")
	for range 2 {
		save(t, s, b.session, id, "hello")
	}
	orphan := schema.TextID(b.session, "refused", "nobody")
	save(t, s, b.session, orphan, "nobody")
	_, err := s.SaveText(ctx, schema.NewID(), id, "ada", "hello")
	mustFail(t, err, schema.CodeNotFound)
	t1 := schema.Transition{
		SessionID: b.session, RunID: b.run, Key: "said", Status: schema.SessionActive, Phase: schema.PhaseExecuting,
		Messages: []schema.MessageChange{
			{Number: 1, Status: schema.MessageQueued, Text: &schema.Text{ID: id, Bytes: 5}, Actor: "ada"},
			{Number: 2, Status: schema.MessageQueued, Text: &schema.Text{ID: schema.NewID(), Bytes: 5}, Actor: "ada"},
		},
	}
	for range 2 {
		_, err := s.Apply(ctx, t1)
		must(t, err)
	}
	list, _, err := s.Messages(ctx, b.session, 10, "")
	must(t, err)
	if len(list) != 2 || list[0].Content != "hello" || !strings.Contains(list[1].Content, "never stored") {
		t.Fatalf("said was %+v", list)
	}
	if n, err := s.CollectTexts(ctx, time.Hour, 10); err != nil || n != 0 {
		t.Fatalf("%d young texts were collected: %v", n, err)
	}
	// An accepted text is a message, even if its workflow did not get to record it.
	accepted := schema.TextID(b.session, "accepted", "I was heard")
	accept(t, s, b.session, accepted, 3, save(t, s, b.session, accepted, "I was heard"))
	if saved, err := s.SaveText(ctx, b.session, id, "ada", "hello"); err != nil || saved.Message != 1 { // the first request again
		t.Fatalf("its message is recorded: %+v, %v", saved, err)
	}
	accept(t, s, b.session, id, 1, 0)
	for range 2 {
		must(t, s.AdoptTexts(ctx, b.session))
	}
	list, _, err = s.Messages(ctx, b.session, 10, "")
	must(t, err)
	if len(list) != 3 || list[2].Content != "I was heard" || list[2].Number != 3 || list[2].Actor != "ada" || list[2].Status != schema.MessageQueued {
		t.Fatalf("adopted was %+v", list)
	}
	if n, err := s.CollectTexts(ctx, 0, 10); err != nil || n != 1 {
		t.Fatalf("%d texts were collected: %v", n, err)
	}
}

// A text accepted by a lost workflow comes too late for the next one, and the caller learns it.
func TestTexts_AreNotAcceptedWhenTheWorkflowWasBegunAnew(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	b := newRun(t, s)
	id := schema.TextID(b.session, "request", "hello")
	save(t, s, b.session, id, "hello")
	must(t, s.AdoptTexts(context1(t), b.session))
	if revived, err := s.AcceptText(context1(t), b.session, id, 1, 0); err != nil || !revived {
		t.Fatalf("the workflow was begun anew: %t, %v", revived, err)
	}
	must(t, s.AdoptTexts(context1(t), b.session))
	if list, _, err := s.Messages(context1(t), b.session, 10, ""); err != nil || len(list) != 0 {
		t.Fatalf("%+v, %v", list, err)
	}
	again := save(t, s, b.session, id, "hello")
	if revived, err := s.AcceptText(context1(t), b.session, id, 1, 0); err != nil || !revived { // even though a repeated request has saved the text since
		t.Fatalf("the workflow was begun anew: %t, %v", revived, err)
	}
	accept(t, s, b.session, id, 1, again)
	must(t, s.AdoptTexts(context1(t), b.session))
	if list, _, err := s.Messages(context1(t), b.session, 10, ""); err != nil || len(list) != 1 {
		t.Fatalf("%+v, %v", list, err)
	}
}

// A refused request leaves nothing behind.
func TestTexts_OfADeletedSessionAreNotStored(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	session := newSession(t, s)
	must(t, s.DeleteSession(context1(t), session.ID, "ada"))
	_, err := s.SaveText(context1(t), session.ID, schema.NewID(), "ada", "hello")
	mustFail(t, err, schema.CodeNotFound)
	if n, err := s.CollectTexts(context1(t), 0, 10); err != nil || n != 0 {
		t.Fatalf("%d texts were stored: %v", n, err)
	}
}

// save stores a new text and returns how often the workflow had been started anew by then.
func save(t *testing.T, s *store.Store, session, id, content string) (revivals int) {
	t.Helper()
	saved, err := s.SaveText(context1(t), session, id, "ada", content)
	if err != nil || saved.Message != 0 {
		t.Fatalf("it is a message already: %+v, %v", saved, err)
	}
	return saved.Revivals
}

func accept(t *testing.T, s *store.Store, session, id string, number, revivals int) {
	t.Helper()
	if revived, err := s.AcceptText(context1(t), session, id, number, revivals); err != nil || revived {
		t.Fatalf("the workflow was begun anew: %t, %v", revived, err)
	}
}

func TestRefusedAsk_IsFoundByWhoAsked(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	ctx := context1(t)
	b := newRun(t, s)
	id := schema.AskID(b.run, "make", "q")
	if why, err := s.RefusedAsk(ctx, id); why != "" || err != nil {
		t.Fatal(why, err)
	}
	_, err := s.Apply(ctx, schema.Transition{
		SessionID: b.session, RunID: b.run, Key: "refused", Status: schema.SessionActive, Phase: schema.PhaseExecuting,
		Audit: []schema.AuditEntry{{Actor: "step make", Action: schema.CommandAsk, Outcome: schema.AuditIgnored, ApprovalID: id, Detail: "not now"}},
	})
	must(t, err)
	if why, err := s.RefusedAsk(ctx, id); why != "not now" || err != nil {
		t.Fatal(why, err)
	}
}

func TestHoldLease_OneHolderUntilItsTimeIsOver(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	ctx := context1(t)
	for _, c := range []struct {
		holder string
		lasts  time.Duration
		want   bool
	}{
		{"a", time.Minute, true},
		{"b", time.Minute, false},
		{"a", -time.Second, true}, // expired at once
		{"b", time.Minute, true},
		{"a", time.Minute, false},
	} {
		held, err := s.HoldLease(ctx, "work", c.holder, c.lasts)
		if must(t, err); held != c.want {
			t.Fatalf("%s holds it: %v", c.holder, held)
		}
	}
}
