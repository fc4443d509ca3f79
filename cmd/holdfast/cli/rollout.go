package cli

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

	"github.com/holdfast/holdfast/cmd/holdfast/settings"
	"github.com/holdfast/holdfast/cmd/holdfast/terminal"
	"github.com/holdfast/holdfast/logs"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/worker"
)

// buildID is a worker's build: the setting, or the program's version for auto.
func buildID(setting string) string {
	if setting == settings.AutoBuildID {
		return version()
	}
	return setting
}

type rolloutCmd struct {
	BuildID string   `help:"The build to roll out, as in its workers' HOLDFAST_BUILD_ID; unversioned for workers without one." name:"build-id" placeholder:"ID"`
	Percent *float32 `help:"Ramp the build: the percentage of sessions it gets, up to 100; 0 ends the ramp."         placeholder:"N"`
	JSON    bool     `help:"Print JSON."                                                                                        name:"json"`
}

// Help is shown by --help.
func (*rolloutCmd) Help() string {
	return "Without --build-id, shows which build gets the sessions and which workers ask for work. With it, open and new sessions go to that build from their next " +
		"step on; a rollback is the same with the old build. Talks to Temporal (settings TEMPORAL_*), not to the web server.\n\n" +
		example("holdfast rollout", "holdfast rollout --build-id v1.4.0 --percent 10", "holdfast rollout --build-id v1.4.0")
}

func (c *rolloutCmd) Run(inv *invocation) error {
	if c.Percent != nil && c.BuildID == "" {
		return usage("--percent needs --build-id: say which build to ramp")
	}
	if p := c.Percent; p != nil && !(*p >= 0 && *p <= 100) { // written so that NaN is refused
		return usage("--percent is from 0 to 100 (got %s)", strconv.FormatFloat(float64(*p), 'f', -1, 32))
	}
	set, err := settings.LoadRollout(inv.env)
	if err != nil {
		return err
	}
	options := set.Options
	options.Logger = worker.TemporalLogger(inv.logger(set.Logging).With(logs.KeyComponent, "rollout"))
	temporal, err := client.DialContext(inv.ctx, options)
	if err != nil {
		return fmt.Errorf("the Temporal at %s does not answer: %w", set.Options.HostPort, err)
	}
	defer temporal.Close()
	d, err := c.deploy(inv, temporal)
	if err != nil {
		return explained(err)
	}
	if c.JSON {
		inv.raw(schema.Marshal(d))
		return nil
	}
	switch {
	case c.BuildID == "":
	case c.Percent == nil:
		inv.printf("Sessions go to %s from now on.\n\n", terminal.Clean(d.Current))
	case *c.Percent == 0:
		inv.printf("The ramp of %s has ended; sessions go to %s.\n\n", terminal.Clean(c.BuildID), terminal.Clean(d.Current))
	default:
		inv.printf("%s of the sessions go to %s from now on, the others to %s.\n\n", percent(d.Percent), terminal.Clean(d.Ramping), terminal.Clean(d.Current))
	}
	return inv.builds(d)
}

func (c *rolloutCmd) deploy(inv *invocation, temporal client.Client) (*worker.Deployment, error) {
	if c.BuildID == "" {
		return worker.ReadDeployment(inv.ctx, temporal)
	}
	return worker.Rollout(inv.ctx, temporal, c.BuildID, c.Percent)
}

// explained explains the error of a Temporal that is too old.
func explained(err error) error {
	if _, ok := errors.AsType[*serviceerror.Unimplemented](err); ok {
		return fmt.Errorf("this Temporal has no Worker Deployments; a newer server is needed: %w", err)
	}
	return err
}

func (inv *invocation) builds(d *worker.Deployment) error {
	t := terminal.Table{Header: []string{"BUILD", "STATUS", "SINCE", "WORKERS"}}
	for i := range d.Builds {
		b := &d.Builds[i]
		status := terminal.Cell{Text: b.Status}
		switch b.Status {
		case worker.BuildCurrent:
			status.Paint = inv.style.Green
		case worker.BuildRamping:
			status.Text, status.Paint = "ramping "+percent(b.Percent), inv.style.Yellow
		}
		workers := terminal.Cell{Text: terminal.Clean(strings.Join(b.Workers, ", "))}
		if len(b.Workers) == 0 {
			workers.Text = "none"
			if b.Status == worker.BuildCurrent || b.Status == worker.BuildRamping {
				workers.Paint = inv.style.Red // the build's sessions stand still
			}
		}
		since := "-"
		if b.CreatedAt != nil {
			since = terminal.Ago(b.CreatedAt.Time, time.Now())
		}
		t.Add(terminal.Clean(b.ID), status, since, workers)
	}
	return t.Write(inv.stdout, inv.style)
}

func percent(p float32) string { return strconv.FormatFloat(float64(p), 'f', -1, 32) + "%" }
