package cli

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	client "github.com/holdfast/holdfast/clients/go"
	"github.com/holdfast/holdfast/internal/testkit"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/wire"
)

// asking is an asker with a person, and a server that remembers the decisions.
type asking struct {
	*asker
	t       *testing.T
	lines   chan string
	decided chan wire.ResolveRequest
	quits   chan struct{}
	answer  func(n int) error
	screen  func() string

	extended chan time.Duration
	opened   chan string              // the texts that the editor was opened on
	typing   func(text string) string // how the person edits one
}

func newAsking(t *testing.T, tty bool) *asking {
	t.Helper()
	a := &asking{t: t, lines: make(chan string), decided: make(chan wire.ResolveRequest, 10), quits: make(chan struct{}, 1), answer: func(int) error { return nil },
		extended: make(chan time.Duration, 10), opened: make(chan string, 10), typing: func(text string) string { return text }}
	v, b := newTestView(false)
	a.screen = func() string {
		v.mu.Lock()
		defer v.mu.Unlock()
		return b.String()
	}
	n := 0
	a.asker = newAsker(v, a.lines, tty, deciding{
		resolve: func(_ context.Context, _ string, r wire.ResolveRequest) error {
			n++
			a.decided <- r
			return a.answer(n)
		},
		extend: func(_ context.Context, _ string, by time.Duration) error {
			a.extended <- by
			return nil
		},
		edit: func(_ context.Context, text []byte) ([]byte, error) {
			a.opened <- string(text)
			return []byte(a.typing(string(text))), nil
		},
		quit: func() { a.quits <- struct{}{} },
	})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { a.run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	return a
}

func (a *asking) asks(id string, options ...schema.Resolution) {
	if len(options) == 0 {
		options = schema.ApprovalStep.Options()
	}
	kind := schema.ApprovalStep
	if slices.Contains(options, schema.ResolutionRetry) {
		kind = schema.ApprovalErrorRecovery
	}
	a.event(event(schema.EventApprovalRequested, "plot", schema.ApprovalRequestedData{
		ApprovalID: id, Type: kind, Options: options, Context: []byte(`{"step": {"id": "plot", "shell": "python3 plot.py"}, "command": ["/bin/sh"]}`),
	}))
}

func (a *asking) says(line string) {
	a.t.Helper()
	select {
	case a.lines <- line:
	case <-time.After(patience):
		a.t.Fatalf("nobody reads %q", line)
	}
}

func (a *asking) sees(text string) {
	a.t.Helper()
	testkit.EventuallyRight(a.t, "the text "+text, func() string {
		if screen := a.screen(); !strings.Contains(screen, text) {
			return "the screen has " + screen
		}
		return ""
	})
}

func (a *asking) opens() string {
	a.t.Helper()
	return testkit.Receive(a.t, "an editor that is opened", a.opened)
}

func (a *asking) wants(resolution schema.Resolution, feedback string) {
	a.t.Helper()
	if r := testkit.Receive(a.t, "a decision", a.decided); r.Resolution != resolution || r.Feedback != feedback {
		a.t.Errorf("decided %+v, want %s %q", r, resolution, feedback)
	}
}

func TestAsker_AsksOnATerminalWithFeedback(t *testing.T) {
	t.Parallel()
	a := newAsking(t, true)
	a.asks("1")
	a.says("a") // typed before anything is asked: it answers nothing
	a.caughtUp()
	a.sees("plot  python3 plot.py")
	a.sees("Approve? [a]pprove / [r]eject / [e]dit / e[x]tend by 5m / [q]uit watching: ")
	a.says("what?")
	a.sees("Please answer with one of the letters")
	a.says("r")
	a.sees("Why? (Enter for no feedback): ")
	a.says("too red")
	a.wants(schema.ResolutionRejected, "too red")
	a.asks("2")
	a.says("yes")
	a.wants(schema.ResolutionApproved, "")
	a.asks("3", schema.ApprovalErrorRecovery.Options()...)
	a.sees("What now? re[t]ry / [s]kip the step / a[b]ort / [e]dit / e[x]tend by 5m / [q]uit watching: ")
	a.says("t with more memory")
	a.wants(schema.ResolutionRetry, "with more memory")
	a.asks("4")
	a.says("q")
	<-a.quits
}

func TestAsker_TakesOneLineForEachQuestionFromAPipe(t *testing.T) {
	t.Parallel()
	a := newAsking(t, false)
	a.caughtUp()
	go func() { a.lines <- "approve"; a.lines <- "reject because of the units"; close(a.lines) }()
	a.asks("1")
	a.wants(schema.ResolutionApproved, "")
	a.asks("2")
	a.wants(schema.ResolutionRejected, "because of the units")
	a.asks("3")
	a.sees("there are no more answers on standard input")
}

func TestAsker_NeverAsksForWhatWasDecidedLongAgo(t *testing.T) {
	t.Parallel()
	a := newAsking(t, true)
	a.asks("1")
	a.event(event(schema.EventApprovalReceived, "", schema.ApprovalReceivedData{ApprovalID: "1"}))
	a.caughtUp()
	a.caughtUp() // by now the first one was read
	if got := a.screen(); strings.Contains(got, "Approve?") {
		t.Errorf("it asked: %q", got)
	}
}

func TestAsker_StopsAskingWhenSomebodyElseDecidesFirst(t *testing.T) {
	t.Parallel()
	a := newAsking(t, true)
	a.caughtUp()
	a.asks("1")
	a.sees("Approve?")
	a.event(event(schema.EventApprovalReceived, "", schema.ApprovalReceivedData{ApprovalID: "1", Actor: "ada"}))
	a.sees("no answer is needed now")
	a.says("r") // meant for the question that is gone
	a.asks("2")
	a.says("a")
	a.wants(schema.ResolutionApproved, "")
}

func TestAsker_AsksAgainOnlyWhenTheDecisionCouldNotBeTaken(t *testing.T) {
	t.Parallel()
	a := newAsking(t, false)
	a.answer = func(n int) error {
		switch n {
		case 1:
			return &client.UnreachableError{URL: "http://x", Cause: errors.New("refused")}
		case 2:
			return &client.ProblemError{Problem: schema.Problem{Status: 409, Detail: "the approval was already resolved: rejected by ada"}}
		default:
			return nil
		}
	}
	a.caughtUp()
	a.asks("1")
	a.says("approve")
	a.wants(schema.ResolutionApproved, "")
	a.sees("cannot reach Holdfast")
	a.says("approve") // asked again
	a.wants(schema.ResolutionApproved, "")
	a.sees("the approval was already resolved: rejected by ada")
	a.asks("2")
	a.says("approve")
	a.wants(schema.ResolutionApproved, "")
}

func TestParseAnswer(t *testing.T) {
	t.Parallel()
	both := schema.ApprovalStep.Options()
	for line, want := range map[string]struct {
		resolution schema.Resolution
		feedback   string
	}{
		"a": {schema.ResolutionApproved, ""}, "Approve": {schema.ResolutionApproved, ""}, "y": {schema.ResolutionApproved, ""},
		"approve, looks right": {schema.ResolutionApproved, "looks right"}, "reject: too slow": {schema.ResolutionRejected, "too slow"},
		"r:no": {schema.ResolutionRejected, "no"}, "n": {schema.ResolutionRejected, ""},
	} {
		if r, feedback, ok := parseAnswer(line, both); !ok || r != want.resolution || feedback != want.feedback {
			t.Errorf("%q is %q %q %t", line, r, feedback, ok)
		}
	}
	for _, line := range []string{"", "maybe", "approveall", "retry", "ar"} {
		if r, _, ok := parseAnswer(line, both); ok {
			t.Errorf("%q is taken as %q", line, r)
		}
	}
}
