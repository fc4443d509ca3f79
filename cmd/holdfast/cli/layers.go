package cli

import (
	"fmt"
	"log/slog"
	"runtime"

	"github.com/holdfast/holdfast/activities/runner/sandbox"
	"github.com/holdfast/holdfast/activities/runner/supervisor"
	"github.com/holdfast/holdfast/cmd/holdfast/settings"
	"github.com/holdfast/holdfast/cmd/holdfast/terminal"
)

// probeLayers finds out which layers of isolation this host has.
func probeLayers() []sandbox.Status {
	program, err := supervisor.Program()
	if err != nil {
		return nil
	}
	return sandbox.Probe(program)
}

func layersTable(inv *invocation, layers []sandbox.Status) error {
	if _, err := fmt.Fprintln(inv.stdout); err != nil {
		return err
	}
	t := terminal.Table{Header: []string{"ISOLATION OF STEPS", "ON", "WHY NOT"}}
	for _, l := range layers {
		on := terminal.Cell{Text: "yes", Paint: inv.style.Green}
		if !l.On {
			on = terminal.Cell{Text: "no", Paint: inv.style.Yellow}
		}
		t.Add(string(l.Layer), on, terminal.Cell{Text: dash(l.Why), Paint: inv.style.Dim})
	}
	return t.Write(inv.stdout, inv.style)
}

// sayLayers logs, once at a worker's start, how well its steps are isolated.
func sayLayers(log *slog.Logger, mode sandbox.Mode) {
	if mode == sandbox.Off {
		log.Warn("steps are not isolated: they run with this worker's rights", "setting", settings.EnvSandbox, "mode", mode)
		return
	}
	missing := map[string]string{}
	lost := false
	layers := probeLayers()
	for _, l := range layers {
		if !l.On {
			missing[string(l.Layer)] = l.Why
			lost = lost || l.Layer.Required()
		}
	}
	switch {
	case len(mode.Refused(layers)) > 0:
		log.Error("every step will be refused: this host lacks layers of the sandbox", "missing", missing, "setting", settings.EnvSandbox, "mode", mode,
			"mend", "docs/sandbox.md says what a host needs; weakened or off run steps without")
	case runtime.GOOS != "linux":
		log.Warn("steps are processes of their own and no more: isolation needs Linux")
	case lost && mode == sandbox.Weakened:
		log.Warn("steps are isolated in part: this host lacks layers of the sandbox", "missing", missing, "memory", memoryHeldBy(missing))
	default:
		log.Info("steps are isolated", "mode", mode, "missing", missing, "memory", memoryHeldBy(missing))
	}
}

// memoryHeldBy says what limits a step's memory, and whether that sees all of it.
func memoryHeldBy(missing map[string]string) string {
	if _, lacks := missing[string(sandbox.LayerCgroupMemory)]; lacks {
		return "a watchdog, which does not see memory in files that are on their way through a socket (docs/sandbox.md, Limits)"
	}
	return "the kernel"
}
