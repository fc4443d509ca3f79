package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	client "github.com/holdfast/holdfast/clients/go"
	"github.com/holdfast/holdfast/cmd/holdfast/terminal"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/wire"
)

type approvalResolveCmd struct {
	server
	ID            string `arg:""                                                                                               help:"The approval's id, or its first 4 or more characters."`
	Resolution    string `arg:""                                                                                               help:"approve, reject, modify, retry, skip or abort; one that the approval offers."`
	Feedback      string `help:"Feedback to send with the decision."                                                                     placeholder:"TEXT"                                                                           short:"m"`
	PlanFile      string `help:"With modified: the plan to run instead; - reads standard input."                               placeholder:"FILE"                                                                           xor:"edit"`
	Command       string `help:"With modified or retry: the command line that the step runs instead, for /bin/sh -c."          placeholder:"COMMAND"                                                                        xor:"edit"`
	Modifications string `help:"With modified or retry: the modifications, as JSON or a file name; - reads standard input." placeholder:"JSON|FILE"                                                             xor:"edit"`
	JSON          bool   `help:"Print the server's answer as it is."                                                           name:"json"`
}

// Help is shown by --help.
func (*approvalResolveCmd) Help() string {
	return "The first decision wins. Repeating the same decision is not an error; exit code 1 when it was decided otherwise, or expired.\n\n" +
		"modify says what to do instead: another plan, or another run or shell, env, timeout and files of a step. It is asked about again unless the session " +
		"was started with --on-modified approve. The retry of a failed step may change these, too.\n\n" +
		example("holdfast approval resolve 9c0d approve", `holdfast approval resolve 9c0d reject --feedback "the units are wrong"`,
			"holdfast approval resolve 9c0d modify --plan-file better.json",
			`holdfast approval resolve 9c0d retry --feedback "it needs more memory" --command "python3 fit.py --low-memory"`,
			`holdfast approval resolve 9c0d modify --modifications '{"env": {"N": "200"}, "timeout": "2h"}'`)
}

func (c *approvalResolveCmd) Run(inv *invocation) error {
	resolution, ok := resolutionOf(c.Resolution)
	if !ok {
		return usage("%q is not a resolution; allowed are approve, reject, modify, retry, skip and abort", c.Resolution)
	}
	edit, err := c.edit(inv, resolution)
	if err != nil {
		return err
	}
	api, id, err := c.approval(inv, c.ID)
	if err != nil {
		return err
	}
	defer api.Close()
	if edit != nil {
		a, err := api.Approval(inv.ctx, id)
		if err != nil {
			return err
		}
		if err := edit.check(inv, a.Value.Type, resolution); err != nil {
			return err
		}
	}
	answer, err := api.ResolveApproval(inv.ctx, id, wire.ResolveRequest{Resolution: resolution, Feedback: c.Feedback, Modifications: edit.json()})
	if err != nil {
		return fmt.Errorf("approval %s: %w", short(id), inv.howToReopen(api, id, err))
	}
	if c.JSON {
		inv.raw(answer.Raw)
		return nil
	}
	inv.printf("approval %s %s\n", short(id), resolution)
	return nil
}

// howToReopen adds to the refusal of a late answer how to have the question asked again, if that is possible.
func (inv *invocation) howToReopen(api *client.Client, id string, refused error) error {
	p, ok := errors.AsType[*client.ProblemError](refused)
	if !ok || p.Code != schema.CodeExpired {
		return refused
	}
	a, err := api.Approval(inv.ctx, id)
	if err != nil || !a.Value.Reopenable {
		return refused
	}
	return fmt.Errorf("%w: %s", refused, reopenCommand(&a.Value))
}

// resolutionOf reads a person's verb, or the protocol's word for the result.
func resolutionOf(word string) (schema.Resolution, bool) {
	word = strings.ToLower(word)
	verbs := map[string]schema.Resolution{
		"approve": schema.ResolutionApproved, "reject": schema.ResolutionRejected, "modify": schema.ResolutionModified,
		"retried": schema.ResolutionRetry, "skipped": schema.ResolutionSkip, "aborted": schema.ResolutionAbort,
	}
	if r, ok := verbs[word]; ok {
		return r, true
	}
	return schema.Resolution(word), slices.Contains(schema.Resolutions, schema.Resolution(word))
}

