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
	"github.com/holdfast/holdfast/web/problem"
)

const (
	headerRequestID = "X-Request-Id"
	headerUser      = "X-Holdfast-User"
)

// begin gives a request its id and context, and logs and counts its answer.
func (s *Server) begin(c *fiber.Ctx) error {
	began := time.Now()
	id := c.Get(headerRequestID)
	if !caller.Printable(id, 128) {
		id = schema.NewID()
	}
	c.Set(headerRequestID, id)
	ctx := caller.WithRequestID(s.base, id)
	ctx = logs.With(ctx, logs.Request(id))
	user := c.Get(headerUser)
	if s.loopback && caller.Printable(user, 64) {
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
	body, err := io.ReadAll(io.LimitReader(stream, problem.MaxBodyBytes+1))
	if err != nil {
		c.Context().SetConnectionClose()
		if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
			return problem.New(c.UserContext(), http.StatusRequestTimeout, schema.CodeInvalid, "the body did not arrive in time", nil)
		}
		return problem.New(c.UserContext(), http.StatusBadRequest, schema.CodeInvalid, "the body could not be read", nil)
	}
	if len(body) > problem.MaxBodyBytes {
		c.Context().SetConnectionClose()
		_, _ = io.Copy(io.Discard, io.LimitReader(stream, maxDrainBytes))
		return schema.Errorf(schema.CodeTooLarge, "%s", problem.TooLarge)
	}
	req.SetBodyStream(bytes.NewReader(body), len(body))
	return c.Next()
}

// routingProblem answers a path or method that leads nowhere.
func (s *Server) routingProblem(c *fiber.Ctx, status int, message string) *problem.Error {
	ctx := c.UserContext()
	if status != http.StatusNotFound && status != http.StatusMethodNotAllowed {
		if status >= http.StatusInternalServerError {
			message = wire.InternalMessage
		}
		return problem.New(ctx, status, problem.CodeOf(status), message, nil)
	}
	allowed := s.allowed(c.Path())
	if len(allowed) == 0 || slices.Contains(allowed, c.Method()) {
		return problem.New(ctx, http.StatusNotFound, schema.CodeNotFound, "there is nothing at this address; /api/docs lists what there is", nil)
	}
	p := problem.New(ctx, http.StatusMethodNotAllowed, schema.CodeMethod,
		fmt.Sprintf("%s is not possible here; allowed: %s", c.Method(), strings.Join(allowed, ", ")), nil)
	p.Headers = http.Header{fiber.HeaderAllow: {strings.Join(allowed, ", ")}}
	return p
}

func (s *Server) allowed(path string) []string {
	if !strings.HasPrefix(path, "/api/") && path != "/metrics" {
		return []string{http.MethodGet, http.MethodHead}
	}
	return s.api.Allowed(path)
}
