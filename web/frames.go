package web

import (
	"encoding/json"
	"strings"
	"unicode/utf8"

	"github.com/holdfast/holdfast/schema"
)

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
	// AcceptedData says that a command was taken in; its events follow.
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
		ToSeq     int64               `json:"to_seq,omitempty" doc:"The last one; those after it follow"`
		RetryIn   int                 `json:"retry_after_seconds,omitempty" doc:"When a connection was refused that there is no room for"`
		Errors    []schema.FieldError `json:"errors"`
	}
	// PresenceData says who views the session now. It comes after subscribed and whenever it changes.
	PresenceData struct {
		Viewers []ViewerData `json:"viewers" doc:"Those at an approval first, then who came first; at most 50"`
		Count   int          `json:"count" doc:"All viewers, also those that are not listed"`
	}
	// ViewerData is one of them: a client of a user.
	ViewerData struct {
		User         string      `json:"user"`
		ClientID     string      `json:"client_id,omitempty"`
		ConnectionID string      `json:"connection_id" doc:"That of the frame connected, for a client to know itself by"`
		Since        schema.Time `json:"since"`
		ApprovalID   string      `json:"approval_id,omitempty" doc:"The approval that it looks at"`
	}
	// SessionsData is the list as it is when a subscription to it starts: the newest sessions.
	SessionsData struct {
		Sessions []schema.Session `json:"sessions"`
		Total    int              `json:"total"`
	}
	// SessionData is a session that is new in the list, or whose place in it has changed. It
	// carries neither plan nor context.
	SessionData struct {
		Session schema.Session `json:"session"`
		Total   int            `json:"total,omitempty" doc:"With session_created: how many there are now"`
	}
	// SessionDeletedData takes a session out of the list. With a session_id of its own, the frame ends the subscription to
	// that session.
	SessionDeletedData struct {
		SessionID string `json:"session_id"`
		Total     *int   `json:"total,omitempty" doc:"In the list: how many sessions there are now"`
	}
	// HeartbeatData comes at least every 10 seconds, for each session that the connection is subscribed to, or once without
	// a session when there is none, and at once when one of the parts goes away or comes back.
	HeartbeatData struct {
		Head     *int64 `json:"head,omitempty" doc:"The seq of the session's latest event"`
		Postgres string `json:"postgres" enum:"up,down" doc:"Has the records: without it nothing can be read that was not read before"`
		Temporal string `json:"temporal" enum:"up,down" doc:"Takes commands"`
		Worker   string `json:"worker" enum:"up,down" doc:"Carries them out: down when no worker was heard of lately"`
	}
)

