// Package health knows which of the things that a server needs are up: Postgres, Temporal, a worker.
//
// Imports: internal/wait, schema, schema/store.
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

// Failures says why each dependency cannot be used; nil where it can.
type Failures [count]error

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
		m.failures[d]++
		if err == nil {
			m.failures[d] = 0
		}
		is.Up[d] = m.failures[d] == 0 || was.Up[d] && m.failures[d] < maxFailures
	}
	if is.Up == was.Up {
		return
	}
	is.Version++
	m.state.Store(&is)
	level := slog.LevelInfo
	if was.Up[Postgres] && !is.Up[Postgres] || was.Up[Temporal] && !is.Up[Temporal] {
		level = slog.LevelWarn
	}
	m.log.Log(ctx, level, "dependencies changed", slog.Bool("postgres", is.Up[Postgres]), slog.Bool("temporal", is.Up[Temporal]), slog.Bool("worker", is.Up[Worker]))
	select {
	case m.changed <- struct{}{}:
	default:
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
		failures[Worker] = nil // nobody can tell
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
