package schema

import (
	"encoding/json"
	"time"
)

// EventType names what an event reports.
type EventType string

// The types of stored events.
const (
	EventWorkflowStarted      EventType = "workflow_started"
	EventWorkflowStateChanged EventType = "workflow_state_changed"
	EventWorkflowPaused       EventType = "workflow_paused"
	EventWorkflowResumed      EventType = "workflow_resumed"
	EventWorkflowCompleted    EventType = "workflow_completed"
	EventWorkflowFailed       EventType = "workflow_failed"
	EventWorkflowCancelled    EventType = "workflow_cancelled"
	EventPlanProposed         EventType = "plan_proposed"
	EventPlanUpdated          EventType = "plan_updated"
	EventDAGCreated           EventType = "dag_created"
	EventDAGUpdated           EventType = "dag_updated"
	EventDAGNodeStatusChanged EventType = "dag_node_status_changed"
	EventStepStarted          EventType = "step_started"
	EventStepProgress         EventType = "step_progress"
	EventStepReattached       EventType = "step_reattached"
	EventStepCompleted        EventType = "step_completed"
	EventStepFailed           EventType = "step_failed"
	EventStepRetryStarted     EventType = "step_retry_started"
	EventStepRetryBackoff     EventType = "step_retry_backoff"
	EventStepRetrySucceeded   EventType = "step_retry_succeeded"
	EventStepRetryExhausted   EventType = "step_retry_exhausted"
	EventOutput               EventType = "output"
	EventApprovalRequested    EventType = "approval_requested"
	EventApprovalReceived     EventType = "approval_received"
	EventApprovalExtended     EventType = "approval_extended"
	EventApprovalEscalated    EventType = "approval_escalated"
	EventApprovalExpired      EventType = "approval_expired"
	EventAgentMessage         EventType = "agent_message"
	EventMessageDropped       EventType = "message_dropped"
	EventFileCreated          EventType = "file_created"
	EventFileUpdated          EventType = "file_updated"
	EventSessionRenamed       EventType = "session_renamed"
	EventSessionForked        EventType = "session_forked"
)

// Payload ties a type of event to the struct of its data.
type Payload struct {
	Type EventType
	Data any
}

// PausedApprovalExpired is the reason of a session that suspended itself because nobody answered in time.
const PausedApprovalExpired = string(EventApprovalExpired)

// Events lists every type of stored event with its payload.
var Events = []Payload{
	{EventWorkflowStarted, WorkflowStartedData{}},
	{EventWorkflowStateChanged, WorkflowStateChangedData{}},
	{EventWorkflowPaused, WorkflowPausedData{}},
	{EventWorkflowResumed, WorkflowResumedData{}},
	{EventWorkflowCompleted, WorkflowCompletedData{}},
	{EventWorkflowFailed, WorkflowFailedData{}},
	{EventWorkflowCancelled, WorkflowCancelledData{}},
	{EventPlanProposed, PlanProposedData{}},
	{EventPlanUpdated, PlanUpdatedData{}},
	{EventDAGCreated, DAGCreatedData{}},
	{EventDAGUpdated, DAGCreatedData{}},
	{EventDAGNodeStatusChanged, DAGNodeStatusChangedData{}},
	{EventStepStarted, StepStartedData{}},
	{EventStepProgress, StepProgressData{}},
	{EventStepReattached, StepReattachedData{}},
	{EventStepCompleted, StepCompletedData{}},
	{EventStepFailed, StepFailedData{}},
	{EventStepRetryStarted, StepRetryStartedData{}},
	{EventStepRetryBackoff, StepRetryBackoffData{}},
	{EventStepRetrySucceeded, StepRetrySucceededData{}},
	{EventStepRetryExhausted, StepRetryExhaustedData{}},
	{EventOutput, OutputData{}},
	{EventApprovalRequested, ApprovalRequestedData{}},
	{EventApprovalReceived, ApprovalReceivedData{}},
	{EventApprovalExtended, ApprovalExtendedData{}},
	{EventApprovalEscalated, ApprovalEscalatedData{}},
	{EventApprovalExpired, ApprovalExpiredData{}},
	{EventAgentMessage, AgentMessageData{}},
	{EventMessageDropped, MessageDroppedData{}},
	{EventFileCreated, FileChangedData{}},
	{EventFileUpdated, FileChangedData{}},
	{EventSessionRenamed, SessionRenamedData{}},
	{EventSessionForked, SessionForkedData{}},
}

