package cli

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/holdfast/holdfast/cmd/holdfast/client"
	"github.com/holdfast/holdfast/cmd/holdfast/terminal"
	"github.com/holdfast/holdfast/schema"
)

type approvalCmd struct {
	List    approvalListCmd    `cmd:"" help:"List approvals, those that wait for a decision unless told otherwise."`
	Show    approvalShowCmd    `cmd:"" help:"Show an approval and what it is about."`
	Resolve approvalResolveCmd `cmd:"" help:"Decide an approval."`
}

type approvalListCmd struct {
	server
	Session string `help:"Only those of this session."                 placeholder:"ID"`
	Status  string `default:"pending"                                  enum:"pending,resolved,expired,cancelled,void,all" help:"pending, resolved, expired, cancelled, void, or all."`
	Cursor  string `help:"Go on where a page ended (its next_cursor)." placeholder:"CURSOR"`
	JSON    bool   `help:"Print the server's answer as it is."         name:"json"`
}

// Help is shown by --help.
func (*approvalListCmd) Help() string {
	return example("holdfast approval list", "holdfast approval list --session 1f3a --status all --json")
}

func (c *approvalListCmd) Run(inv *invocation) error {
	api, err := c.client(inv)
	if err != nil {
		return err
	}
	defer api.Close()
	session, status := "", c.Status
	if c.Session != "" {
		if session, err = api.FindSession(inv.ctx, c.Session); err != nil {
			return err
		}
	}
	if status == "all" {
		status = ""
	}
	page, err := api.Approvals(inv.ctx, session, status, c.Cursor)
	if err != nil {
		return err
	}
	if c.JSON {
		inv.raw(page.Raw)
		return nil
	}
	if len(page.Value.Approvals) == 0 {
		inv.notef("Nothing waits for a decision.\n")
		return nil
	}
	t := terminal.Table{Header: []string{"ID", "SESSION", "STEP", columnStatus, "EXPIRES", "ASKS"}}
	for i := range page.Value.Approvals {
		a := &page.Value.Approvals[i]
		t.Add(short(a.ID), short(a.SessionID), dash(a.StepID), inv.approvalStatus(a), expires(a), terminal.Short(terminal.Clean(a.Description), 60))
	}
	return t.Write(inv.stdout, inv.style)
}

func (inv *invocation) approvalStatus(a *schema.Approval) terminal.Cell {
	if a.Status == schema.ApprovalPending {
		return terminal.Cell{Text: string(a.Status), Paint: inv.style.Yellow}
	}
	text := string(a.Status)
	if a.Resolution != "" {
		text = string(a.Resolution)
	}
	return terminal.Cell{Text: text, Paint: inv.style.Dim}
}

func expires(a *schema.Approval) string {
	if a.Status != schema.ApprovalPending {
		return "-"
	}
	return "in " + terminal.Span(seconds(a.RemainingSeconds))
}

type approvalShowCmd struct {
	server
	ID   string `arg:""                                     help:"The approval's id, or its first 4 or more characters."`
	JSON bool   `help:"Print the server's answer as it is." name:"json"`
}

// Help is shown by --help.
func (*approvalShowCmd) Help() string { return example("holdfast approval show 9c0d") }

func (c *approvalShowCmd) Run(inv *invocation) error {
	api, id, err := c.approval(inv, c.ID)
	if err != nil {
		return err
	}
	defer api.Close()
	answer, err := api.Approval(inv.ctx, id)
	if err != nil {
		return err
	}
	if c.JSON {
		inv.raw(answer.Raw)
		return nil
	}
	a := &answer.Value
	row := func(label, value string) {
		if value != "" {
			inv.printf("%s %s\n", inv.style.Dim(fmt.Sprintf("%-9s", label)), value)
		}
	}
	inv.printf("%s\n", inv.style.Bold(terminal.Clean(a.Description)))
	row("id", a.ID)
	row("session", a.SessionID)
	row("step", terminal.Clean(a.StepID))
	row("type", string(a.Type))
	status := inv.approvalStatus(a)
	row("status", status.Paint(status.Text)+by(a.Actor))
	row("feedback", terminal.Clean(a.Feedback))
	row("asked", terminal.Ago(a.CreatedAt.Time, time.Now()))
	if a.Status == schema.ApprovalPending {
		row("expires", expires(a))
		row("answers", joined(a.Options))
	}
	row("digest", a.Digest)
	for _, line := range contextLines(inv.style, a.Context) {
		inv.printf("%s\n", line)
	}
	return nil
}

