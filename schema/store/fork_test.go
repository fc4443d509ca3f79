package store_test

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
	"github.com/holdfast/holdfast/schema/store/storetest"
)

// chain is a session whose second run answers a message and has done a and b (at once) and c; d
// waits.
func chain(t *testing.T, s *store.Store) began {
	t.Helper()
	session := newSession(t, s, func(n *store.NewSession) {
		n.Task, n.Config = "the task", schema.Config{Parallel: 3}
		n.Plan = chainPlan()
	})
	b := began{session: session.ID, run: schema.RunID(session.ID, 1)}
	_, err := s.BeginRun(context1(t), b.begin())
	must(t, err)
	end(t, s, b)
	say(t, s, b, 1, "do it")
	begin := b.begin()
	b.run = schema.RunID(session.ID, 2)
	begin.RunID, begin.Number, begin.Key, begin.Message = b.run, 2, "2", 1
	_, err = s.BeginRun(context1(t), begin)
	must(t, err)
	b.do(t, s, "a", "b", "c")
	say(t, s, b, 2, "and then that")
	return b
}

func chainPlan() *schema.Plan {
	return &schema.Plan{Steps: []schema.PlanStep{
		{ID: "a", Shell: "a"}, {ID: "b", Shell: "b"}, {ID: "c", Shell: "c", Needs: []string{"a"}}, {ID: "d", Shell: "d", Needs: []string{"b", "c"}},
	}}
}

// do runs steps one after the other until they succeed.
func (b began) do(t *testing.T, s *store.Store, steps ...string) {
	t.Helper()
	for _, step := range steps {
		n := b.attempt(t, s, step)
		f := b.finish(n, schema.AttemptSucceeded, schema.StepSucceeded)
		f.StepID, f.Snapshot = step, kept(b, step)
		must(t, s.FinishAttempt(context1(t), f))
	}
}

// kept is the name of the workspace that do leaves after a step.
func kept(b began, step string) string {
	sum := sha256.Sum256([]byte(b.run + step))
	return hex.EncodeToString(sum[:])
}

func TestFork_BringsTheWorkspaceOfItsStepAndNoLaterOne(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	ctx := context1(t)
	b := chain(t, s) // a, b, c
	at := func(session string) string {
		t.Helper()
		digest, err := s.Snapshot(ctx, session)
		must(t, err)
		return digest
	}
	fork := func(n store.NewFork) string {
		t.Helper()
		session, _, err := s.Fork(ctx, n)
		must(t, err)
		return at(session.ID)
	}
	first := b.fork("b")
	if got := fork(first); got != kept(b, "b") {
		t.Fatalf("the fork is at %s", got)
	}
	child := began{session: first.ID, run: schema.RunID(first.ID, 1)}
	_, err := s.BeginRun(ctx, child.begin())
	must(t, err)
	child.do(t, s, "c", "d")
	if got := fork(child.fork("c")); got != kept(child, "c") {
		t.Errorf("a fork from a step of the fork's own is at %s", got)
	}
	if got := fork(child.fork("a")); got != kept(b, "b") { // where the fork began
		t.Errorf("a fork of the fork from a step that it has inherited is at %s, and not %s", got, kept(b, "b"))
	}

	// A second run, none of whose steps has succeeded, began with what the first one left.
	end(t, s, child)
	say(t, s, child, 1, "again")
	begin := child.begin()
	second := began{session: child.session, run: schema.RunID(child.session, 2)}
	begin.RunID, begin.Number, begin.Key, begin.Message = second.run, 2, "2", 1
	_, err = s.BeginRun(ctx, begin)
	must(t, err)
	n := second.attempt(t, s, "a")
	f := second.finish(n, schema.AttemptFailed, schema.StepFailed)
	f.StepID, f.Snapshot = "a", kept(second, "a")
	must(t, s.FinishAttempt(ctx, f))
	if got := fork(second.fork("")); got != kept(child, "d") {
		t.Errorf("a fork of a run in which nothing succeeded is at %s, and not where that began", got)
	}
	earlier := child.fork("a")
	earlier.RunID = child.run
	if got := fork(earlier); got != kept(b, "b") {
		t.Errorf("a fork of an earlier run is at %s", got)
	}
}

