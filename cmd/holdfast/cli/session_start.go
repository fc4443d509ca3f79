package cli

import (
	"path/filepath"
	"strings"
	"time"

	client "github.com/holdfast/holdfast/clients/go"
	"github.com/holdfast/holdfast/cmd/holdfast/terminal"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/wire"
)

type sessionStartCmd struct {
	server
	Plan              string        `help:"The plan's file; - reads standard input."                                                                      placeholder:"FILE"     required:""`
	Name              string        `help:"The session's name; the file's when absent."                                                                   placeholder:"NAME"`
	ApprovalMode      string        `help:"Where to ask a person: none, after_planning, before_each_step, on_error, all."                                 placeholder:"MODE"`
	ApprovalTimeout   time.Duration `help:"How long an approval waits, such as 300s; when absent 24h, or the server's setting HOLDFAST_APPROVAL_TIMEOUT."                                   placeholder:"DURATION"`
	OnTimeout         string        `help:"What an expired approval does: suspend, reject, approve, escalate; suspend when absent."                       placeholder:"POLICY"`
	EscalationTimeout time.Duration `help:"How long an escalated approval waits, such as 20m; four times its first time when absent."                     placeholder:"DURATION"`
	OnModified        string        `help:"Whether an edited plan or step needs approval again (ask), or the edit is the approval (approve); ask when absent." placeholder:"POLICY"`
	Parallel          int           `help:"How many ready steps run at the same time; 2 when absent."                                                     placeholder:"N"`
	RunTimeout        time.Duration `help:"How long a run may take while it is not suspended, such as 2h; no limit when absent."                          placeholder:"DURATION"`
	WhenBusy          string        `help:"What a message does while a run is under way: enqueue, interrupt, reject; enqueue when absent."                placeholder:"POLICY"`
	SessionTTL        time.Duration `help:"How long the session is kept open while nobody uses it, such as 720h; the server's setting when absent."       name:"session-ttl"     placeholder:"DURATION"`
	Watch             bool          `help:"Follow the session, and ask for its approvals here."                                                           short:"w"`
	JSON              bool          `help:"Print the server's answer as it is; with --watch, then one frame per line."                                    name:"json"`
}

// Help is shown by --help.
func (*sessionStartCmd) Help() string {
	return "The plan is checked here first; problems are printed as FILE:LINE:COLUMN: message. " +
		"If the server is away for a moment, the command waits; the session never starts twice.\n\n" +
		"With --watch: " + outcomeHelp + " " + askHelp + "\n\n" +
		example("holdfast session start --plan examples/hello.json --watch",
			"holdfast session start --plan plan.json --approval-mode after_planning --approval-timeout 24h --json",
			"holdfast session start --plan plan.json --on-timeout escalate --escalation-timeout 2h --session-ttl 720h",
			"generate-plan | holdfast session start --plan -")
}

func (c *sessionStartCmd) Run(inv *invocation) error {
	config, err := c.config()
	if err != nil {
		return err
	}
	plan, err := inv.readPlan(c.Plan, "nothing was started")
	if err != nil {
		return err
	}
	api, err := c.client(inv)
	if err != nil {
		return err
	}
	defer api.Close()
	inv.patient(api)
	body := wire.NewSession{Name: c.name(), Mode: schema.ModeRunbook, Plan: plan, Config: config, Attended: true}
	answer, err := api.CreateSession(inv.ctx, body, schema.NewID())
	if err != nil {
		return err
	}
	return inv.started(api, answer, c.JSON, c.Watch)
}

// started prints a new session, and follows its first run.
func (inv *invocation) started(api *client.Client, answer client.Answer[schema.Session], json, follow bool) error {
	id := answer.Value.ID
	if json {
		inv.raw(answer.Raw)
	} else {
		inv.printf("session %s\n%s\n", id, sessionURL(api, id))
	}
	if !follow {
		return nil
	}
	return (&watch{inv: inv, api: api, id: id, json: json, ask: true, follow: client.Follow{Insist: true, First: true}}).run()
}

// patient says once that a request is being retried, and for how long.
func (inv *invocation) patient(api *client.Client) {
	told := false
	api.OnRetry = func(err error, _ time.Duration) {
		if !told {
			inv.notef("holdfast: %s; trying again for %s\n", terminal.Clean(err.Error()), terminal.Span(api.Patience))
		}
		told = true
	}
}

func (c *sessionStartCmd) name() string {
	if c.Name != "" || c.Plan == "-" {
		return c.Name
	}
	return strings.TrimSuffix(filepath.Base(c.Plan), filepath.Ext(c.Plan))
}

// config is what the flags say.
func (c *sessionStartCmd) config() (schema.Config, error) {
	config := schema.Config{
		ApprovalMode: schema.ApprovalMode(c.ApprovalMode), ApprovalTimeoutSeconds: c.ApprovalTimeout.Seconds(),
		OnTimeout: schema.OnTimeout(c.OnTimeout), EscalationTimeout: lasting(c.EscalationTimeout),
		OnModified: schema.OnModified(c.OnModified), Parallel: c.Parallel, RunTimeout: lasting(c.RunTimeout),
		WhenBusy: schema.WhenBusy(c.WhenBusy), SessionTTL: lasting(c.SessionTTL),
	}
	flags := map[string]string{"config.approval_timeout_seconds": "--approval-timeout"}
	if errs := config.Check("config"); len(errs) > 0 {
		flag := flags[errs[0].Location]
		if flag == "" { // the flag has the field's name
			flag = "--" + strings.ReplaceAll(strings.TrimPrefix(errs[0].Location, "config."), "_", "-")
		}
		return config, usage("%s: %s (got %v)", flag, errs[0].Message, errs[0].Value)
	}
	return config, nil
}

// lasting is a duration as written in a config: 2h rather than 2h0m0s, "" for none.
func lasting(d time.Duration) string {
	if d == 0 {
		return ""
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
