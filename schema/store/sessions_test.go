package store_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
	"github.com/holdfast/holdfast/schema/store/storetest"
)

func TestCreateSession_AnswersWithWhatItWasGiven(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	parent := newSession(t, s)
	got := newSession(t, s, func(n *store.NewSession) {
		n.Name, n.Task, n.ForkedFrom = "na\x00me \xff", "the task", parent.ID
		n.Config = schema.Config{ApprovalMode: schema.ApproveAll, Parallel: 3}
	})
	if got.Name != "na\uFFFDme \uFFFD" || got.Task != "the task" || got.ForkedFrom != parent.ID || got.Config.Parallel != 3 ||
		got.Status != schema.SessionActive || got.Phase != schema.PhasePlanning || got.Version != 1 || got.HeadSeq != 0 ||
		got.WorkflowID != schema.WorkflowID(got.ID) || string(got.Context) != "{}" || got.PendingApprovals == nil {
		t.Fatalf("%+v", got)
	}
	if got.Plan == nil || got.Plan.Digest() != plan().Digest() || got.Plan.Files["it"] != "a\x00b" {
		t.Fatalf("the plan came back as %+v", got.Plan)
	}
	same, err := s.Plan(context1(t), got.ID)
	must(t, err)
	if same.Digest() != plan().Digest() {
		t.Fatalf("the plan came back as %+v", same)
	}
	said, next, err := s.Messages(context1(t), got.ID, 0, "")
	must(t, err)
	if len(said) != 1 || next != "" || said[0].Content != "the task" || said[0].Role != "user" || said[0].Actor != "ann" {
		t.Fatalf("the conversation is %+v", said)
	}
	_, _, err = s.CreateSession(context1(t), store.NewSession{ID: got.ID, Owner: "ann"})
	mustFail(t, err, schema.CodeConflict)
}

func TestCreateSession_OnceForEachKey(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	ids := make([]string, 8)
	created := make([]bool, len(ids))
	var all sync.WaitGroup
	for i := range ids {
		all.Go(func() {
			session, made, err := s.CreateSession(context1(t), store.NewSession{
				ID: schema.NewID(), Owner: "ann", Mode: schema.ModeRunbook, Plan: plan(), IdempotencyKey: "key", RequestDigest: "this",
			})
			if err != nil {
				t.Error(err)
			}
			ids[i], created[i] = session.ID, made
		})
	}
	all.Wait()
	if len(slices.Compact(slices.Clone(ids))) != 1 {
		t.Fatalf("one key made the sessions %v", ids)
	}
	if n := len(slices.DeleteFunc(created, func(made bool) bool { return !made })); n != 1 {
		t.Fatalf("%d of them say that they created it", n)
	}
	again := store.NewSession{ID: schema.NewID(), Owner: "ann", IdempotencyKey: "key", RequestDigest: "that"}
	_, _, err := s.CreateSession(context1(t), again)
	mustFail(t, err, schema.CodeConflict)
	again.Owner = "bob"
	_, made, err := s.CreateSession(context1(t), again)
	must(t, err)
	if !made {
		t.Fatal("another owner's key is another key")
	}
	must(t, s.DeleteSession(context1(t), ids[0], "bob"))
	again.Owner, again.RequestDigest = "ann", "this"
	_, _, err = s.CreateSession(context1(t), again)
	mustFail(t, err, schema.CodeConflict)
}