func TestFork_RefusesAStepWhoseWorkspaceWasNotKept(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	ctx := context1(t)
	b := newRun(t, s)
	b.do(t, s, "make")
	n := b.attempt(t, s, "show")
	f := b.finish(n, schema.AttemptSucceeded, schema.StepSucceeded)
	f.StepID = "show" // its save failed
	must(t, s.FinishAttempt(ctx, f))
	for _, step := range []string{"show", ""} {
		_, _, err := s.Fork(ctx, b.fork(step))
		mustFail(t, err, schema.CodeConflict)
		if !strings.Contains(err.Error(), `after step "show" was not saved`) {
			t.Errorf("it says %v", err)
		}
	}
	_, _, err := s.Fork(ctx, b.fork("make"))
	must(t, err)
}

func (b began) fork(step string) store.NewFork {
	return store.NewFork{ID: schema.NewID(), SourceID: b.session, StepID: step, Actor: "carl"}
}

// inherited begins a session's first run and lists what it inherits, according to the answer, the rows and the
// graph.
func inherited(t *testing.T, s *store.Store, session string) []string {
	t.Helper()
	b := began{session: session, run: schema.RunID(session, 1)}
	begun, err := s.BeginRun(context1(t), b.begin())
	must(t, err)
	again, err := s.BeginRun(context1(t), b.begin())
	must(t, err)
	run, err := s.Run(context1(t), b.run)
	must(t, err)
	var rows, nodes []string
	for _, step := range run.Steps {
		if step.Status == schema.StepSucceeded && step.Reason != "" && len(step.Attempts) == 0 {
			rows = append(rows, step.ID)
		}
	}
	for _, e := range log(t, s, session) {
		if e.Type == schema.EventDAGCreated {
			for _, node := range dataOf[schema.DAGCreatedData](t, e).Nodes {
				if node.Status == schema.StepSucceeded {
					nodes = append(nodes, node.ID)
				}
			}
		}
	}
	if !slices.Equal(begun.Inherited, again.Inherited) || !slices.Equal(begun.Inherited, rows) || !slices.Equal(rows, nodes) {
		t.Fatalf("the answers say %v and %v, the rows %v, the graph %v", begun.Inherited, again.Inherited, rows, nodes)
	}
	return rows
}

func TestFork_TakesOverWhatWasThereWhenTheStepFinished(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	ctx := context1(t)
	b := chain(t, s)
	n := b.fork("b")
	var got schema.Session
	events := since(t, s, b, func() {
		var (
			created bool
			err     error
		)
		got, created, err = s.Fork(ctx, n)
		must(t, err)
		if !created {
			t.Fatal("it was there already")
		}
	})
	wantTypes(t, events, schema.EventSessionForked)
	if d := dataOf[schema.SessionForkedData](t, events[0]); d != (schema.SessionForkedData{SessionID: got.ID, Direction: "to", Name: "a session (fork)", StepID: "b", Actor: "carl"}) {
		t.Fatalf("%+v", d)
	}
	if got.ID != n.ID || got.Owner != "carl" || got.Name != "a session (fork)" || got.Config.Parallel != 3 || got.ForkedFrom != b.session ||
		got.Status != schema.SessionActive || got.Phase != schema.PhasePlanning || got.Plan.Digest() != chainPlan().Digest() || got.HeadSeq != 1 ||
		got.QueuedMessages != 0 || got.Mode != schema.ModeRunbook || got.Task != "the task" {
		t.Fatalf("%+v", got)
	}
	first := log(t, s, got.ID)
	wantTypes(t, first, schema.EventSessionForked)
	if d := dataOf[schema.SessionForkedData](t, first[0]); d != (schema.SessionForkedData{SessionID: b.session, Direction: "from", Name: "a session", StepID: "b", Actor: "carl"}) {
		t.Fatalf("%+v", d)
	}
	source, err := s.Session(ctx, b.session)
	must(t, err)
	if !slices.Equal(source.Forks, []string{got.ID}) || got.Forks == nil {
		t.Fatalf("the forks are %v", source.Forks)
	}
	said, _, err := s.Messages(ctx, got.ID, 0, "")
	must(t, err)
	run := schema.RunID(got.ID, 1)
	if len(said) != 2 || said[0].Content != "the task" || said[1].Content != "do it" || said[1].RunID != run || said[1].Actor != "bob" {
		t.Fatalf("the conversation is %+v", said)
	}
	if list := inherited(t, s, got.ID); !slices.Equal(list, []string{"a", "b"}) {
		t.Fatalf("inherited are %v", list)
	}
	of, err := s.RunPlan(ctx, run)
	must(t, err)
	if of.Message != "do it" {
		t.Fatalf("the fork's run goes on with %q", of.Message)
	}
	// The new session counts its messages from 1, and its second run inherits nothing.
	fork := began{session: got.ID, run: run}
	end(t, s, fork)
	say(t, s, fork, 1, "more")
	second := fork.begin()
	second.RunID, second.Number, second.Key, second.Message = schema.RunID(got.ID, 2), 2, "2", 1
	begun, err := s.BeginRun(ctx, second)
	must(t, err)
	if len(begun.Inherited) != 0 {
		t.Fatalf("the second run inherits %v", begun.Inherited)
	}
	for session, detail := range map[string]string{b.session: "to " + got.ID, got.ID: "from " + b.session} {
		trail, _, err := s.Audit(ctx, session, 0, 0)
		must(t, err)
		if fork := trail[len(trail)-1]; fork.Action != "fork" || fork.Actor != "carl" || fork.Detail != detail || fork.StepID != "b" {
			t.Fatalf("%+v", trail)
		}
	}
	must(t, s.DeleteSession(ctx, got.ID, "carl"))
	source, err = s.Session(ctx, b.session)
	must(t, err)
	if len(source.Forks) != 0 {
		t.Fatalf("the forks are %v", source.Forks)
	}
}

