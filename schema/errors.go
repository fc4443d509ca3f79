package schema

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Code is the stable, machine-readable name of an error. It is the `code` of a problem
// document, of a WebSocket error frame and of a Temporal application error.
type Code string

// The error codes.
const (
	CodeInvalid      Code = "invalid"      // the request breaks a rule; errors[] says which
	CodeNotFound     Code = "not_found"    // no such session, run, approval or file
	CodeConflict     Code = "conflict"     // it contradicts an earlier decision or action
	CodeExpired      Code = "expired"      // the approval's time is over
	CodeTooLarge     Code = "too_large"    // the body or frame is over its limit
	CodeUnavailable  Code = "unavailable"  // Postgres, Temporal or every worker is down; try again
	CodeForbidden    Code = "forbidden"    // known, but not allowed
	CodeInternal     Code = "internal"     // a fault of ours; the log has the cause
	CodeStale        Code = "stale"        // a newer attempt or version has taken over
	CodeRateLimited  Code = "rate_limited" // too many requests or frames
	CodeUnsupported  Code = "unsupported"  // known, but not available on this server
	CodeMethod       Code = "method_not_allowed"
	CodeCursorAhead  Code = "cursor_ahead"      // the log ends before the client's cursor: it was restored
	CodeRange        Code = "range_unavailable" // part of a log cannot be read
	CodeHostDraining Code = "host_draining"     // from a worker to a session, never to a client: this host takes no new steps
)

// Error is the one error type that crosses package borders. Message is written for the
// caller: what was wrong, with which value, and what is allowed. Cause is for the log alone.
type Error struct {
	Code    Code
	Message string
	Fields  []FieldError
	Cause   error
}

// FieldError says what is wrong at one place of a request: Location is a path such as
// `body.plan.steps[2].needs[0]`.
type FieldError struct {
	Location string `json:"location"`
	Message  string `json:"message"`
	Value    any    `json:"value,omitempty"`
}

// Invalid refuses a request for what is wrong with its fields.
func Invalid(fields []FieldError) *Error {
	message := "the request breaks a rule"
	if len(fields) > 0 {
		message = fields[0].Message
		if fields[0].Location != "" {
			message = fields[0].Location + ": " + message
		}
	}
	if more := len(fields) - 1; more > 0 {
		message += fmt.Sprintf(" (and %d more)", more)
	}
	return &Error{Code: CodeInvalid, Message: message, Fields: fields}
}

// InvalidField refuses a request for what is wrong at one place of it.
func InvalidField(location, message string, value any) *Error {
	return Invalid([]FieldError{{Location: location, Message: message, Value: Brief(value)}})
}

// PlainText says what is wrong with a text that people read.
func PlainText(location, text string) []FieldError {
	switch {
	case strings.TrimSpace(text) == "":
		return []FieldError{{Location: location, Message: "this is empty"}}
	case !utf8.ValidString(text) || strings.ContainsRune(text, 0):
		return []FieldError{{Location: location, Message: NoNUL}}
	}
	return nil
}

// Brief is a value as an error repeats it, cut short so that it does not fill the answer.
func Brief(value any) any {
	const most = 100
	switch v := value.(type) {
	case nil, bool, float64, int, int64, json.Number:
		return v
	case string:
		if len(v) > most {
			return v[:most] + "…"
		}
		return v
	default:
		text, err := json.Marshal(v)
		if err != nil || len(text) > most {
			return nil
		}
		return v
	}
}

// NoNUL is the message for text that Postgres and environments cannot hold.
const NoNUL = "this must be text without NUL"

// Error implements error.
func (e *Error) Error() string {
	if e.Cause != nil {
		return e.Message + ": " + e.Cause.Error()
	}
	return e.Message
}

// Unwrap gives the cause to errors.Is and errors.As.
func (e *Error) Unwrap() error { return e.Cause }

// Errorf makes an [Error] whose message is formatted as by fmt.Sprintf.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Wrap makes an [Error] with a message for the caller and a cause for the log.
func Wrap(code Code, cause error, message string) *Error {
	return &Error{Code: code, Message: message, Cause: cause}
}

// CodeOf returns the code of the first [Error] in err's chain, [CodeInternal] if there is none, and
// "" for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return CodeInternal
}

// IsPermanent reports whether the same call will fail the same way again: what it asks for does not
// exist, breaks a rule, cannot be kept or contradicts the current state. Such an error is final, and
// shows; any other may heal, and is worth another try. Only this function decides which is which.
func IsPermanent(err error) bool {
	switch CodeOf(err) {
	case CodeInvalid, CodeNotFound, CodeConflict, CodeExpired, CodeTooLarge, CodeForbidden, CodeStale, CodeUnsupported, CodeMethod:
		return true
	default:
		return false
	}
}
