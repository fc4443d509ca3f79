// Package problem makes the answers to requests that fail: RFC 9457 documents, each with a code of the vocabulary.
//
// Imports: logs, schema, schema/wire, web/caller.
// Imported by: web, web/api, web/socket.
package problem

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"

	"github.com/holdfast/holdfast/logs"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/wire"
	"github.com/holdfast/holdfast/web/caller"
)

const (
	// MediaType is the type of a problem document.
	MediaType = "application/problem+json"

	// MaxBodyBytes bounds the body of a request.
	MaxBodyBytes = 2 << 20

	// RetryAfter is after how many seconds a client may try again what was unavailable.
	RetryAfter = 2
)

// Messages that more than one part of the server gives.
const (
	NoParameter = "there is no such query parameter"
	NotJSON     = "the body must be JSON, with Content-Type: application/json"
)

// TooLarge is the message about a body of more than [MaxBodyBytes].
var TooLarge = fmt.Sprintf("the request is larger than %d MiB", MaxBodyBytes>>20)

// Error is a problem document as an error. It has the methods by which huma sends it.
type Error struct {
	schema.Problem

	Headers http.Header
}

func (e *Error) Error() string { return e.Detail }

// GetStatus implements huma.StatusError.
func (e *Error) GetStatus() int { return e.Status }

// GetHeaders implements huma.HeadersError.
func (e *Error) GetHeaders() http.Header { return e.Headers }

// ContentType implements huma.ContentTypeFilter.
func (e *Error) ContentType(string) string { return MediaType }

// New makes the problem of a request.
func New(ctx context.Context, status int, code schema.Code, detail string, fields []schema.FieldError) *Error {
	e := &Error{Problem: schema.Problem{
		Type:      "about:blank",
		Title:     http.StatusText(status),
		Status:    status,
		Detail:    detail,
		Code:      code,
		Errors:    fields,
		RequestID: caller.RequestID(ctx),
	}}
	if e.Errors == nil {
		e.Errors = []schema.FieldError{}
	}
	if status == http.StatusServiceUnavailable {
		e.Headers = http.Header{"Retry-After": {strconv.Itoa(RetryAfter)}}
	}
	return e
}

// Of makes the answer to an error, and logs the error by [Log].
func Of(ctx context.Context, log *slog.Logger, err error) *Error {
	if ready, ok := errors.AsType[*Error](err); ok {
		return ready
	}
	e := wire.Public(err)
	Log(ctx, log, e, err)
	refusal, _ := wire.RefusalOf(e.Code)
	return New(ctx, refusal.Status, e.Code, e.Message, e.Fields)
}

// Log logs an error and what its caller is told of it. Only faults of the server are errors in the log. A request that
// its client or a stopping server cut short is nobody's fault.
func Log(ctx context.Context, log *slog.Logger, told *schema.Error, err error) {
	if told.Code == schema.CodeInternal && errors.Is(err, context.Canceled) {
		log.DebugContext(ctx, "request cut short", logs.Err(err))
		return
	}
	switch told.Code {
	case schema.CodeInternal:
		log.ErrorContext(ctx, "request failed", logs.Err(err))
	case schema.CodeUnavailable:
		log.InfoContext(ctx, "request cannot be served now", logs.Err(err))
	default:
		log.DebugContext(ctx, "request refused", slog.String("code", string(told.Code)), logs.Err(err))
	}
}

// CodeOf is the code of a status, for refusals that the HTTP layers make themselves.
func CodeOf(status int) schema.Code {
	switch status {
	case http.StatusNotFound:
		return schema.CodeNotFound
	case http.StatusForbidden:
		return schema.CodeForbidden
	case http.StatusMethodNotAllowed:
		return schema.CodeMethod
	case http.StatusRequestEntityTooLarge, http.StatusRequestHeaderFieldsTooLarge:
		return schema.CodeTooLarge
	case http.StatusServiceUnavailable:
		return schema.CodeUnavailable
	}
	if status >= http.StatusInternalServerError {
		return schema.CodeInternal
	}
	return schema.CodeInvalid
}