// Event is one entry of a session's log, and a frame as viewers receive it. Seq is 1, 2, 3, …
// within a session, without gaps.
type Event struct {
	Type      EventType       `json:"event_type"`
	Seq       int64           `json:"seq,omitempty"`
	Timestamp Time            `json:"timestamp"`
	SessionID string          `json:"session_id,omitempty"`
	RunID     string          `json:"run_id,omitempty"`
	StepID    string          `json:"step_id,omitempty"`
	Data      json.RawMessage `json:"data"`
}

// NewEvent is an event before the log has given it a seq.
type NewEvent struct {
	Type   EventType
	RunID  string
	StepID string
	Data   any // one of the payload structs of this package
}

// Time is an instant, encoded as RFC 3339 UTC with milliseconds.
type Time struct{ time.Time }

const timeLayout = "2006-01-02T15:04:05.000Z"

// MarshalJSON implements json.Marshaler.
func (t Time) MarshalJSON() ([]byte, error) {
	return []byte(t.UTC().Format(`"` + timeLayout + `"`)), nil
}

// String is the encoded form.
func (t Time) String() string { return t.UTC().Format(timeLayout) }

// UnmarshalJSON implements json.Unmarshaler.
func (t *Time) UnmarshalJSON(b []byte) error { return t.Time.UnmarshalJSON(b) }

