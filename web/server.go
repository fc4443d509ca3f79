package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gofiber/fiber/v2"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
	"github.com/holdfast/holdfast/schema/wire"
	"github.com/holdfast/holdfast/web/control"
	"github.com/holdfast/holdfast/web/feed"
	"github.com/holdfast/holdfast/web/presence"
)

// Server is one web instance.
type Server struct {
	opts     Options
	log      *slog.Logger
	store    *store.Store
	listener net.Listener
	app      *fiber.App
	api      huma.API
	openapi  []byte
	asyncapi []byte
	routes   []route
	ui       *assets
	examples []wire.Example
	control  *control.Service
	hub      *feed.Hub
	registry *presence.Registry
	presence *presence.Presence
	pulse    *pulse
	metrics  *metrics
	crew     *crew
	loopback bool
	started  atomic.Bool
	base     context.Context //nolint:containedctx // the life of the server, which requests share
	stop     context.CancelFunc
	work     sync.WaitGroup // goroutines that outlive the request that started them
}

// New binds the address and prepares a server; [Server.Run] serves. A server that is never
// run is closed with [Server.Close].
func New(o Options) (*Server, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	s := &Server{
		opts:  o,
		log:   o.Logger,
		store: o.Store,
		crew:  newCrew(),
	}
	s.base, s.stop = context.WithCancel(context.Background())
	var err error
	if s.ui, err = loadAssets(o.UI); err != nil {
		return nil, err
	}
	if s.examples, err = loadExamples(o.Examples); err != nil {
		return nil, err
	}
	if s.asyncapi, err = AsyncAPI(); err != nil {
		return nil, err
	}
	if s.openapi, err = OpenAPI(); err != nil {
		return nil, err
	}
	s.hub = feed.New(s.store, s.log)
	s.registry = presence.NewRegistry(s.store, s.log, o.Instance, presence.Limits{All: o.MaxConnections, PerUser: o.MaxPerUser, PerAddress: o.MaxPerAddress})
	s.presence = presence.New(s.store, s.registry, s.log)
	s.hub.Also = store.Listener{Viewers: s.presence.Noticed, Replaced: s.registry.Replaced, Connected: func() {
		s.presence.Restart()
		s.registry.Listening()
	}}
	s.control = control.New(control.Options{
		Store: o.Store, Temporal: o.Temporal, Namespace: o.Namespace, Log: s.log, Watch: s.hub.Watch,
		ApprovalTimeout: o.ApprovalTimeout, SessionTTL: o.SessionTTL, HostTimeout: o.HostTimeout,
	})
	s.pulse = newPulse(s)
	if err := s.measure(); err != nil {
		return nil, err
	}
	s.listener = o.Listener
	if s.listener == nil {
		if s.listener, err = net.Listen("tcp", o.Addr); err != nil { //nolint:noctx // it binds, it does not wait
			return nil, fmt.Errorf("listen: %w", err)
		}
	}
	s.loopback = isLoopback(s.listener.Addr().String())
	if !s.loopback && len(o.AllowedHosts) == 0 {
		if o.Listener == nil {
			_ = s.listener.Close()
		}
		return nil, fmt.Errorf("web: Options.AllowedHosts is empty; a server on %s, which is not on loopback, has to be told by which names it is called", s.listener.Addr())
	}
	s.app = s.newApp()
	return s, nil
}

// Addr is where the server listens, as host:port.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Close gives up the address of a server that was not run.
func (s *Server) Close() error {
	s.stop()
	if err := s.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("close: %w", err)
	}
	return nil
}

// Run serves until ctx ends, then takes in nothing more, closes every socket with 1001 (many
// of them spread over Options.Drain, in random order), lets requests and commands finish for a
// few seconds and returns nil. It returns early with an error when the listener fails. It waits for every
// goroutine that the server started.
func (s *Server) Run(ctx context.Context) error {
	if s.started.Swap(true) {
		return errors.New("web: the server was run before")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for _, job := range []func(context.Context){s.hub.Run, s.registry.Record, s.registry.Beat, s.presence.Run, s.control.Run, s.keepAlive, s.pulse.look, s.pulse.run} {
		s.work.Go(func() { job(s.base) })
	}
	s.log.InfoContext(ctx, "listening", slog.String("addr", s.Addr()), slog.String("instance", s.opts.Instance))
	served := make(chan error, 1)
	go func() { served <- s.app.Listener(s.listener) }()
	var failure error
	select {
	case <-ctx.Done():
	case err := <-served:
		failure = errors.Join(errors.New("the listener failed"), err)
	}
	s.log.InfoContext(ctx, "stopping", slog.Int("connections", s.registry.Count()))
	var drained sync.WaitGroup
	drained.Go(func() {
		s.registry.Drain(s.opts.Drain)
		s.registry.Wait(drainTimeout)
	})
	if failure == nil {
		if err := s.app.ShutdownWithTimeout(drainTimeout); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			failure = fmt.Errorf("shut down: %w", err)
		}
		failure = errors.Join(failure, <-served)
	}
	drained.Wait()
	s.stop()
	s.work.Wait()
	s.crew.end()
	return failure
}

func (s *Server) newApp() *fiber.App {
	app := fiber.New(fiber.Config{
		AppName:                      "holdfast",
		BodyLimit:                    maxBodyBytes,
		StreamRequestBody:            true, // limitBody reads it, and answers what is too large
		DisablePreParseMultipartForm: true,
		CaseSensitive:                true,
		StrictRouting:                true, // one spelling of each path; a % stays one
		DisableStartupMessage:        true,
		Immutable:                    true, // ids and names outlive their request
		ReadTimeout:                  readTimeout,
		IdleTimeout:                  idleTimeout,
		ReadBufferSize:               readBufferSize,
		ErrorHandler:                 s.fiberError,
	})
	app.Server().KeepHijackedConns = true // welcome closes them
	app.Use(s.begin, s.guardFraming, s.guardHost, s.guardOrigin, s.limitBody, s.guardType)
	app.Get("/ws", s.upgrade)
	s.api = newAPI(app)
	s.register()
	s.registerFiles(app)
	s.registerPages(app)
	app.Get("/*", s.serveUI)
	return app
}

// fiberError answers what no handler has answered.
func (s *Server) fiberError(c *fiber.Ctx, err error) error {
	ctx := c.UserContext()
	if e, ok := errors.AsType[*fiber.Error](err); ok {
		return s.send(c, s.routingProblem(c, e.Code, e.Message))
	}
	if _, ok := errors.AsType[*schema.Error](err); ok {
		return s.send(c, s.problem(ctx, err))
	}
	if _, ok := errors.AsType[*problemError](err); ok {
		return s.send(c, s.problem(ctx, err))
	}
	return s.send(c, s.problem(ctx, schema.Wrap(schema.CodeInternal, err, wire.InternalMessage)))
}

// send writes a problem document.
func (s *Server) send(c *fiber.Ctx, p *problemError) error {
	for name, values := range p.headers {
		c.Set(name, values[0])
	}
	c.Set(fiber.HeaderContentType, problemType)
	c.Status(p.Status)
	return c.Send(schema.Marshal(p.Problem))
}
