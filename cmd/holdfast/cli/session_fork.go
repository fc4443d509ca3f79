package cli

import "github.com/holdfast/holdfast/schema/wire"

type sessionForkCmd struct {
	server
	ID    string `arg:""                                                                             help:"The session's id, or its first 4 or more characters."`
	Step  string `help:"The finished step to continue from; default: the one that finished last."    placeholder:"STEP"`
	Pick  string `help:"The run that the step is of, by its number or id; the latest when absent."   name:"run"                                                  placeholder:"N"`
	Plan  string `help:"Another plan for the new session; - reads standard input."                   placeholder:"FILE"`
	Name  string `help:"The new session's name; the old one's with \" (fork)\" when absent."         placeholder:"NAME"`
	Watch bool   `help:"Follow the new session, and ask for its approvals here."                     short:"w"`
	JSON  bool   `help:"Print the server's answer as it is; with --watch, then one frame per line."  name:"json"`
}

// Help is shown by --help.
func (*sessionForkCmd) Help() string {
	return "The new session has the plan, the conversation and the context up to that step. What had succeeded by then does not run again; " +
		"with another plan, only steps that are the same in both count as done. The workspace comes along as it was after that step.\n\n" +
		"With --watch: " + outcomeHelp + " " + askHelp + "\n\n" +
		example("holdfast session fork 1f3a --step simulate --watch", `holdfast session fork 1f3a --run 2 --step simulate --plan other.json --name "finer grid"`)
}

func (c *sessionForkCmd) Run(inv *invocation) error {
	body := wire.NewFork{StepID: c.Step, Name: c.Name, Attended: true}
	if c.Plan != "" {
		plan, err := inv.readPlan(c.Plan, "nothing was forked")
		if err != nil {
			return err
		}
		body.Plan = plan
	}
	api, id, err := c.session(inv, c.ID)
	if err != nil {
		return err
	}
	defer api.Close()
	inv.patient(api)
	if c.Pick != "" {
		if body.RunID, err = inv.findRun(api, id, c.Pick); err != nil {
			return err
		}
	}
	answer, err := api.Fork(inv.ctx, id, body)
	if err != nil {
		return err
	}
	return inv.started(api, answer, c.JSON, c.Watch)
}
