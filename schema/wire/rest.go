package wire

import (
	"encoding/json"

	"github.com/holdfast/holdfast/schema"
)

// NewSession asks for a session.
type NewSession struct {
	Name   string          `json:"name,omitempty" maxLength:"200" doc:"For people; the title of the plan's first step when absent"`
	Mode   schema.Mode     `json:"mode" doc:"See GET /api/modes for those that are available"`
	Task   string          `json:"task,omitempty" maxLength:"100000" doc:"What to do, in words"`
	Plan   json.RawMessage `json:"plan,omitempty" doc:"What to do, in steps; runbook needs one"`
	Config schema.Config   `json:"config,omitzero"`
	// Attended is of the request, not of the session: what it leads to is in the session's config.
	Attended bool `json:"attended,omitempty" doc:"A person starts the session and will return to it: its approvals wait for a day, unless config.approval_timeout_seconds or the server's HOLDFAST_APPROVAL_TIMEOUT says otherwise"`
}

// SessionList is a page of sessions, the newest first. They carry no plan.
type SessionList struct {
	Sessions   []schema.Session `json:"sessions"`
	Total      int              `json:"total" doc:"The number on all pages"`
	NextCursor string           `json:"next_cursor,omitempty" doc:"For the next page; absent on the last"`
}

// Projection is a session with its runs and approvals at one moment. Folding the events after Seq
// into it gives what the server has then.
type Projection struct {
	Seq       int64             `json:"seq" doc:"The latest event that is in it; follow the log from here"`
	At        schema.Time       `json:"at" doc:"When it was read, by the clock that deadlines are measured by"`
	Session   schema.Session    `json:"session" doc:"With its plan; its approvals are beside it"`
	Runs      []schema.Run      `json:"runs" doc:"The first one first"`
	Approvals []schema.Approval `json:"approvals" doc:"Every open one, and the 200 newest of all; the newest first"`
	Names     map[string]string `json:"names" doc:"Of the sessions that it was forked from and into, by id; a deleted one is missing"`
}

// SessionPatch changes a session.
type SessionPatch struct {
	Version int64  `json:"version" minimum:"1" doc:"The version that the change is based on"`
	Name    string `json:"name" minLength:"1" maxLength:"200"`
}

// NewMessage is what a user says.
type NewMessage struct {
	Content string `json:"content" doc:"At most 65536 bytes; the steps of the run that answers it find it in HOLDFAST_MESSAGE"`
}

// MessageAnswer says that a message was taken in.
type MessageAnswer struct {
	Number int                  `json:"number" doc:"1, 2, 3, … within the session"`
	Status schema.MessageStatus `json:"status"`
}

// NewRun asks for the next run: exactly one of its fields is given.
type NewRun struct {
	Plan json.RawMessage `json:"plan,omitempty" doc:"What to do, in steps"`
	Task string          `json:"task,omitempty" maxLength:"100000" doc:"What to do, in words; needs an agent"`
}

// NewFork asks for a session that goes on from a finished step of another one.
type NewFork struct {
	StepID string          `json:"step_id,omitempty" maxLength:"200" doc:"A step that succeeded; the one that finished last when absent"`
	RunID  string          `json:"run_id,omitempty" maxLength:"200" doc:"The run with that step; the latest when absent"`
	Plan   json.RawMessage `json:"plan,omitempty" doc:"The fork's plan; that of the run when absent"`
	Name   string          `json:"name,omitempty" maxLength:"200" doc:"The session's with (fork) behind it when absent"`
	// Attended is of the request, as for a new session.
	Attended bool `json:"attended,omitempty" doc:"A person makes the fork and will return to it: its approvals wait for a day, unless the session's config or the server's HOLDFAST_APPROVAL_TIMEOUT says otherwise"`
}

// ApprovalList is a page of approvals, the newest first.
type ApprovalList struct {
	Approvals  []schema.Approval `json:"approvals"`
	Total      int               `json:"total" doc:"On all pages together"`
	NextCursor string            `json:"next_cursor,omitempty"`
}

// ResolveRequest is a human's answer to an approval.
type ResolveRequest struct {
	Resolution    schema.Resolution `json:"resolution"`
	Feedback      string            `json:"feedback,omitempty" maxLength:"10000"`
	Modifications json.RawMessage   `json:"modifications,omitempty"`
}

// ExtendRequest moves an approval's deadline.
type ExtendRequest struct {
	Seconds float64 `json:"seconds" doc:"Seconds to add to the deadline, at least 1; the deadline is at most 2592000 seconds after the question"`
}

// CancelAnswer is what a cancel did. Receipt is absent when it is still under way.
type CancelAnswer struct {
	Session schema.Session  `json:"session"`
	Receipt *schema.Receipt `json:"receipt,omitempty"`
}

// NoFields is a body without fields.
type NoFields struct{}

