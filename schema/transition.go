package schema

import (
	"encoding/json"
	"path/filepath"
	"time"
)

// Transition is one move of a session's state machine, as the store records it: rows and
// events in one transaction, once, however often it is sent (Key tells repetitions apart).
// The events it makes are, in order: dag_node_status_changed for Steps, approval_received
// or approval_expired for Close, approval_requested for Open, Notes, workflow_state_changed
// when Status or Phase differ from what the session had, and the closing event of End.
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
}

// StepChange moves a step to a new status. The old one is read from its row.
type StepChange struct {
	ID     string     `json:"id"`
	Status StepStatus `json:"status"`
	Reason string     `json:"reason,omitempty"`
}

// ApprovalOpen asks a human. Description, context and digest are made by the store's
// caller from the plan: the workflow carries ids only.
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
	Context     json.RawMessage `json:"context,omitempty"`
}

// ApprovalClose ends an approval: resolved, expired, cancelled or void. Of these only
// resolved has a resolution and makes approval_received; the others make approval_expired
// with Reason.
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
}

// Note is a further event of a transition; Data is one of the payload structs, encoded.
type Note struct {
	Type   EventType       `json:"type"`
	StepID string          `json:"step_id,omitempty"`
	Data   json.RawMessage `json:"data"`
}

// RunEnd closes a run. Status says which closing event it makes: workflow_completed,
// workflow_failed (with Error) or workflow_cancelled (with Actor and Receipt).
type RunEnd struct {
	Status  SessionStatus `json:"status"`
	Error   string        `json:"error,omitempty"`
	Actor   string        `json:"actor,omitempty"`
	Receipt *Receipt      `json:"receipt,omitempty"`
}

// WorkspaceDir is where a host keeps a session's workspace, under its data directory.
func WorkspaceDir(dataDir, sessionID string) string {
	return filepath.Join(dataDir, "workspaces", sessionID)
}

// WorkspacePrivate is the folder of a workspace that is Holdfast's own: it is not listed,
// served or kept.
const WorkspacePrivate = ".holdfast"

// WorkspaceTemp is where a workspace's steps put temporary files.
func WorkspaceTemp(workspace string) string { return filepath.Join(workspace, WorkspacePrivate, "tmp") }