func TestFork_ByDefaultFromTheStepThatFinishedLast(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	ctx := context1(t)
	b := chain(t, s)
	got, _, err := s.Fork(ctx, b.fork(""))
	must(t, err)
	if list := inherited(t, s, got.ID); !slices.Equal(list, []string{"a", "b", "c"}) {
		t.Fatalf("inherited are %v", list)
	}
	// A fork of the fork inherits what the fork inherited, with or without a named step.
	for step, want := range map[string][]string{"": {"a", "b", "c"}, "a": {"a", "b", "c"}} {
		again, _, err := s.Fork(ctx, began{session: got.ID}.fork(step))
		must(t, err)
		if list := inherited(t, s, again.ID); !slices.Equal(list, want) {
			t.Errorf("from %q inherited are %v", step, list)
		}
		of, err := s.RunPlan(ctx, schema.RunID(again.ID, 1))
		must(t, err)
		if of.Message != "do it" {
			t.Errorf("the fork's run goes on with %q", of.Message)
		}
	}
	// Nothing is inherited from a run in which nothing has finished, or from a session without a
	// run.
	early := b.fork("")
	early.RunID = schema.RunID(b.session, 1)
	for _, n := range []store.NewFork{early, began{session: newSession(t, s).ID}.fork("")} {
		bare, _, err := s.Fork(ctx, n)
		must(t, err)
		if list := inherited(t, s, bare.ID); len(list) != 0 {
			t.Fatalf("inherited are %v", list)
		}
	}
}

func TestFork_UnderAnotherPlanInheritsOnlyWhatItHasUnchanged(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	b := chain(t, s)
	n := b.fork("c")
	n.Name = "mine"
	n.Plan = chainPlan()
	n.Plan.Steps[0].Shell = "another a" // so c, which needs it, is not inherited either
	got, _, err := s.Fork(context1(t), n)
	must(t, err)
	if got.Name != "mine" || got.Plan.Digest() != n.Plan.Digest() {
		t.Fatalf("%+v", got)
	}
	if list := inherited(t, s, got.ID); !slices.Equal(list, []string{"b"}) {
		t.Fatalf("inherited are %v", list)
	}
	// If edited again before it runs, it keeps what is still the same.
	fork := began{session: got.ID, run: schema.RunID(got.ID, 1)}
	revised, err := s.Revise(context1(t), fork.revise("", `{"steps": [{"id": "new", "shell": "n"}, {"id": "b", "shell": "b"}]}`))
	must(t, err)
	if !slices.Equal(revised.Inherited, []string{"b"}) {
		t.Fatalf("inherited are %v", revised.Inherited)
	}
	run, err := s.Run(context1(t), fork.run)
	must(t, err)
	if run.Steps[0].Status != schema.StepPending || run.Steps[1].Status != schema.StepSucceeded {
		t.Fatalf("%+v", run.Steps)
	}
}

