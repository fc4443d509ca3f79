package cli

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/holdfast/holdfast/cmd/holdfast/client"
	"github.com/holdfast/holdfast/cmd/holdfast/terminal"
	"github.com/holdfast/holdfast/schema"
)

// asker asks for the pending approvals of a session, one at a time, and sends the answers.
// An approval that somebody else decides first is no longer asked for. It asks only once the
// log is read to its head, so never for what was decided long ago.
//
// On a terminal, lines typed while nothing is asked are thrown away: they answer nothing.
// From a file or a pipe, a line waits for the next question.
type asker struct {
	view    *view
	lines   <-chan string
	tty     bool
	resolve func(ctx context.Context, id string, r client.Resolve) error
	quit    func()

	told    chan told
	stopped chan struct{}

	pending  []schema.ApprovalRequestedData
	ready    bool
	active   string // the approval that is asked for
	rejected bool   // it is rejected, the feedback is awaited
}

// told is what the asker hears from the watch. One with no field set says: caught up.
type told struct {
	asked  *schema.ApprovalRequestedData
	closed string
	how    string
}

func newAsker(v *view, lines <-chan string, tty bool, resolve func(context.Context, string, client.Resolve) error, quit func()) *asker {
	return &asker{view: v, lines: lines, tty: tty, resolve: resolve, quit: quit, told: make(chan told), stopped: make(chan struct{})}
}

// event tells the asker of an event.
func (a *asker) event(e schema.Event) {
	switch e.Type { //nolint:exhaustive // approvals only
	case schema.EventApprovalRequested:
		if d, ok := payload[schema.ApprovalRequestedData](e); ok {
			a.tell(told{asked: &d})
		}
	case schema.EventApprovalReceived:
		d, _ := payload[schema.ApprovalReceivedData](e)
		a.tell(told{closed: d.ApprovalID, how: "decided"})
	case schema.EventApprovalExpired:
		d, _ := payload[schema.ApprovalExpiredData](e)
		a.tell(told{closed: d.ApprovalID, how: "closed"})
	}
}

func (a *asker) caughtUp() { a.tell(told{}) }

func (a *asker) tell(t told) {
	select {
	case a.told <- t:
	case <-a.stopped:
	}
}

// run asks until ctx ends.
func (a *asker) run(ctx context.Context) {
	defer close(a.stopped)
	for {
		if a.ready && a.active == "" && len(a.pending) > 0 {
			a.ask(a.pending[0])
		}
		lines := a.lines
		if a.active == "" && !a.tty {
			lines = nil
		}
		select {
		case <-ctx.Done():
			return
		case t := <-a.told:
			a.hear(t)
		case line, more := <-lines:
			switch {
			case !more:
				a.lines = nil
				a.view.notice("there are no more answers on standard input; the approval waits to be decided elsewhere")
			case a.active != "":
				a.view.answered(line, a.tty)
				a.answer(ctx, strings.TrimSpace(line))
			}
		}
	}
}

func (a *asker) hear(t told) {
	switch {
	case t.asked != nil:
		a.pending = append(a.pending, *t.asked)
	case t.closed != "":
		a.pending = slices.DeleteFunc(a.pending, func(d schema.ApprovalRequestedData) bool { return d.ApprovalID == t.closed })
		if a.active == t.closed {
			a.active = ""
			a.view.notice("no answer is needed any more")
		}
	default:
		a.ready = true
	}
}

func (a *asker) ask(d schema.ApprovalRequestedData) {
	a.active, a.rejected = d.ApprovalID, false
	if a.lines == nil {
		return
	}
	a.view.say(describe(a.view.style, d)...)
	a.view.prompt(a.view.style.Bold(question(d.Options)))
}

// question lists the answers by their keys.
func question(options []schema.Resolution) string {
	words := make([]string, 0, len(options)+1)
	for _, o := range options {
		for _, k := range keys {
			if k.resolution == o {
				words = append(words, k.label)
			}
		}
	}
	ask := "What now? "
	if slices.Contains(options, schema.ResolutionApproved) {
		ask = "Approve? "
	}
	return ask + strings.Join(append(words, "[q]uit watching"), " / ") + ": "
}

type key struct {
	resolution schema.Resolution
	label      string
	words      []string
}

// keys are the answers that a person may type, in full or as their first letter.
var keys = []key{ //nolint:gochecknoglobals // a constant table
	{schema.ResolutionApproved, "[a]pprove", []string{"a", "approve", "approved", "y", "yes"}},
	{schema.ResolutionRejected, "[r]eject", []string{"r", "reject", "rejected", "n", "no"}},
	{schema.ResolutionRetry, "re[t]ry", []string{"t", "retry"}},
	{schema.ResolutionSkip, "[s]kip the step", []string{"s", "skip"}},
	{schema.ResolutionAbort, "a[b]ort", []string{"b", "abort"}},
}

// parseAnswer reads "approve", "r", "reject because of the units", "reject: too slow".
func parseAnswer(line string, options []schema.Resolution) (r schema.Resolution, feedback string, ok bool) {
	word, rest, _ := strings.Cut(line, " ")
	if before, after, found := strings.Cut(word, ":"); found {
		word, rest = before, strings.TrimSpace(after+" "+rest)
	}
	word = strings.ToLower(strings.TrimRight(word, ",."))
	for _, k := range keys {
		if slices.Contains(k.words, word) && slices.Contains(options, k.resolution) {
			return k.resolution, strings.TrimSpace(rest), true
		}
	}
	return "", "", false
}

func (a *asker) answer(ctx context.Context, line string) {
	i := slices.IndexFunc(a.pending, func(d schema.ApprovalRequestedData) bool { return d.ApprovalID == a.active })
	if i < 0 {
		a.active = ""
		return
	}
	d := a.pending[i]
	if a.rejected {
		a.send(ctx, d, client.Resolve{Resolution: schema.ResolutionRejected, Feedback: line})
		return
	}
	if word := strings.ToLower(line); word == "q" || word == "quit" {
		a.quit()
		return
	}
	resolution, feedback, ok := parseAnswer(line, d.Options)
	switch {
	case !ok:
		a.view.say("Please answer with one of the letters; what follows it is your feedback.")
		a.view.prompt(a.view.style.Bold(question(d.Options)))
	case resolution == schema.ResolutionRejected && feedback == "" && a.tty:
		a.rejected = true
		a.view.prompt("Why? (Enter for no feedback): ")
	default:
		a.send(ctx, d, client.Resolve{Resolution: resolution, Feedback: feedback})
	}
}

// send decides. When it cannot be said now, the question is asked again; when it is decided
// already, the event that says how is on its way.
func (a *asker) send(ctx context.Context, d schema.ApprovalRequestedData, r client.Resolve) {
	err := a.resolve(ctx, d.ApprovalID, r)
	if err == nil {
		a.done(d.ApprovalID)
		return
	}
	if ctx.Err() != nil {
		return
	}
	a.view.say(a.view.style.Red(terminal.CleanLines(err.Error())))
	if p, ok := errors.AsType[*client.ProblemError](err); ok && p.Status != http.StatusServiceUnavailable {
		a.done(d.ApprovalID)
		return
	}
	a.active = "" // ask again
}

func (a *asker) done(id string) {
	a.active = ""
	a.pending = slices.DeleteFunc(a.pending, func(d schema.ApprovalRequestedData) bool { return d.ApprovalID == id })
}
