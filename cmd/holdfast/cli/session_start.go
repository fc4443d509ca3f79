package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/holdfast/holdfast/cmd/holdfast/client"
	"github.com/holdfast/holdfast/cmd/holdfast/terminal"
	"github.com/holdfast/holdfast/schema"
)

type sessionStartCmd struct {
	server
	Plan            string        `help:"The plan's file; - reads standard input."                                      placeholder:"FILE"     required:""`
	Name            string        `help:"The session's name; the file's when absent."                                   placeholder:"NAME"`
	ApprovalMode    string        `help:"Where to ask a person: none, after_planning, before_each_step, on_error, all." placeholder:"MODE"`
	ApprovalTimeout time.Duration `help:"How long an approval waits, such as 300s; the server's setting when absent."   placeholder:"DURATION"`
	OnTimeout       string        `help:"What an expired approval does: suspend, reject, approve; suspend when absent." placeholder:"POLICY"`
	Parallel        int           `help:"How many ready steps run at the same time; 2 when absent."                     placeholder:"N"`
	Watch           bool          `help:"Follow the session, and ask for its approvals here."                           short:"w"`
	JSON            bool          `help:"Print the server's answer as it is; with --watch, then one frame per line."    name:"json"`
}

// Help is shown by --help.
func (*sessionStartCmd) Help() string {
	return "The plan is checked here first; what is wrong is printed as FILE:LINE:COLUMN: message. " +
		"A server that is away for a moment is waited for, and never starts the session twice.\n\n" +
		"With --watch: " + outcomeHelp + " Approvals are asked for on a terminal; " +
		"elsewhere the answers are read from standard input, one line each, such as \"approve\" or \"reject because of the units\".\n\n" +
		example("holdfast session start --plan examples/hello.json --watch",
			"holdfast session start --plan plan.json --approval-mode after_planning --approval-timeout 24h --json",
			"generate-plan | holdfast session start --plan -")
}

func (c *sessionStartCmd) Run(inv *invocation) error {
	config, err := c.config()
	if err != nil {
		return err
	}
	plan, err := c.plan(inv)
	if err != nil {
		return err
	}
	api, err := c.client(inv)
	if err != nil {
		return err
	}
	defer api.Close()
	told := false
	api.OnRetry = func(err error, _ time.Duration) {
		if !told {
			inv.notef("holdfast: %s; trying again for %s\n", terminal.Clean(err.Error()), terminal.Span(api.Patience))
		}
		told = true
	}
	body := client.NewSession{Name: c.name(), Mode: schema.ModeRunbook, Plan: plan, Config: config}
	answer, err := api.CreateSession(inv.ctx, body, schema.NewID())
	if err != nil {
		return err
	}
	s := &answer.Value
	switch {
	case c.JSON:
		inv.raw(answer.Raw)
	default:
		inv.printf("session %s\n%s\n", s.ID, sessionURL(api, s.ID))
	}
	if !c.Watch {
		return nil
	}
	return (&watch{inv: inv, api: api, id: s.ID, json: c.JSON, ask: true, insist: true}).run()
}

func (c *sessionStartCmd) name() string {
	if c.Name != "" || c.Plan == "-" {
		return c.Name
	}
	return strings.TrimSuffix(filepath.Base(c.Plan), filepath.Ext(c.Plan))
}

// config is what the flags say, nil when they say nothing.
func (c *sessionStartCmd) config() (*schema.Config, error) {
	config := schema.Config{
		ApprovalMode: schema.ApprovalMode(c.ApprovalMode), ApprovalTimeoutSeconds: c.ApprovalTimeout.Seconds(),
		OnTimeout: schema.OnTimeout(c.OnTimeout), Parallel: c.Parallel,
	}
	flags := map[string]string{
		"config.approval_mode": "--approval-mode", "config.approval_timeout_seconds": "--approval-timeout",
		"config.on_timeout": "--on-timeout", "config.parallel": "--parallel",
	}
	for _, e := range config.Check("config") {
		return nil, usage("%s: %s (got %v)", flags[e.Location], e.Message, e.Value)
	}
	if config == (schema.Config{}) {
		return nil, nil //nolint:nilnil // no config is a config
	}
	return &config, nil
}

// plan reads and checks the plan's text. The server gets the text itself and checks it again.
func (c *sessionStartCmd) plan(inv *invocation) ([]byte, error) {
	name := c.Plan
	var text []byte
	var err error
	if name == "-" {
		name = "<stdin>"
		text, err = io.ReadAll(io.LimitReader(inv.stdin, schema.MaxPlanBytes+1))
	} else {
		text, err = readPlan(name)
	}
	if err != nil {
		return nil, usage("the plan cannot be read: %w", err)
	}
	plan, problems := schema.ParsePlan(text)
	if len(problems) == 0 {
		for _, e := range plan.Unsupported() {
			inv.notef("%s: %s: %s\n", name, e.Location, terminal.Clean(e.Message))
			err = errors.New("the plan asks for what this version cannot do; nothing was started")
		}
		return text, withUsage(err)
	}
	for _, p := range problems {
		inv.notef("%s:%d:%d: %s%s\n", name, p.Line, p.Column, where(p.Location), terminal.Clean(p.Message))
	}
	return nil, usage("the plan has %s; nothing was started", counted(len(problems), "problem"))
}

func withUsage(err error) error {
	if err == nil {
		return nil
	}
	return withCode(exitUsage, err)
}

func where(location string) string {
	if location == "" {
		return ""
	}
	return terminal.Clean(location) + ": "
}

// readPlan reads a file, one byte over the limit at most: a longer one is refused by its size.
func readPlan(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return nil, fmt.Errorf("%s is a folder", path)
	}
	return io.ReadAll(io.LimitReader(f, schema.MaxPlanBytes+1))
}