func TestFork_RefusesWhatHasNotSucceededOrIsNotThere(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	ctx := context1(t)
	b := chain(t, s)
	_, _, err := s.Fork(ctx, b.fork("d"))
	mustFail(t, err, schema.CodeConflict)
	if !strings.Contains(err.Error(), "pending") {
		t.Errorf("it does not say what the step is: %v", err)
	}
	elsewhere := b.fork("")
	elsewhere.RunID = newRun(t, s).run
	gone := newSession(t, s)
	must(t, s.DeleteSession(ctx, gone.ID, "bob"))
	for _, n := range []store.NewFork{
		b.fork("none"), elsewhere, began{session: schema.NewID()}.fork(""), began{session: "x"}.fork(""), began{session: gone.ID}.fork(""),
		began{session: newSession(t, s).ID}.fork("a"), {ID: schema.NewID(), SourceID: b.session, RunID: "x"},
	} {
		_, _, err := s.Fork(ctx, n)
		mustFail(t, err, schema.CodeNotFound)
	}
	taken := b.fork("")
	taken.ID = b.session
	_, _, err = s.Fork(ctx, taken)
	mustFail(t, err, schema.CodeConflict)
	source, err := s.Session(ctx, b.session)
	must(t, err)
	if len(source.Forks) != 0 {
		t.Fatalf("the forks are %v", source.Forks)
	}
}

func TestFork_OnceForEachKey(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	ctx := context1(t)
	b, other := chain(t, s), chain(t, s)
	before := len(log(t, s, b.session)) + len(log(t, s, other.session))
	ids := make([]string, 8)
	made := make([]bool, len(ids))
	var all sync.WaitGroup
	for i := range ids {
		all.Go(func() {
			n := b.fork("c")
			if i%2 == 1 {
				n = other.fork("c") // the locks of two sources do not exclude each other
			}
			n.IdempotencyKey, n.RequestDigest = "key", "this"
			session, created, err := s.Fork(ctx, n)
			if err != nil {
				t.Error(err)
			}
			ids[i], made[i] = session.ID, created
		})
	}
	all.Wait()
	if len(slices.Compact(slices.Clone(ids))) != 1 {
		t.Fatalf("one key made %v", ids)
	}
	if n := len(slices.DeleteFunc(made, func(created bool) bool { return !created })); n != 1 {
		t.Fatalf("%d of them say that they made it", n)
	}
	if after := len(log(t, s, b.session)) + len(log(t, s, other.session)); after != before+1 {
		t.Fatalf("%d events say so", after-before)
	}
	again := b.fork("c")
	again.IdempotencyKey, again.RequestDigest = "key", "that"
	_, _, err := s.Fork(ctx, again)
	mustFail(t, err, schema.CodeConflict)
	again.Actor = "dora"
	_, created, err := s.Fork(ctx, again)
	must(t, err)
	if !created {
		t.Fatal("another owner's key is another key")
	}
	// A key that made a plain session is used up as well.
	_, _, err = s.CreateSession(ctx, store.NewSession{ID: schema.NewID(), Owner: "carl", IdempotencyKey: "key", RequestDigest: "create"})
	mustFail(t, err, schema.CodeConflict)
}

func TestFork_NamesStayShort(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	source := newSession(t, s, func(n *store.NewSession) { n.Name = strings.Repeat("ü", 200) })
	got, _, err := s.Fork(context1(t), began{session: source.ID}.fork(""))
	must(t, err)
	if name := []rune(got.Name); len(name) != 200 || !strings.HasSuffix(got.Name, "ü (fork)") {
		t.Fatalf("%d characters: %s", len(name), got.Name)
	}
}
