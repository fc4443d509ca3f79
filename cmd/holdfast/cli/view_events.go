package cli

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/holdfast/holdfast/cmd/holdfast/terminal"
	"github.com/holdfast/holdfast/schema"
)

// event shows one event. Events that say nothing to a person, or nothing that another one
// does not say better, are left out.
func (v *view) event(e schema.Event) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if e.Type == schema.EventOutput {
		if d, ok := payload[schema.OutputData](e); ok {
			v.output(e.StepID, d)
		}
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

func (v *view) workflowEvent(e schema.Event) string {
	s := v.style
	switch e.Type {
	case schema.EventWorkflowStarted:
		d, _ := payload[schema.WorkflowStartedData](e)
		return s.Bold(fmt.Sprintf("▶ run %d", max(d.RunNumber, 1)))
	case schema.EventWorkflowPaused:
		d, _ := payload[schema.WorkflowPausedData](e)
		why := by(d.Actor)
		if d.Reason == "approval_expired" {
			why = ": an approval expired"
		}
		return s.Yellow("‖ suspended"+why) + s.Dim("; go on with `holdfast session resume "+short(e.SessionID)+"`")
	case schema.EventWorkflowResumed:
		d, _ := payload[schema.WorkflowResumedData](e)
		return s.Blue("▶ resumed" + by(d.Actor))
	case schema.EventWorkflowCompleted:
		d, _ := payload[schema.WorkflowCompletedData](e)
		return s.Green("✓ completed") + s.Dim(" in "+ms(d.DurationMS))
	case schema.EventWorkflowFailed:
		d, _ := payload[schema.WorkflowFailedData](e)
		return s.Red("✗ failed: "+terminal.Clean(d.Error)) + s.Dim(" after "+ms(d.DurationMS))
	case schema.EventWorkflowCancelled:
		d, _ := payload[schema.WorkflowCancelledData](e)
		return s.Red("✗ cancelled"+by(d.Actor)) + s.Dim("; "+receipt(&d.Receipt))
	default:
		return ""
	}
}

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
		if d.Reason == schema.ReasonWorkerLost {
			v.stop(e.StepID)
			return s.Yellow(fmt.Sprintf("↻ %s: its worker was lost; attempt %d", id, d.Attempt))
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

// commandLine is a command as its plan gives it: a shell step's is what the shell runs.
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
	case schema.ReasonTimeout:
		text = "its time was over"
	case schema.ReasonStart:
		text = "it could not be started"
	case schema.ReasonWorkerLost:
		text = "its worker was lost"
	case schema.ReasonOutOfMemory:
		text = "it ran out of memory"
	case schema.ReasonSignal:
		text = "ended by " + terminal.Clean(d.Signal)
	case schema.ReasonExit:
		text = "failed"
		if d.ExitCode != nil {
			text = fmt.Sprintf("exit code %d", *d.ExitCode)
		}
	default:
		text = strings.ReplaceAll(string(d.Reason), "_", " ")
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

func (v *view) approvalEvent(e schema.Event) string {
	s := v.style
	switch e.Type {
	case schema.EventApprovalRequested:
		d, _ := payload[schema.ApprovalRequestedData](e)
		return s.Yellow("? "+terminal.Short(terminal.Clean(d.Description), 110)) + s.Dim("  approval "+short(d.ApprovalID)+", until "+clock(d.ExpiresAt.Time))
	case schema.EventApprovalReceived:
		d, _ := payload[schema.ApprovalReceivedData](e)
		text := "! " + string(d.Resolution) + by(d.Actor)
		if d.Feedback != "" {
			text += ": " + terminal.Clean(d.Feedback)
		}
		if d.Resolution == schema.ResolutionRejected || d.Resolution == schema.ResolutionAbort {
			return s.Red(terminal.Clean(text))
		}
		return s.Green(terminal.Clean(text))
	case schema.EventApprovalExpired:
		d, _ := payload[schema.ApprovalExpiredData](e)
		if d.Reason != "" && d.Reason != "timeout" {
			return s.Dim("! approval " + short(d.ApprovalID) + " closed: " + terminal.Clean(strings.ReplaceAll(d.Reason, "_", " ")))
		}
		return s.Yellow("! approval " + short(d.ApprovalID) + " expired")
	default:
		return ""
	}
}

func (v *view) otherEvent(e schema.Event) string {
	s := v.style
	switch e.Type {
	case schema.EventPlanProposed:
		d, ok := payload[schema.PlanProposedData](e)
		if !ok || d.Plan == nil {
			return ""
		}
		ids := make([]string, 0, len(d.Plan.Steps))
		for i := range d.Plan.Steps {
			ids = append(ids, terminal.Clean(d.Plan.Steps[i].ID))
			v.step(d.Plan.Steps[i].ID)
		}
		return s.Dim("  plan: " + terminal.Short(strings.Join(ids, ", "), 100))
	case schema.EventDAGNodeStatusChanged:
		d, _ := payload[schema.DAGNodeStatusChangedData](e)
		if d.NewStatus != schema.StepSkipped && d.NewStatus != schema.StepCancelled {
			return ""
		}
		text := "– " + terminal.Clean(d.NodeID) + ": " + string(d.NewStatus)
		if d.Reason != "" {
			text += " (" + terminal.Clean(d.Reason) + ")"
		}
		return s.Dim(text)
	case schema.EventAgentMessage:
		d, _ := payload[struct {
			Agent   string `json:"agent"`
			Message string `json:"message"`
		}](e)
		return s.Bold(terminal.Clean(d.Agent)+": ") + terminal.CleanLines(d.Message)
	case schema.EventFileCreated:
		d, _ := payload[schema.FileChangedData](e)
		if size, shown := v.files[d.Path]; shown && size == d.Size {
			return "" // of two steps at the same time, each reports it
		}
		v.files[d.Path] = d.Size
		return s.Dim("  file " + terminal.Clean(d.Path) + ", " + terminal.Bytes(d.Size))
	default:
		return ""
	}
}

// clock is a time of day as the person at the terminal reads it.
func clock(t time.Time) string {
	return t.Local().Format("15:04:05") //nolint:gosmopolitan // that person's own
}

func by(actor string) string {
	if actor == "" {
		return ""
	}
	return " by " + terminal.Clean(actor)
}
