package wire

import (
	"errors"
	"net/http"

	"github.com/holdfast/holdfast/schema"
)

// Refusal says what a client has to know about an error code.
type Refusal struct {
	Code   schema.Code
	Status int  // of an HTTP answer
	Again  bool // the same request, unchanged, may succeed later
}

// Refusals has every error code that a client can see.
var Refusals = []Refusal{
	{schema.CodeInvalid, http.StatusUnprocessableEntity, false},
	{schema.CodeNotFound, http.StatusNotFound, false},
	{schema.CodeConflict, http.StatusConflict, false},
	{schema.CodeExpired, http.StatusGone, false},
	{schema.CodeTooLarge, http.StatusRequestEntityTooLarge, false},
	{schema.CodeUnavailable, http.StatusServiceUnavailable, true},
	{schema.CodeForbidden, http.StatusForbidden, false},
	{schema.CodeInternal, http.StatusInternalServerError, true},
	{schema.CodeStale, http.StatusConflict, true},
	{schema.CodeRateLimited, http.StatusTooManyRequests, true},
	{schema.CodeUnsupported, http.StatusUnprocessableEntity, false},
	{schema.CodeMethod, http.StatusMethodNotAllowed, false},
	{schema.CodeCursorAhead, http.StatusConflict, false},
	{schema.CodeRange, http.StatusServiceUnavailable, false},
}

// RefusalOf looks up a code. A code that clients never see counts as a server fault.
func RefusalOf(code schema.Code) (r Refusal, known bool) {
	for _, r := range Refusals {
		if r.Code == code {
			return r, true
		}
	}
	return Refusal{Code: schema.CodeInternal, Status: http.StatusInternalServerError, Again: true}, false
}

// InternalMessage is all that a client is told of a fault of the server's.
const InternalMessage = "something went wrong on the server; its log has the cause under this request_id"

// Public is what a client may see of an error: a fault of the server's keeps its cause for the log.
func Public(err error) *schema.Error {
	e, ok := errors.AsType[*schema.Error](err)
	if !ok || e.Code == schema.CodeInternal {
		return &schema.Error{Code: schema.CodeInternal, Message: InternalMessage, Cause: err}
	}
	return e
}

// The codes with which a server closes a WebSocket.
const (
	CloseNormal        = 1000
	CloseGoingAway     = 1001
	CloseProtocolError = 1002
	CloseInvalidData   = 1007
	ClosePolicy        = 1008
	CloseTooBig        = 1009
	CloseTryAgainLater = 1013
	CloseReplaced      = 4001

	// CloseAbnormal is what a client reports when a connection broke without a close frame.
	CloseAbnormal = 1006
)

// Action is what a client does after its connection has closed.
type Action string

// The actions.
const (
	Stop    Action = "stop"    // do not come back
	AtOnce  Action = "at once" // come back without waiting: another instance answers
	Backoff Action = "backoff" // come back after a growing, random wait
)

// CloseRule says what a client does on close codes from From to To.
type CloseRule struct {
	From, To int
	Action   Action
	Why      string
	// Says reports whether the server's reason, if it gives one, says more than Why.
	Says bool
}

// CloseRules apply in order: the first rule whose range contains the code counts. The ranges cover
// codes that a client does not know yet: 4000 to 4499 end the connection for good, any other is
// worth another try.
var CloseRules = []CloseRule{
	{CloseNormal, CloseNormal, Stop, "the server closed the connection", true},
	{CloseGoingAway, CloseGoingAway, AtOnce, "the server is restarting", false},
	{ClosePolicy, ClosePolicy, Stop, "the server refused the connection", true},
	{CloseTooBig, CloseTooBig, Backoff, "a message was too big for the server", false},
	{CloseTryAgainLater, CloseTryAgainLater, Backoff, "the server has reached its connection limit", true},
	{CloseReplaced, CloseReplaced, Stop, "a newer connection of the same client took over", false},
	{4000, 4499, Stop, "the server ended the connection for good", true},
	{0, 4999, Backoff, "the connection was lost", true},
}

// CloseRuleOf looks up what a client does on a close code.
func CloseRuleOf(code int) CloseRule {
	for _, r := range CloseRules {
		if r.From <= code && code <= r.To {
			return r
		}
	}
	return CloseRules[len(CloseRules)-1]
}
