package control

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"go.temporal.io/sdk/client"

	"github.com/holdfast/holdfast/schema/store"
)

// Options configures a [Service]. All fields are required, but those that say otherwise.
type Options struct {
	Store           *store.Store
	Temporal        client.Client
	Namespace       string
	Log             *slog.Logger
	ApprovalTimeout time.Duration // how long an approval waits unless its session says
	SessionTTL      time.Duration // how long a session is kept open while nobody uses it; 0 is for good
	HostTimeout     time.Duration // how long a step waits for its session's host; 0 is schema.DefaultHostTimeout
	// Watch tells of a session's changes through a channel that holds one; forget ends it.
	Watch func(sessionID string) (notices <-chan struct{}, forget func())
}

// Service carries out commands. It does nothing by itself before [Service.Run].
type Service struct {
	store      *store.Store
	log        *slog.Logger
	watch      func(sessionID string) (notices <-chan struct{}, forget func())
	search     *searchAttributes
	workflows  *temporalClient
	sweeper    *sweeper
	reconciler *reconciler
}

// New makes a service.
func New(o Options) *Service {
	s := &Service{store: o.Store, log: o.Log, watch: o.Watch}
	s.search = newSearchAttributes(o.Temporal, o.Namespace, o.Log)
	s.workflows = &temporalClient{
		temporal: o.Temporal, search: s.search, updates: newLimiter(maxUpdates),
		approvalTimeout: o.ApprovalTimeout, sessionTTL: o.SessionTTL, hostTimeout: o.HostTimeout,
	}
	s.sweeper = newSweeper(s)
	s.reconciler = newReconciler(s)
	return s
}

// Run does what no request waits for, until ctx ends: it starts and ends workflows that could not be
// reached, revives those that are gone, and forgets old keys.
func (s *Service) Run(ctx context.Context) {
	var all sync.WaitGroup
	for _, job := range []func(context.Context){s.sweeper.run, s.reconciler.run, s.search.run, s.forgetKeys} {
		all.Go(func() { job(ctx) })
	}
	all.Wait()
}

// Sweep has workflows started and ended now that could not be reached before.
func (s *Service) Sweep() { s.sweeper.wake() }

// Ready reports whether Temporal answers.
func (s *Service) Ready(ctx context.Context) error { return s.workflows.ready(ctx) }
