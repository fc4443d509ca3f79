package cli

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/holdfast/holdfast/cmd/holdfast/terminal"
	"github.com/holdfast/holdfast/schema"
)

// event shows one event. It leaves out events that mean nothing to a person, or that another
// event says better.
func (v *view) event(e schema.Event) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if e.Type == schema.EventOutput {
		if d, ok := payload[schema.OutputData](e); ok {
			v.output(e.StepID, d)
		}
		return
	}
	if e.Type == schema.EventStepProgress {
		v.progressed(e)
		return
	}
	var text string
	switch {
	case strings.HasPrefix(string(e.Type), "step_"):
		text = v.stepEvent(e)
	case strings.HasPrefix(string(e.Type), "workflow_"):
		text = v.workflowEvent(e)
	case strings.HasPrefix(string(e.Type), "approval_"):
		text = v.approvalEvent(e)
	default:
		text = v.otherEvent(e)
	}
	if text != "" {
		v.line(v.out, text)
	}
}

func payload[T any](e schema.Event) (T, bool) {
	var d T
	err := json.Unmarshal(e.Data, &d)
	return d, err == nil
}

func ms(n int64) string { return terminal.Span(time.Duration(n) * time.Millisecond) }

func (v *view) stepEvent(e schema.Event) string {
	s, id := v.style, terminal.Clean(e.StepID)
	switch e.Type {
	case schema.EventStepStarted:
		d, _ := payload[schema.StepStartedData](e)
		v.start(e.StepID)
		text := s.Bold("● "+id) + "  " + s.Dim(terminal.Short(commandLine(d.Command), 80))
		if d.Attempt > 1 {
			text += s.Dim(fmt.Sprintf("  (attempt %d)", d.Attempt))
		}
		return text
	case schema.EventStepReattached:
		return s.Dim("  " + id + ": a worker came back to it; nothing was lost")
	case schema.EventStepCompleted:
		d, _ := payload[schema.StepCompletedData](e)
		v.stop(e.StepID)
		return s.Green("✓ "+id) + s.Dim("  "+ms(d.DurationMS)+memory(d.MaxRSSBytes))
	case schema.EventStepFailed:
		d, _ := payload[schema.StepFailedData](e)
		v.stop(e.StepID)
		return s.Red("✗ "+id+": "+failure(d)) + s.Dim("  after "+ms(d.DurationMS)+memory(d.MaxRSSBytes))
	case schema.EventStepRetryStarted:
		d, _ := payload[schema.StepRetryStartedData](e)
		if lost(d.Reason) {
			v.stop(e.StepID)
			return s.Yellow(fmt.Sprintf("↻ %s: %s; attempt %d", id, reason(d.Reason), d.Attempt))
		}
		return s.Yellow(fmt.Sprintf("↻ %s: attempt %d", id, d.Attempt))
	case schema.EventStepRetryBackoff:
		d, _ := payload[schema.StepRetryBackoffData](e)
		return s.Dim(fmt.Sprintf("  %s: next attempt in %s", id, ms(d.BackoffMS)))
	case schema.EventStepRetryExhausted:
		d, _ := payload[schema.StepRetryExhaustedData](e)
		return s.Red(fmt.Sprintf("✗ %s: no attempt is left after %d", id, d.Attempts))
	default:
		return ""
	}
}

// commandLine is a command as in its plan: for a shell step, what the shell runs.
func commandLine(command []string) string {
	if len(command) == 3 && command[0] == "/bin/sh" && command[1] == "-c" {
		return terminal.Clean(command[2])
	}
	return terminal.Clean(strings.Join(command, " "))
}

// failure says why an attempt failed.
func failure(d schema.StepFailedData) string {
	var text string
	switch d.Reason {
	case schema.ReasonSignal:
		text = "ended by " + terminal.Clean(d.Signal)
	case schema.ReasonExit:
		text = "failed"
		if d.ExitCode != nil {
			text = fmt.Sprintf("exit code %d", *d.ExitCode)
		}
	default:
		text = reason(d.Reason)
	}
	if d.Message != "" {
		text += " (" + terminal.Clean(d.Message) + ")"
	}
	return text
}

