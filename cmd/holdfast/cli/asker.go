package cli

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	client "github.com/holdfast/holdfast/clients/go"
	"github.com/holdfast/holdfast/cmd/holdfast/terminal"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/wire"
)

// asker asks for a session's pending approvals, one at a time, and sends the answers.
// It drops an approval that somebody else decides first. It asks only once the log is read
// to its head, so never for what was decided long ago.
//
// On a terminal, it discards lines typed while nothing is asked: they answer nothing.
// From a file or a pipe, a line waits for the next question.
type asker struct {
	view  *view
	lines <-chan string
	tty   bool
	deciding

	told    chan told
	stopped chan struct{}

	pending  []schema.ApprovalRequestedData
	ready    bool
	active   string    // the approval being asked for
	rejected bool      // it is rejected and waits for the feedback
	draft    *editable // an edit of it that is not right yet
	unread   bool      // what it is about could not be shown in full
	paged    []string  // what was shown in the pager, to be shown again
}

// deciding is what an answer leads to.
type deciding struct {
	resolve func(ctx context.Context, id string, r wire.ResolveRequest) error
	extend  func(ctx context.Context, id string, by time.Duration) error
	// edit opens a text in the person's editor and returns the result; nil when there is no
	// editor.
	edit func(ctx context.Context, text []byte) ([]byte, error)
	// subject reads everything an approval's digest binds.
	subject func(ctx context.Context, id string) (schema.Subject, error)
	// page shows many lines in the person's pager; false when they are few, or there is no
	// pager.
	page func(ctx context.Context, lines []string) bool
	quit func()
}

// extension is how far the answer "extend" moves a deadline.
const extension = 5 * time.Minute

// told is what the watch tells the asker. With no field set it means: caught up.
type told struct {
	asked  *schema.ApprovalRequestedData
	closed string
	moved  string // its deadline has
}

func newAsker(v *view, lines <-chan string, tty bool, d deciding) *asker {
	return &asker{view: v, lines: lines, tty: tty, deciding: d, told: make(chan told), stopped: make(chan struct{})}
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
		a.tell(told{closed: d.ApprovalID})
	case schema.EventApprovalExpired:
		d, _ := payload[schema.ApprovalExpiredData](e)
		a.tell(told{closed: d.ApprovalID})
	case schema.EventApprovalExtended:
		d, _ := payload[schema.ApprovalExtendedData](e)
		a.tell(told{moved: d.ApprovalID})
	case schema.EventApprovalEscalated:
		d, _ := payload[schema.ApprovalEscalatedData](e)
		a.tell(told{moved: d.ApprovalID})
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
			a.ask(ctx, a.pending[0])
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
			case !more && a.tty: // Ctrl-D
				a.lines = nil
				a.quit()
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
			a.view.notice("no answer is needed now")
		}
	case t.moved != "":
		if a.active == t.moved {
			a.prompt()
		}
	default:
		a.ready = true
	}
}

func (a *asker) ask(ctx context.Context, d schema.ApprovalRequestedData) {
	a.active, a.rejected, a.draft = d.ApprovalID, false, nil
	if a.lines == nil {
		return
	}
	a.show(ctx, d)
	a.prompt()
}

// show shows everything an approval is about, before asking for it.
func (a *asker) show(ctx context.Context, d schema.ApprovalRequestedData) {
	a.unread, a.paged = false, nil
	if d.Type.AskedByStep() || a.subject == nil {
		if lines := describe(a.view.style, d); a.inPager(ctx, lines) {
			a.view.say(askOptions(d.Type, d.Context).lines(a.view.style)...)
		} else {
			a.view.say(lines...)
		}
		return
	}
	whole, err := a.subject(ctx, d.ApprovalID)
	if err != nil {
		a.unread = true
		a.view.say(describe(a.view.style, d)...)
		a.view.say(a.view.style.Red("    this is not all that it is about: " + terminal.CleanLines(err.Error())))
		return
	}
	lines := subjectLines(a.view.style, &whole)
	if !a.inPager(ctx, lines) {
		a.view.say(lines...)
	} else if look := attentionWords(&whole); len(look) > 0 {
		a.view.say(a.view.style.Bold(a.view.style.Red("    deserves a look: " + strings.Join(look, " · "))))
	}
	if whole.OnTimeout != "" {
		a.view.say("    " + a.view.style.Dim("with no answer ") + onTimeout(d.Type, whole.OnTimeout))
	}
}

// inPager shows lines that do not fit the terminal in the person's pager, and reports whether it did.
func (a *asker) inPager(ctx context.Context, lines []string) bool {
	if a.page == nil || !a.page(ctx, lines) {
		return false
	}
	a.paged = lines
	a.view.say(a.view.style.Dim("    " + counted(len(lines), "line") + " were shown"))
	return true
}

