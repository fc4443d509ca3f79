package workflows

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/holdfast/holdfast/schema"
)

// However much people say while the session is busy, it is recorded in parts that Temporal accepts,
// in the order in which it was said; the end of the run comes last.
func TestTakePending_IsBoundedAndKeepsTheOrder(t *testing.T) {
	t.Parallel()
	s := newState(t, schema.Config{}, step("a"), step("b", "a"))
	startIDs(s, epoch)
	for i := range schema.MaxQueuedMessages {
		if _, err := say(s, fmt.Sprintf("%03d ", i)+strings.Repeat("<", schema.MaxMessageBytes-4)); err != nil {
			t.Fatal(err)
		}
	}
	finish(s, "a", schema.AttemptFailed, epoch)
	recorded := settle(s, epoch)
	if len(recorded) < 50 {
		t.Fatalf("%d transitions", len(recorded))
	}
	number := 0
	for n, tr := range recorded {
		if size := encodedSize(tr); size > maxTransition+6*schema.MaxMessageBytes {
			t.Errorf("transition %d has %d bytes", n, size)
		}
		for _, m := range tr.Messages {
			number++
			if m.Number != number || !strings.HasPrefix(m.Content, fmt.Sprintf("%03d ", number-1)) {
				t.Fatalf("message %d follows %d", m.Number, number-1)
			}
		}
		last := n == len(recorded)-1
		if (tr.End != nil) != last || (tr.Status == schema.SessionFailed) != last {
			t.Errorf("transition %d of %d is %s and ends %+v", n+1, len(recorded), tr.Status, tr.End)
		}
	}
	if number != schema.MaxQueuedMessages {
		t.Fatalf("%d messages were recorded", number)
	}
}

// The end of a question is not recorded before the question.
func TestTakePending_TheQuestionComesBeforeItsEnd(t *testing.T) {
	t.Parallel()
	steps := make([]schema.OutlineStep, 40)
	for i := range steps {
		steps[i] = step(fmt.Sprint("s", i))
	}
	s := newState(t, schema.Config{Parallel: 40}, steps...)
	startIDs(s, epoch)
	large := schema.Marshal(strings.Repeat("x", schema.MaxAskContext-2))
	for i := range steps {
		_, _, err := s.AskHuman(epoch, ada, schema.Ask{StepID: fmt.Sprint("s", i), Question: "?", Context: large, RequestID: "q"})
		if err != nil {
			t.Fatal(err)
		}
	}
	s.closePending(epoch, schema.ApprovalVoid, "plan_changed", func(*Approval) bool { return true })
	open, closed := map[string]bool{}, 0
	for s.Dirty() {
		tr := s.TakePending()
		if size := encodedSize(tr); size > maxTransition+schema.MaxAskContext {
			t.Errorf("a transition has %d bytes", size)
		}
		for _, o := range tr.Open {
			open[o.ID] = true
		}
		for _, c := range tr.Close {
			closed++
			if !open[c.ID] {
				t.Fatalf("%s is closed before it is asked", c.ID)
			}
		}
	}
	if len(open) != 40 || closed != 40 {
		t.Fatalf("%d asked, %d closed", len(open), closed)
	}
}

