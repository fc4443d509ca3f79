package web

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/holdfast/holdfast/logs"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/wire"
	"github.com/holdfast/holdfast/web/caller"
)

const (
	headerRequestID = "X-Request-Id"
	headerUser      = "X-Holdfast-User"
)

// begin gives a request its id and context, and logs and counts its answer.
func (s *Server) begin(c *fiber.Ctx) error {
	began := time.Now()
	id := c.Get(headerRequestID)
	if !printable(id, 128) {
		id = schema.NewID()
	}
	c.Set(headerRequestID, id)
	ctx := caller.WithRequestID(s.base, id)
	ctx = logs.With(ctx, logs.Request(id))
	user := c.Get(headerUser)
	if s.loopback && printable(user, 64) {
		ctx = logs.With(caller.WithUser(ctx, user), logs.Actor(user))
	}
	if session := sessionInPath(c.Path()); session != "" {
		ctx = logs.With(ctx, logs.Session(session))
	}
	ctx, span := s.traced(ctx, c)
	c.SetUserContext(ctx)
	next := s.recovered
	if s.loopback && schema.ReservedActor(user) {
		next = func(*fiber.Ctx) error {
			return schema.Errorf(schema.CodeForbidden, "nobody is called %q: the product itself, its steps and its tokens have such names", schema.Brief(user))
		}
	}
	if err := next(c); err != nil {
		if err := s.fiberError(c, err); err != nil {
			return err
		}
	}
	status := c.Response().StatusCode()
	took := time.Since(began)
	s.metrics.request(c, status, took)
	endSpan(span, c, status)
	level := slog.LevelDebug
	if status == http.StatusInternalServerError {
		level = slog.LevelError
	}
	s.log.Log(ctx, level, "request", slog.String("method", c.Method()), slog.String("path", c.Path()),
		slog.Int("status", status), slog.Duration("took", took))
	return nil
}

func (s *Server) recovered(c *fiber.Ctx) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = schema.Wrap(schema.CodeInternal, fmt.Errorf("panic: %v\n%s", v, debug.Stack()), wire.InternalMessage)
		}
	}()
	return c.Next()
}

func printable(s string, most int) bool {
	if s == "" || len(s) > most {
		return false
	}
	for _, c := range []byte(s) {
		if c < 0x21 || c > 0x7e {
			return false
		}
	}
	return true
}

func sessionInPath(path string) string {
	rest, ok := strings.CutPrefix(path, "/api/sessions/")
	if !ok {
		return ""
	}
	id, _, _ := strings.Cut(rest, "/")
	if !schema.ValidID(id) {
		return ""
	}
	return id
}

func securityHeaders(c *fiber.Ctx) {
	c.Set(fiber.HeaderXContentTypeOptions, "nosniff")
	c.Set(fiber.HeaderReferrerPolicy, "same-origin")
	c.Set("Cross-Origin-Resource-Policy", "same-origin")
	c.Set(fiber.HeaderXFrameOptions, "DENY")
}

// limitBody reads the body of a request. One that is too large is read on for a while, so
// that its sender is still there for the answer, and thrown away.
func (s *Server) limitBody(c *fiber.Ctx) error {
	req := c.Request()
	stream := req.BodyStream()
	if stream == nil {
		return c.Next()
	}
	body, err := io.ReadAll(io.LimitReader(stream, maxBodyBytes+1))
	if err != nil {
		c.Context().SetConnectionClose()
		if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
			return newProblem(c.UserContext(), http.StatusRequestTimeout, schema.CodeInvalid, "the body did not arrive in time", nil)
		}
		return newProblem(c.UserContext(), http.StatusBadRequest, schema.CodeInvalid, "the body could not be read", nil)
	}
	if len(body) > maxBodyBytes {
		c.Context().SetConnectionClose()
		_, _ = io.Copy(io.Discard, io.LimitReader(stream, maxDrainBytes))
		return schema.Errorf(schema.CodeTooLarge, "%s", tooLargeMessage)
	}
	req.SetBodyStream(bytes.NewReader(body), len(body))
	return c.Next()
}

// route is an operation's path, for telling 404 from 405.
type route struct {
	method   string
	segments []string
}

// routingProblem answers a path or method that leads nowhere.
func (s *Server) routingProblem(c *fiber.Ctx, status int, message string) *problemError {
	ctx := c.UserContext()
	if status != http.StatusNotFound && status != http.StatusMethodNotAllowed {
		if status >= http.StatusInternalServerError {
			message = wire.InternalMessage
		}
		return newProblem(ctx, status, codeOf(status), message, nil)
	}
	allowed := s.allowed(c.Path())
	if len(allowed) == 0 || slices.Contains(allowed, c.Method()) {
		return newProblem(ctx, http.StatusNotFound, schema.CodeNotFound, "there is nothing at this address; /api/docs lists what there is", nil)
	}
	p := newProblem(ctx, http.StatusMethodNotAllowed, schema.CodeMethod,
		fmt.Sprintf("%s is not possible here; allowed: %s", c.Method(), strings.Join(allowed, ", ")), nil)
	p.headers = http.Header{fiber.HeaderAllow: {strings.Join(allowed, ", ")}}
	return p
}

func (s *Server) allowed(path string) []string {
	if !strings.HasPrefix(path, "/api/") && path != "/metrics" {
		return []string{http.MethodGet, http.MethodHead}
	}
	segments := strings.Split(path, "/")
	var methods []string
	for _, r := range s.routes {
		if r.matches(segments) {
			methods = append(methods, r.method)
		}
	}
	slices.Sort(methods)
	return slices.Compact(methods)
}

func (r route) matches(segments []string) bool {
	for i, part := range r.segments {
		switch {
		case part == "*":
			return len(segments) > i
		case i >= len(segments):
			return false
		case strings.HasPrefix(part, "{"):
		case part != segments[i]:
			return false
		}
	}
	return len(segments) == len(r.segments)
}