func joined(options []schema.Resolution) string {
	words := make([]string, 0, len(options))
	for _, o := range options {
		words = append(words, string(o))
	}
	return strings.Join(words, ", ")
}

func (s *server) approval(inv *invocation, prefix string) (*client.Client, string, error) {
	api, err := s.client(inv)
	if err != nil {
		return nil, "", err
	}
	id, err := api.FindApproval(inv.ctx, prefix)
	return api, id, err
}

type approvalResolveCmd struct {
	server
	ID         string `arg:""                                     help:"The approval's id, or its first 4 or more characters."`
	Resolution string `arg:""                                     help:"approved, rejected, modified, retry, skip or abort, as far as the approval offers it."`
	Feedback   string `help:"What to say with it."                placeholder:"TEXT"                                                                           short:"m"`
	JSON       bool   `help:"Print the server's answer as it is." name:"json"`
}

// Help is shown by --help.
func (*approvalResolveCmd) Help() string {
	return "The first decision wins. The same decision again is no error; exit code 1 when it was decided otherwise, or expired.\n\n" +
		example("holdfast approval resolve 9c0d approved", `holdfast approval resolve 9c0d rejected --feedback "the units are wrong"`)
}

func (c *approvalResolveCmd) Run(inv *invocation) error {
	resolution := schema.Resolution(strings.ToLower(c.Resolution))
	if !slices.Contains(schema.Resolutions, resolution) {
		return usage("%q is no resolution; allowed are %s", c.Resolution, joined(schema.Resolutions))
	}
	api, id, err := c.approval(inv, c.ID)
	if err != nil {
		return err
	}
	defer api.Close()
	answer, err := api.ResolveApproval(inv.ctx, id, client.Resolve{Resolution: resolution, Feedback: c.Feedback})
	if err != nil {
		return fmt.Errorf("approval %s: %w", short(id), err)
	}
	if c.JSON {
		inv.raw(answer.Raw)
		return nil
	}
	inv.printf("approval %s %s\n", short(id), resolution)
	return nil
}

// describe shows what an approval is about, before it is asked for.
func describe(style terminal.Style, d schema.ApprovalRequestedData) []string {
	return contextLines(style, d.Context)
}

// contextLines shows an approval's context: a plan's steps, or a step's command.
func contextLines(style terminal.Style, context json.RawMessage) []string {
	var c struct {
		schema.PlanStep
		Plan  *schema.Plan      `json:"plan"`
		Step  *schema.PlanStep  `json:"step"`
		Steps []schema.PlanStep `json:"steps"`
	}
	if json.Unmarshal(context, &c) != nil {
		return nil
	}
	steps := c.Steps
	switch {
	case c.Plan != nil:
		steps = c.Plan.Steps
	case c.Step != nil:
		steps = []schema.PlanStep{*c.Step}
	case c.ID != "":
		steps = []schema.PlanStep{c.PlanStep}
	}
	const most = 20
	var lines []string
	for i := range steps {
		if i == most {
			lines = append(lines, style.Dim(fmt.Sprintf("    … and %s more", counted(len(steps)-most, "step"))))
			break
		}
		s := &steps[i]
		command := strings.Join(s.Run, " ")
		if s.Shell != "" {
			command = s.Shell
		}
		lines = append(lines, "    "+terminal.Clean(s.ID)+"  "+style.Dim(terminal.Short(terminal.Clean(command), 100)))
	}
	return lines
}