// prompt asks the active approval's next question.
func (a *asker) prompt() {
	d, ok := a.current()
	switch {
	case !ok || a.lines == nil:
	case a.draft != nil:
		a.view.prompt(a.view.style.Bold("[e]dit again / [g]ive the edit up: "))
	case a.rejected:
		a.view.prompt("Why? (Enter for no feedback): ")
	default:
		ask := question(d.Options, a.extras(d)...)
		if o := askOptions(d.Type, d.Context); len(o) > 0 {
			ask = o.question(a.extras(d)...)
		}
		a.view.prompt(a.view.style.Bold(ask))
	}
}

func (a *asker) current() (schema.ApprovalRequestedData, bool) {
	i := slices.IndexFunc(a.pending, func(d schema.ApprovalRequestedData) bool { return d.ApprovalID == a.active })
	if i < 0 {
		return schema.ApprovalRequestedData{}, false
	}
	return a.pending[i], true
}

// extras are answers that only a person at a terminal can give.
func (a *asker) extras(d schema.ApprovalRequestedData) []string {
	if !a.tty {
		return nil
	}
	var words []string
	if a.edit != nil && newEditable(d) != nil {
		words = append(words, "[e]dit")
	}
	if a.paged != nil {
		words = append(words, "[v]iew it again")
	}
	if a.extend != nil {
		words = append(words, "e[x]tend by "+terminal.Span(extension))
	}
	return words
}

// question lists the answers by their keys.
func question(options []schema.Resolution, extras ...string) string {
	words := make([]string, 0, len(options)+len(extras)+1)
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
	return ask + strings.Join(append(append(words, extras...), "[q]uit watching"), " / ") + ": "
}

type key struct {
	resolution schema.Resolution
	label      string
	words      []string
}

// keys are the answers a person may type, in full or by their first letter.
var keys = []key{
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
	d, ok := a.current()
	if !ok {
		a.active = ""
		return
	}
	if a.rejected {
		a.send(ctx, d, wire.ResolveRequest{Resolution: schema.ResolutionRejected, Feedback: line})
		return
	}
	word := strings.ToLower(line)
	if a.draft != nil {
		a.redraft(ctx, d, word)
		return
	}
	extras := a.extras(d)
	switch {
	case word == "q" || word == "quit":
		a.quit()
		return
	case (word == "e" || word == "edit") && slices.Contains(extras, "[e]dit"):
		a.change(ctx, d, newEditable(d))
		return
	case (word == "v" || word == "view") && a.paged != nil:
		a.page(ctx, a.paged)
		a.prompt()
		return
	case (word == "x" || word == "extend") && a.tty && a.extend != nil:
		a.extendNow(ctx, d)
		return
	}
	o := askOptions(d.Type, d.Context)
	if option, ok := o.pick(line); ok {
		a.send(ctx, d, wire.ResolveRequest{Resolution: schema.ResolutionApproved, Feedback: option})
		return
	}
	resolution, feedback, ok := parseAnswer(line, d.Options)
	switch {
	case len(o) > 0 && (!ok || resolution == schema.ResolutionApproved && feedback == ""):
		a.view.say("Please choose one of the options, or answer with a and your own words.")
		a.prompt()
	case !ok:
		a.view.say("Please answer with one of the letters; what follows it is your feedback.")
		a.prompt()
	case a.unread && a.tty && (resolution == schema.ResolutionApproved || resolution == schema.ResolutionRetry):
		a.view.say("It has to be shown in full before somebody can say yes to it; trying again.")
		a.active = "" // ask again
	case resolution == schema.ResolutionRejected && feedback == "" && a.tty:
		a.rejected = true
		a.prompt()
	default:
		a.send(ctx, d, wire.ResolveRequest{Resolution: resolution, Feedback: feedback})
	}
}

// send sends the decision. If it cannot be sent now, the question is asked again; if somebody
// has decided already, the event that says so is on its way.
func (a *asker) send(ctx context.Context, d schema.ApprovalRequestedData, r wire.ResolveRequest) {
	err := a.resolve(ctx, d.ApprovalID, r)
	if err == nil {
		a.done(d.ApprovalID)
		return
	}
	if ctx.Err() != nil {
		return
	}
	a.view.say(a.view.style.Red(terminal.CleanLines(err.Error())))
	p, refused := errors.AsType[*client.ProblemError](err)
	switch {
	case refused && p.Status == http.StatusUnprocessableEntity && a.draft != nil:
		a.prompt() // the person can fix what the server found in the text
	case refused && p.Status != http.StatusServiceUnavailable:
		a.done(d.ApprovalID)
	default:
		a.active = "" // ask again
	}
}

func (a *asker) done(id string) {
	a.active = ""
	a.pending = slices.DeleteFunc(a.pending, func(d schema.ApprovalRequestedData) bool { return d.ApprovalID == id })
}
