package api

import (
	"cmp"
	"context"
	"io/fs"
	"log/slog"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humafiber"
	"github.com/gofiber/fiber/v2"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
	"github.com/holdfast/holdfast/schema/wire"
	"github.com/holdfast/holdfast/snapshot"
	"github.com/holdfast/holdfast/web/control"
	"github.com/holdfast/holdfast/web/health"
	"github.com/holdfast/holdfast/web/presence"
	"github.com/holdfast/holdfast/web/problem"
)

// Options configures a service.
type Options struct {
	Store     *store.Store
	Snapshots *snapshot.Store // nil has none
	Control   *control.Service
	Registry  *presence.Registry
	Health    *health.Monitor
	Log       *slog.Logger
	Work      *sync.WaitGroup        // has the goroutines that outlive their requests
	OpenAPI   []byte                 // the first of [Documents]
	AsyncAPI  []byte                 // the second
	Examples  fs.FS                  // plan files with an index.json beside them; optional
	Metrics   fiber.Handler          // answers with the metrics in the Prometheus text format
	Disk      func() *wire.DiskState // nil while the data folder's disk has room; optional

	Instance        string // names this instance
	Version         string // of the product
	DataDir         string // where the workspaces are
	AttendedTimeout time.Duration
	Limits          presence.Limits // of connections, for those who ask
}

// Service answers the REST API of one web instance.
type Service struct {
	Options

	huma     huma.API
	routes   []route
	examples []wire.Example
}

// New registers the API's endpoints at app.
func New(app *fiber.App, o Options) (*Service, error) {
	s := &Service{Options: o}
	var err error
	if s.examples, err = loadExamples(o.Examples); err != nil {
		return nil, err
	}
	s.register(app)
	return s, nil
}

// register declares every endpoint.
func (s *Service) register(app *fiber.App) {
	s.huma = newHuma(app)
	s.registerInstance()
	s.registerSessions()
	s.registerProjection()
	s.registerCommands()
	s.registerTurns()
	s.registerReads()
	s.registerApprovals()
	s.registerPlans()
	s.registerFiles(app)
	s.registerDocuments(app)
}

// newHuma makes an empty API: JSON only, no field and no query parameter that is not
// declared, and none of huma's own pages, which load scripts from elsewhere.
func newHuma(app *fiber.App) huma.API {
	configureHuma()
	registry := huma.NewMapRegistry(schemasAt, huma.DefaultSchemaNamer)
	registry.RegisterTypeAlias(reflect.TypeFor[problem.Error](), reflect.TypeFor[schema.Problem]())
	registerEnums(registry)
	return humafiber.New(app, huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{
				Title:       "Holdfast",
				Version:     apiVersion,
				Description: "A durable session server. Errors are RFC 9457 problem documents with a stable code.",
			},
			Components: &huma.Components{Schemas: registry},
		},
		Formats:                      map[string]huma.Format{mediaJSON: huma.DefaultJSONFormat, "json": huma.DefaultJSONFormat},
		DefaultFormat:                mediaJSON,
		RejectUnknownQueryParameters: true,
	})
}

const (
	apiVersion = "1.0.0"
	mediaJSON  = "application/json"
	mediaText  = "text/plain"
	mediaHTML  = "text/html"
)

var configureHuma = sync.OnceFunc(func() {
	huma.DefaultArrayNullable = false
	huma.ValidateStrictCasing = true
	huma.NewError = func(status int, msg string, errs ...error) huma.StatusError {
		return refusal(context.Background(), status, msg, errs)
	}
	huma.NewErrorWithContext = func(c huma.Context, status int, msg string, errs ...error) huma.StatusError {
		return refusal(c.Context(), status, msg, errs)
	}
})

