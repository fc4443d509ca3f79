package wire

import (
	"encoding/json"

	"github.com/holdfast/holdfast/schema"
)

// The types of frames that are sent but not stored; they have no seq.
const (
	FrameConnected      schema.EventType = "connected"
	FrameSubscribed     schema.EventType = "subscribed"
	FrameUnsubscribed   schema.EventType = "unsubscribed"
	FrameAccepted       schema.EventType = "accepted"
	FrameQueryResult    schema.EventType = "query_result"
	FramePong           schema.EventType = "pong"
	FrameHeartbeat      schema.EventType = "heartbeat"
	FramePresence       schema.EventType = "presence"
	FrameError          schema.EventType = "error"
	FrameSessions       schema.EventType = "sessions"
	FrameSessionCreated schema.EventType = "session_created"
	FrameSessionUpdated schema.EventType = "session_updated"
	FrameSessionDeleted schema.EventType = "session_deleted"
)

// ServerFrames has the data of each frame that is not stored. Stored events are frames too, listed
// in [schema.Events].
var ServerFrames = []schema.Payload{
	{Type: FrameConnected, Data: ConnectedData{}},
	{Type: FrameSubscribed, Data: SubscribedData{}},
	{Type: FrameUnsubscribed, Data: UnsubscribedData{}},
	{Type: FrameAccepted, Data: AcceptedData{}},
	{Type: FrameQueryResult, Data: QueryResultData{}},
	{Type: FramePong, Data: PongData{}},
	{Type: FrameHeartbeat, Data: HeartbeatData{}},
	{Type: FramePresence, Data: PresenceData{}},
	{Type: FrameError, Data: ErrorData{}},
	{Type: FrameSessions, Data: SessionsData{}},
	{Type: FrameSessionCreated, Data: SessionData{}},
	{Type: FrameSessionUpdated, Data: SessionData{}},
	{Type: FrameSessionDeleted, Data: SessionDeletedData{}},
}

// The data of frames that are not stored.
type (
	// ConnectedData greets a client.
	ConnectedData struct {
		ConnectionID   string `json:"connection_id"`
		ServerInstance string `json:"server_instance"`
		Version        string `json:"version"`
		User           string `json:"user"`
	}
	// SubscribedData says that events with seq > since follow.
	SubscribedData struct {
		SessionID string `json:"session_id"`
		Since     int64  `json:"since"`
		Head      int64  `json:"head"`
		RequestID string `json:"request_id,omitempty"`
	}
	// UnsubscribedData says that no more events of the session follow.
	UnsubscribedData struct {
		SessionID string `json:"session_id"`
		RequestID string `json:"request_id,omitempty"`
	}
	// AcceptedData says that a command was accepted; its events follow.
	AcceptedData struct {
		RequestID string `json:"request_id"`
	}
	// QueryResultData relays a workflow's answer.
	QueryResultData struct {
		RequestID string          `json:"request_id"`
		Name      string          `json:"name"`
		Result    json.RawMessage `json:"result"`
	}
	// PongData answers a ping.
	PongData struct {
		RequestID string `json:"request_id,omitempty"`
	}
	// ErrorData refuses a frame. The connection stays.
	ErrorData struct {
		Code      schema.Code         `json:"code"`
		Message   string              `json:"message"`
		RequestID string              `json:"request_id,omitempty"`
		SessionID string              `json:"session_id,omitempty" doc:"With cursor_ahead and range_unavailable: whose log it is"`
		Head      *int64              `json:"head,omitempty" doc:"With cursor_ahead: where the log ends"`
		FromSeq   int64               `json:"from_seq,omitempty" doc:"With range_unavailable: the first event that cannot be read"`
		ToSeq     int64               `json:"to_seq,omitempty" doc:"The last one; later ones follow live"`
		RetryIn   int                 `json:"retry_after_seconds,omitempty" doc:"When a connection was last refused because of the limit"`
		Errors    []schema.FieldError `json:"errors"`
	}
	// PresenceData says who views the session now. It comes after subscribed and on every change.
	PresenceData struct {
		Viewers []ViewerData `json:"viewers" doc:"Those looking at an approval first, then in order of arrival; at most 50"`
		Count   int          `json:"count" doc:"All viewers, including those not listed"`
	}
	// ViewerData is one viewer: one client of a user.
	ViewerData struct {
		User         string      `json:"user"`
		ClientID     string      `json:"client_id,omitempty"`
		ConnectionID string      `json:"connection_id" doc:"The id from the frame connected, by which a client recognises itself"`
		Since        schema.Time `json:"since"`
		ApprovalID   string      `json:"approval_id,omitempty" doc:"The approval it looks at"`
	}
	// SessionsData is the list when a subscription to it starts: the newest sessions.
	SessionsData struct {
		Sessions []schema.Session `json:"sessions"`
		Total    int              `json:"total"`
	}
	// SessionData is a session that is new in the list, or whose place there has changed. It
	// carries neither plan nor context.
	SessionData struct {
		Session schema.Session `json:"session"`
		Total   int            `json:"total,omitempty" doc:"With session_created: the number of sessions now"`
	}
	// SessionDeletedData removes a session from the list. In a frame with its own session_id, it ends the subscription
	// to that session.
	SessionDeletedData struct {
		SessionID string `json:"session_id"`
		Total     *int   `json:"total,omitempty" doc:"In the list: the number of sessions now"`
	}
	// HeartbeatData comes at least every 10 seconds for each subscribed session, or once without a session if there is
	// none, and at once when a part goes down or comes back.
	HeartbeatData struct {
		Head     *int64 `json:"head,omitempty" doc:"The seq of the session's latest event"`
		Postgres string `json:"postgres" enum:"up,down" doc:"Holds the records: without it only cached data can be read"`
		Temporal string `json:"temporal" enum:"up,down" doc:"Takes commands"`
		Worker   string `json:"worker" enum:"up,down" doc:"Carries out commands: down when no worker has been seen lately"`
	}
)