// The payloads, one struct for each type, in the `data` of an event.
type (
	// WorkflowStartedData opens a run.
	WorkflowStartedData struct {
		Mode      Mode   `json:"mode"`
		RunNumber int    `json:"run_number"`
		Task      string `json:"task,omitempty"`
		Message   int    `json:"message_number,omitempty"` // number of the message that the run answers
		// Text is that message; PlanDigest the plan that the run is to carry out, even if it cannot.
		Text       string `json:"message,omitempty"`
		PlanDigest string `json:"plan_digest,omitempty"`
	}
	// WorkflowStateChangedData follows every change of a session's status, phase or expiry. ExpiresAt
	// is when the session expires if nobody uses it; nil for never.
	WorkflowStateChangedData struct {
		Status    SessionStatus `json:"status"`
		Phase     Phase         `json:"phase"`
		ExpiresAt *Time         `json:"expires_at,omitempty"`
	}
	// WorkflowPausedData says that nothing new starts; Reason is "requested" or "approval_expired".
	WorkflowPausedData struct {
		Actor  string `json:"actor,omitempty"`
		Reason string `json:"reason"`
	}
	// WorkflowResumedData says that the session goes on.
	WorkflowResumedData struct {
		Actor string `json:"actor,omitempty"`
	}
	// WorkflowCompletedData closes a run whose steps are all done. Some may have failed, if the
	// plan lets the run go on without them.
	WorkflowCompletedData struct {
		DurationMS  int64 `json:"duration_ms"`
		Steps       int   `json:"steps"`
		FailedSteps int   `json:"failed_steps"`
	}
	// WorkflowFailedData closes a run that could not be finished.
	WorkflowFailedData struct {
		Error      string `json:"error"`
		DurationMS int64  `json:"duration_ms"`
	}
	// WorkflowCancelledData closes a run that was cancelled. Reason is "interrupted" when a message
	// took its place, "expired" when the session expired unused, else "".
	WorkflowCancelledData struct {
		Actor   string  `json:"actor,omitempty"`
		Reason  string  `json:"reason,omitempty"`
		Receipt Receipt `json:"receipt"`
	}
	// PlanProposedData carries the plan of a run.
	PlanProposedData struct {
		Plan   *Plan  `json:"plan"`
		Digest string `json:"digest"`
	}
	// PlanUpdatedData carries the plan of a run after a human changed it. StepID is the edited
	// step; "" if the whole plan was edited.
	PlanUpdatedData struct {
		Plan       *Plan  `json:"plan"`
		Digest     string `json:"digest"`
		ApprovalID string `json:"approval_id"`
		StepID     string `json:"step_id,omitempty"`
		Actor      string `json:"actor"`
	}
	// DAGCreatedData carries the plan's graph; it is the payload of dag_updated too.
	DAGCreatedData struct {
		Nodes []DAGNode `json:"nodes"`
		Edges []DAGEdge `json:"edges"`
	}
	// DAGNodeStatusChangedData follows every change of a step's status.
	DAGNodeStatusChangedData struct {
		NodeID    string     `json:"node_id"`
		OldStatus StepStatus `json:"old_status"`
		NewStatus StepStatus `json:"new_status"`
		Reason    string     `json:"reason,omitempty"`
	}
	// StepStartedData opens an attempt.
	StepStartedData struct {
		Attempt int      `json:"attempt"`
		Host    string   `json:"host"`
		Command []string `json:"command"`
	}
	// StepProgressData is what an attempt uses at a moment, sent once a second while that changes,
	// and the progress that the program reports: from 0 to 1, nil until it reports any.
	StepProgressData struct {
		Attempt  int      `json:"attempt"`
		Progress *float64 `json:"progress,omitempty"`
		Note     string   `json:"note,omitempty"`
		// Waiting says what the step waits for on its host before it starts or goes on, such as disk
		// space. It is absent once the wait is over.
		Waiting    string  `json:"waiting,omitempty"`
		ElapsedMS  int64   `json:"elapsed_ms"`
		CPUSeconds float64 `json:"cpu_seconds"`
		RSSBytes   int64   `json:"rss_bytes"` // of all its processes together
		ReadBytes  int64   `json:"read_bytes"`
		WriteBytes int64   `json:"write_bytes"`
		Processes  int     `json:"processes"`
	}
	// StepReattachedData says that a worker has come back to an attempt that ran on without one.
	StepReattachedData struct {
		Attempt int    `json:"attempt"`
		Host    string `json:"host"`
	}
	// StepCompletedData closes an attempt that succeeded.
	StepCompletedData struct {
		Attempt     int     `json:"attempt"`
		ExitCode    int     `json:"exit_code"`
		DurationMS  int64   `json:"duration_ms"`
		CPUSeconds  float64 `json:"cpu_seconds"`
		MaxRSSBytes int64   `json:"max_rss_bytes"`
		ReadBytes   int64   `json:"read_bytes"`
		WriteBytes  int64   `json:"write_bytes"`
	}
	// StepFailedData closes an attempt that did not succeed.
	StepFailedData struct {
		Attempt     int           `json:"attempt"`
		Status      AttemptStatus `json:"status,omitempty"` // failed, cancelled or lost; older logs lack it
		ExitCode    *int          `json:"exit_code,omitempty"`
		Signal      string        `json:"signal,omitempty"`
		Reason      Reason        `json:"reason"`
		Message     string        `json:"message,omitempty"`
		DurationMS  int64         `json:"duration_ms"`
		CPUSeconds  float64       `json:"cpu_seconds"`
		MaxRSSBytes int64         `json:"max_rss_bytes"`
		ReadBytes   int64         `json:"read_bytes"`
		WriteBytes  int64         `json:"write_bytes"`
	}
	// StepRetryStartedData says that a new attempt replaces one that failed (reason retry) or was
	// cut off when its worker died (reason worker_lost).
	StepRetryStartedData struct {
		Attempt int    `json:"attempt"`
		Reason  Reason `json:"reason"`
	}
	// StepRetryBackoffData says when the next attempt starts.
	StepRetryBackoffData struct {
		Attempt   int   `json:"attempt"`
		BackoffMS int64 `json:"backoff_ms"`
	}
	// StepRetrySucceededData says that an attempt after the first one succeeded.
	StepRetrySucceededData struct {
		Attempt int `json:"attempt"`
	}
	// StepRetryExhaustedData says that no further attempt is allowed.
	StepRetryExhaustedData struct {
		Attempts int `json:"attempts"`
	}
	// OutputData is a chunk of what a step printed. Offset is its first byte in the attempt's
	// stream; Text is UTF-8, with U+FFFD for invalid bytes.
	OutputData struct {
		Stream  Stream `json:"stream"`
		Text    string `json:"text"`
		Offset  int64  `json:"offset"`
		Attempt int    `json:"attempt"`
	}
	// ApprovalRequestedData asks a human.
	ApprovalRequestedData struct {
		ApprovalID  string          `json:"approval_id"`
		Type        ApprovalType    `json:"approval_type"`
		Description string          `json:"description"`
		Options     []Resolution    `json:"options"`
		Context     json.RawMessage `json:"context"`
		Digest      string          `json:"digest"`
		ExpiresAt   Time            `json:"expires_at"`
		CreatedAt   *Time           `json:"created_at,omitempty"`
		OnTimeout   OnTimeout       `json:"on_timeout,omitempty"`
		Subject     *Subject        `json:"subject,omitempty" doc:"What approval binds, when that is short; else GET /api/approvals/{id}/subject has it"`
	}
	// ApprovalReceivedData is the human's answer.
	ApprovalReceivedData struct {
		ApprovalID    string          `json:"approval_id"`
		Resolution    Resolution      `json:"resolution"`
		Actor         string          `json:"actor"`
		Feedback      string          `json:"feedback,omitempty"`
		Modifications json.RawMessage `json:"modifications,omitempty"`
		ResolvedAt    *Time           `json:"resolved_at,omitempty"`
	}
	// ApprovalExtendedData says that a human moved the deadline.
	ApprovalExtendedData struct {
		ApprovalID string  `json:"approval_id"`
		ExpiresAt  Time    `json:"expires_at"`
		Seconds    float64 `json:"seconds"`
		Actor      string  `json:"actor"`
	}
	// ApprovalEscalatedData says that nobody answered in time, and gives the new deadline.
	ApprovalEscalatedData struct {
		ApprovalID  string `json:"approval_id"`
		ExpiresAt   Time   `json:"expires_at"`
		EscalatedAt *Time  `json:"escalated_at,omitempty"`
	}
	// AgentMessageData is an entry of the conversation. Agent is "" when Role is "user".
	AgentMessageData struct {
		Agent   string `json:"agent"`
		Role    string `json:"role"`
		Message string `json:"message"`
		Actor   string `json:"actor,omitempty"`
		Number  int    `json:"number,omitempty"` // of a user's message
	}
	// MessageDroppedData says that a user's waiting message will not be answered by a run.
	MessageDroppedData struct {
		Number int `json:"number"`
	}
	// SessionForkedData links a session and its fork, in both logs. SessionID is the other session,
	// StepID the last finished step that they share.
	SessionForkedData struct {
		SessionID string `json:"session_id"`
		Direction string `json:"direction"`      // "to" in the source's log, "from" in the fork's
		Name      string `json:"name,omitempty"` // of the other session, then
		StepID    string `json:"step_id,omitempty"`
		Actor     string `json:"actor"`
	}
	// ApprovalExpiredData says that an approval closed without an answer: its time passed (reason
	// timeout), its subject changed (plan_changed), its run was cancelled (cancelled) or failed
	// (run_failed), or the step that asked ended (step_ended).
	ApprovalExpiredData struct {
		ApprovalID string         `json:"approval_id"`
		Reason     string         `json:"reason"`
		OnTimeout  OnTimeout      `json:"on_timeout,omitempty"`
		Status     ApprovalStatus `json:"status,omitempty"` // expired, cancelled or void; older logs lack it
		Actor      string         `json:"actor,omitempty"`
		ResolvedAt *Time          `json:"resolved_at,omitempty"`
	}
	// FileChangedData is the payload of file_created and file_updated.
	FileChangedData struct {
		Path string `json:"path"`
		Size int64  `json:"size"`
	}
	// SessionRenamedData carries the new name, and the session's version with it.
	SessionRenamedData struct {
		Name    string `json:"name"`
		Version int64  `json:"version,omitempty"`
	}
)

// Stream is the stream that a step printed to.
type Stream string

// The streams.
const (
	Stdout Stream = "stdout"
	Stderr Stream = "stderr"
)

// Receipt says what a cancel did. Survivors counts the processes that still run: 0, or the cancel
// failed.
type Receipt struct {
	ProcessesKilled int      `json:"processes_killed"`
	Survivors       int      `json:"survivors"`
	ArtifactsKept   int      `json:"artifacts_kept"`
	CostUSD         float64  `json:"cost_usd"`
	Unreachable     []string `json:"unreachable_hosts,omitempty" doc:"Hosts that did not answer; what runs there ends when its worker returns, or after an hour"`
}
