package cli

import (
	"strings"
	"time"

	"github.com/holdfast/holdfast/cmd/holdfast/terminal"
	"github.com/holdfast/holdfast/schema"
)

type sessionAuditCmd struct {
	server
	ID     string `arg:""                                                 help:"The session's id, or its first 4 or more characters."`
	Cursor string `help:"Continue from a page's next_cursor."     placeholder:"CURSOR"`
	JSON   bool   `help:"Print the server's answer as it is." name:"json"`
}

// Help is shown by --help.
func (*sessionAuditCmd) Help() string {
	return "The oldest first: who started or forked it, then commands and decisions with who gave them, whether they were taken or ignored, and why.\n\n" +
		example("holdfast session audit 1f3a", "holdfast session audit 1f3a --json")
}

func (c *sessionAuditCmd) Run(inv *invocation) error {
	api, id, err := c.session(inv, c.ID)
	if err != nil {
		return err
	}
	defer api.Close()
	t := terminal.Table{Header: []string{columnTime, "ACTOR", "ACTION", "WHAT", "OUTCOME"}}
	for cursor := c.Cursor; ; {
		page, err := api.Audit(inv.ctx, id, cursor)
		if err != nil {
			return err
		}
		if c.JSON {
			inv.raw(page.Raw)
			if page.Value.NextCursor != "" {
				inv.notef("There are more: holdfast session audit %s --json --cursor %s\n", short(id), terminal.Clean(page.Value.NextCursor))
			}
			return nil
		}
		for i := range page.Value.Audit {
			a := &page.Value.Audit[i]
			t.Add(stamp(a.At.Time), dash(terminal.Clean(a.Actor)), strings.ReplaceAll(terminal.Clean(a.Action), "_", " "), audited(a), inv.auditOutcome(a.Outcome))
		}
		if page.Value.NextCursor == "" || page.Value.NextCursor == cursor {
			break
		}
		cursor = page.Value.NextCursor
	}
	return t.Write(inv.stdout, inv.style)
}

// audited is what an entry is about.
func audited(a *schema.AuditEntry) string {
	var parts []string
	add := func(part string) {
		if part != "" {
			parts = append(parts, terminal.Clean(part))
		}
	}
	add(string(a.Resolution))
	add(a.StepID)
	if a.ApprovalID != "" {
		add("approval " + short(a.ApprovalID))
	}
	text := strings.Join(parts, " ")
	if a.Detail != "" {
		if text != "" {
			text += ": "
		}
		text += terminal.Short(terminal.Clean(a.Detail), 80)
	}
	return dash(text)
}

func (inv *invocation) auditOutcome(o schema.AuditOutcome) terminal.Cell {
	paint := inv.style.Green
	if o != schema.AuditTaken {
		paint = inv.style.Yellow
	}
	return terminal.Cell{Text: terminal.Clean(string(o)), Paint: paint}
}

// stamp is a time in the user's own time zone.
func stamp(t time.Time) string {
	return t.Local().Format("2006-01-02 15:04:05") //nolint:gosmopolitan // the user's own time zone
}
