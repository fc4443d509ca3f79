package cli

import (
	"context"
	"fmt"
	"time"

	"go.temporal.io/sdk/client"

	"github.com/holdfast/holdfast/cmd/holdfast/settings"
	"github.com/holdfast/holdfast/logs"
	"github.com/holdfast/holdfast/worker"
)

// checkPatience is shorter than the usual timeout of a health check.
const checkPatience = 5 * time.Second

// check is a health check of the data folder's worker.
func (*workerCmd) check(inv *invocation) error {
	dataDir, err := settings.LoadDrain(inv.env)
	if err != nil {
		return err
	}
	set, err := settings.LoadRollout(inv.env)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(inv.ctx, checkPatience)
	defer cancel()
	options := set.Options
	options.Logger = worker.TemporalLogger(inv.logger(set.Logging).With(logs.KeyComponent, "check"))
	temporal, err := client.DialContext(ctx, options)
	if err != nil {
		return fmt.Errorf("the Temporal at %s does not answer: %w", set.Options.HostPort, err)
	}
	defer temporal.Close()
	if err := worker.Check(ctx, temporal, dataDir); err != nil {
		return err
	}
	inv.printf("the worker runs, and Temporal hears of it\n")
	return nil
}
