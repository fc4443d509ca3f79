package web

import (
	"context"
	"net/http"
	"sync"
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

// ConnectionList is the WebSocket connections of this instance.
type ConnectionList struct {
	ActiveConnections int              `json:"active_connections"`
	MaxConnections    int              `json:"max_connections"`
	Instance          string           `json:"instance"`
	Connections       []ConnectionInfo `json:"connections"`
}

// ConnectionInfo is one of them.
type ConnectionInfo struct {
	ID         string   `json:"id"`
	ClientID   string   `json:"client_id,omitempty"`
	User       string   `json:"user"`
	Address    string   `json:"address"`
	Sessions   []string `json:"sessions" doc:"Sessions that it watches"`
	List       bool     `json:"list" doc:"Whether it watches the list"`
	AgeSeconds float64  `json:"age_seconds"`
	Lag        int64    `json:"lag" doc:"Events that it has not been sent yet"`
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
	handle(s, operation{method: http.MethodGet, path: "/api/ready", id: "ready", summary: "Whether Postgres and Temporal can be reached; 503 when one cannot", tag: tag}, s.ready)
	for path, id := range map[string]string{"/api/modes": "listModes", "/api/sessions/modes/list": "listSessionModes"} {
		handle(s, operation{method: http.MethodGet, path: path, id: id, summary: "List the workflow modes", tag: tag},
			func(context.Context, *struct{}) (*body[ModeList], error) {
				return &body[ModeList]{Body: ModeList{Modes: schema.Modes()}}, nil
			})
	}
	handle(s, operation{method: http.MethodGet, path: "/api/debug/connections", id: "listConnections", summary: "List the WebSocket connections of this instance", tag: tag},
		func(context.Context, *struct{}) (*body[ConnectionList], error) {
			return &body[ConnectionList]{Body: s.connections()}, nil
		})
}

func (s *Server) ready(ctx context.Context, _ *struct{}) (*readyOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	var postgres, temporal error
	var both sync.WaitGroup
	both.Go(func() { postgres = s.store.Ping(ctx) })
	both.Go(func() { temporal = s.control.ready(ctx) })
	both.Wait()
	out := &readyOutput{Status: http.StatusOK, Body: Readiness{
		Ready: postgres == nil && temporal == nil, Postgres: dependency("Postgres", postgres), Temporal: dependency("Temporal", temporal),
	}}
	if !out.Body.Ready {
		out.Status, out.RetryAfter = http.StatusServiceUnavailable, retryAfter
	}
	return out, nil
}

func dependency(name string, err error) Dependency {
	if err == nil {
		return Dependency{Ready: true}
	}
	return Dependency{Error: name + " cannot be reached"}
}

func (s *Server) connections() ConnectionList {
	list := ConnectionList{MaxConnections: s.opts.MaxConnections, Instance: s.opts.Instance, Connections: []ConnectionInfo{}}
	for _, c := range s.registry.all() {
		sessions, lag := c.lag()
		if sessions == nil {
			sessions = []string{}
		}
		c.mu.Lock()
		watchesList := c.list != nil
		c.mu.Unlock()
		list.Connections = append(list.Connections, ConnectionInfo{
			ID: c.id, ClientID: c.clientID, User: c.user, Address: c.address, Sessions: sessions, List: watchesList,
			AgeSeconds: time.Since(c.connected).Seconds(), Lag: lag,
		})
	}
	list.ActiveConnections = len(list.Connections)
	return list
}
