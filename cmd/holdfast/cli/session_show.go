package cli

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	client "github.com/holdfast/holdfast/clients/go"
	"github.com/holdfast/holdfast/cmd/holdfast/terminal"
	"github.com/holdfast/holdfast/schema"
)

type sessionShowCmd struct {
	server
	ID   string `arg:""                                                                                      help:"The session's id, or its first 4 or more characters."`
	Pick string `help:"The steps of this run (its number or id) instead of the latest; with --json, that run alone." name:"run"                                                  placeholder:"N"`
	JSON bool   `help:"Print the server's answer as it is."                                                  name:"json"`
}

// Help is shown by --help.
func (*sessionShowCmd) Help() string {
	return example("holdfast session show 1f3a", "holdfast session show 1f3a --run 2", "holdfast session show 1f3a --json")
}

func (c *sessionShowCmd) Run(inv *invocation) error {
	api, id, err := c.session(inv, c.ID)
	if err != nil {
		return err
	}
	defer api.Close()
	if c.JSON {
		return c.raw(inv, api, id)
	}
	session, err := api.Session(inv.ctx, id)
	if err != nil {
		return err
	}
	list, err := api.Runs(inv.ctx, id)
	if err != nil {
		return err
	}
	runs := list.Value.Runs
	inv.showHead(api, &session.Value)
	if err := inv.showQueue(api, &session.Value); err != nil {
		return err
	}
	var run *schema.Run
	if c.Pick != "" {
		if run, err = pickRun(runs, c.Pick); err != nil {
			return err
		}
	} else if len(runs) > 0 {
		run = &runs[len(runs)-1]
	}
	if run != nil {
		inv.printf("\n")
		if err := inv.showRun(run, time.Now()); err != nil {
			return err
		}
	}
	inv.showPending(session.Value.PendingApprovals)
	inv.showExpired(session.Value.ExpiredApprovals)
	if len(runs) > 1 {
		inv.notef("\n%s in all: holdfast session runs %s\n", counted(len(runs), "run"), short(id))
	}
	return nil
}

func (c *sessionShowCmd) raw(inv *invocation, api *client.Client, id string) error {
	if c.Pick == "" {
		answer, err := api.Session(inv.ctx, id)
		if err == nil {
			inv.raw(answer.Raw)
		}
		return err
	}
	runID, err := inv.findRun(api, id, c.Pick)
	if err != nil {
		return err
	}
	answer, err := api.Run(inv.ctx, runID)
	if err == nil {
		inv.raw(answer.Raw)
	}
	return err
}

// findRun is the id of a session's run, given its number, its id, or a prefix of that.
func (inv *invocation) findRun(api *client.Client, session, which string) (string, error) {
	list, err := api.Runs(inv.ctx, session)
	if err != nil {
		return "", err
	}
	run, err := pickRun(list.Value.Runs, which)
	if err != nil {
		return "", err
	}
	return run.ID, nil
}

func pickRun(runs []schema.Run, which string) (*schema.Run, error) {
	which = strings.ToLower(strings.TrimSpace(which))
	var found *schema.Run
	for i := range runs {
		if strconv.Itoa(runs[i].Number) == which {
			return &runs[i], nil
		}
		if len(which) >= schema.MinIDPrefix && strings.HasPrefix(runs[i].ID, which) {
			if found != nil {
				return nil, usage("several runs have ids that start with %q", which)
			}
			found = &runs[i]
		}
	}
	switch {
	case found != nil:
		return found, nil
	case len(runs) == 0:
		return nil, fmt.Errorf("there is no run %q: the session has none yet", which)
	default:
		return nil, fmt.Errorf("there is no run %q: the session's runs are 1 to %d", which, runs[len(runs)-1].Number)
	}
}

func (inv *invocation) showHead(api *client.Client, s *schema.Session) {
	now := time.Now()
	row := func(label, value string) {
		if value != "" {
			inv.printf("%s %s\n", inv.style.Dim(fmt.Sprintf("%-11s", label)), value)
		}
	}
	inv.printf("%s\n", inv.style.Bold(terminal.Clean(s.Name)))
	row("id", s.ID)
	status := inv.outcome(s.Status, s.FailedSteps, 0)
	row("status", strings.TrimRight(status.Paint(status.Text)+" "+inv.style.Dim(phaseOf(s)), " "))
	row("mode", string(s.Mode))
	row("owner", terminal.Clean(s.Owner))
	row("created", terminal.Ago(s.CreatedAt.Time, now)+", changed "+terminal.Ago(s.UpdatedAt.Time, now))
	if s.ExpiresAt != nil {
		row("expires", "in "+terminal.Span(s.ExpiresAt.Sub(now))+", unless somebody uses it")
	}
	row("events", strconv.FormatInt(s.HeadSeq, 10))
	row("forked from", s.ForkedFrom)
	row("forks", strings.Join(s.Forks, " "))
	row("page", sessionURL(api, s.ID))
}

