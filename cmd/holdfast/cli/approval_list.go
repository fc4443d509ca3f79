package cli

import (
	"fmt"

	client "github.com/holdfast/holdfast/clients/go"
	"github.com/holdfast/holdfast/cmd/holdfast/terminal"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/wire"
)

type approvalListCmd struct {
	server
	Session string `help:"Only those of this session."                                                          placeholder:"ID"`
	Status  string `default:"open"                                                                              enum:"open,pending,resolved,expired,cancelled,void,all" help:"open (pending, or expired but can be reopened), pending, resolved, expired, cancelled, void, or all."`
	Limit   int    `default:"50"                                                                                help:"The maximum number of results."`
	All     bool   `help:"All of them, not just the first page."                                                   xor:"pages"`
	Cursor  string `help:"Continue from a page's next_cursor."                                          placeholder:"CURSOR"                                    xor:"pages"`
	JSON    bool   `help:"Print the server's answer as it is; with --all, all pages as one list."     name:"json"`
}

// Help is shown by --help.
func (*approvalListCmd) Help() string {
	return "Open approvals are those that wait for a decision, and those that nobody answered in time, which suspended their session.\n\n" +
		example("holdfast approval list", "holdfast approval list --all", "holdfast approval list --session 1f3a --status all --json")
}

func (c *approvalListCmd) Run(inv *invocation) error {
	if c.Limit < 1 || c.Limit > maxPage {
		return usage("--limit is from 1 to %d (got %d); --all shows every one", maxPage, c.Limit)
	}
	api, err := c.client(inv)
	if err != nil {
		return err
	}
	defer api.Close()
	f := client.ApprovalFilter{Status: c.Status, Limit: c.Limit, Cursor: c.Cursor}
	if c.Session != "" {
		if f.SessionID, err = api.FindSession(inv.ctx, c.Session); err != nil {
			return err
		}
	}
	if f.Status == "all" {
		f.Status = ""
	}
	page, err := c.read(inv, api, f)
	if err != nil {
		return err
	}
	list := &page.Value
	switch {
	case c.JSON:
		inv.raw(page.Raw)
	case len(list.Approvals) == 0:
		inv.notef("Nothing waits for a decision.\n")
	default:
		if err := inv.approvals(list.Approvals); err != nil {
			return err
		}
	}
	if list.NextCursor != "" {
		inv.notef("%d of %d; --all shows every one\n", len(list.Approvals), list.Total)
	}
	return nil
}

// read reads one page, or every page with --all.
func (c *approvalListCmd) read(inv *invocation, api *client.Client, f client.ApprovalFilter) (client.Answer[wire.ApprovalList], error) {
	if c.All {
		f.Limit = maxPage
	}
	page, err := api.Approvals(inv.ctx, f)
	if err != nil || !c.All || page.Value.NextCursor == "" {
		return page, err
	}
	all := &page.Value
	for all.NextCursor != "" && all.NextCursor != f.Cursor {
		f.Cursor = all.NextCursor
		more, err := api.Approvals(inv.ctx, f)
		if err != nil {
			return page, err
		}
		all.Approvals = append(all.Approvals, more.Value.Approvals...)
		all.NextCursor = more.Value.NextCursor
	}
	all.NextCursor, all.Total = "", len(all.Approvals) // some may have come or gone meanwhile
	page.Raw = schema.Marshal(all)
	return page, nil
}

// approvals shows a table of them.
func (inv *invocation) approvals(list []schema.Approval) error {
	t := terminal.Table{Header: []string{"ID", "SESSION", "STEP", columnStatus, "EXPIRES", "ASKS"}}
	reopenable := false
	for i := range list {
		a := &list[i]
		reopenable = reopenable || a.Reopenable
		t.Add(short(a.ID), short(a.SessionID), dash(a.StepID), inv.approvalStatus(a), expires(a), terminal.Short(terminal.Clean(a.Description), 60))
	}
	if err := t.Write(inv.stdout, inv.style); err != nil {
		return err
	}
	if reopenable {
		inv.notef("What has expired is asked again after `holdfast approval reopen ID`.\n")
	}
	return nil
}

func (inv *invocation) approvalStatus(a *schema.Approval) terminal.Cell {
	switch {
	case a.Status == schema.ApprovalPending:
		return terminal.Cell{Text: string(a.Status), Paint: inv.style.Yellow}
	case a.Reopenable:
		return terminal.Cell{Text: "expired, resume to ask again", Paint: inv.style.Yellow}
	case a.Resolution != "":
		return terminal.Cell{Text: string(a.Resolution), Paint: inv.style.Dim}
	default:
		return terminal.Cell{Text: string(a.Status), Paint: inv.style.Dim}
	}
}

func expires(a *schema.Approval) string {
	if a.Status != schema.ApprovalPending {
		return "-"
	}
	return "in " + terminal.Span(seconds(a.RemainingSeconds))
}

type approvalReopenCmd struct {
	server
	ID   string `arg:""                                     help:"The approval's id, or its first 4 or more characters."`
	JSON bool   `help:"Print the server's answer as it is." name:"json"`
}

// Help is shown by --help.
func (*approvalReopenCmd) Help() string {
	return "Resumes the session that it suspended, which asks again as a new approval. It is not an error if that has already happened.\n\n" +
		example("holdfast approval reopen 9c0d")
}

func (c *approvalReopenCmd) Run(inv *invocation) error {
	api, id, err := c.approval(inv, c.ID)
	if err != nil {
		return err
	}
	defer api.Close()
	answer, err := api.ReopenApproval(inv.ctx, id)
	if err != nil {
		return fmt.Errorf("approval %s: %w", short(id), err)
	}
	if c.JSON {
		inv.raw(answer.Raw)
		return nil
	}
	inv.printf("approval %s reopened: session %s goes on, and asks again\n", short(id), short(answer.Value.SessionID))
	return nil
}

// reopenCommand is the command that asks an expired approval again.
func reopenCommand(a *schema.Approval) string { return "holdfast approval reopen " + short(a.ID) }
