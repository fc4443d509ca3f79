package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	client "github.com/holdfast/holdfast/clients/go"
	"github.com/holdfast/holdfast/cmd/holdfast/terminal"
	"github.com/holdfast/holdfast/schema"
)

type approvalCmd struct {
	List    approvalListCmd    `cmd:"" help:"List approvals, the open ones unless told otherwise."`
	Show    approvalShowCmd    `cmd:"" help:"Show an approval and what it is about."`
	Resolve approvalResolveCmd `cmd:"" help:"Decide an approval."`
	Extend  approvalExtendCmd  `cmd:"" help:"Give an approval more time."`
	Reopen  approvalReopenCmd  `cmd:"" help:"Ask a question again that nobody answered in time."`
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
	var lines []string
	row := func(label, value string) {
		if value != "" {
			lines = append(lines, inv.style.Dim(fmt.Sprintf("%-10s", label))+" "+value)
		}
	}
	lines = append(lines, inv.style.Bold(terminal.Clean(a.Description)))
	row("id", a.ID)
	row("session", a.SessionID)
	row("step", terminal.Clean(a.StepID))
	row("type", string(a.Type))
	status := inv.approvalStatus(a)
	row("status", status.Paint(status.Text)+by(a.Actor))
	if a.Reopenable {
		row("", "have it asked again with `"+reopenCommand(a)+"`")
	}
	row("feedback", terminal.Clean(a.Feedback))
	row("asked", terminal.Ago(a.CreatedAt.Time, time.Now()))
	if a.Status == schema.ApprovalPending {
		row("expires", expires(a))
		row("then", onTimeout(a.Type, a.OnTimeout.Next(a.EscalatedAt != nil)))
		row("answers", schema.JoinResolutions(a.Options))
	}
	if a.EscalatedAt != nil {
		row("escalated", inv.style.Bold(inv.style.Red(terminal.Ago(a.EscalatedAt.Time, time.Now()))))
	}
	row("changed", changes(a.Modifications))
	row("digest", a.Digest)
	lines = append(lines, inv.wholeSubject(api, a)...)
	if o := askOptions(a.Type, a.Context); len(o) > 0 && a.Status == schema.ApprovalPending {
		lines = append(lines, inv.style.Dim(fmt.Sprintf("answer with `holdfast approval resolve %s approved --feedback ANSWER`", short(a.ID))))
	}
	return inv.show(lines)
}

// wholeSubject shows everything the approval's digest binds. If that cannot be read, it says so and shows what came with the approval.
func (inv *invocation) wholeSubject(api *client.Client, a *schema.Approval) []string {
	if a.Type.AskedByStep() {
		return subject(inv.style, a.Type, a.Context)
	}
	whole, err := api.Subject(inv.ctx, a.ID)
	if err != nil {
		note := inv.style.Red("    this is not all that it is about: " + terminal.CleanLines(err.Error()))
		return append([]string{note}, subject(inv.style, a.Type, a.Context)...)
	}
	return subjectLines(inv.style, &whole.Value)
}

// show prints lines that are already safe, through the person's pager when they do not fit the terminal.
func (inv *invocation) show(lines []string) error {
	text := strings.Join(lines, "\n") + "\n"
	tty, ok := inv.stdout.(*os.File)
	if ok && terminal.IsTerminal(tty) && terminal.IsTerminal(inv.stdin) && rowsOf(lines, terminal.Columns(tty)) >= terminal.Rows(tty) {
		if err := terminal.Page(inv.ctx, inv.pager(), text, tty, inv.stderr); err == nil {
			return nil
		}
	}
	inv.printf("%s", text)
	return nil
}

// pager is $PAGER, else less.
func (inv *invocation) pager() string {
	if command := inv.env.Get("PAGER"); command != "" {
		return command
	}
	return "less -R"
}

// rowsOf is roughly how many rows the lines take: colours count as text.
func rowsOf(lines []string, columns int) int {
	rows := 0
	for _, l := range lines {
		rows += 1 + utf8.RuneCountInString(l)/max(1, columns)
	}
	return rows
}

// onTimeout says what happens when nobody answers in time. A program that asked keeps running, and is told.
func onTimeout(of schema.ApprovalType, t schema.OnTimeout) string {
	if of.AskedByStep() && (t == schema.OnTimeoutReject || t == schema.OnTimeoutSuspend) {
		return "the program goes on without an answer"
	}
	switch t {
	case schema.OnTimeoutReject:
		return "reject: it counts as rejected"
	case schema.OnTimeoutApprove:
		return "approve: it counts as approved"
	case schema.OnTimeoutEscalate:
		return "escalate: it is asked more urgently, with a longer deadline"
	case schema.OnTimeoutSuspend:
		return "suspend: the session stops until somebody resumes it"
	default:
		return terminal.Clean(string(t))
	}
}

// changes shows the modifications that came with a resolution on one line.
func changes(modifications json.RawMessage) string {
	if len(modifications) == 0 || string(modifications) == "null" {
		return ""
	}
	return terminal.Short(terminal.Clean(string(modifications)), 300)
}

func (s *server) approval(inv *invocation, prefix string) (*client.Client, string, error) {
	api, err := s.client(inv)
	if err != nil {
		return nil, "", err
	}
	id, err := api.FindApproval(inv.ctx, prefix)
	return api, id, err
}

// describe shows what an approval is about, before asking for it.
func describe(style terminal.Style, d schema.ApprovalRequestedData) []string {
	return subject(style, d.Type, d.Context)
}

// subject shows what a question of this type is about.
func subject(style terminal.Style, t schema.ApprovalType, context json.RawMessage) []string {
	if t.AskedByStep() {
		options := askOptions(t, context)
		return append(askLines(style, context, len(options) > 0), options.lines(style)...)
	}
	return contextLines(style, context)
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