func memory(bytes int64) string {
	if bytes <= 0 {
		return ""
	}
	return ", " + terminal.Bytes(bytes)
}

func (v *view) otherEvent(e schema.Event) string {
	s := v.style
	switch e.Type {
	case schema.EventPlanProposed:
		d, ok := payload[schema.PlanProposedData](e)
		if !ok || d.Plan == nil {
			return ""
		}
		return s.Dim("  plan: " + v.planned(d.Plan))
	case schema.EventDAGNodeStatusChanged:
		d, _ := payload[schema.DAGNodeStatusChangedData](e)
		if !worthALine(d) {
			return ""
		}
		text := "– " + terminal.Clean(d.NodeID) + ": " + string(d.NewStatus)
		if d.Reason != "" {
			text += " (" + terminal.Clean(d.Reason) + ")"
		}
		return s.Dim(text)
	case schema.EventAgentMessage:
		d, _ := payload[schema.AgentMessageData](e)
		return s.Bold(speaker(d)+": ") + terminal.CleanLines(d.Message)
	case schema.EventPlanUpdated:
		d, ok := payload[schema.PlanUpdatedData](e)
		if !ok || d.Plan == nil {
			return ""
		}
		return v.planUpdated(d)
	case schema.EventSessionForked:
		d, _ := payload[schema.SessionForkedData](e)
		text := "⑂ forked to session "
		if d.Direction == "from" {
			text = "⑂ forked from session "
		}
		text += short(d.SessionID)
		if d.StepID != "" {
			text += ", after " + terminal.Clean(d.StepID)
		}
		return s.Blue(text + by(d.Actor))
	case schema.EventSessionRenamed:
		d, _ := payload[schema.SessionRenamedData](e)
		return s.Dim("  renamed: " + terminal.Clean(d.Name))
	case schema.EventFileCreated:
		d, _ := payload[schema.FileChangedData](e)
		if size, shown := v.files[d.Path]; shown && size == d.Size {
			return "" // each of two concurrent steps reports it
		}
		v.files[d.Path] = d.Size
		return s.Dim("  file " + terminal.Clean(d.Path) + ", " + terminal.Bytes(d.Size))
	default:
		return ""
	}
}

// worthALine reports whether a change of a step's status says something that no other event says.
func worthALine(d schema.DAGNodeStatusChangedData) bool {
	switch d.NewStatus {
	case schema.StepSkipped, schema.StepCancelled:
		return true
	case schema.StepPending: // it is asked about again; the edit that led to this was shown
		return d.Reason != "" && !strings.HasPrefix(d.Reason, "edited by ")
	default:
		return false
	}
}

// planned lists a plan's step ids, and remembers the steps.
func (v *view) planned(plan *schema.Plan) string {
	ids := make([]string, 0, len(plan.Steps))
	for i := range plan.Steps {
		ids = append(ids, terminal.Clean(plan.Steps[i].ID))
		v.step(plan.Steps[i].ID)
	}
	return terminal.Short(strings.Join(ids, ", "), 100)
}

func (v *view) planUpdated(d schema.PlanUpdatedData) string {
	s := v.style
	if step, ok := d.Plan.Step(d.StepID); ok {
		return s.Blue("✎ "+terminal.Clean(d.StepID)+" was edited"+by(d.Actor)) + "  " + s.Dim(terminal.Short(commandLine(step.Command()), 80))
	}
	return s.Blue("✎ the plan was edited"+by(d.Actor)) + s.Dim("  plan: "+v.planned(d.Plan))
}

// speaker is who speaks in a conversation.
func speaker(d schema.AgentMessageData) string {
	if d.Role != "user" {
		return terminal.Clean(d.Agent)
	}
	who := terminal.Clean(d.Actor)
	if who == "" {
		who = "user"
	}
	if d.Number > 0 {
		return fmt.Sprintf("» message %d, %s", d.Number, who)
	}
	return "» " + who
}

// clock is a time of day in the user's own time zone.
func clock(t time.Time) string {
	return t.Local().Format("15:04:05") //nolint:gosmopolitan // the user's own time zone
}

func by(actor string) string {
	if actor == "" {
		return ""
	}
	return " by " + terminal.Clean(actor)
}
