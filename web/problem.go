package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"sync"

	"github.com/danielgtaylor/huma/v2"

	"github.com/holdfast/holdfast/logs"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/wire"
	"github.com/holdfast/holdfast/web/caller"
)

// codeOf is the code of a status, for errors that the HTTP layers make themselves.
func codeOf(status int) schema.Code {
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

// problemError is a [schema.Problem] as huma sends it.
type problemError struct {
	schema.Problem

	headers http.Header
}

var (
	_ huma.StatusError       = (*problemError)(nil)
	_ huma.HeadersError      = (*problemError)(nil)
	_ huma.ContentTypeFilter = (*problemError)(nil)
)

func (p *problemError) Error() string           { return p.Detail }
func (p *problemError) GetStatus() int          { return p.Status }
func (p *problemError) GetHeaders() http.Header { return p.headers }

// ContentType implements huma.ContentTypeFilter.
func (p *problemError) ContentType(string) string { return problemType }

const problemType = "application/problem+json"

// problem makes the answer to an error. Faults of ours are logged here, once.
func (s *Server) problem(ctx context.Context, err error) *problemError {
	if ready, ok := errors.AsType[*problemError](err); ok {
		return ready
	}
	e := wire.Public(err)
	s.logFault(ctx, e, err)
	refusal, _ := wire.RefusalOf(e.Code)
	return newProblem(ctx, refusal.Status, e.Code, e.Message, e.Fields)
}

// logFault says in the log what a caller is told. That something which the server needs is away is told once, by pulse,
// and not for each request; whoever is gone, and a server that stops, cut requests short, which is nobody's fault.
func (s *Server) logFault(ctx context.Context, e *schema.Error, err error) {
	if e.Code == schema.CodeInternal && errors.Is(err, context.Canceled) {
		s.log.DebugContext(ctx, "request cut short", logs.Err(err))
		return
	}
	switch e.Code {
	case schema.CodeInternal:
		s.log.ErrorContext(ctx, "request failed", logs.Err(err))
	case schema.CodeUnavailable:
		s.log.InfoContext(ctx, "request cannot be served now", logs.Err(err))
	default:
		s.log.DebugContext(ctx, "request refused", slog.String("code", string(e.Code)), logs.Err(err))
	}
}

func newProblem(ctx context.Context, status int, code schema.Code, detail string, fields []schema.FieldError) *problemError {
	p := &problemError{Problem: schema.Problem{
		Type:      "about:blank",
		Title:     http.StatusText(status),
		Status:    status,
		Detail:    detail,
		Code:      code,
		Errors:    fields,
		RequestID: caller.RequestID(ctx),
	}}
	if p.Errors == nil {
		p.Errors = []schema.FieldError{}
	}
	if status == http.StatusServiceUnavailable {
		p.headers = http.Header{"Retry-After": {strconv.Itoa(retryAfter)}}
	}
	return p
}

var configureHuma = sync.OnceFunc(func() {
	huma.DefaultArrayNullable = false
	huma.ValidateStrictCasing = true
	huma.NewError = func(status int, msg string, errs ...error) huma.StatusError {
		return humaProblem(context.Background(), status, msg, errs)
	}
	huma.NewErrorWithContext = func(c huma.Context, status int, msg string, errs ...error) huma.StatusError {
		return humaProblem(c.Context(), status, msg, errs)
	}
})

// humaProblem gives huma's own refusals the shape of all others.
func humaProblem(ctx context.Context, status int, msg string, errs []error) *problemError {
	fields := make([]schema.FieldError, 0, len(errs))
	for _, err := range errs {
		if err == nil {
			continue
		}
		f := schema.FieldError{Message: err.Error()}
		if d, ok := err.(huma.ErrorDetailer); ok {
			detail := d.ErrorDetail()
			f = schema.FieldError{Location: detail.Location, Message: detail.Message, Value: schema.Brief(detail.Value)}
		}
		switch f.Message {
		case "unexpected property":
			f.Message, f.Value = "there is no such field", nil
		case "unknown query parameter":
			f.Message = noParameter
		}
		fields = append(fields, f)
	}
	detail := msg
	if len(fields) > 0 {
		detail = schema.Invalid(fields).Message
	}
	switch status {
	case http.StatusRequestEntityTooLarge:
		detail, fields = tooLargeMessage, nil
	case http.StatusUnsupportedMediaType:
		detail, fields = "the body must be JSON, with Content-Type: application/json", nil
	}
	if status >= http.StatusInternalServerError {
		detail, fields = wire.InternalMessage, nil
	}
	return newProblem(ctx, status, codeOf(status), detail, fields)
}

var tooLargeMessage = fmt.Sprintf("the request is larger than %d MiB", maxBodyBytes>>20)