// The frames of clients. Each may carry request_id, which its answer repeats.
type (
	// SubscribeFrame asks for a session's events with seq > since, then live ones.
	SubscribeFrame struct {
		Type      string `json:"type" enum:"subscribe"`
		RequestID string `json:"request_id,omitempty"`
		SessionID string `json:"session_id"`
		Since     int64  `json:"since,omitempty" minimum:"0"`
		Presence  *bool  `json:"presence,omitempty" doc:"false: neither shown to the other viewers nor told of them; true unless given"`
	}
	// ViewingFrame tells the other viewers of a subscribed session what this one looks at.
	ViewingFrame struct {
		Type       string `json:"type" enum:"viewing"`
		RequestID  string `json:"request_id,omitempty"`
		SessionID  string `json:"session_id"`
		ApprovalID string `json:"approval_id,omitempty" doc:"A pending approval; the session as such when absent or empty"`
	}
	// UnsubscribeFrame ends a subscription.
	UnsubscribeFrame struct {
		Type      string `json:"type" enum:"unsubscribe"`
		RequestID string `json:"request_id,omitempty"`
		SessionID string `json:"session_id"`
	}
	// PlainFrame needs nothing but its type.
	PlainFrame struct {
		Type      string `json:"type" enum:"subscribe_sessions,unsubscribe_sessions,ping"`
		RequestID string `json:"request_id,omitempty"`
	}
	// CommandFrame commands a session; pause is another word for suspend.
	CommandFrame struct {
		Type      string `json:"type" enum:"suspend,pause,resume,cancel"`
		RequestID string `json:"request_id,omitempty"`
		SessionID string `json:"session_id"`
	}
	// MessageFrame is a follow-up turn: the next run answers it.
	MessageFrame struct {
		Type      string `json:"type" enum:"message"`
		RequestID string `json:"request_id,omitempty"`
		SessionID string `json:"session_id"`
		Content   string `json:"content"`
	}
	// QueryFrame asks the workflow itself.
	QueryFrame struct {
		Type      string `json:"type" enum:"query"`
		RequestID string `json:"request_id,omitempty"`
		SessionID string `json:"session_id"`
		Name      string `json:"name" enum:"state,approvals,plan"`
	}
	// ResolveApprovalFrame answers an approval.
	ResolveApprovalFrame struct {
		Type          string            `json:"type" enum:"resolve_approval"`
		RequestID     string            `json:"request_id,omitempty"`
		ApprovalID    string            `json:"approval_id"`
		Resolution    schema.Resolution `json:"resolution"`
		Feedback      string            `json:"feedback,omitempty"`
		Modifications json.RawMessage   `json:"modifications,omitempty"`
	}
	// ReopenApprovalFrame resumes the session that an expired approval has suspended, so that it asks again.
	ReopenApprovalFrame struct {
		Type       string `json:"type" enum:"reopen_approval"`
		RequestID  string `json:"request_id,omitempty"`
		ApprovalID string `json:"approval_id"`
	}
)

// The types of clients' frames.
const (
	frameSubscribe           = "subscribe"
	frameUnsubscribe         = "unsubscribe"
	frameViewing             = "viewing"
	frameSubscribeSessions   = "subscribe_sessions"
	frameUnsubscribeSessions = "unsubscribe_sessions"
	framePing                = "ping"
	frameSuspend             = "suspend"
	framePause               = "pause"
	frameResume              = "resume"
	frameCancel              = "cancel"
	frameMessage             = "message"
	frameQuery               = "query"
	frameResolveApproval     = "resolve_approval"
	frameReopenApproval      = "reopen_approval"

	fieldType     = "type"
	fieldRequest  = "request_id"
	fieldSession  = "session_id"
	fieldApproval = "approval_id"
	fieldChanges  = "modifications"
	jsonNull      = "null"
)

// clientFrame has the fields of all of them.
type clientFrame struct {
	Type          string
	RequestID     string
	Anonymous     bool // the request id was made up here
	SessionID     string
	Since         int64
	Hidden        bool // presence is false
	ApprovalID    string
	Resolution    string
	Feedback      string
	Modifications json.RawMessage
	Content       string
	Name          string
}

// frameFields says which fields a type of frame may have, and which it must.
var frameFields = map[string]map[string]bool{
	frameSubscribe:           {fieldSession: true, "since": false, "presence": false},
	frameUnsubscribe:         {fieldSession: true},
	frameViewing:             {fieldSession: true, fieldApproval: false},
	frameSubscribeSessions:   {},
	frameUnsubscribeSessions: {},
	framePing:                {},
	frameSuspend:             {fieldSession: true},
	framePause:               {fieldSession: true},
	frameResume:              {fieldSession: true},
	frameCancel:              {fieldSession: true},
	frameMessage:             {fieldSession: true, "content": true},
	frameQuery:               {fieldSession: true, "name": true},
	frameReopenApproval:      {fieldApproval: true},
	frameResolveApproval:     {fieldApproval: true, "resolution": true, "feedback": false, fieldChanges: false},
}

const (
	frameTypes   = "subscribe, unsubscribe, viewing, subscribe_sessions, unsubscribe_sessions, ping, suspend, pause, resume, cancel, message, query, resolve_approval, reopen_approval"
	maxRequestID = 128
)

