package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	client "github.com/holdfast/holdfast/clients/go"
	"github.com/holdfast/holdfast/cmd/holdfast/terminal"
	"github.com/holdfast/holdfast/schema"
)

type sessionCmd struct {
	Start   sessionStartCmd   `cmd:"" help:"Start a session from a plan."`
	List    sessionListCmd    `cmd:"" help:"List sessions, the latest first."`
	Show    sessionShowCmd    `cmd:"" help:"Show a session, its steps and its pending approvals."`
	Watch   sessionWatchCmd   `cmd:"" help:"Follow a session in the terminal."`
	Send    sessionSendCmd    `cmd:"" help:"Send a message to a session; a run answers it."`
	Run     sessionRunCmd     `cmd:"" help:"Start the next run of a session, from a plan."`
	Runs    sessionRunsCmd    `cmd:"" help:"List the runs of a session."`
	Fork    sessionForkCmd    `cmd:"" help:"Make a new session from a finished step of another one."`
	Export  sessionExportCmd  `cmd:"" help:"Write a session and all its data to one archive."`
	Audit   sessionAuditCmd   `cmd:"" help:"Show who sent a session which command, and its outcome."`
	Rename  sessionRenameCmd  `cmd:"" help:"Give a session another name."`
	Suspend sessionSuspendCmd `cmd:"" help:"Suspend a session: freeze what runs."`
	Resume  sessionResumeCmd  `cmd:"" help:"Resume a suspended session."`
	Cancel  sessionCancelCmd  `cmd:"" help:"Stop a session and everything it runs, for good."`
	Delete  sessionDeleteCmd  `cmd:"" help:"Delete a session."`
}

type sessionListCmd struct {
	server
	Status string `help:"Only sessions of this status: active, suspended, completed, failed, cancelled, expired." placeholder:"STATUS"`
	Mode   string `help:"Only sessions of this mode."                                                             placeholder:"MODE"`
	Query  string `help:"Only sessions whose name or task has this text."                                         name:"query"             placeholder:"TEXT" short:"q"`
	Limit  int    `default:"20"                                                                                   help:"The maximum number of results."`
	Cursor string `help:"Continue from a page's next_cursor."                                             placeholder:"CURSOR"`
	JSON   bool   `help:"Print the server's answer as it is."                                                     name:"json"`
}

// Help is shown by --help.
func (*sessionListCmd) Help() string {
	return example("holdfast session list", "holdfast session list --status suspended --json")
}

func (c *sessionListCmd) Run(inv *invocation) error {
	for status := range strings.SplitSeq(c.Status, ",") {
		if s := schema.SessionStatus(strings.TrimSpace(status)); c.Status != "" && !slices.Contains(schema.SessionStatuses, s) {
			return usage("--status: %q is not a session status; allowed are active, suspended, completed, failed, cancelled and expired", status)
		}
	}
	if c.Limit < 1 || c.Limit > maxPage {
		return usage("--limit is from 1 to %d (got %d)", maxPage, c.Limit)
	}
	api, err := c.client(inv)
	if err != nil {
		return err
	}
	defer api.Close()
	page, err := api.Sessions(inv.ctx, client.SessionFilter{Status: c.Status, Mode: c.Mode, Query: c.Query, Limit: c.Limit, Cursor: c.Cursor})
	if err != nil {
		return err
	}
	if c.JSON {
		inv.raw(page.Raw)
		return nil
	}
	list := page.Value
	if len(list.Sessions) == 0 {
		inv.notef("No sessions. Start one with `holdfast session start --plan FILE`.\n")
		return nil
	}
	t := terminal.Table{Header: []string{"ID", "NAME", columnStatus, "PHASE", "STEP", "WAITS FOR", "CREATED", "CHANGED"}}
	now := time.Now()
	for i := range list.Sessions {
		s := &list.Sessions[i]
		t.Add(short(s.ID), terminal.Short(terminal.Clean(s.Name), 40), inv.outcome(s.Status, s.FailedSteps, 0), phaseOf(s), terminal.Clean(s.CurrentStep), inv.waitsFor(s),
			terminal.Ago(s.CreatedAt.Time, now), terminal.Ago(s.UpdatedAt.Time, now))
	}
	if err := t.Write(inv.stdout, inv.style); err != nil {
		return err
	}
	if list.NextCursor != "" {
		inv.notef("There are more: holdfast session list --cursor %s\n", terminal.Clean(list.NextCursor))
	}
	return nil
}

