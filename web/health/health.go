// Package health knows which of the things that a server needs are up: Postgres, Temporal, a worker.
//
// Imports: internal/wait, logs, schema, schema/store.
// Imported by: web, web/api, web/socket.
package health

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast/holdfast/internal/wait"
	"github.com/holdfast/holdfast/logs"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
)

const (
	checkEvery   = 2 * time.Second
	checkTimeout = 2 * time.Second
	maxFailures  = 2 // checks in a row that a dependency fails before it counts as down
)

// Dependency is something that a server needs.
type Dependency int

// The dependencies of a server.
const (
	Postgres Dependency = iota
	Temporal
	Worker
	count
)

// String is the dependency's name, in logs and metrics.
func (d Dependency) String() string { return [count]string{"postgres", "temporal", "worker"}[d] }

// report is what the log said of a dependency last.
type report int

const (
	found report = iota + 1
	lost
)

// Failures says why each dependency cannot be used; nil where it can, and for workers while Temporal cannot.
type Failures [count]error

// unknown reports whether nobody can tell: only Temporal knows of workers.
func (f *Failures) unknown(d Dependency) bool { return d == Worker && f[Temporal] != nil }

// State is what was up at the latest check.
type State struct {
	Up      [count]bool
	Version int // grows with every change
}

// Word is "up" or "down".
func (s *State) Word(d Dependency) string {
	if s.Up[d] {
		return "up"
	}
	return "down"
}

// Prober asks Temporal for signs of life.
type Prober interface {
	Ready(ctx context.Context) error
	WorkerLives(ctx context.Context) error
}

// Monitor checks the dependencies of a server again and again.
type Monitor struct {
	store    *store.Store
	temporal Prober
	log      *slog.Logger
	state    atomic.Pointer[State]
	changed  chan struct{} // holds one
	failures [count]int    // in a row; used by Run alone
	reported [count]report // what the log says last; used by Run alone
}

// New makes a monitor, which takes everything to be up until [Monitor.Run] has found otherwise.
func New(s *store.Store, temporal Prober, log *slog.Logger) *Monitor {
	m := &Monitor{store: s, temporal: temporal, log: log, changed: make(chan struct{}, 1)}
	m.state.Store(&State{Up: [count]bool{true, true, true}})
	return m
}

// State is what was up at the latest check.
func (m *Monitor) State() *State { return m.state.Load() }

// Changed tells one receiver that the state has changed since it last received.
func (m *Monitor) Changed() <-chan struct{} { return m.changed }

// Run checks until ctx ends.
func (m *Monitor) Run(ctx context.Context) {
	for ctx.Err() == nil {
		failures := m.Check(ctx)
		if ctx.Err() == nil {
			m.record(ctx, failures)
		}
		wait.For(ctx, checkEvery)
	}
}

func (m *Monitor) record(ctx context.Context, failures Failures) {
	was := m.State()
	is := *was
	for d, err := range failures {
		if failures.unknown(Dependency(d)) {
			continue
		}
		m.failures[d]++
		if err == nil {
			m.failures[d] = 0
		}
		is.Up[d] = m.failures[d] == 0 || was.Up[d] && m.failures[d] < maxFailures
	}
	m.report(ctx, &is, &failures)
	if is.Up == was.Up {
		return
	}
	is.Version++
	m.state.Store(&is)
	select {
	case m.changed <- struct{}{}:
	default:
	}
}

// report logs which dependencies are found and lost, once for each change. The first check finds what is there.
func (m *Monitor) report(ctx context.Context, is *State, failures *Failures) {
	for d, up := range is.Up {
		name := slog.String("dependency", Dependency(d).String())
		switch {
		case failures.unknown(Dependency(d)):
		case up && m.reported[d] != found && failures[d] == nil:
			m.reported[d] = found
			m.log.InfoContext(ctx, "dependency found", name)
		case !up && m.reported[d] != lost:
			m.reported[d] = lost
			m.log.WarnContext(ctx, "dependency lost", name, logs.Err(failures[d]))
		}
	}
}

// Check asks each dependency for a sign of life now, and Postgres whether this release can work with its schema.
func (m *Monitor) Check(ctx context.Context) (failures Failures) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	var all sync.WaitGroup
	for d, check := range [count]func(context.Context) error{m.database, m.temporal.Ready, m.temporal.WorkerLives} {
		all.Go(func() { failures[d] = check(ctx) })
	}
	all.Wait()
	if failures[Temporal] != nil {
		failures[Worker] = nil // see unknown
	}
	return failures
}

var errNotMigrated = errors.New("the database lacks migrations: run `holdfast migrate up`")

func (m *Monitor) database(ctx context.Context) error {
	state, err := m.store.Schema(ctx)
	if err != nil {
		return err
	}
	if err = state.Err(); schema.CodeOf(err) == schema.CodeUnavailable {
		return errNotMigrated
	}
	return err
}

// PostgresProblem says what is wrong with Postgres: if its schema, what to do about it.
func PostgresProblem(err error) string {
	if errors.Is(err, errNotMigrated) || schema.CodeOf(err) == schema.CodeUnsupported {
		return err.Error()
	}
	return "Postgres cannot be reached"
}
