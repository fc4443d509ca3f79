package cli

import (
	"fmt"
	"time"

	client "github.com/holdfast/holdfast/clients/go"
	"github.com/holdfast/holdfast/cmd/holdfast/terminal"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/wire"
)

type sessionRunsCmd struct {
	server
	ID   string `arg:""                                     help:"The session's id, or its first 4 or more characters."`
	JSON bool   `help:"Print the server's answer as it is." name:"json"`
}

// Help is shown by --help.
func (*sessionRunsCmd) Help() string {
	return "The oldest first. The steps of one: holdfast session show ID --run N.\n\n" +
		example("holdfast session runs 1f3a", "holdfast session runs 1f3a --json")
}

func (c *sessionRunsCmd) Run(inv *invocation) error {
	api, id, err := c.session(inv, c.ID)
	if err != nil {
		return err
	}
	defer api.Close()
	list, err := api.Runs(inv.ctx, id)
	if err != nil {
		return err
	}
	if c.JSON {
		inv.raw(list.Raw)
		return nil
	}
	runs := list.Value.Runs
	if len(runs) == 0 {
		inv.notef("The session has no runs yet.\n")
		return nil
	}
	now := time.Now()
	t := terminal.Table{Header: []string{"RUN", "ID", columnStatus, "STEPS", "STARTED", columnTime, "MESSAGE"}}
	for i := range runs {
		r := &runs[i]
		t.Add(r.Number, short(r.ID), inv.outcome(r.Status, r.FailedSteps, len(r.Steps)), stepsDone(r.Steps), terminal.Ago(r.StartedAt.Time, now), terminal.Span(runTime(r, now)),
			dash(terminal.Short(terminal.Clean(r.Message), 60)))
	}
	return t.Write(inv.stdout, inv.style)
}

// stepsDone counts the steps that succeeded, such as "3 of 5, 1 failed".
func stepsDone(steps []schema.Step) string {
	done, failed, skipped := 0, 0, 0
	for i := range steps {
		switch steps[i].Status { //nolint:exhaustive // the others are unfinished or cancelled
		case schema.StepFailed:
			failed++
		case schema.StepSkipped:
			skipped++
		case schema.StepSucceeded:
			done++
		}
	}
	text := fmt.Sprintf("%d of %d", done, len(steps))
	if failed > 0 {
		text += fmt.Sprintf(", %d failed", failed)
	}
	if skipped > 0 {
		text += fmt.Sprintf(", %d skipped", skipped)
	}
	return text
}

type sessionRunCmd struct {
	server
	ID    string `arg:""                                                                            help:"The session's id, or its first 4 or more characters."`
	Plan  string `help:"The plan's file; - reads standard input."                                   placeholder:"FILE"                                          required:""`
	Watch bool   `help:"Follow the run, and ask for its approvals here."                            short:"w"`
	JSON  bool   `help:"Print the server's answer as it is; with --watch, then one frame per line." name:"json"`
}

// Help is shown by --help.
func (*sessionRunCmd) Help() string {
	return "The workspace is as earlier runs left it. Refused while a run is under way or messages are queued. " +
		"The plan is checked here first; problems are printed as FILE:LINE:COLUMN: message.\n\n" +
		"With --watch: " + watchOneHelp + "\n\n" +
		example("holdfast session run 1f3a --plan next.json --watch", "generate-plan | holdfast session run 1f3a --plan - --json")
}

func (c *sessionRunCmd) Run(inv *invocation) error {
	plan, err := inv.readPlan(c.Plan, "nothing was started")
	if err != nil {
		return err
	}
	api, id, err := c.session(inv, c.ID)
	if err != nil {
		return err
	}
	defer api.Close()
	inv.patient(api)
	since, err := headOf(inv, api, id, c.Watch)
	if err != nil {
		return err
	}
	answer, err := api.StartRun(inv.ctx, id, wire.NewRun{Plan: plan})
	if err != nil {
		return err
	}
	if c.JSON {
		inv.raw(answer.Raw)
	} else {
		inv.printf("run %d of session %s\n", answer.Value.Number, short(id))
	}
	if !c.Watch {
		return nil
	}
	return (&watch{inv: inv, api: api, id: id, json: c.JSON, ask: true, follow: client.Follow{Since: since, Insist: true, RunID: answer.Value.ID}}).run()
}

// headOf is where a session's log ends before a command, so that the watch sees everything
// that follows.
func headOf(inv *invocation, api *client.Client, id string, needed bool) (int64, error) {
	if !needed {
		return 0, nil
	}
	s, err := api.Session(inv.ctx, id)
	return s.Value.HeadSeq, err
}