// waitsFor says what a session needs a person to do.
func (inv *invocation) waitsFor(s *schema.Session) terminal.Cell {
	var parts []string
	if n := len(s.PendingApprovals); n > 0 {
		parts = append(parts, counted(n, "approval"))
	}
	if len(s.ExpiredApprovals) > 0 {
		parts = append(parts, "expired: "+reopenCommand(&s.ExpiredApprovals[0]))
	}
	if len(parts) == 0 {
		return terminal.Cell{}
	}
	return terminal.Cell{Text: strings.Join(parts, ", "), Paint: inv.style.Yellow}
}

// session makes a client and completes an id.
func (s *server) session(inv *invocation, prefix string) (*client.Client, string, error) {
	api, err := s.client(inv)
	if err != nil {
		return nil, "", err
	}
	id, err := api.FindSession(inv.ctx, prefix)
	return api, id, err
}

type sessionSuspendCmd struct{ sessionCommand }

type sessionResumeCmd struct{ sessionCommand }

type sessionCancelCmd struct{ sessionCommand }

// sessionCommand is what suspend, resume and cancel have in common.
type sessionCommand struct {
	server
	ID   string `arg:""                                     help:"The session's id, or its first 4 or more characters."`
	JSON bool   `help:"Print the server's answer as it is." name:"json"`
}

// Help is shown by --help.
func (*sessionSuspendCmd) Help() string {
	return "Nothing new starts, and running steps are frozen until the session is resumed.\n\n" + example("holdfast session suspend 1f3a")
}

// Help is shown by --help.
func (*sessionResumeCmd) Help() string {
	return "An approval that expired is asked again.\n\n" + example("holdfast session resume 1f3a")
}

// Help is shown by --help.
func (*sessionCancelCmd) Help() string {
	return "The answer says how many processes were ended and that none is left.\n\n" + example("holdfast session cancel 1f3a")
}

func (c *sessionSuspendCmd) Run(inv *invocation) error { return c.send(inv, schema.CommandSuspend) }

func (c *sessionResumeCmd) Run(inv *invocation) error { return c.send(inv, schema.CommandResume) }

func (c *sessionCancelCmd) Run(inv *invocation) error { return c.send(inv, schema.CommandCancel) }

func (c *sessionCommand) send(inv *invocation, command string) error {
	api, id, err := c.session(inv, c.ID)
	if err != nil {
		return err
	}
	defer api.Close()
	answer, err := api.Command(inv.ctx, id, command)
	if err != nil {
		return err
	}
	if c.JSON {
		inv.raw(answer.Raw)
		return nil
	}
	done := map[string]string{schema.CommandSuspend: "suspended", schema.CommandResume: "resumed", schema.CommandCancel: "cancelled"}[command]
	inv.printf("session %s %s\n", short(id), done)
	if r := answer.Value.Receipt; r != nil {
		inv.printf("  %s\n", receipt(r))
		if r.Survivors > 0 {
			return withCode(exitError, fmt.Errorf("%s of the session still run", counted(r.Survivors, "process")))
		}
	}
	return nil
}

func receipt(r *schema.Receipt) string {
	text := fmt.Sprintf("%s ended, %d left; %s kept", counted(r.ProcessesKilled, "process"), r.Survivors, counted(r.ArtifactsKept, "file"))
	if len(r.Unreachable) > 0 {
		text += "; no answer from " + terminal.Clean(strings.Join(r.Unreachable, ", "))
	}
	return text
}

