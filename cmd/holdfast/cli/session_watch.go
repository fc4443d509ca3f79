package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	client "github.com/holdfast/holdfast/clients/go"
	"github.com/holdfast/holdfast/cmd/holdfast/terminal"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/wire"
)

type sessionWatchCmd struct {
	server
	ID    string `arg:""                                                             help:"The session's id, or its first 4 or more characters."`
	Since int64  `default:"0"                                                        help:"Start after the event with this seq."                 placeholder:"N"`
	Ask   *bool  `help:"Ask for approvals here; the default on a terminal, unless --no-ask." negatable:""`
	JSON  bool   `help:"Print each event as the server sent it, one per line."       name:"json"`
}

// Help is shown by --help.
func (*sessionWatchCmd) Help() string {
	return "Shows what has happened, then follows live. If the server goes away, it waits; no event is shown twice or left out. " +
		outcomeHelp + "\n\n" +
		example("holdfast session watch 1f3a", "holdfast session watch 1f3a --since 120 --json", "yes approve | holdfast session watch 1f3a --ask")
}

func (c *sessionWatchCmd) Run(inv *invocation) error {
	if c.Since < 0 {
		return usage("--since is a seq, 0 or more (got %d)", c.Since)
	}
	api, id, err := c.session(inv, c.ID)
	if err != nil {
		return err
	}
	defer api.Close()
	ask := terminal.IsTerminal(inv.stdin) && !c.JSON
	if c.Ask != nil {
		ask = *c.Ask
	}
	return (&watch{inv: inv, api: api, id: id, follow: client.Follow{Since: c.Since}, json: c.JSON, ask: ask}).run()
}

// watch follows a session on the terminal: a view shows the events, and an optional asker
// reads decisions.
type watch struct {
	inv    *invocation
	api    *client.Client
	id     string
	follow client.Follow
	json   bool
	ask    bool

	view   *view
	asker  *asker
	last   int64
	failed *int // how many steps failed in the run that completed last; nil when none was seen to complete
}

var (
	_ client.Handler = (*watch)(nil)
	_ client.Company = (*watch)(nil)

	_ client.Historian = (*watch)(nil)
)

// errQuit says that the person at the prompt quit.
var errQuit = errors.New("watching ended; the session goes on")

func (w *watch) run() error {
	ctx, cancel := context.WithCancelCause(w.inv.ctx)
	defer cancel(nil)
	w.view = newView(w.inv, w.json)
	w.last = w.follow.Since
	var asking sync.WaitGroup
	if w.ask {
		w.asker = w.newAsker(ctx, func() { cancel(errQuit) })
		asking.Go(func() { w.asker.run(ctx) })
	}
	outcome, err := w.api.Watch(ctx, w.id, w.follow, w)
	cause := context.Cause(ctx)
	cancel(nil)
	asking.Wait()
	w.view.end()
	return w.result(outcome, err, cause)
}

func (w *watch) newAsker(ctx context.Context, quit func()) *asker {
	lines := terminal.ReadLines(ctx, w.inv.stdin)
	d := deciding{
		resolve: func(ctx context.Context, id string, r wire.ResolveRequest) error {
			_, err := w.api.ResolveApproval(ctx, id, r)
			return err
		},
		extend: func(ctx context.Context, id string, by time.Duration) error {
			_, err := w.api.ExtendApproval(ctx, id, by.Seconds())
			return err
		},
		subject: func(ctx context.Context, id string) (schema.Subject, error) {
			whole, err := w.api.Subject(ctx, id)
			return whole.Value, err
		},
		quit: quit,
	}
	tty, isFile := w.inv.stdin.(*os.File)
	isTerminal := isFile && terminal.IsTerminal(tty)
	if isTerminal {
		d.page = func(ctx context.Context, text []string) bool { return w.page(ctx, lines, text) }
		d.edit = func(ctx context.Context, text []byte) ([]byte, error) { return w.edit(ctx, tty, lines, text) }
	}
	return newAsker(w.view, lines.C(), isTerminal, d)
}

func (w *watch) result(outcome schema.SessionStatus, err, cause error) error {
	goOn := fmt.Sprintf("follow it again with `holdfast session watch %s --since %d`", short(w.id), w.last)
	switch {
	case errors.Is(cause, errQuit):
		return withCode(exitUndecided, fmt.Errorf("%w; %s", errQuit, goOn))
	case w.inv.ctx.Err() != nil:
		w.inv.notef("\nThe session goes on; %s\n", goOn)
		return withCode(exitInterrupted, nil)
	}
	if _, deleted := errors.AsType[*client.DeletedError](err); deleted {
		return withCode(exitCancelled, err)
	}
	if _, dropped := errors.AsType[*client.DroppedError](err); err != nil && !dropped {
		return withCode(exitUndecided, err)
	}
	switch outcome {
	case schema.SessionCompleted:
		return w.completed()
	case schema.SessionCancelled:
		return withCode(exitCancelled, err)
	case schema.SessionExpired:
		return withCode(exitExpired, err)
	default:
		return withCode(exitError, err)
	}
}

// completed ends with a code of its own when steps have failed. If the run completed before
// the first requested event, it asks the session.
func (w *watch) completed() error {
	failed := 0
	if w.failed != nil {
		failed = *w.failed
	} else if session, err := w.api.Session(w.inv.ctx, w.id); err == nil {
		failed = session.Value.FailedSteps
	}
	if failed > 0 {
		return withCode(exitFailedSteps, nil)
	}
	return nil
}

// Event implements client.Handler.
func (w *watch) Event(e schema.Event, raw []byte, _ bool) {
	w.last = e.Seq
	switch e.Type { //nolint:exhaustive // only these decide
	case schema.EventWorkflowStarted:
		w.failed = nil
	case schema.EventWorkflowCompleted:
		d, _ := payload[schema.WorkflowCompletedData](e)
		w.failed = &d.FailedSteps
	}
	if w.json {
		w.view.rawLine(raw)
	} else {
		w.view.event(e)
	}
	if w.asker != nil {
		w.asker.event(e)
	}
}

// CaughtUp implements client.Handler.
func (w *watch) CaughtUp() {
	if w.asker != nil {
		w.asker.caughtUp()
	}
}

// Lost implements client.Handler.
func (w *watch) Lost(why string, wait time.Duration) {
	w.view.notice(fmt.Sprintf("%s; trying again in %s", why, terminal.Span(wait)))
}

// Back implements client.Handler.
func (w *watch) Back() { w.view.notice("connected again") }

// Hole implements client.Historian.
func (w *watch) Hole(from, to int64) {
	w.last = to
	w.view.notice(fmt.Sprintf("events %d to %d are missing: the server can no longer read them", from, to))
}

// Rewound implements client.Historian.
func (w *watch) Rewound(head int64) {
	w.view.notice(fmt.Sprintf("the server's record of this session was restored to an earlier state, up to event %d; what was shown after it did not happen. From the beginning:", head))
	w.last = 0
}

// Others implements client.Company. It tells a person at a terminal, since two people who
// answer one question could contradict each other.
func (w *watch) Others(users []string) {
	if w.json || !w.view.tty {
		return
	}
	if len(users) == 0 {
		w.view.notice("nobody else is watching now")
		return
	}
	shown := users[:min(len(users), 5)]
	text := "also watching: " + strings.Join(shown, ", ")
	if more := len(users) - len(shown); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	w.view.notice(text)
}
