package web

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"

	"github.com/gofiber/fiber/v2"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
	"github.com/holdfast/holdfast/web/api"
	"github.com/holdfast/holdfast/web/control"
	"github.com/holdfast/holdfast/web/feed"
	"github.com/holdfast/holdfast/web/health"
	"github.com/holdfast/holdfast/web/presence"
	"github.com/holdfast/holdfast/web/problem"
	"github.com/holdfast/holdfast/web/socket"
)

// Server is one web instance.
type Server struct {
	opts     Options
	log      *slog.Logger
	listener net.Listener
	app      *fiber.App
	ui       *assets
	api      *api.Service
	sockets  *socket.Service
	control  *control.Service
	hub      *feed.Hub
	registry *presence.Registry
	presence *presence.Presence
	health   *health.Monitor
	metrics  *metrics
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
	s := &Server{opts: o, log: o.Logger}
	var err error
	if s.ui, err = loadAssets(o.UI); err != nil {
		return nil, err
	}
	if s.listener, err = o.listen(); err != nil {
		return nil, err
	}
	s.loopback = isLoopback(s.listener.Addr().String())
	s.base, s.stop = context.WithCancel(context.Background())
	s.compose()
	if err = s.measure(); err != nil {
		s.abandon()
		return nil, err
	}
	if s.app, err = s.newApp(); err != nil {
		s.abandon()
		return nil, err
	}
	return s, nil
}

// abandon gives up what a server has that could not be made.
func (s *Server) abandon() {
	s.stop()
	if s.opts.Listener == nil {
		_ = s.listener.Close()
	}
}

// listen binds the address.
func (o *Options) listen() (net.Listener, error) {
	listener := o.Listener
	if listener == nil {
		var err error
		if listener, err = net.Listen("tcp", o.Addr); err != nil { //nolint:noctx // it binds, it does not wait
			return nil, fmt.Errorf("listen: %w", err)
		}
	}
	if addr := listener.Addr(); len(o.AllowedHosts) == 0 && !isLoopback(addr.String()) {
		if o.Listener == nil {
			_ = listener.Close()
		}
		return nil, fmt.Errorf("web: Options.AllowedHosts is empty; a server on %s, which is not on loopback, has to be told by which names it is called", addr)
	}
	return listener, nil
}

// compose makes the parts of the server, each from those below it.
func (s *Server) compose() {
	o := &s.opts
	s.hub = feed.New(o.Store, s.log)
	s.registry = presence.NewRegistry(o.Store, s.log, o.Instance, o.limits())
	s.presence = presence.New(o.Store, s.registry, s.log)
	s.hub.Also = store.Listener{Viewers: s.presence.Noticed, Replaced: s.registry.Replaced, Connected: func() {
		s.presence.Restart()
		s.registry.Listening()
	}}
	s.control = control.New(control.Options{
		Store: o.Store, Temporal: o.Temporal, Namespace: o.Namespace, Log: s.log, Watch: s.hub.Watch,
		ApprovalTimeout: o.ApprovalTimeout, SessionTTL: o.SessionTTL, HostTimeout: o.HostTimeout,
	})
	s.health = health.New(o.Store, s.control, s.log)
	s.sockets = socket.New(s.base, socket.Options{
		Hub: s.hub, Registry: s.registry, Presence: s.presence, Health: s.health, Control: s.control, Log: s.log, Work: &s.work,
		Instance: o.Instance, Version: o.Version, PingInterval: o.PingInterval, SilenceLimit: o.SilenceLimit, WriteTimeout: o.WriteTimeout,
	})
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
	for _, job := range []func(context.Context){s.hub.Run, s.registry.Record, s.registry.Beat, s.presence.Run, s.control.Run, s.health.Run, s.sockets.Run} {
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
		_ = s.listener.Close() // a server that is stopped before it begins to accept would begin all the same
		failure = errors.Join(failure, <-served)
	}
	drained.Wait()
	s.stop()
	s.work.Wait()
	s.sockets.Close()
	return failure
}

// The documents of the API, as web/gen writes them.
var (
	//go:embed openapi.json
	openapi []byte
	//go:embed asyncapi.json
	asyncapi []byte
)

func (s *Server) newApp() (*fiber.App, error) {
	app := fiber.New(fiber.Config{
		AppName:                      "holdfast",
		BodyLimit:                    problem.MaxBodyBytes,
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
	app.Server().KeepHijackedConns = true // web/socket closes them
	app.Use(s.begin, s.guardFraming, s.guardHost, s.guardOrigin, s.limitBody, s.guardType)
	app.Get("/ws", s.sockets.Upgrade)
	o := &s.opts
	var err error
	s.api, err = api.New(app, api.Options{
		Store: o.Store, Snapshots: o.Snapshots, Control: s.control, Registry: s.registry, Health: s.health, Log: s.log, Work: &s.work,
		OpenAPI: openapi, AsyncAPI: asyncapi, Examples: o.Examples, Metrics: s.metrics.serve, Disk: o.Disk,
		Instance: o.Instance, Version: o.Version, DataDir: o.DataDir, AttendedTimeout: o.AttendedTimeout, Limits: o.limits(),
	})
	if err != nil {
		return nil, err
	}
	s.registerDocs(app)
	app.Get("/*", s.serveUI)
	return app, nil
}

// fiberError answers what no handler has answered.
func (s *Server) fiberError(c *fiber.Ctx, err error) error {
	ctx := c.UserContext()
	if e, ok := errors.AsType[*fiber.Error](err); ok {
		return s.send(c, s.routingProblem(c, e.Code, e.Message))
	}
	return s.send(c, problem.Of(ctx, s.log, err))
}

// send writes a problem document.
func (s *Server) send(c *fiber.Ctx, p *problem.Error) error {
	for name, values := range p.Headers {
		c.Set(name, values[0])
	}
	c.Set(fiber.HeaderContentType, problem.MediaType)
	c.Status(p.Status)
	return c.Send(schema.Marshal(p.Problem))
}
