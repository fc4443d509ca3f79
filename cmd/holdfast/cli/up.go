package cli

import (
	"strconv"

	"github.com/holdfast/holdfast/cmd/holdfast/settings"
	"github.com/holdfast/holdfast/cmd/holdfast/stack"
)

type upCmd struct {
	Addr           string `help:"Where the web server listens (setting HOLDFAST_ADDR); 127.0.0.1:8000, or a free port when that is taken." placeholder:"HOST:PORT"`
	DataDir        string `help:"Where everything is kept (setting HOLDFAST_DATA_DIR)."                                                    placeholder:"DIR"`
	TemporalUIPort int    `help:"The port of Temporal's Web UI; 8233, or a free one when that is taken."                                   name:"temporal-ui-port" placeholder:"N"`
}

// Help is shown by --help.
func (*upCmd) Help() string {
	return "Prints one line when all is ready. Ctrl-C stops everything in order; after a crash, the next start goes on where it was. " +
		"With HOLDFAST_DATABASE_URL or TEMPORAL_ADDRESS, that server is used and none is started.\n\n" +
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
	if env.Get(settings.EnvAddr) != "" {
		up.Addr = set.Addr // named: this one or none
	}
	if set.Named {
		up.TemporalAddress = set.Options.HostPort
	}
	return up.Run(inv.ctx)
}