func TestSessions_PagesShowEachOnceNewestFirst(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	const n = 23
	var want []string
	for i := range n {
		session := newSession(t, s, func(n *store.NewSession) {
			n.Name = fmt.Sprintf("session %d", i)
			if i%2 == 1 {
				n.Owner, n.Task = "bob", `100%_sure\`
			}
		})
		want = append([]string{session.ID}, want...)
	}
	var got []string
	for cursor, pages := "", 0; ; pages++ {
		list, total, next, err := s.Sessions(context1(t), store.SessionFilter{Limit: 5, Cursor: cursor})
		must(t, err)
		if total != n || pages > n {
			t.Fatalf("the total is %d on page %d", total, pages)
		}
		for _, session := range list {
			got = append(got, session.ID)
			if session.Plan != nil || session.PendingApprovals == nil {
				t.Fatalf("an item carries %+v", session)
			}
		}
		if next == "" {
			break
		}
		cursor = next
		newSession(t, s) // a newer one does not move the pages
		must(t, s.DeleteSession(context1(t), newestID(t, s), "bob"))
	}
	if !slices.Equal(got, want) {
		t.Fatalf("the pages show %v, not %v", got, want)
	}
	for query, want := range map[string]int{"SESSION 1": 11, `0%_SURE\`: 11, "%": 11, "nothing like it": 0, "": n} {
		list, total, _, err := s.Sessions(context1(t), store.SessionFilter{Query: query, Limit: 200})
		must(t, err)
		if len(list) != want || total != want {
			t.Errorf("%q finds %d of %d, not %d", query, len(list), total, want)
		}
	}
	list, total, _, err := s.Sessions(context1(t), store.SessionFilter{
		Owner: "bob", Mode: schema.ModeRunbook, Status: []schema.SessionStatus{schema.SessionActive, schema.SessionFailed}, Limit: 3,
	})
	must(t, err)
	if len(list) != 3 || total != 11 {
		t.Errorf("bob has %d of %d", len(list), total)
	}
	list, _, _, err = s.Sessions(context1(t), store.SessionFilter{Status: []schema.SessionStatus{schema.SessionFailed}})
	must(t, err)
	if list == nil || len(list) != 0 {
		t.Errorf("no session has failed, but the list is %v", list)
	}
	for _, cursor := range []string{"x", "!", "AAAA", strings.Repeat("z", 100)} {
		_, _, _, err := s.Sessions(context1(t), store.SessionFilter{Cursor: cursor})
		mustFail(t, err, schema.CodeInvalid)
	}
}

func newestID(t *testing.T, s *store.Store) string {
	t.Helper()
	list, _, _, err := s.Sessions(context1(t), store.SessionFilter{Limit: 1})
	must(t, err)
	return list[0].ID
}

func TestRenameSession_RefusesAStaleVersion(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	session := newSession(t, s)
	got, err := s.RenameSession(context1(t), session.ID, 1, "better", "bob")
	must(t, err)
	if got.Name != "better" || got.Version != 2 || got.HeadSeq != 1 {
		t.Fatalf("%+v", got)
	}
	_, err = s.RenameSession(context1(t), session.ID, 1, "worse", "bob")
	mustFail(t, err, schema.CodeConflict)
	events := log(t, s, session.ID)
	if len(events) != 1 || dataOf[schema.SessionRenamedData](t, events[0]).Name != "better" {
		t.Fatalf("%+v", events)
	}
}

func TestDeleteSession_HidesItButItsWorkersFinishQuietly(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	ctx := context1(t)
	b := newRun(t, s)
	n := b.attempt(t, s, "make")
	approval := schema.ApprovalID(b.session, 1)
	_, err := s.Apply(ctx, schema.Transition{
		SessionID: b.session, RunID: b.run, Key: "ask", Status: schema.SessionActive, Phase: schema.PhaseAwaitingApproval,
		Open: []schema.ApprovalOpen{{ID: approval, Type: schema.ApprovalStep, ExpiresAt: time.Now().Add(time.Hour)}},
	})
	must(t, err)
	must(t, s.DeleteSession(ctx, b.session, "bob"))
	must(t, s.DeleteSession(ctx, b.session, "bob"))

	must(t, s.AppendOutput(ctx, b.output("make", n, 0, "still here")))
	must(t, s.FinishAttempt(ctx, store.FinishAttempt{
		SessionID: b.session, RunID: b.run, StepID: "make", Attempt: n, StepStatus: schema.StepCancelled,
		End: store.AttemptEnd{Status: schema.AttemptCancelled, Reason: schema.ReasonCancelled},
	}))
	_, err = s.Apply(ctx, schema.Transition{
		SessionID: b.session, RunID: b.run, Key: "end", Status: schema.SessionCancelled, Phase: schema.PhaseIdle,
		Close: []schema.ApprovalClose{{ID: approval, Status: schema.ApprovalCancelled, Reason: "cancelled"}},
		End:   &schema.RunEnd{Status: schema.SessionCancelled},
	})
	must(t, err)
	must(t, s.MarkWorkflowStarted(ctx, b.session))

	notFound := func(what string, err error) {
		if schema.CodeOf(err) != schema.CodeNotFound {
			t.Errorf("%s of a deleted session: %v", what, err)
		}
	}
	for _, id := range []string{b.session, schema.NewID(), "not an id"} {
		_, err = s.Session(ctx, id)
		notFound("Session", err)
		_, err = s.Events(ctx, id, store.EventFilter{})
		notFound("Events", err)
		_, err = s.HeadSeq(ctx, id)
		notFound("HeadSeq", err)
		_, err = s.Runs(ctx, id)
		notFound("Runs", err)
		_, _, err = s.Messages(ctx, id, 0, "")
		notFound("Messages", err)
		_, _, err = s.Approvals(ctx, store.ApprovalFilter{SessionID: id})
		notFound("Approvals", err)
		_, err = s.RenameSession(ctx, id, 1, "x", "bob")
		notFound("RenameSession", err)
	}
	_, err = s.Run(ctx, b.run)
	notFound("Run", err)
	_, err = s.Approval(ctx, approval)
	notFound("Approval", err)
	for _, id := range []string{schema.NewID(), "not an id"} {
		notFound("DeleteSession", s.DeleteSession(ctx, id, "bob"))
		notFound("MarkWorkflowStarted", s.MarkWorkflowStarted(ctx, id))
		_, err = s.Plan(ctx, id)
		notFound("Plan", err)
		_, err = s.Apply(ctx, schema.Transition{SessionID: id, Key: "1"})
		notFound("Apply", err)
		_, err = s.BeginRun(ctx, store.BeginRun{SessionID: id, RunID: schema.NewID(), Key: "1"})
		notFound("BeginRun", err)
		_, err = s.BeginAttempt(ctx, store.BeginAttempt{SessionID: id, RunID: b.run, StepID: "make"})
		notFound("BeginAttempt", err)
		notFound("FinishAttempt", s.FinishAttempt(ctx, store.FinishAttempt{SessionID: id, RunID: b.run, StepID: "make", Attempt: 1}))
		notFound("AppendOutput", s.AppendOutput(ctx, store.AppendOutput{SessionID: id, RunID: b.run, StepID: "make", Attempt: 1}))
		_, err = s.Run(ctx, id)
		notFound("Run", err)
		_, err = s.Approval(ctx, id)
		notFound("Approval", err)
	}
	list, total, _, err := s.Sessions(ctx, store.SessionFilter{})
	must(t, err)
	if len(list) != 0 || total != 0 {
		t.Errorf("the list still shows %v", list)
	}
	pending, _, err := s.Approvals(ctx, store.ApprovalFilter{})
	must(t, err)
	if pending == nil || len(pending) != 0 {
		t.Errorf("the approvals still show %v", pending)
	}
}

func TestUnstartedSessions_AreThoseWhoseWorkflowIsNotKnownToRun(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	ctx := context1(t)
	var want []string
	for range 3 {
		want = append(want, newSession(t, s).ID)
	}
	started, deleted := newSession(t, s), newSession(t, s)
	must(t, s.MarkWorkflowStarted(ctx, started.ID))
	must(t, s.MarkWorkflowStarted(ctx, started.ID))
	must(t, s.DeleteSession(ctx, deleted.ID, "bob"))
	list, err := s.UnstartedSessions(ctx, 0, 10)
	must(t, err)
	var got []string
	for _, session := range list {
		got = append(got, session.ID)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("unstarted are %v, not %v", got, want)
	}
	list, err = s.UnstartedSessions(ctx, 0, 2)
	must(t, err)
	if len(list) != 2 || list[0].ID != want[0] {
		t.Fatalf("the oldest two are %v", list)
	}
	list, err = s.UnstartedSessions(ctx, time.Hour, 10)
	must(t, err)
	if len(list) != 0 {
		t.Fatalf("an hour old are %v", list)
	}
}

func TestMessages_PagesShowEachOnceOldestFirst(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	ctx := context1(t)
	session := newSession(t, s)
	var want []string
	for i := range 7 {
		m := schema.Message{SessionID: session.ID, Role: "agent", Agent: "engineer", Content: fmt.Sprintf("message %d 😀", i)}
		must(t, s.AddMessage(ctx, strconv.Itoa(i), m))
		must(t, s.AddMessage(ctx, strconv.Itoa(i), m))
		want = append(want, m.Content)
	}
	var got []string
	for cursor := ""; ; {
		list, next, err := s.Messages(ctx, session.ID, 3, cursor)
		must(t, err)
		for _, m := range list {
			got = append(got, m.Content)
		}
		if cursor = next; next == "" {
			break
		}
	}
	if !slices.Equal(got, want) {
		t.Fatalf("the conversation is %q", got)
	}
	_, _, err := s.Messages(ctx, session.ID, 3, "x")
	mustFail(t, err, schema.CodeInvalid)
}

func TestUnclosedSessions_ListsADeletedOneUntilItsWorkflowIsKnownToEnd(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	ctx := context1(t)
	kept, deleted, never := newSession(t, s), newSession(t, s), newSession(t, s)
	must(t, s.MarkWorkflowStarted(ctx, kept.ID))
	must(t, s.MarkWorkflowStarted(ctx, deleted.ID))
	must(t, s.DeleteSession(ctx, deleted.ID, "bob"))
	must(t, s.DeleteSession(ctx, never.ID, "bob")) // its start may still be on its way
	for range 2 {
		ids, err := s.UnclosedSessions(ctx, 10)
		must(t, err)
		if len(ids) != 1 || ids[0] != deleted.ID {
			t.Fatalf("unclosed: %v, want %s", ids, deleted.ID)
		}
	}
	must(t, s.MarkWorkflowClosed(ctx, deleted.ID))
	must(t, s.MarkWorkflowClosed(ctx, deleted.ID))
	if ids, err := s.UnclosedSessions(ctx, 10); err != nil || len(ids) != 0 {
		t.Fatalf("unclosed: %v, %v, want none", ids, err)
	}
}

func TestSuspended_SaysWhetherAnythingMayStart(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	b := newRun(t, s)
	for i, status := range []schema.SessionStatus{schema.SessionActive, schema.SessionSuspended, schema.SessionActive} {
		_, err := s.Apply(context1(t), schema.Transition{SessionID: b.session, RunID: b.run, Key: strconv.Itoa(i), Status: status, Phase: schema.PhaseExecuting})
		must(t, err)
		got, err := s.Suspended(context1(t), b.session)
		must(t, err)
		if got != (status == schema.SessionSuspended) {
			t.Errorf("of an %s session: %v", status, got)
		}
	}
	must(t, s.DeleteSession(context1(t), b.session, "ada"))
	for _, id := range []string{b.session, schema.NewID(), "x"} {
		_, err := s.Suspended(context1(t), id)
		mustFail(t, err, schema.CodeNotFound)
	}
}