// showQueue shows the messages that wait for their run.
func (inv *invocation) showQueue(api *client.Client, s *schema.Session) error {
	if s.QueuedMessages == 0 {
		return nil
	}
	inv.printf("\n%s\n", inv.style.Yellow(counted(s.QueuedMessages, "message")+" queued"))
	for cursor := ""; ; {
		list, err := api.Messages(inv.ctx, s.ID, cursor)
		if err != nil {
			return err
		}
		for i := range list.Value.Messages {
			if m := &list.Value.Messages[i]; m.Status == schema.MessageQueued {
				inv.printf("  %d  %s\n", m.Number, terminal.Short(terminal.Clean(m.Content), 100))
			}
		}
		if list.Value.NextCursor == "" || list.Value.NextCursor == cursor {
			return nil
		}
		cursor = list.Value.NextCursor
	}
}

func (inv *invocation) showPending(approvals []schema.Approval) {
	for i := range approvals {
		a := &approvals[i]
		escalated := ""
		if a.EscalatedAt != nil {
			escalated = inv.style.Bold(inv.style.Red(" escalated"))
		}
		inv.printf("\n%s%s %s\n  %s\n", inv.style.Yellow("? approval "+short(a.ID)), escalated, terminal.Clean(a.Description),
			inv.style.Dim(fmt.Sprintf("expires in %s; decide with `holdfast approval resolve %s %s`", terminal.Span(seconds(a.RemainingSeconds)), short(a.ID), firstOption(a))))
	}
}

// showExpired shows approvals that nobody answered in time, and how to ask them again.
func (inv *invocation) showExpired(approvals []schema.Approval) {
	for i := range approvals {
		a := &approvals[i]
		inv.printf("\n%s %s\n  %s\n", inv.style.Yellow("? approval "+short(a.ID)), terminal.Clean(a.Description), inv.style.Yellow("expired: "+reopenCommand(a)))
	}
}

func firstOption(a *schema.Approval) schema.Resolution {
	if len(a.Options) == 0 {
		return schema.ResolutionApproved
	}
	return a.Options[0]
}

func (inv *invocation) showRun(run *schema.Run, now time.Time) error {
	status := inv.outcome(run.Status, run.FailedSteps, len(run.Steps))
	inv.printf("run %d  %s  %s\n", run.Number, status.Paint(status.Text), terminal.Span(runTime(run, now)))
	if run.Message != "" {
		inv.printf("  %s\n", inv.style.Dim("» "+terminal.Short(terminal.Clean(run.Message), 100)))
	}
	if run.Error != "" {
		inv.printf("  %s\n", inv.style.Red(terminal.Clean(run.Error)))
	}
	t := terminal.Table{Header: []string{"  STEP", columnStatus, "ATTEMPTS", "EXIT", columnTime, "CPU", "MEMORY", "READ", "WRITTEN", "HOST", "TITLE"}}
	for i := range run.Steps {
		s := &run.Steps[i]
		title := terminal.Clean(s.Title)
		last := &schema.Attempt{}
		if n := len(s.Attempts); n > 0 {
			last = &s.Attempts[n-1]
		}
		switch {
		case s.Reason != "":
			title += inv.style.Dim("  (" + reason(schema.Reason(s.Reason)) + ")")
		case s.Status == schema.StepFailed && reasons[last.Reason] != "":
			title += inv.style.Dim("  (" + reason(last.Reason) + ")")
		}
		t.Add(append(append([]any{"  " + terminal.Clean(s.ID), inv.stepStatus(s.Status), len(s.Attempts)}, figures(last, now)...), title)...)
		for j := range max(0, len(s.Attempts)-1) {
			a := &s.Attempts[j]
			t.Add(append(append([]any{fmt.Sprintf("    attempt %d", a.Number), terminal.Cell{Text: string(a.Status), Paint: inv.style.Dim}, ""}, figures(a, now)...),
				inv.style.Dim(reasons[a.Reason]))...)
		}
	}
	return t.Write(inv.stdout, inv.style)
}

// figures are cells that say how an attempt ended, what it used and where it ran; all empty
// when there is no attempt.
func figures(a *schema.Attempt, now time.Time) []any {
	if a.Number == 0 {
		return []any{"", "", "", "", "", "", ""}
	}
	exit := a.Signal
	if exit == "" && a.ExitCode != nil {
		exit = strconv.Itoa(*a.ExitCode)
	}
	took := time.Duration(a.DurationMS) * time.Millisecond
	if a.FinishedAt == nil {
		took = now.Sub(a.StartedAt.Time)
	} else if took == 0 {
		took = a.FinishedAt.Sub(a.StartedAt.Time)
	}
	size := func(n int64) string {
		if n <= 0 {
			return ""
		}
		return terminal.Bytes(n)
	}
	cpu := ""
	if a.CPUSeconds > 0 {
		cpu = terminal.Span(seconds(a.CPUSeconds))
	}
	return []any{exit, terminal.Span(took), cpu, size(a.MaxRSSBytes), size(a.ReadBytes), size(a.WriteBytes), terminal.Clean(a.Host)}
}

func runTime(run *schema.Run, now time.Time) time.Duration {
	if run.FinishedAt != nil {
		now = run.FinishedAt.Time
	}
	return now.Sub(run.StartedAt.Time)
}
