package schema

import "time"

// The names by which web, workers and the temporal CLI call each other through Temporal.
const (
	WorkflowType      = "Session"
	TaskQueueSessions = "holdfast-sessions"
	TaskQueueSteps    = "holdfast-steps"
)

// Updates and signals of the Session workflow: the same names, the same arguments.
const (
	CommandResolveApproval = "resolve_approval"
	CommandSuspend         = "suspend"
	CommandResume          = "resume"
	CommandCancel          = "cancel"
	CommandClose           = "close" // the session was deleted: cancel what runs and end the workflow
)

// Queries of the Session workflow.
const (
	QueryState     = "state"
	QueryApprovals = "approvals"
	QueryPlan      = "plan"
)

// WorkflowID is the id of a session's workflow.
func WorkflowID(sessionID string) string { return "session-" + sessionID }

// StepsQueue is the task queue of one host's worker.
func StepsQueue(host string) string { return TaskQueueSteps + "@" + host }

// SessionInput starts a Session workflow. Everything that a workflow is configured by is
// in it: workflow code reads no settings.
type SessionInput struct {
	SessionID       string        `json:"session_id"`
	Name            string        `json:"name"`
	Owner           string        `json:"owner"`
	Mode            Mode          `json:"mode"`
	Config          Config        `json:"config"`
	ApprovalTimeout time.Duration `json:"approval_timeout"` // nanoseconds; the server's default
}

// ResolveApproval is the argument of [CommandResolveApproval].
type ResolveApproval struct {
	ApprovalID string     `json:"approval_id"`
	Resolution Resolution `json:"resolution"`
	Feedback   string     `json:"feedback,omitempty"`
	Actor      string     `json:"actor,omitempty"`
	RequestID  string     `json:"request_id,omitempty"`
}

// Command is the argument of suspend, resume, cancel and close.
type Command struct {
	Actor     string `json:"actor,omitempty"`
	RequestID string `json:"request_id,omitempty"`
}

// CommandResult answers an update. Status and Phase are those of the session once the
// command is taken in; the projection in Postgres follows.
type CommandResult struct {
	Status   SessionStatus `json:"status"`
	Phase    Phase         `json:"phase"`
	Repeated bool          `json:"repeated,omitempty"` // the same command had been taken in before
}

// WorkflowState answers the `state` query.
type WorkflowState struct {
	SessionID   string        `json:"session_id"`
	Status      SessionStatus `json:"status"`
	Phase       Phase         `json:"phase"`
	RunID       string        `json:"run_id,omitempty"`
	RunNumber   int           `json:"run_number"`
	CurrentStep string        `json:"current_step,omitempty"`
	Steps       []StepState   `json:"steps"`
	Approvals   []Asked       `json:"approvals"`
}

// StepState is a step in the answers of the `state` and `plan` queries.
type StepState struct {
	ID     string     `json:"id"`
	Title  string     `json:"title"`
	Needs  []string   `json:"needs,omitempty"`
	Status StepStatus `json:"status"`
}

// Asked is an approval as the workflow knows it.
type Asked struct {
	ApprovalID string         `json:"approval_id"`
	Type       ApprovalType   `json:"approval_type"`
	StepID     string         `json:"step_id,omitempty"`
	Digest     string         `json:"digest"`
	Options    []Resolution   `json:"options"`
	Status     ApprovalStatus `json:"status"`
	Resolution Resolution     `json:"resolution,omitempty"`
	ExpiresAt  Time           `json:"expires_at"`
}