func TestAsk_AStepHasABoundedNumberOfQuestions(t *testing.T) {
	t.Parallel()
	s := newState(t, schema.Config{}, step("a"), step("b"))
	startIDs(s, epoch)
	ask := func(step, id string) error {
		c := schema.Ask{StepID: step, Question: "?", RequestID: id}
		if err := s.CheckAsk(c); err != nil {
			return err
		}
		_, _, err := s.AskHuman(epoch, ada, c)
		return err
	}
	for i := range schema.MaxOpenAsks {
		if err := ask("a", strconv.Itoa(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := ask("a", "one more"); schema.CodeOf(err) != schema.CodeConflict {
		t.Fatalf("one too many: %v", err)
	}
	if err := ask("a", "0"); err != nil {
		t.Fatalf("the first one again: %v", err)
	}
	if err := ask("b", "one more"); err != nil {
		t.Fatalf("another step: %v", err)
	}
}

func TestFeedback_ThatWaitsIsBounded(t *testing.T) {
	t.Parallel()
	steps := make([]schema.OutlineStep, 40)
	for i := range steps {
		steps[i] = gated(fmt.Sprint("s", i))
	}
	s := newState(t, schema.Config{Parallel: 1}, steps...)
	settle(s, epoch)
	taken := 0
	for _, a := range s.PendingViews() {
		c := schema.ResolveApproval{ApprovalID: a.ApprovalID, Resolution: schema.ResolutionApproved, Feedback: strings.Repeat("<", schema.MaxFeedback)}
		_, _, err := s.CheckResolve(epoch, c)
		if err == nil {
			if _, err := s.Resolve(epoch, ada, c); err != nil {
				t.Fatal(err)
			}
			taken++
			continue
		}
		if schema.CodeOf(err) != schema.CodeInvalid {
			t.Fatal(err)
		}
		c.Feedback = ""
		if _, err := s.Resolve(epoch, ada, c); err != nil {
			t.Fatalf("without feedback: %v", err)
		}
	}
	settle(s, epoch)
	if taken == 0 || taken == 40 || !s.canCarry() {
		t.Fatalf("%d of 40 were taken, State has %d bytes", taken, encodedSize(s))
	}
}

func TestSender_HasANameOfSomeLengthAtMost(t *testing.T) {
	t.Parallel()
	at := schema.Command{Actor: strings.Repeat("a", schema.MaxActorBytes), RequestID: strings.Repeat("r", schema.MaxRequestIDBytes)}
	if err := checkSender(at); err != nil {
		t.Fatal(err)
	}
	for _, over := range []schema.Command{{Actor: at.Actor + "a"}, {RequestID: at.RequestID + "r"}} {
		if err := checkSender(over); schema.CodeOf(err) != schema.CodeInvalid {
			t.Errorf("%d, %d bytes: %v", len(over.Actor), len(over.RequestID), err)
		}
	}
}

// After its workflow was lost, a session counts under new names.
func TestRevived_GoesOnUnderNewNames(t *testing.T) {
	t.Parallel()
	before := newState(t, schema.Config{}, gated("a"))
	was := settle(before, epoch)
	in := before.Input
	in.Revival = &schema.Revival{Run: 3, Status: schema.SessionFailed, Messages: 7, Queue: []int{6, 7}, Host: "one", LeftBehind: []string{"one"}, LastUsed: epoch}
	s := Revived(in, "another life")
	if s.Status() != schema.SessionFailed || s.Phase() != schema.PhaseIdle || !s.Dirty() || s.Input.Revival != nil {
		t.Fatalf("%s, %s", s.Status(), s.Phase())
	}
	recorded := settle(s, epoch)
	if n, err := say(s, "hello"); n != 8 || err != nil {
		t.Fatal(n, err)
	}
	if !s.StartNext() || s.Run.Number != 4 || s.Run.Message != 6 {
		t.Fatalf("run %d answers %d", s.Run.Number, s.Run.Message)
	}
	s.Begun(schema.Outline{Digest: "digest", Steps: []schema.OutlineStep{gated("a")}}, epoch)
	recorded = append(recorded, settle(s, epoch)...)
	for _, old := range was {
		for _, now := range recorded {
			if old.Key == now.Key {
				t.Errorf("%s is recorded twice", now.Key)
			}
			for i := range now.Open {
				if slices.ContainsFunc(old.Open, func(o schema.ApprovalOpen) bool { return o.ID == now.Open[i].ID }) {
					t.Errorf("approval %s is asked twice", now.Open[i].ID)
				}
			}
		}
	}
	if s.Host != "one" {
		t.Errorf("its host is %q", s.Host)
	}
}

// Somebody had suspended the session: losing its workflow does not resume it.
func TestRevived_WhatWasHeldWaitsForResume(t *testing.T) {
	t.Parallel()
	in := newState(t, schema.Config{}, gated("a")).Input
	revived := func(queue ...int) *State {
		in.Revival = &schema.Revival{Run: 3, Status: schema.SessionFailed, Messages: 7, Queue: queue, Suspended: true, LastUsed: epoch}
		return Revived(in, "another life")
	}
	s := revived(6, 7)
	if s.Status() != schema.SessionSuspended || s.StartNext() {
		t.Fatalf("the session is %s, with run %d", s.Status(), s.Run.Number)
	}
	if repeated, err := s.Resume(epoch, ada); repeated || err != nil {
		t.Fatal(repeated, err)
	}
	if !s.StartNext() || s.Run.Message != 6 {
		t.Fatalf("run %d answers %d", s.Run.Number, s.Run.Message)
	}
	if s := revived(); s.Status() != schema.SessionFailed {
		t.Fatalf("with nothing to hold it is %s", s.Status())
	}
}

// More may come in at once than one transition holds: each part is recorded with a status.
func TestRevived_TheFirstTransitionMayBeDivided(t *testing.T) {
	t.Parallel()
	in := newState(t, schema.Config{}, gated("a")).Input
	in.Revival = &schema.Revival{Run: 3, Status: schema.SessionFailed, LastUsed: epoch}
	s := Revived(in, "another life")
	for range 3 {
		if _, err := say(s, strings.Repeat("x", 1000)); err != nil {
			t.Fatal(err)
		}
	}
	for parts := 0; s.Dirty(); parts++ {
		if tr := s.takePending(1500); tr.Status != schema.SessionFailed || tr.Phase == "" {
			t.Fatalf("part %d is recorded as %q, %q", parts, tr.Status, tr.Phase)
		}
	}
	if s.Recorded < 2 {
		t.Fatal("it was not divided")
	}
}

func TestCite_IsShort(t *testing.T) {
	t.Parallel()
	if got := excerpt(strings.Repeat("é", 2*maxExcerpt)); len([]rune(got)) != maxExcerpt+1 {
		t.Fatalf("%d characters", len([]rune(got)))
	}
	if got := excerpt("short"); got != "short" {
		t.Fatal(got)
	}
}
