package web

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/wire"
	"github.com/holdfast/holdfast/web/presence"
)

type readyOutput struct {
	Status     int
	RetryAfter int `header:"Retry-After"`
	Body       wire.Readiness
}

func (s *Server) registerHealth() {
	const tag = "server"
	handle(s, operation{method: http.MethodGet, path: "/api/health", id: "health", summary: "Whether the process serves", tag: tag},
		func(context.Context, *struct{}) (*body[wire.Health], error) {
			return &body[wire.Health]{Body: wire.Health{Status: "ok", Version: s.opts.Version, Instance: s.opts.Instance}}, nil
		})
	handle(s, operation{method: http.MethodGet, path: "/api/ready", id: "ready", summary: "Whether Postgres and Temporal can be reached, 503 when one cannot; and whether a worker is there", tag: tag}, s.ready)
	for path, id := range map[string]string{"/api/modes": "listModes", "/api/sessions/modes/list": "listSessionModes"} {
		handle(s, operation{method: http.MethodGet, path: path, id: id, summary: "List the workflow modes", tag: tag},
			func(context.Context, *struct{}) (*body[wire.ModeList], error) {
				return &body[wire.ModeList]{Body: wire.ModeList{Modes: schema.Modes()}}, nil
			})
	}
	handle(s, operation{method: http.MethodGet, path: "/api/debug/connections", id: "listConnections", summary: "List the WebSocket connections of this instance, or of all", tag: tag}, s.listConnections)
}

func (s *Server) ready(ctx context.Context, _ *struct{}) (*readyOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	failures := s.look(ctx)
	postgres, temporal := failures[partPostgres], failures[partTemporal]
	out := &readyOutput{Status: http.StatusOK, Body: wire.Readiness{
		Ready: postgres == nil && temporal == nil, Postgres: dependency(postgresWrong(postgres), postgres), Temporal: dependency("Temporal cannot be reached", temporal),
		Worker: dependency("no worker was heard of lately", failures[partWorker]),
	}}
	if temporal != nil {
		out.Body.Worker = dependency("nobody can tell without Temporal", temporal)
	}
	if s.opts.Disk != nil {
		out.Body.Disk = s.opts.Disk()
	}
	if !out.Body.Ready {
		out.Status, out.RetryAfter = http.StatusServiceUnavailable, retryAfter
	}
	return out, nil
}

var errNotMigrated = errors.New("the database lacks migrations: run `holdfast migrate up`")

// database reports whether Postgres can be reached, and whether this release can work with the schema there.
func (s *Server) database(ctx context.Context) error {
	state, err := s.store.Schema(ctx)
	if err != nil {
		return err
	}
	if err = state.Err(); schema.CodeOf(err) == schema.CodeUnavailable {
		return errNotMigrated
	}
	return err
}

// postgresWrong says what is wrong with Postgres: of its schema, what a person has to do.
func postgresWrong(err error) string {
	if errors.Is(err, errNotMigrated) || schema.CodeOf(err) == schema.CodeUnsupported {
		return err.Error()
	}
	return "Postgres cannot be reached"
}

func dependency(wrong string, err error) wire.Dependency {
	if err == nil {
		return wire.Dependency{Ready: true}
	}
	return wire.Dependency{Error: wrong}
}

type connectionsInput struct {
	All bool `query:"all" doc:"Those of every instance, as Postgres has them"`
}

func (s *Server) listConnections(ctx context.Context, in *connectionsInput) (*body[wire.ConnectionList], error) {
	list := wire.ConnectionList{
		MaxConnections: s.opts.MaxConnections, MaxPerUser: s.opts.MaxPerUser, MaxPerAddress: s.opts.MaxPerAddress,
		Instance: s.opts.Instance, Connections: []wire.ConnectionInfo{},
	}
	if in.All {
		if err := s.everywhere(ctx, &list); err != nil {
			return nil, err
		}
	} else {
		s.here(&list)
	}
	list.ActiveConnections = len(list.Connections)
	return &body[wire.ConnectionList]{Body: list}, nil
}

// here adds the connections of this instance, the oldest first.
func (s *Server) here(list *wire.ConnectionList) {
	all := s.registry.All()
	slices.SortFunc(all, func(a, b *presence.Member) int { return a.ConnectedAt.Compare(b.ConnectedAt) })
	for _, m := range all {
		sessions, watchesList, lag := m.Conn.Watched()
		if sessions == nil {
			sessions = []string{}
		}
		list.Connections = append(list.Connections, wire.ConnectionInfo{
			ID: m.ID, Instance: s.opts.Instance, ClientID: m.ClientID, User: m.User, Address: m.Address, Sessions: sessions, List: watchesList,
			ConnectedAt: schema.Time{Time: m.ConnectedAt}, AgeSeconds: time.Since(m.ConnectedAt).Seconds(), LastActivity: schema.Time{Time: m.Conn.LastHeard()}, Lag: lag,
		})
	}
}

// everywhere adds the connections of all instances.
func (s *Server) everywhere(ctx context.Context, list *wire.ConnectionList) error {
	instances, err := s.store.Instances(ctx)
	if err != nil {
		return err
	}
	all, err := s.store.Connections(ctx)
	if err != nil {
		return err
	}
	for _, i := range instances {
		list.Instances = append(list.Instances, wire.InstanceInfo{Instance: i.ID, StartedAt: i.StartedAt, LastHeartbeat: i.LastHeartbeat})
	}
	for i := range all {
		c := &all[i]
		list.Connections = append(list.Connections, wire.ConnectionInfo{
			ID: c.ID, Instance: c.ServerInstance, ClientID: c.ClientID, User: c.User, Address: c.Address, Sessions: c.Sessions,
			ConnectedAt: c.ConnectedAt, AgeSeconds: time.Since(c.ConnectedAt.Time).Seconds(), LastActivity: c.LastActivity, Lag: c.Lag,
		})
	}
	return nil
}
