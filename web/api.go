package web

import (
	"cmp"
	"context"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humafiber"
	"github.com/gofiber/fiber/v2"

	"github.com/holdfast/holdfast/schema"
)

// newAPI makes an empty API: JSON only, no field and no query parameter that is not
// declared, and none of huma's own pages, which load scripts from elsewhere.
func newAPI(app *fiber.App) huma.API {
	configureHuma()
	registry := huma.NewMapRegistry(schemasAt, huma.DefaultSchemaNamer)
	registry.RegisterTypeAlias(reflect.TypeFor[problemError](), reflect.TypeFor[schema.Problem]())
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
	apiVersion  = "1.0.0"
	mediaJSON   = "application/json"
	mediaText   = "text/plain"
	mediaHTML   = "text/html"
	noParameter = "there is no such query parameter"
)

// operation describes one endpoint.
type operation struct {
	method, path string
	id, summary  string
	tag          string
	status       int           // of a success; 200
	timeout      time.Duration // requestTimeout
}

// handle registers an endpoint. Its errors leave as problem documents.
func handle[I, O any](s *Server, o operation, do func(ctx context.Context, in *I) (*O, error)) {
	s.addRoute(o.method, o.path)
	huma.Register(s.api, huma.Operation{
		Method: o.method, Path: o.path, OperationID: o.id, Summary: o.summary, Tags: []string{o.tag},
		DefaultStatus: max(o.status, http.StatusOK), MaxBodyBytes: maxBodyBytes + 1,
	}, func(ctx context.Context, in *I) (*O, error) {
		ctx, cancel := context.WithTimeout(ctx, cmp.Or(o.timeout, requestTimeout))
		defer cancel()
		out, err := do(ctx, in)
		if err != nil {
			return nil, s.problem(ctx, err)
		}
		return out, nil
	})
}

// document describes an endpoint that is served without huma.
func (s *Server) document(o operation, describe func(op *huma.Operation)) {
	s.addRoute(o.method, o.path)
	op := &huma.Operation{
		Method: o.method, Path: o.path, OperationID: o.id, Summary: o.summary, Tags: []string{o.tag}, Responses: map[string]*huma.Response{},
	}
	describe(op)
	s.api.OpenAPI().AddOperation(op)
}

func (s *Server) addRoute(method, path string) {
	s.routes = append(s.routes, route{method: method, segments: strings.Split(path, "/")})
}

// body is an answer with nothing but a body.
type body[T any] struct{ Body T }

func answer[T any](v T, err error) (*body[T], error) {
	if err != nil {
		return nil, err
	}
	return &body[T]{Body: v}, nil
}

// register declares every endpoint.
func (s *Server) register() {
	s.registerHealth()
	s.registerSessions()
	s.registerProjection()
	s.registerCommands()
	s.registerTurns()
	s.registerReads()
	s.registerApprovals()
	s.registerPlans()
}
