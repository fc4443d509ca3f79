package control

import (
	"context"
	"log/slog"
	"time"

	"github.com/holdfast/holdfast/logs"
	"github.com/holdfast/holdfast/schema"
)

// sweeper finishes what a request could not: it starts the workflows of sessions that were
// created while Temporal was away, and tells workflows that their session was deleted.
type sweeper struct {
	service *Service
	woken   chan struct{}

	failing bool // owned by run: the last pass could not reach Temporal
	urgent  bool // owned by run: do not wait for sessions to be sweepAge old
}

func newSweeper(s *Service) *sweeper {
	return &sweeper{service: s, woken: make(chan struct{}, 1)}
}

// wake has the sweeper look at once.
func (w *sweeper) wake() {
	select {
	case w.woken <- struct{}{}:
	default:
	}
}

func (w *sweeper) run(ctx context.Context) {
	tick := time.NewTicker(sweepInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-w.woken:
			w.urgent = true
		}
		w.pass(ctx)
	}
}

func (w *sweeper) pass(ctx context.Context) {
	age := sweepAge
	if w.urgent || w.failing {
		age = 0
	}
	sessions, err := w.service.store.UnstartedSessions(ctx, age, sweepBatch)
	if err != nil {
		return // the feed says that Postgres is away
	}
	w.urgent = false
	for i := range sessions {
		err := w.service.StartWorkflow(ctx, &sessions[i])
		switch schema.CodeOf(err) {
		case "":
		case schema.CodeUnavailable:
			w.failed(ctx, err)
			return
		default: // this one cannot be started; the others may
			w.failed(logs.With(ctx, logs.Session(sessions[i].ID)), err)
			continue
		}
		w.service.log.InfoContext(ctx, "workflow started late", logs.Session(sessions[i].ID),
			slog.Duration("age", time.Since(sessions[i].CreatedAt.Time)))
	}
	if err := w.closeAll(ctx); err != nil {
		w.failed(ctx, err)
		return
	}
	if w.failing {
		w.failing = false
		w.service.log.InfoContext(ctx, "workflows can be started again")
	}
}

func (w *sweeper) failed(ctx context.Context, err error) {
	if !w.failing && ctx.Err() == nil {
		w.service.log.InfoContext(ctx, "a workflow could not be reached; it is tried again", logs.Err(err))
	}
	w.failing = true
}

// closeAll tells the workflows of deleted sessions to end. What is to be done stands in
// Postgres, so it is done whichever instance took the deletion in.
func (w *sweeper) closeAll(ctx context.Context) error {
	ids, err := w.service.store.UnclosedSessions(ctx, sweepBatch)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := w.service.workflows.close(ctx, id); err != nil {
			return err
		}
		if err := w.service.store.MarkWorkflowClosed(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// StartWorkflow starts a session's workflow and records that it runs.
func (s *Service) StartWorkflow(ctx context.Context, session *schema.Session) error {
	if err := s.workflows.start(ctx, session); err != nil {
		return err
	}
	return s.store.MarkWorkflowStarted(ctx, session.ID)
}