const flagModifications = "--modifications"

// edited is what to change, and where the user gave it.
type edited struct {
	flag string
	name string // of the text in messages
	text []byte
}

func (e *edited) json() json.RawMessage {
	if e == nil {
		return nil
	}
	return e.text
}

// edit reads the modifications that the flags give, nil when they give none.
func (c *approvalResolveCmd) edit(inv *invocation, r schema.Resolution) (*edited, error) {
	var e *edited
	switch {
	case c.PlanFile != "":
		text, err := inv.readPlan(c.PlanFile, "nothing was decided")
		if err != nil {
			return nil, err
		}
		e = &edited{flag: "--plan-file", text: planEdit(text)}
	case c.Command != "":
		e = &edited{flag: "--command", text: schema.Marshal(schema.StepEdit{Shell: c.Command})}
	case strings.HasPrefix(strings.TrimSpace(c.Modifications), "{"):
		e = &edited{flag: flagModifications, name: flagModifications, text: []byte(c.Modifications)}
	case c.Modifications != "":
		text, name, err := inv.readFile(c.Modifications)
		if err != nil {
			return nil, usage("the modifications cannot be read: %w", err)
		}
		e = &edited{flag: flagModifications, name: name, text: text}
	}
	switch {
	case e == nil && r == schema.ResolutionModified:
		return nil, usage("modified needs --plan-file, --command or --modifications: what is to be done instead")
	case e != nil && r != schema.ResolutionModified && r != schema.ResolutionRetry:
		return nil, usage("%s goes with modified or retry, not with %s", e.flag, r)
	}
	return e, nil
}

// check refuses what cannot be a modification of this kind of approval, before the server does.
func (e *edited) check(inv *invocation, t schema.ApprovalType, r schema.Resolution) error {
	switch {
	case e.flag == "--plan-file" && t != schema.ApprovalPlan:
		return usage("--plan-file changes a plan, and this approval is a %s; --command and --modifications change a step", t)
	case e.flag == "--command" && t != schema.ApprovalStep && t != schema.ApprovalErrorRecovery:
		return usage("--command changes a step, and this approval is a %s", t)
	case !slices.Contains(t.Options(), r):
		return nil // the server says what it offers
	}
	problems := modificationProblems(t, r, e.text)
	if problems == nil {
		return nil
	}
	if e.name == "" {
		e.name = e.flag
	}
	for _, p := range problems {
		inv.notef("%s\n", terminal.Clean(e.name)+":"+p)
	}
	return withCode(exitUsage, errors.New("the modifications have "+counted(len(problems), "problem")+"; nothing was decided"))
}

type approvalExtendCmd struct {
	server
	ID   string `arg:""                                     help:"The approval's id, or its first 4 or more characters."`
	By   string `arg:""                                     help:"By how much the deadline moves: seconds, or a duration such as 5m or 1d."`
	JSON bool   `help:"Print the server's answer as it is." name:"json"`
}

// Help is shown by --help.
func (*approvalExtendCmd) Help() string {
	return "The deadline is at most 720 hours after the question.\n\n" +
		example("holdfast approval extend 9c0d 300", "holdfast approval extend 9c0d 1h30m")
}

func (c *approvalExtendCmd) Run(inv *invocation) error {
	by, err := strconv.ParseFloat(c.By, 64)
	if err != nil {
		d, err := schema.ParseDuration(c.By)
		if err != nil {
			return usage("%q is not a length of time; allowed are seconds, such as 300, or a duration, such as 5m", c.By)
		}
		by = d.Seconds()
	}
	if !(by >= 1 && by <= schema.MaxApprovalTimeoutSeconds) { // written so that NaN is refused
		return usage("the deadline moves by 1 to %d seconds (got %q)", schema.MaxApprovalTimeoutSeconds, c.By)
	}
	api, id, err := c.approval(inv, c.ID)
	if err != nil {
		return err
	}
	defer api.Close()
	answer, err := api.ExtendApproval(inv.ctx, id, by)
	if err != nil {
		return fmt.Errorf("approval %s: %w", short(id), err)
	}
	if c.JSON {
		inv.raw(answer.Raw)
		return nil
	}
	inv.printf("approval %s extended: it expires %s\n", short(id), expires(&answer.Value))
	return nil
}