// refusal gives huma's own refusals the shape of all others.
func refusal(ctx context.Context, status int, msg string, errs []error) *problem.Error {
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
			f.Message = problem.NoParameter
		}
		fields = append(fields, f)
	}
	detail := msg
	if len(fields) > 0 {
		detail = schema.Invalid(fields).Message
	}
	switch status {
	case http.StatusRequestEntityTooLarge:
		detail, fields = problem.TooLarge, nil
	case http.StatusUnsupportedMediaType:
		detail, fields = problem.NotJSON, nil
	}
	if status >= http.StatusInternalServerError {
		detail, fields = wire.InternalMessage, nil
	}
	return problem.New(ctx, status, problem.CodeOf(status), detail, fields)
}

// operation describes one endpoint.
type operation struct {
	method, path string
	id, summary  string
	tag          string
	status       int           // of a success; 200
	timeout      time.Duration // control.RequestTimeout
}

// handle registers an endpoint. Its errors leave as problem documents.
func handle[I, O any](s *Service, o operation, do func(ctx context.Context, in *I) (*O, error)) {
	s.AddRoute(o.method, o.path)
	huma.Register(s.huma, huma.Operation{
		Method: o.method, Path: o.path, OperationID: o.id, Summary: o.summary, Tags: []string{o.tag},
		DefaultStatus: max(o.status, http.StatusOK), MaxBodyBytes: problem.MaxBodyBytes + 1,
	}, func(ctx context.Context, in *I) (*O, error) {
		ctx, cancel := context.WithTimeout(ctx, cmp.Or(o.timeout, control.RequestTimeout))
		defer cancel()
		out, err := do(ctx, in)
		if err != nil {
			return nil, problem.Of(ctx, s.Log, err)
		}
		return out, nil
	})
}

// document describes an endpoint that is served without huma.
func (s *Service) document(o operation, describe func(op *huma.Operation)) {
	s.AddRoute(o.method, o.path)
	op := &huma.Operation{
		Method: o.method, Path: o.path, OperationID: o.id, Summary: o.summary, Tags: []string{o.tag}, Responses: map[string]*huma.Response{},
	}
	describe(op)
	s.huma.OpenAPI().AddOperation(op)
}

// route is an operation's path, for telling 404 from 405.
type route struct {
	method   string
	segments []string
}

// AddRoute makes a path known to [Service.Allowed].
func (s *Service) AddRoute(method, path string) {
	s.routes = append(s.routes, route{method: method, segments: strings.Split(path, "/")})
}

// Allowed lists the methods of a path of the API, sorted; none when there is no such path.
func (s *Service) Allowed(path string) []string {
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

// registerDocuments serves the documents of the API, and the metrics.
func (s *Service) registerDocuments(app *fiber.App) {
	const tag = "server"
	for _, d := range []struct {
		path, id, summary, kind string
		text                    []byte
	}{
		{"/api/openapi.json", "openapi", "This document", "OpenAPI 3.1", s.OpenAPI},
		{"/api/asyncapi.json", "asyncapi", "The document of the WebSocket", "AsyncAPI 3", s.AsyncAPI},
	} {
		s.document(operation{method: http.MethodGet, path: d.path, id: d.id, summary: d.summary, tag: tag}, func(op *huma.Operation) {
			op.Responses["200"] = &huma.Response{Description: d.kind, Content: map[string]*huma.MediaType{mediaJSON: {}}}
		})
		app.Get(d.path, func(c *fiber.Ctx) error {
			c.Set(fiber.HeaderContentType, mediaJSON)
			return c.Send(d.text)
		})
	}
	s.document(operation{method: http.MethodGet, path: "/api/metrics", id: "metrics", summary: "Counters in the Prometheus text format; also at /metrics", tag: tag}, func(op *huma.Operation) {
		op.Responses["200"] = &huma.Response{Description: "Prometheus text", Content: map[string]*huma.MediaType{mediaText: {}}}
	})
	for _, path := range []string{"/api/metrics", "/metrics"} {
		app.Get(path, s.Metrics)
	}
}

// body is an answer with nothing but a body.
type body[T any] struct{ Body T }

func answer[T any](v T, err error) (*body[T], error) {
	if err != nil {
		return nil, err
	}
	return &body[T]{Body: v}, nil
}