// EventList is a part of a session's log.
type EventList struct {
	Events    []schema.Event `json:"events"`
	HeadSeq   int64          `json:"head_seq" doc:"The seq of the latest event of the session"`
	NextSince int64          `json:"next_since,omitempty" doc:"Continue from here; absent when this part reaches the head, or until"`
}

// MessageList is a page of a session's conversation, the oldest first.
type MessageList struct {
	Messages   []schema.Message `json:"messages"`
	NextCursor string           `json:"next_cursor,omitempty"`
}

// AuditList is a page of who asked for what, the oldest first.
type AuditList struct {
	Audit      []schema.AuditEntry `json:"audit"`
	NextCursor string              `json:"next_cursor,omitempty" doc:"For the next page; absent on the last"`
}

// RunList is every run of a session, the first one first.
type RunList struct {
	Runs []schema.Run `json:"runs"`
}

// Example is a plan to start from.
type Example struct {
	ID          string       `json:"id"`
	Title       string       `json:"title"`
	Description string       `json:"description"`
	Plan        *schema.Plan `json:"plan"`
	Source      string       `json:"source" doc:"The plan as its author wrote it"`
}

// ExampleList is every example.
type ExampleList struct {
	Examples []Example `json:"examples"`
}

// PlanSource is a plan as text.
type PlanSource struct {
	Source string `json:"source"`
}

// PlanValidation says whether a plan can be run here. Problems are in the order of the text.
type PlanValidation struct {
	Valid    bool                 `json:"valid"`
	Plan     *schema.Plan         `json:"plan,omitempty"`
	Problems []schema.PlanProblem `json:"problems"`
}

// FileList is every artifact of a session, by path.
type FileList struct {
	Files     []schema.File `json:"files"`
	Truncated bool          `json:"truncated,omitempty" doc:"Whether there are more than the 10,000 listed"`
}

// Health says that the process serves.
type Health struct {
	Status   string `json:"status" enum:"ok"`
	Version  string `json:"version"`
	Instance string `json:"instance"`
}

// Readiness says whether what the server needs can be reached.
type Readiness struct {
	Ready    bool       `json:"ready"`
	Postgres Dependency `json:"postgres"`
	Temporal Dependency `json:"temporal"`
	Worker   Dependency `json:"worker" doc:"Whether a worker has been seen lately; the server is ready without one"`
	Disk     *DiskState `json:"disk,omitempty" doc:"Present while the data folder's disk is low on space; the server is still ready"`
}

// DiskState is a disk with little room.
type DiskState struct {
	FreeBytes int64 `json:"free_bytes"`
	LowBytes  int64 `json:"low_bytes" doc:"The limit, HOLDFAST_DISK_LOW"`
}

// Dependency is one thing that the server needs.
type Dependency struct {
	Ready bool   `json:"ready"`
	Error string `json:"error,omitempty"`
}

// ModeList is every mode.
type ModeList struct {
	Modes []schema.ModeInfo `json:"modes"`
}

// ConnectionList is the WebSocket connections of this instance, or of all.
type ConnectionList struct {
	ActiveConnections int              `json:"active_connections"`
	MaxConnections    int              `json:"max_connections" doc:"Of this instance"`
	MaxPerUser        int              `json:"max_connections_per_user" doc:"Of this instance; 0 is no separate limit"`
	MaxPerAddress     int              `json:"max_connections_per_address" doc:"Of this instance; 0 is no separate limit"`
	Instance          string           `json:"instance" doc:"This one"`
	Instances         []InstanceInfo   `json:"instances,omitempty" doc:"With all: the live instances"`
	Connections       []ConnectionInfo `json:"connections"`
}

// InstanceInfo is a web instance that lives.
type InstanceInfo struct {
	Instance      string      `json:"instance"`
	StartedAt     schema.Time `json:"started_at"`
	LastHeartbeat schema.Time `json:"last_heartbeat"`
}

// ConnectionInfo is one of them.
type ConnectionInfo struct {
	ID           string      `json:"id"`
	Instance     string      `json:"instance"`
	ClientID     string      `json:"client_id,omitempty"`
	User         string      `json:"user"`
	Address      string      `json:"address"`
	Sessions     []string    `json:"sessions" doc:"The sessions it watches"`
	List         bool        `json:"list" doc:"Whether it watches the list; with all, false"`
	ConnectedAt  schema.Time `json:"connected_at"`
	AgeSeconds   float64     `json:"age_seconds"`
	LastActivity schema.Time `json:"last_activity" doc:"When it last sent a frame of any kind; with all, up to 10 seconds old"`
	Lag          int64       `json:"lag" doc:"Events not sent to it yet; with all, up to 10 seconds old"`
}

// Given is nil for a field that is absent, or null.
func Given(raw json.RawMessage) json.RawMessage {
	if string(raw) == jsonNull {
		return nil
	}
	return raw
}
