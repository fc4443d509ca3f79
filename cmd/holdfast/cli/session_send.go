package cli

import (
	"io"
	"strings"

	client "github.com/holdfast/holdfast/clients/go"
	"github.com/holdfast/holdfast/cmd/holdfast/terminal"
	"github.com/holdfast/holdfast/schema"
)

type sessionSendCmd struct {
	server
	ID    string `arg:""                                                                            help:"The session's id, or its first 4 or more characters."`
	Text  string `arg:""                                                                            help:"The message; standard input when absent or -."        optional:""`
	Watch bool   `help:"Follow the run that answers it, and ask for its approvals here."            short:"w"`
	JSON  bool   `help:"Print the server's answer as it is; with --watch, then one frame per line." name:"json"`
}

// Help is shown by --help.
func (*sessionSendCmd) Help() string {
	return "A run of the session's latest plan answers the message; its steps find the text in HOLDFAST_MESSAGE. " +
		"While a run is under way, the session's --when-busy decides: the message is queued, interrupts the run, or is refused. A message never decides an approval.\n\n" +
		"With --watch: " + watchOneHelp + " If the message is dropped because the session is cancelled first, it ends with 3.\n\n" +
		example(`holdfast session send 1f3a "the same with a finer grid" --watch`, "holdfast session send 1f3a --json < question.txt")
}

func (c *sessionSendCmd) Run(inv *invocation) error {
	text, err := c.text(inv)
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
	answer, err := api.SendMessage(inv.ctx, id, text)
	if err != nil {
		return err
	}
	n := answer.Value.Number
	if c.JSON {
		inv.raw(answer.Raw)
	} else {
		inv.printf("message %d to session %s %s\n", n, short(id), answer.Value.Status)
	}
	if !c.Watch {
		return nil
	}
	return (&watch{inv: inv, api: api, id: id, json: c.JSON, ask: true, follow: client.Follow{Since: since, Insist: true, Message: n}}).run()
}

// text is the message, without the trailing line end of files and terminals.
func (c *sessionSendCmd) text(inv *invocation) (string, error) {
	text := c.Text
	if text == "" || text == "-" {
		if terminal.IsTerminal(inv.stdin) {
			inv.notef("Type the message; Ctrl-D on a line of its own ends it.\n")
		}
		all, err := io.ReadAll(io.LimitReader(inv.stdin, schema.MaxMessageBytes+2))
		if err != nil {
			return "", usage("the message cannot be read: %w", err)
		}
		text = strings.TrimSuffix(strings.TrimSuffix(string(all), "\n"), "\r")
	}
	switch {
	case strings.TrimSpace(text) == "":
		return "", usage("the message is empty")
	case len(text) > schema.MaxMessageBytes:
		return "", usage("a message has at most %d bytes", schema.MaxMessageBytes)
	}
	return text, nil
}
