package api

import (
	"context"
	"net/http"

	"github.com/holdfast/holdfast/schema/wire"
	"github.com/holdfast/holdfast/web/health"
	"github.com/holdfast/holdfast/web/problem"
)

type readyOutput struct {
	Status     int
	RetryAfter int `header:"Retry-After"`
	Body       wire.Readiness
}

func (s *Service) registerInstance() {
	const tag = "server"
	handle(s, operation{method: http.MethodGet, path: "/api/health", id: "health", summary: "Whether the process serves", tag: tag},
		func(context.Context, *struct{}) (*body[wire.Health], error) {
			return &body[wire.Health]{Body: wire.Health{Status: "ok", Version: s.Version, Instance: s.Instance}}, nil
		})
	handle(s, operation{method: http.MethodGet, path: "/api/ready", id: "ready", summary: "Whether Postgres and Temporal can be reached, 503 when one cannot; and whether a worker is there", tag: tag}, s.ready)
	handle(s, operation{method: http.MethodGet, path: "/api/debug/connections", id: "listConnections", summary: "List the WebSocket connections of this instance, or of all", tag: tag}, s.listConnections)
}

func (s *Service) ready(ctx context.Context, _ *struct{}) (*readyOutput, error) {
	failures := s.Health.Check(ctx)
	postgres, temporal := failures[health.Postgres], failures[health.Temporal]
	out := &readyOutput{Status: http.StatusOK, Body: wire.Readiness{
		Ready: postgres == nil && temporal == nil, Postgres: dependency(health.PostgresProblem(postgres), postgres), Temporal: dependency("Temporal cannot be reached", temporal),
		Worker: dependency("no worker was heard of lately", failures[health.Worker]),
	}}
	if temporal != nil {
		out.Body.Worker = dependency("nobody can tell without Temporal", temporal)
	}
	if s.Disk != nil {
		out.Body.Disk = s.Disk()
	}
	if !out.Body.Ready {
		out.Status, out.RetryAfter = http.StatusServiceUnavailable, problem.RetryAfter
	}
	return out, nil
}

func dependency(wrong string, err error) wire.Dependency {
	if err == nil {
		return wire.Dependency{Ready: true}
	}
	return wire.Dependency{Error: wrong}
}
