package wire

import (
	"encoding/json"

	"github.com/holdfast/holdfast/schema"
)

// MaxFrameBytes bounds a client's frame.
const MaxFrameBytes = 64 << 10

// MaxClientID bounds a client's name for itself, in printable ASCII characters.
const MaxClientID = 64

// The types of client frames.
const (
	FrameSubscribe           = "subscribe"
	FrameUnsubscribe         = "unsubscribe"
	FrameViewing             = "viewing"
	FrameSubscribeSessions   = "subscribe_sessions"
	FrameUnsubscribeSessions = "unsubscribe_sessions"
	FramePing                = "ping"
	FrameSuspend             = "suspend"
	FramePause               = "pause"
	FrameResume              = "resume"
	FrameCancel              = "cancel"
	FrameMessage             = "message"
	FrameQuery               = "query"
	FrameResolveApproval     = schema.CommandResolveApproval
	FrameReopenApproval      = "reopen_approval"
)

// ClientFrame is a client's frame: a pointer to one of the structs in this file.
type ClientFrame interface {
	// Head returns the header that every frame has.
	Head() *Header
}

// ClientFrames lists all frames that clients send, in the order that documents list them.
var ClientFrames = []ClientFrameType{
	{FrameSubscribe, SubscribeFrame{}},
	{FrameUnsubscribe, UnsubscribeFrame{}},
	{FrameViewing, ViewingFrame{}},
	{FrameSubscribeSessions, SubscribeSessionsFrame{}},
	{FrameUnsubscribeSessions, UnsubscribeSessionsFrame{}},
	{FramePing, PingFrame{}},
	{FrameSuspend, CommandFrame{}},
	{FramePause, CommandFrame{}},
	{FrameResume, CommandFrame{}},
	{FrameCancel, CommandFrame{}},
	{FrameMessage, MessageFrame{}},
	{FrameQuery, QueryFrame{}},
	{FrameResolveApproval, ResolveApprovalFrame{}},
	{FrameReopenApproval, ReopenApprovalFrame{}},
}

// ClientFrameType is a row of [ClientFrames]: a type, and the struct of its frames.
type ClientFrameType struct {
	Type  string
	Frame any
}

// The client frames.
type (
	// Header is part of every client frame.
	Header struct {
		Type      string `json:"type" maxBytes:"128"`
		RequestID string `json:"request_id,omitempty" maxBytes:"128" doc:"Repeated in the answer. A command that comes again under its request_id is done once"`
	}
	// SubscribeFrame asks for a session's events with seq > since, then live ones.
	SubscribeFrame struct {
		Header

		SessionID string `json:"session_id" maxBytes:"128"`
		Since     int64  `json:"since,omitempty" minimum:"0"`
		Presence  *bool  `json:"presence,omitempty" doc:"Whether the client is shown to other viewers, and told of them; default true"`
	}
	// UnsubscribeFrame ends a subscription.
	UnsubscribeFrame struct {
		Header

		SessionID string `json:"session_id" maxBytes:"128"`
	}
	// ViewingFrame tells the other viewers of a subscribed session what this one looks at.
	ViewingFrame struct {
		Header

		SessionID  string `json:"session_id" maxBytes:"128"`
		ApprovalID string `json:"approval_id,omitempty" maxBytes:"128" doc:"A pending approval; the session as such when absent or empty"`
	}
	// SubscribeSessionsFrame asks for the list of sessions, then for its changes.
	SubscribeSessionsFrame struct{ Header }
	// UnsubscribeSessionsFrame ends that subscription.
	UnsubscribeSessionsFrame struct{ Header }
	// PingFrame asks for a pong.
	PingFrame struct{ Header }
	// CommandFrame sends a command to a session; pause is a synonym for suspend.
	CommandFrame struct {
		Header

		SessionID string `json:"session_id" maxBytes:"128"`
	}
	// MessageFrame is a follow-up turn: the next run answers it.
	MessageFrame struct {
		Header

		SessionID string `json:"session_id" maxBytes:"128"`
		Content   string `json:"content"`
	}
	// QueryFrame queries the workflow itself.
	QueryFrame struct {
		Header

		SessionID string `json:"session_id" maxBytes:"128"`
		Name      string `json:"name" enum:"state,approvals,plan"`
	}
	// ResolveApprovalFrame answers an approval.
	ResolveApprovalFrame struct {
		Header

		ApprovalID    string            `json:"approval_id" maxBytes:"128"`
		Resolution    schema.Resolution `json:"resolution" maxBytes:"128"`
		Feedback      string            `json:"feedback,omitempty" maxLength:"10000"`
		Modifications json.RawMessage   `json:"modifications,omitempty"`
	}
	// ReopenApprovalFrame resumes a session that an expired approval has suspended, so that it asks again.
	ReopenApprovalFrame struct {
		Header

		ApprovalID string `json:"approval_id" maxBytes:"128"`
	}
)

// Head implements [ClientFrame].
func (h *Header) Head() *Header { return h }

// check finds errors in a frame's fields that tags cannot express.
func (f *ViewingFrame) check() []schema.FieldError {
	if f.ApprovalID != "" && !schema.ValidID(f.ApprovalID) {
		return []schema.FieldError{{Location: inFrame + "approval_id", Message: "this must be the id of an approval, or empty", Value: schema.Brief(f.ApprovalID)}}
	}
	return nil
}
