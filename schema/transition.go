package schema

import (
	"encoding/json"
	"path/filepath"
	"time"
)

// Transition is one move of a session's state machine. The store records it as rows and events in
// one transaction, once, however often it is sent (Key identifies repetitions). The events, in
// order: agent_message and message_dropped for Messages, dag_node_status_changed for Steps, approval_received or
// approval_expired for Close, approval_extended or approval_escalated for Extend,
// approval_requested for Open, Notes, workflow_state_changed when Status, Phase or ExpiresAt change,
// and the closing event of End. Audit makes none. If a transition both opens and closes or extends an
// approval, approval_requested comes first.
type Transition struct {
	SessionID   string          `json:"session_id"`
	RunID       string          `json:"run_id"`
	Key         string          `json:"key"`
	Status      SessionStatus   `json:"status"`
	Phase       Phase           `json:"phase"`
	CurrentStep string          `json:"current_step,omitempty"`
	Steps       []StepChange    `json:"steps,omitempty"`
	Open        []ApprovalOpen  `json:"open,omitempty"`
	Close       []ApprovalClose `json:"close,omitempty"`
	Notes       []Note          `json:"notes,omitempty"`
	End         *RunEnd         `json:"end,omitempty"`

	Extend   []ApprovalExtend `json:"extend,omitempty"`
	Messages []MessageChange  `json:"messages,omitempty"`
	Audit    []AuditEntry     `json:"audit,omitempty"`
	// ExpiresAt is when the session expires if nobody uses it; nil for never.
	ExpiresAt *time.Time `json:"expires_at,omitempty"`
}

// Recorded answers a transition that ends a run before all of its steps: what Postgres has of each
// step. A host records the end of a step itself, and the workflow may not have heard of it, for
// instance because the worker died in between.
type Recorded struct {
	Steps []StepChange `json:"steps,omitempty"`
}

// StepChange moves a step to a new status. The store reads the old one from its row.
type StepChange struct {
	ID     string     `json:"id"`
	Status StepStatus `json:"status"`
	Reason string     `json:"reason,omitempty"`
}

// ApprovalOpen asks a human. The store's caller makes description, context and digest from the
// plan: the workflow carries ids only.
type ApprovalOpen struct {
	ID          string          `json:"id"`
	Type        ApprovalType    `json:"approval_type"`
	StepID      string          `json:"step_id,omitempty"`
	Options     []Resolution    `json:"options"`
	Digest      string          `json:"digest"`
	CreatedAt   time.Time       `json:"created_at"`
	ExpiresAt   time.Time       `json:"expires_at"`
	OnTimeout   OnTimeout       `json:"on_timeout"`
	Description string          `json:"description,omitempty"`
	Why         string          `json:"why,omitempty"` // reason for asking again
	Context     json.RawMessage `json:"context,omitempty"`
}

// ApprovalClose ends an approval as resolved, expired, cancelled or void. Only resolved has a
// resolution and makes approval_received; the others make approval_expired with Reason.
type ApprovalClose struct {
	ID         string         `json:"id"`
	StepID     string         `json:"step_id,omitempty"`
	Status     ApprovalStatus `json:"status"`
	Resolution Resolution     `json:"resolution,omitempty"`
	Feedback   string         `json:"feedback,omitempty"`
	Actor      string         `json:"actor,omitempty"`
	Reason     string         `json:"reason,omitempty"`
	OnTimeout  OnTimeout      `json:"on_timeout,omitempty"`
	At         time.Time      `json:"at"`
	// Modifications came with the resolution.
	Modifications json.RawMessage `json:"modifications,omitempty"`
}

// ApprovalExtend moves the deadline of a pending approval, because a human asked (Actor, Seconds)
// or because it escalates.
type ApprovalExtend struct {
	ID        string    `json:"id"`
	StepID    string    `json:"step_id,omitempty"`
	ExpiresAt time.Time `json:"expires_at"`
	Escalates bool      `json:"escalates,omitempty"`
	Actor     string    `json:"actor,omitempty"`
	Seconds   float64   `json:"seconds,omitempty"`
	At        time.Time `json:"at"`
}

// MessageChange adds a user's message to the conversation (Status queued, with Content or Text,
// Actor and At), or drops one. A run takes a message when it begins, see [BeginRun].
type MessageChange struct {
	Number  int           `json:"number"` // 1, 2, 3, … within the session
	Status  MessageStatus `json:"status"`
	Content string        `json:"content,omitempty"`
	Text    *Text         `json:"text,omitempty"`
	Actor   string        `json:"actor,omitempty"`
	At      time.Time     `json:"at"`
}

// AuditEntry says who asked for what, and whether it was done.
type AuditEntry struct {
	ID         int64        `json:"id,omitempty"`
	SessionID  string       `json:"session_id,omitempty"`
	RunID      string       `json:"run_id,omitempty"`
	At         Time         `json:"at"`
	Actor      string       `json:"actor"`
	Action     string       `json:"action" doc:"The command, such as resolve_approval, or expire"`
	Outcome    AuditOutcome `json:"outcome" enum:"taken,ignored"`
	ApprovalID string       `json:"approval_id,omitempty"`
	StepID     string       `json:"step_id,omitempty"`
	Resolution Resolution   `json:"resolution,omitempty"`
	Digest     string       `json:"digest,omitempty" doc:"Digest of exactly what was decided on"`
	Detail     string       `json:"detail,omitempty" doc:"Feedback, or why it was ignored"`
	RequestID  string       `json:"request_id,omitempty"`
}

// AuditOutcome is the outcome of a command.
type AuditOutcome string

// The outcomes.
const (
	AuditTaken   AuditOutcome = "taken"
	AuditIgnored AuditOutcome = "ignored" // a signal that came too late or contradicts a decision
)

// Note is an additional event of a transition; Data is one of the payload structs, encoded.
type Note struct {
	Type   EventType       `json:"type"`
	StepID string          `json:"step_id,omitempty"`
	Data   json.RawMessage `json:"data"`
}

// RunEnd closes a run. Status says which closing event it makes: workflow_completed,
// workflow_failed (with Error) or workflow_cancelled (cancelled or expired, with Actor,
// Reason and Receipt).
type RunEnd struct {
	Status  SessionStatus `json:"status"`
	Error   string        `json:"error,omitempty"`
	Actor   string        `json:"actor,omitempty"`
	Reason  string        `json:"reason,omitempty"` // of a cancel that nobody requested: interrupted, expired
	Receipt *Receipt      `json:"receipt,omitempty"`
	// The number of steps in the run, and of those that failed.
	Steps       int `json:"steps,omitempty"`
	FailedSteps int `json:"failed_steps,omitempty"`
}

// WorkspaceDir is where a host keeps a session's workspace, under its data directory.
func WorkspaceDir(dataDir, sessionID string) string {
	return filepath.Join(dataDir, "workspaces", sessionID)
}

// WorkspacePrivate is Holdfast's own folder in a workspace: it is not listed, served or saved.
const WorkspacePrivate = ".holdfast"
