package wire

import (
	"net/http"

	"github.com/holdfast/holdfast/schema"
)

// Refusal says what a client has to know of an error code.
type Refusal struct {
	Code   schema.Code
	Status int  // of an HTTP answer
	Again  bool // the same request, unchanged, may be taken later
}

// Refusals has every error code that a client can meet.
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

// RefusalOf looks a code up. One that clients cannot meet counts as a fault of the server's.
func RefusalOf(code schema.Code) (r Refusal, known bool) {
	for _, r := range Refusals {
		if r.Code == code {
			return r, true
		}
	}
	return Refusal{Code: schema.CodeInternal, Status: http.StatusInternalServerError, Again: true}, false
}

// The codes with which a server closes a WebSocket.
const (
	CloseNormal        = 1000
	CloseGoingAway     = 1001
	ClosePolicy        = 1008
	CloseTooBig        = 1009
	CloseTryAgainLater = 1013
	CloseReplaced      = 4001

	// CloseAbnormal is what a client takes a connection for that broke without a close frame.
	CloseAbnormal = 1006
)

// Action is what a client does after a connection has closed.
type Action string

// The actions.
const (
	Stop    Action = "stop"    // do not come back
	AtOnce  Action = "at once" // come back without waiting: another instance answers
	Backoff Action = "backoff" // come back after a growing, random wait
)

// CloseRule says what the close codes from From to To ask of a client.
type CloseRule struct {
	From, To int
	Action   Action
	Why      string
	// Says is whether the server's reason, when it gives one, says more than Why.
	Says bool
}

// CloseRules are looked through in their order: the first one that has the code in its range
// counts. The ranges say what to do about codes that a client does not know yet: those from 4000 to
// 4499 end the connection for good, any other is worth another try.
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

// CloseRuleOf looks up what a close code asks of a client.
func CloseRuleOf(code int) CloseRule {
	for _, r := range CloseRules {
		if r.From <= code && code <= r.To {
			return r
		}
	}
	return CloseRules[len(CloseRules)-1]
}
