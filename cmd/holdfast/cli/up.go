package cli

import (
	"context"
	"strconv"

	"github.com/holdfast/holdfast/cmd/holdfast/settings"
	"github.com/holdfast/holdfast/cmd/holdfast/stack"
	"github.com/holdfast/holdfast/cmd/holdfast/terminal"
)

type upCmd struct {
	Addr           string `help:"Where the web server listens (setting HOLDFAST_ADDR); 127.0.0.1:8000, or a free port when that is taken." placeholder:"HOST:PORT"`
	DataDir        string `help:"Where everything is kept (setting HOLDFAST_DATA_DIR)."                                                    placeholder:"DIR"`
	TemporalUIPort int    `help:"The port of Temporal's Web UI; 8233, or a free one when that is taken."                                   name:"temporal-ui-port" placeholder:"N"`
}

// Help is shown by --help.
func (*upCmd) Help() string {
	return "Prints one line when everything is ready. Ctrl-C stops everything in order, except for running steps: they go on by themselves, for an hour at most (HOLDFAST_ORPHAN_TIMEOUT), and the next " +
		"start picks them up, as after a crash. On a terminal it asks first: keep them running, wait for them, or stop them; HOLDFAST_STEPS_ON_STOP answers in advance. " +
		"With HOLDFAST_DATABASE_URL or TEMPORAL_ADDRESS, it uses that server instead of starting one.\n\n" +
		example("holdfast up", "holdfast up --addr 127.0.0.1:9000 --data-dir ./data")
}

func (c *upCmd) Run(inv *invocation) error {
	if c.TemporalUIPort < 0 || c.TemporalUIPort > 65535 {
		return usage("--temporal-ui-port is a port from 1 to 65535 (got %s)", strconv.Itoa(c.TemporalUIPort))
	}
	env := inv.env.WithFlag(settings.EnvAddr, c.Addr).WithFlag(settings.EnvDataDir, c.DataDir)
	set, err := settings.LoadStack(env)
	if err != nil {
		return err
	}
	up := &stack.Up{
		DataDir: set.DataDir, TemporalUIPort: c.TemporalUIPort, DatabaseURL: set.DatabaseURL,
		Stdout: inv.stdout, Stderr: inv.stderr, Log: inv.logger(set.Logging),
	}
	settings.WarnUnknown(env, up.Log)
	for _, m := range settings.Unknown(env) {
		up.Unset = append(up.Unset, m.Name) // one warning is enough: its parts need not see it
	}
	if env.Get(settings.EnvAddr) != "" {
		up.Addr = set.Addr // given explicitly: this one or none
	}
	if v := env.Get(settings.EnvStepsOnStop); v != "" {
		up.EndSteps, up.KeepSteps = v == "end", v != "end"
	}
	if terminal.IsTerminal(inv.stdin) && terminal.IsTerminal(inv.stderr) {
		up.Ask = func(ctx context.Context, question string) (string, bool) {
			inv.notef("\n%s", question)
			return terminal.ReadLine(ctx, inv.stdin)
		}
	}
	if set.Named {
		up.TemporalAddress = set.Options.HostPort
	}
	return up.Run(inv.ctx)
}