type sessionDeleteCmd struct {
	server
	ID   string `arg:""             help:"The session's id, or its first 4 or more characters."`
	Yes  bool   `help:"Do not ask." short:"y"`
	JSON bool   `help:"Print JSON." name:"json"`
}

// Help is shown by --help.
func (*sessionDeleteCmd) Help() string {
	return "What still runs is cancelled. Asks first on a terminal; elsewhere --yes is needed.\n\n" + example("holdfast session delete 1f3a --yes")
}

func (c *sessionDeleteCmd) Run(inv *invocation) error {
	api, id, err := c.session(inv, c.ID)
	if err != nil {
		return err
	}
	defer api.Close()
	if !c.Yes {
		if !terminal.IsTerminal(inv.stdin) {
			return usage("deleting a session needs --yes when nobody can be asked")
		}
		s, err := api.Session(inv.ctx, id)
		if err != nil {
			return err
		}
		inv.notef("Delete session %s (%s, %s)? [y/N] ", short(id), terminal.Clean(s.Value.Name), s.Value.Status)
		if answer, _ := terminal.ReadLine(inv.ctx, inv.stdin); !strings.HasPrefix(strings.ToLower(answer), "y") {
			return withCode(exitError, errors.New("nothing was deleted"))
		}
	}
	if err := api.DeleteSession(inv.ctx, id); err != nil {
		return err
	}
	if c.JSON {
		inv.raw(schema.Marshal(struct {
			ID      string `json:"id"`
			Deleted bool   `json:"deleted"`
		}{id, true}))
		return nil
	}
	inv.printf("session %s deleted\n", short(id))
	return nil
}

// maxPage is the most a server returns at a time.
const maxPage = 200

const (
	columnStatus = "STATUS"
	columnTime   = "TIME"
)

func sessionURL(api *client.Client, id string) string { return api.URL("/sessions/" + id) }

func phaseOf(s *schema.Session) string {
	if s.Status.Final() {
		return ""
	}
	return strings.ReplaceAll(string(s.Phase), "_", " ")
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

func counted(n int, thing string) string {
	plural := thing + "s"
	if strings.HasSuffix(thing, "s") {
		plural = thing + "es"
	}
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %s", n, plural)
}

func (inv *invocation) status(s schema.SessionStatus) terminal.Cell {
	paint := map[schema.SessionStatus]func(string) string{
		schema.SessionActive: inv.style.Blue, schema.SessionSuspended: inv.style.Yellow, schema.SessionCompleted: inv.style.Green,
		schema.SessionFailed: inv.style.Red, schema.SessionCancelled: inv.style.Dim, schema.SessionExpired: inv.style.Dim,
	}[s]
	if paint == nil {
		paint = terminal.Clean
	}
	return terminal.Cell{Text: string(s), Paint: paint}
}

// outcome is the status of a session or a run. If it completed, it says how many of its steps failed; steps is 0 when
// their number is not known.
func (inv *invocation) outcome(s schema.SessionStatus, failed, steps int) terminal.Cell {
	switch {
	case s != schema.SessionCompleted || failed == 0:
		return inv.status(s)
	case steps == 0:
		return terminal.Cell{Text: fmt.Sprintf("completed, %s failed", counted(failed, "step")), Paint: inv.style.Yellow}
	default:
		return terminal.Cell{Text: completedWithout(failed, steps), Paint: inv.style.Yellow}
	}
}

func completedWithout(failed, steps int) string {
	return fmt.Sprintf("completed, %d of %d steps failed", failed, steps)
}

func (inv *invocation) stepStatus(s schema.StepStatus) terminal.Cell {
	paint := map[schema.StepStatus]func(string) string{
		schema.StepRunning: inv.style.Blue, schema.StepSucceeded: inv.style.Green, schema.StepFailed: inv.style.Red,
		schema.StepAwaitingApproval: inv.style.Yellow, schema.StepFrozen: inv.style.Yellow,
	}[s]
	if paint == nil {
		paint = inv.style.Dim
	}
	return terminal.Cell{Text: strings.ReplaceAll(string(s), "_", " "), Paint: paint}
}
