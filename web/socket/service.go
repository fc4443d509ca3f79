package socket

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/web/control"
	"github.com/holdfast/holdfast/web/feed"
	"github.com/holdfast/holdfast/web/health"
	"github.com/holdfast/holdfast/web/presence"
)

// Commands carries out what clients ask of sessions. A key makes the same command sent again be done once; "" is none.
type Commands interface {
	Decide(ctx context.Context, r control.Resolution, key string) (schema.Approval, error)
	Reopen(ctx context.Context, approvalID, key string) (schema.Approval, error)
	Message(ctx context.Context, sessionID, content, at, key string) (int, error)
	Query(ctx context.Context, sessionID, name string) ([]byte, error)
	Command(ctx context.Context, sessionID, command, key string) (schema.CommandResult, error)
}

// Options configures a service. Every field is required.
type Options struct {
	Hub      *feed.Hub
	Registry *presence.Registry
	Presence *presence.Presence
	Health   *health.Monitor
	Commands Commands
	Log      *slog.Logger

	Instance string // names this instance
	Version  string // of the product

	PingInterval time.Duration // a client is pinged after so long without a frame
	SilenceLimit time.Duration // and sent away after so long
	WriteTimeout time.Duration // for which a client may take nothing of what it is sent
}

// Service serves the WebSockets of one web instance.
type Service struct {
	Options

	base  context.Context //nolint:containedctx // the life of the service, which connections share
	conns sync.WaitGroup
	pool  *pool
}

// New makes a service whose connections live as long as base at most.
func New(base context.Context, o Options) *Service {
	return &Service{Options: o, base: base, pool: newPool()}
}

// Run sends heartbeats and pings until ctx ends.
func (s *Service) Run(ctx context.Context) {
	var jobs sync.WaitGroup
	jobs.Go(func() { s.keepAlive(ctx) })
	jobs.Go(func() { s.heartbeats(ctx) })
	jobs.Wait()
}

// Wait returns when every connection has ended, which the end of base makes them do. No connection is taken in any more.
func (s *Service) Wait() {
	s.conns.Wait()
	s.pool.stop()
}
