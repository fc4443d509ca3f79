package cli

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/holdfast/holdfast/cmd/holdfast/settings"
	"github.com/holdfast/holdfast/cmd/holdfast/terminal"
	"github.com/holdfast/holdfast/worker"
)

const defaultDrainTimeout = 10 * time.Minute

// drain tells the data folder's worker to finish and end, and prints its progress.
func (c *workerCmd) drain(inv *invocation) error {
	dataDir, err := settings.LoadDrain(inv.env)
	if err != nil {
		return err
	}
	timeout := cmp.Or(c.Timeout, defaultDrainTimeout)
	if timeout < 0 {
		return usage("--timeout is %s; allowed is a duration such as 90s or 1h", timeout)
	}
	var said *worker.DrainProgress
	last, err := worker.Drain(inv.ctx, dataDir, timeout, func(p worker.DrainProgress) {
		if said != nil && said.State == p.State && slices.Equal(said.Running, p.Running) {
			return
		}
		said = &p
		switch {
		case c.JSON:
			if line, err := json.Marshal(p); err == nil {
				inv.raw(line)
			}
		case p.State == worker.Draining:
			inv.printf("%s: %s\n", stillRun(p.Running), steps(p.Running))
		default:
		}
	})
	if err != nil {
		return err
	}
	switch last.State {
	case worker.Drained:
		if !c.JSON {
			inv.printf("drained: the worker of host %s has ended\n", terminal.Clean(last.Host))
		}
		return nil
	case worker.Ended:
		return fmt.Errorf("%s after %s, and ended with the worker of host %s; they start again: %s", stillRan(last.Running), timeout, last.Host, steps(last.Running))
	default:
		return fmt.Errorf("%s after %s; the worker of host %s has ended, and they go on for the next one there: %s", stillRan(last.Running), timeout, last.Host, steps(last.Running))
	}
}

func stillRun(list []worker.DrainedStep) string {
	if len(list) == 1 {
		return "1 step still runs"
	}
	return fmt.Sprintf("%d steps still run", len(list))
}

func stillRan(list []worker.DrainedStep) string {
	if len(list) == 1 {
		return "1 step still ran"
	}
	return fmt.Sprintf("%d steps still ran", len(list))
}

// steps names the first few, with their sessions.
func steps(list []worker.DrainedStep) string {
	const most = 8
	var names []string
	for i := range list[:min(len(list), most)] {
		names = append(names, fmt.Sprintf("%s of session %s", terminal.Clean(list[i].StepID), short(list[i].SessionID)))
	}
	if more := len(list) - most; more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(names, ", ")
}
