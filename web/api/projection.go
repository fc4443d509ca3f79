package api

import (
	"context"
	"net/http"

	"github.com/holdfast/holdfast/schema/wire"
)

func (s *Service) registerProjection() {
	handle(s, operation{method: http.MethodGet, path: "/api/sessions/{id}/projection", id: "getProjection", summary: "Read a session with its runs and approvals at one moment, to fold later events into", tag: "sessions"},
		func(ctx context.Context, in *SessionPath) (*body[wire.Projection], error) {
			p, err := s.Store.Projection(ctx, in.ID)
			return answer(wire.Projection(p), err)
		})
}
