package cli

import (
	"fmt"
	"strings"

	"github.com/holdfast/holdfast/cmd/holdfast/terminal"
	"github.com/holdfast/holdfast/schema"
)

// workflowEvent shows how runs begin and end.
func (v *view) workflowEvent(e schema.Event) string {
	s := v.style
	switch e.Type {
	case schema.EventWorkflowStarted:
		d, _ := payload[schema.WorkflowStartedData](e)
		v.inRun = true
		text := s.Bold(fmt.Sprintf("▶ run %d", max(d.RunNumber, 1)))
		if d.Message > 0 {
			text += s.Dim(fmt.Sprintf("  for message %d", d.Message))
		}
		return text
	case schema.EventWorkflowPaused:
		d, _ := payload[schema.WorkflowPausedData](e)
		why := by(d.Actor)
		if d.Reason == schema.PausedApprovalExpired {
			why = ": an approval expired"
		}
		return s.Yellow("‖ suspended"+why) + s.Dim("; go on with `holdfast session resume "+short(e.SessionID)+"`")
	case schema.EventWorkflowResumed:
		d, _ := payload[schema.WorkflowResumedData](e)
		return s.Blue("▶ resumed" + by(d.Actor))
	case schema.EventWorkflowStateChanged:
		d, _ := payload[schema.WorkflowStateChangedData](e)
		if d.Status == schema.SessionExpired && !v.inRun { // if a run is under way, the event that closes it says so
			return s.Red("✗ expired: nobody has used the session for its time to live")
		}
		return ""
	case schema.EventWorkflowCompleted:
		d, _ := payload[schema.WorkflowCompletedData](e)
		v.inRun = false
		if d.FailedSteps > 0 {
			return s.Yellow("⚠ "+completedWithout(d.FailedSteps, d.Steps)) + s.Dim(" after "+ms(d.DurationMS))
		}
		return s.Green("✓ completed") + s.Dim(" in "+ms(d.DurationMS))
	case schema.EventWorkflowFailed:
		d, _ := payload[schema.WorkflowFailedData](e)
		v.inRun = false
		return s.Red("✗ failed: "+terminal.Clean(d.Error)) + s.Dim(" after "+ms(d.DurationMS))
	case schema.EventWorkflowCancelled:
		d, _ := payload[schema.WorkflowCancelledData](e)
		v.inRun = false
		return s.Red(cancelled(d)) + s.Dim("; "+receipt(&d.Receipt))
	default:
		return ""
	}
}

func cancelled(d schema.WorkflowCancelledData) string {
	switch d.Reason {
	case "":
		return "✗ cancelled" + by(d.Actor)
	case "interrupted":
		return "✗ interrupted by a message" + from(d.Actor)
	case "expired":
		return "✗ expired: nobody has used the session for its time to live"
	default:
		return "✗ cancelled" + by(d.Actor) + ": " + terminal.Clean(strings.ReplaceAll(d.Reason, "_", " "))
	}
}

func from(actor string) string {
	if actor == "" {
		return ""
	}
	return " from " + terminal.Clean(actor)
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
	case schema.EventApprovalExtended:
		d, _ := payload[schema.ApprovalExtendedData](e)
		return s.Blue("! approval "+short(d.ApprovalID)+": "+terminal.Span(seconds(d.Seconds))+" more"+by(d.Actor)) + s.Dim(", until "+clock(d.ExpiresAt.Time))
	case schema.EventApprovalEscalated:
		d, _ := payload[schema.ApprovalEscalatedData](e)
		return v.escalated(d)
	case schema.EventApprovalExpired:
		d, _ := payload[schema.ApprovalExpiredData](e)
		return v.approvalExpired(d)
	default:
		return ""
	}
}

// escalated is the loudest line: on a terminal it also rings the bell.
func (v *view) escalated(d schema.ApprovalEscalatedData) string {
	text := "!! NOBODY HAS ANSWERED approval " + short(d.ApprovalID) + ": the last deadline is " + clock(d.ExpiresAt.Time)
	if v.tty {
		text = "\a" + v.style.Bold(v.style.Red(text))
	}
	return text + v.style.Dim("; see `holdfast approval show "+short(d.ApprovalID)+"`")
}

func (v *view) approvalExpired(d schema.ApprovalExpiredData) string {
	s, what := v.style, "! approval "+short(d.ApprovalID)
	switch d.Reason {
	case "", "timeout":
		if d.OnTimeout == schema.OnTimeoutReject || d.OnTimeout == schema.OnTimeoutApprove {
			return s.Yellow(what+" expired") + s.Dim(", which counts as "+map[schema.OnTimeout]string{schema.OnTimeoutReject: "rejected", schema.OnTimeoutApprove: "approved"}[d.OnTimeout])
		}
		return s.Yellow(what + " expired")
	case "plan_changed":
		return s.Yellow(what + " is void: asked again because the plan has changed")
	default:
		return s.Dim(what + " closed: " + terminal.Clean(strings.ReplaceAll(d.Reason, "_", " ")))
	}
}
