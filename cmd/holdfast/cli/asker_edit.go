package cli

import (
	"context"

	"github.com/holdfast/holdfast/cmd/holdfast/terminal"
	"github.com/holdfast/holdfast/schema"
)

// change lets the person edit what the approval is about, and decides with the result.
// A text with mistakes stays a draft: it is edited again, or given up.
func (a *asker) change(ctx context.Context, d schema.ApprovalRequestedData, e *editable) {
	a.view.notice("you can change " + e.what)
	text, err := a.edit(ctx, e.text)
	if err != nil {
		a.view.say(a.view.style.Red(terminal.CleanLines("nothing was changed: " + err.Error())))
		a.active = "" // ask again
		return
	}
	modifications, problems := e.read(text)
	if len(problems) == 0 && modifications == nil {
		a.view.say("Nothing was changed.")
		a.active = "" // ask again
		return
	}
	draft := *e
	draft.text = text
	a.draft = &draft
	if len(problems) == 0 {
		a.send(ctx, d, e.decision(modifications))
		return
	}
	for _, p := range problems {
		a.view.say(a.view.style.Red("    " + p))
	}
	a.prompt()
}

// redraft handles the answer to whether a draft is edited again.
func (a *asker) redraft(ctx context.Context, d schema.ApprovalRequestedData, word string) {
	draft := a.draft
	switch word {
	case "e", "edit", "":
		a.draft = nil
		a.change(ctx, d, draft)
	case "g", "give up", "n", "no", "q":
		a.draft = nil
		a.active = "" // ask again
	default:
		a.view.say("Please answer with one of the letters.")
		a.prompt()
	}
}

// extendNow moves the deadline; the event about it repeats the question.
func (a *asker) extendNow(ctx context.Context, d schema.ApprovalRequestedData) {
	err := a.extend(ctx, d.ApprovalID, extension)
	if err == nil || ctx.Err() != nil {
		return
	}
	a.view.say(a.view.style.Red(terminal.CleanLines(err.Error())))
	a.active = "" // ask again; if it is closed by now, the event about it is on its way
}
