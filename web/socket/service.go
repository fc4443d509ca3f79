package socket

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/holdfast/holdfast/web/control"
	"github.com/holdfast/holdfast/web/feed"
	"github.com/holdfast/holdfast/web/health"
	"github.com/holdfast/holdfast/web/presence"
)

// Options configures a service. Every field is required.
type Options struct {
	Hub      *feed.Hub
	Registry *presence.Registry
	Presence *presence.Presence
	Health   *health.Monitor
	Control  *control.Service
	Log      *slog.Logger
	Work     *sync.WaitGroup // has the goroutine of each connection

	Instance string // names this instance
	Version  string // of the product

	PingInterval time.Duration // a client is pinged after so long without a frame
	SilenceLimit time.Duration // and sent away after so long
	WriteTimeout time.Duration // for which a client may take nothing of what it is sent
}

// Service serves the WebSockets of one web instance.
type Service struct {
	Options

	// Tracer makes the spans of commands; set before the first connection. nil makes none.
	Tracer trace.Tracer

	base context.Context //nolint:containedctx // the life of the server, which connections share
	pool *pool
}

// New makes a service. The commands of its connections end with base; the connections themselves are ended through the
// registry.
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

// Close ends what connections share. Every connection must have ended.
func (s *Service) Close() { s.pool.stop() }
