package web

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/holdfast/holdfast/schema"
)

// Health says that the process serves.
type Health struct {
	Status   string `json:"status" enum:"ok"`
	Version  string `json:"version"`
	Instance string `json:"instance"`
}

// Readiness says whether what the server needs can be reached.
type Readiness struct {
	Ready    bool       `json:"ready"`
	Postgres Dependency `json:"postgres"`
	Temporal Dependency `json:"temporal"`
	Worker   Dependency `json:"worker" doc:"Whether a worker was heard of lately; the server is ready without one"`
	Disk     *DiskState `json:"disk,omitempty" doc:"There while the disk of the data folder has little room; the server is ready all the same"`
}

// DiskState is a disk with little room.
type DiskState struct {
	FreeBytes int64 `json:"free_bytes"`
	LowBytes  int64 `json:"low_bytes" doc:"The bound, HOLDFAST_DISK_LOW"`
}

// Dependency is one thing that the server needs.
type Dependency struct {
	Ready bool   `json:"ready"`
	Error string `json:"error,omitempty"`
}

// ModeList is every mode.
type ModeList struct {
	Modes []schema.ModeInfo `json:"modes"`
}

// ConnectionList is the WebSocket connections of this instance, or of all.
type ConnectionList struct {
	ActiveConnections int              `json:"active_connections"`
	MaxConnections    int              `json:"max_connections" doc:"Of this instance"`
	MaxPerUser        int              `json:"max_connections_per_user" doc:"Of this instance; 0 is no bound of its own"`
	MaxPerAddress     int              `json:"max_connections_per_address" doc:"Of this instance; 0 is no bound of its own"`
	Instance          string           `json:"instance" doc:"This one"`
	Instances         []InstanceInfo   `json:"instances,omitempty" doc:"With all: those that live"`
	Connections       []ConnectionInfo `json:"connections"`
}

// InstanceInfo is a web instance that lives.
type InstanceInfo struct {
	Instance      string      `json:"instance"`
	StartedAt     schema.Time `json:"started_at"`
	LastHeartbeat schema.Time `json:"last_heartbeat"`
}

// ConnectionInfo is one of them.
type ConnectionInfo struct {
	ID           string      `json:"id"`
	Instance     string      `json:"instance"`
	ClientID     string      `json:"client_id,omitempty"`
	User         string      `json:"user"`
	Address      string      `json:"address"`
	Sessions     []string    `json:"sessions" doc:"Sessions that it watches"`
	List         bool        `json:"list" doc:"Whether it watches the list; with all, false"`
	ConnectedAt  schema.Time `json:"connected_at"`
	AgeSeconds   float64     `json:"age_seconds"`
	LastActivity schema.Time `json:"last_activity" doc:"When it sent a frame last, whatever kind; with all, up to 10 seconds old"`
	Lag          int64       `json:"lag" doc:"Events that it has not been sent yet; with all, up to 10 seconds old"`
}

type readyOutput struct {
	Status     int
	RetryAfter int `header:"Retry-After"`
	Body       Readiness
}

func (s *Server) registerHealth() {
	const tag = "server"
	handle(s, operation{method: http.MethodGet, path: "/api/health", id: "health", summary: "Whether the process serves", tag: tag},
		func(context.Context, *struct{}) (*body[Health], error) {
			return &body[Health]{Body: Health{Status: "ok", Version: s.opts.Version, Instance: s.opts.Instance}}, nil
		})
	handle(s, operation{method: http.MethodGet, path: "/api/ready", id: "ready", summary: "Whether Postgres and Temporal can be reached, 503 when one cannot; and whether a worker is there", tag: tag}, s.ready)
	for path, id := range map[string]string{"/api/modes": "listModes", "/api/sessions/modes/list": "listSessionModes"} {
		handle(s, operation{method: http.MethodGet, path: path, id: id, summary: "List the workflow modes", tag: tag},
			func(context.Context, *struct{}) (*body[ModeList], error) {
				return &body[ModeList]{Body: ModeList{Modes: schema.Modes()}}, nil
			})
	}
	handle(s, operation{method: http.MethodGet, path: "/api/debug/connections", id: "listConnections", summary: "List the WebSocket connections of this instance, or of all", tag: tag}, s.listConnections)
}

func (s *Server) ready(ctx context.Context, _ *struct{}) (*readyOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	failures := s.look(ctx)
	postgres, temporal := failures[partPostgres], failures[partTemporal]
	out := &readyOutput{Status: http.StatusOK, Body: Readiness{
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

func dependency(wrong string, err error) Dependency {
	if err == nil {
		return Dependency{Ready: true}
	}
	return Dependency{Error: wrong}
}

type connectionsInput struct {
	All bool `query:"all" doc:"Those of every instance, as Postgres has them"`
}

func (s *Server) listConnections(ctx context.Context, in *connectionsInput) (*body[ConnectionList], error) {
	list := ConnectionList{
		MaxConnections: s.opts.MaxConnections, MaxPerUser: s.opts.MaxPerUser, MaxPerAddress: s.opts.MaxPerAddress,
		Instance: s.opts.Instance, Connections: []ConnectionInfo{},
	}
	if in.All {
		if err := s.everywhere(ctx, &list); err != nil {
			return nil, err
		}
	} else {
		s.here(&list)
	}
	list.ActiveConnections = len(list.Connections)
	return &body[ConnectionList]{Body: list}, nil
}

// here adds the connections of this instance, the oldest first.
func (s *Server) here(list *ConnectionList) {
	all := s.registry.all()
	slices.SortFunc(all, func(a, b *conn) int { return a.connected.Compare(b.connected) })
	for _, c := range all {
		sessions, lag := c.lag()
		if sessions == nil {
			sessions = []string{}
		}
		c.mu.Lock()
		watchesList := c.list != nil
		c.mu.Unlock()
		list.Connections = append(list.Connections, ConnectionInfo{
			ID: c.id, Instance: s.opts.Instance, ClientID: c.clientID, User: c.user, Address: c.address, Sessions: sessions, List: watchesList,
			ConnectedAt: schema.Time{Time: c.connected}, AgeSeconds: time.Since(c.connected).Seconds(), LastActivity: schema.Time{Time: c.lastHeard()}, Lag: lag,
		})
	}
}

// everywhere adds the connections of all instances.
func (s *Server) everywhere(ctx context.Context, list *ConnectionList) error {
	instances, err := s.store.Instances(ctx)
	if err != nil {
		return err
	}
	all, err := s.store.Connections(ctx)
	if err != nil {
		return err
	}
	for _, i := range instances {
		list.Instances = append(list.Instances, InstanceInfo{Instance: i.ID, StartedAt: i.StartedAt, LastHeartbeat: i.LastHeartbeat})
	}
	for i := range all {
		c := &all[i]
		list.Connections = append(list.Connections, ConnectionInfo{
			ID: c.ID, Instance: c.ServerInstance, ClientID: c.ClientID, User: c.User, Address: c.Address, Sessions: c.Sessions,
			ConnectedAt: c.ConnectedAt, AgeSeconds: time.Since(c.ConnectedAt.Time).Seconds(), LastActivity: c.LastActivity, Lag: c.Lag,
		})
	}
	return nil
}
