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
		Errors    []schema.FieldError `json:"errors"`
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
	}
	// SessionDeletedData takes a session out of the list.
	SessionDeletedData struct {
		SessionID string `json:"session_id"`
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
)

// The types of clients' frames.
const (
	frameSubscribe           = "subscribe"
	frameUnsubscribe         = "unsubscribe"
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

	fieldType    = "type"
	fieldSession = "session_id"
	fieldChanges = "modifications"
	jsonNull     = "null"
)

// clientFrame has the fields of all of them.
type clientFrame struct {
	Type          string
	RequestID     string
	SessionID     string
	Since         int64
	ApprovalID    string
	Resolution    string
	Feedback      string
	Modifications json.RawMessage
	Content       string
	Name          string
}

// frameFields says which fields a type of frame may have, and which it must.
var frameFields = map[string]map[string]bool{
	frameSubscribe:           {fieldSession: true, "since": false},
	frameUnsubscribe:         {fieldSession: true},
	frameSubscribeSessions:   {},
	frameUnsubscribeSessions: {},
	framePing:                {},
	frameSuspend:             {fieldSession: true},
	framePause:               {fieldSession: true},
	frameResume:              {fieldSession: true},
	frameCancel:              {fieldSession: true},
	frameMessage:             {fieldSession: true, "content": true},
	frameQuery:               {fieldSession: true, "name": true},
	frameResolveApproval:     {"approval_id": true, "resolution": true, "feedback": false, fieldChanges: false},
}

const (
	frameTypes   = "subscribe, unsubscribe, subscribe_sessions, unsubscribe_sessions, ping, suspend, pause, resume, cancel, message, query, resolve_approval"
	maxRequestID = 128
)

// parseFrame reads a client's frame. The frame it returns has the request id, where one
// could be read, also when the rest of it is refused.
func parseFrame(text []byte) (clientFrame, error) {
	var (
		f      clientFrame
		fields map[string]json.RawMessage
	)
	if err := json.Unmarshal(text, &fields); err != nil || fields == nil {
		return f, schema.Errorf(schema.CodeInvalid, "a frame is a JSON object with a type, such as {\"type\":\"ping\"}")
	}
	var wrong []schema.FieldError
	refuse := func(name, message string, value any) {
		wrong = append(wrong, schema.FieldError{Location: "frame." + name, Message: message, Value: brief(value)})
	}
	text1 := func(name string, into *string, most int) {
		raw, given := fields[name]
		if !given {
			return
		}
		if err := json.Unmarshal(raw, into); err != nil || string(raw) == jsonNull {
			refuse(name, "this must be a string", nil)
		} else if len(*into) > most {
			refuse(name, "this has more than "+itoa(int64(most))+" bytes", nil)
		} else if strings.ContainsRune(*into, 0) {
			refuse(name, noNUL, nil)
		}
	}
	text1("request_id", &f.RequestID, maxRequestID)
	if len(wrong) > 0 {
		f.RequestID = ""
	}
	text1(fieldType, &f.Type, maxRequestID)
	known, ok := frameFields[f.Type]
	if !ok {
		refuse(fieldType, "allowed are "+frameTypes, f.Type)
		return f, invalid(wrong)
	}
	for name := range fields {
		if _, allowed := known[name]; !allowed && name != fieldType && name != "request_id" {
			refuse(name, "there is no such field in a frame of type "+f.Type, nil)
		}
	}
	for name, required := range known {
		if _, given := fields[name]; required && !given {
			refuse(name, "this is missing", nil)
		}
	}
	if len(wrong) > 0 {
		return f, invalid(wrong)
	}
	text1(fieldSession, &f.SessionID, maxRequestID)
	text1("approval_id", &f.ApprovalID, maxRequestID)
	text1("resolution", &f.Resolution, maxRequestID)
	text1("feedback", &f.Feedback, maxFrameBytes)
	if utf8.RuneCountInString(f.Feedback) > schema.MaxFeedback {
		refuse("feedback", "this has more than "+itoa(schema.MaxFeedback)+" characters", nil)
	}
	text1("content", &f.Content, maxFrameBytes)
	text1("name", &f.Name, maxRequestID)
	f.Modifications = fields[fieldChanges]
	if raw, given := fields["since"]; given {
		if err := json.Unmarshal(raw, &f.Since); err != nil || f.Since < 0 || string(raw) == jsonNull {
			refuse("since", "this must be a whole number, 0 or more", nil)
		}
	}
	if len(wrong) > 0 {
		return f, invalid(wrong)
	}
	return f, nil
}
