package cli

import (
	"errors"
	"net/http"
	"strings"

	client "github.com/holdfast/holdfast/clients/go"
	"github.com/holdfast/holdfast/schema"
)

type sessionRenameCmd struct {
	server
	ID   string `arg:""                                     help:"The session's id, or its first 4 or more characters."`
	Name string `arg:""                                     help:"The new name."`
	JSON bool   `help:"Print the server's answer as it is." name:"json"`
}

// Help is shown by --help.
func (*sessionRenameCmd) Help() string {
	return example(`holdfast session rename 1f3a "spectrum, finer grid"`)
}

func (c *sessionRenameCmd) Run(inv *invocation) error {
	name := strings.TrimSpace(c.Name)
	if name == "" {
		return usage("the new name is empty")
	}
	api, id, err := c.session(inv, c.ID)
	if err != nil {
		return err
	}
	defer api.Close()
	answer, err := rename(inv, api, id, name)
	if p, ok := errors.AsType[*client.ProblemError](err); ok && p.Status == http.StatusConflict {
		answer, err = rename(inv, api, id, name) // somebody changed it between our two requests
	}
	if err != nil {
		return err
	}
	if c.JSON {
		inv.raw(answer.Raw)
		return nil
	}
	inv.printf("session %s renamed\n", short(id))
	return nil
}

// rename sends the version that it has just read, so that it does not overwrite somebody
// else's change unseen.
func rename(inv *invocation, api *client.Client, id, name string) (client.Answer[schema.Session], error) {
	s, err := api.Session(inv.ctx, id)
	if err != nil {
		return s, err
	}
	return api.Rename(inv.ctx, id, name, s.Value.Version)
}