// parseFrame reads a client's frame. The frame it returns has the request id, where one
// could be read, also when the rest of it is refused.
func parseFrame(text []byte) (clientFrame, error) {
	var (
		f clientFrame
		r frameReader
	)
	if !utf8.Valid(text) {
		return f, schema.Errorf(schema.CodeInvalid, "a frame is UTF-8; this one has other bytes")
	}
	if err := json.Unmarshal(text, &r.fields); err != nil || r.fields == nil {
		return f, schema.Errorf(schema.CodeInvalid, "a frame is a JSON object with a type, such as {\"type\":\"ping\"}")
	}
	r.text(fieldRequest, &f.RequestID, maxRequestID)
	if len(r.wrong) > 0 {
		f.RequestID = ""
	}
	r.text(fieldType, &f.Type, maxRequestID)
	if r.names(f.Type); len(r.wrong) > 0 {
		return f, invalid(r.wrong)
	}
	if r.values(&f); len(r.wrong) > 0 {
		return f, invalid(r.wrong)
	}
	return f, nil
}

// frameReader reads a frame's fields and collects what is wrong with them.
type frameReader struct {
	fields map[string]json.RawMessage
	wrong  []schema.FieldError
}

func (r *frameReader) refuse(name, message string, value any) {
	r.wrong = append(r.wrong, schema.FieldError{Location: "frame." + name, Message: message, Value: brief(value)})
}

// names checks which fields there are.
func (r *frameReader) names(kind string) {
	known, ok := frameFields[kind]
	if !ok {
		r.refuse(fieldType, "allowed are "+frameTypes, kind)
		return
	}
	for name := range r.fields {
		if _, allowed := known[name]; !allowed && name != fieldType && name != fieldRequest {
			r.refuse(name, "there is no such field in a frame of type "+kind, nil)
		}
	}
	for name, required := range known {
		if _, given := r.fields[name]; required && !given {
			r.refuse(name, "this is missing", nil)
		}
	}
}

func (r *frameReader) values(f *clientFrame) {
	r.text(fieldSession, &f.SessionID, maxRequestID)
	r.text(fieldApproval, &f.ApprovalID, maxRequestID)
	r.text("resolution", &f.Resolution, maxRequestID)
	r.text("feedback", &f.Feedback, maxFrameBytes)
	if utf8.RuneCountInString(f.Feedback) > schema.MaxFeedback {
		r.refuse("feedback", "this has more than "+itoa(schema.MaxFeedback)+" characters", nil)
	}
	r.text("content", &f.Content, maxFrameBytes)
	r.text("name", &f.Name, maxRequestID)
	f.Modifications = r.fields[fieldChanges]
	if raw, given := r.fields["since"]; given {
		if err := json.Unmarshal(raw, &f.Since); err != nil || f.Since < 0 || string(raw) == jsonNull {
			r.refuse("since", "this must be a whole number, 0 or more", nil)
		}
	}
	if raw, given := r.fields["presence"]; given {
		shown := true
		if err := json.Unmarshal(raw, &shown); err != nil || string(raw) == jsonNull {
			r.refuse("presence", "this must be true or false", nil)
		}
		f.Hidden = !shown
	}
	if f.Type == frameViewing && f.ApprovalID != "" && !schema.ValidID(f.ApprovalID) {
		r.refuse(fieldApproval, "this must be the id of an approval, or empty", f.ApprovalID)
	}
}

func (r *frameReader) text(name string, into *string, most int) {
	raw, given := r.fields[name]
	if !given {
		return
	}
	if err := json.Unmarshal(raw, into); err != nil || string(raw) == jsonNull {
		r.refuse(name, "this must be a string", nil)
	} else if len(*into) > most {
		r.refuse(name, "this has more than "+itoa(int64(most))+" bytes", nil)
	} else if strings.ContainsRune(*into, 0) {
		r.refuse(name, noNUL, nil)
	}
}
