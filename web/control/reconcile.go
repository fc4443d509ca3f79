package control

import (
	"context"
	"errors"
	"fmt"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/serviceerror"
	"golang.org/x/sync/errgroup"

	"github.com/holdfast/holdfast/logs"
	"github.com/holdfast/holdfast/schema"
)

// A session's workflow lives as long as the session, unless somebody terminates it, Temporal
// ends it, or loses it with its own data. The run that was under way ends as failed then, with
// that as its reason, and the workflow is begun anew with what Postgres knows: the next
// message or run finds it there.

const (
	reconcileLease    = "reconcile" // of one instance at a time
	reconcileInterval = 5 * time.Second
	reconcileLasts    = 3 * reconcileInterval
	reconcileBatch    = 100 // sessions of one look
	reconcileAtOnce   = 8   // of them
	lookAgain         = time.Second
	textsInterval     = 10 * time.Minute
	// A command is recorded long before that, unless Postgres is away.
	textsAge = 7 * 24 * time.Hour
)

// reconciler looks for sessions whose workflow is gone.
type reconciler struct {
	service  *Service
	instance string
	named    chan string // sessions that a command has found without a workflow

	after    string    // the session that was looked at last
	collects time.Time // when texts are collected next
	failing  bool      // the last look could not reach Temporal
}

func newReconciler(s *Service) *reconciler {
	return &reconciler{service: s, instance: schema.NewID(), named: make(chan string, reconcileBatch)}
}

// wake has the reconciler look at a session at once.
func (r *reconciler) wake(sessionID string) {
	select {
	case r.named <- sessionID:
	default: // it comes to it in its turn, or with the next command
	}
}

func (r *reconciler) run(ctx context.Context) {
	tick := time.NewTicker(reconcileInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case id := <-r.named:
			_ = r.service.revive(ctx, id) // the next command asks again
			continue
		case <-tick.C:
		}
		held, err := r.service.store.HoldLease(ctx, reconcileLease, r.instance, reconcileLasts)
		if err != nil || !held {
			continue // the feed says that Postgres is away
		}
		err = r.look(ctx)
		if err != nil && ctx.Err() == nil && !r.failing {
			r.service.log.WarnContext(ctx, "workflows cannot be looked for; it is tried again", logs.Err(err))
		}
		r.failing = err != nil
	}
}

// look looks at the next sessions that count on their workflow.
func (r *reconciler) look(ctx context.Context) error {
	if now := time.Now(); now.After(r.collects) {
		r.collects = now.Add(textsInterval)
		if _, err := r.service.store.CollectTexts(ctx, textsAge, reconcileBatch); err != nil {
			return err
		}
	}
	ids, err := r.service.store.UnderWay(ctx, r.after, reconcileBatch)
	if err != nil {
		return err
	}
	r.after = ""
	if len(ids) == reconcileBatch {
		r.after = ids[len(ids)-1]
	}
	var g errgroup.Group // one that fails does not keep the others from it
	g.SetLimit(reconcileAtOnce)
	for _, id := range ids {
		g.Go(func() error {
			is, err := r.service.workflows.look(ctx, id)
			if err == nil && !is.there {
				err = r.service.revive(ctx, id)
			}
			if schema.CodeOf(err) == schema.CodeNotFound {
				return nil // deleted meanwhile
			}
			return err
		})
	}
	return g.Wait()
}

// revive begins the workflow of a session anew, if it is gone: the run that was under way has
// failed by that. It may be called by anybody, at any time, at once.
func (s *Service) revive(ctx context.Context, sessionID string) error {
	ctx = logs.With(ctx, logs.Session(sessionID))
	runID, underWay, err := s.store.LatestRun(ctx, sessionID)
	if err != nil {
		return err
	}
	// The run is read first: one that is begun after this is the next workflow's.
	is, err := s.workflows.whereabouts(ctx, sessionID)
	if err != nil || is.there {
		return err
	}
	session, err := s.store.Session(ctx, sessionID)
	switch {
	case err != nil:
		return err
	case session.Status == schema.SessionExpired:
		return nil // it has ended as it should
	}
	if underWay {
		s.log.WarnContext(ctx, "the workflow of a session is gone: its run has failed", "why", is.why)
		if err := s.store.FailLostRun(ctx, sessionID, runID, is.why); err != nil {
			return err
		}
	}
	if err := s.store.AdoptTexts(ctx, sessionID); err != nil {
		return err
	}
	revival, err := s.store.Revival(ctx, sessionID)
	if err != nil {
		return err
	}
	if err := s.workflows.revive(ctx, &session, revival); err != nil {
		return err
	}
	s.log.InfoContext(ctx, "the workflow of a session was begun anew")
	return s.store.MarkWorkflowStarted(ctx, sessionID)
}

// whereabouts is what Temporal knows of a workflow.
type whereabouts struct {
	there   bool
	unknown bool   // Temporal has never heard of it
	why     string // it is not there
}

// whereabouts looks twice before it believes that Temporal does not know a workflow: it may just
// be coming back.
func (c *temporalClient) whereabouts(ctx context.Context, sessionID string) (whereabouts, error) {
	is, err := c.look(ctx, sessionID)
	if err != nil || !is.unknown {
		return is, err
	}
	select {
	case <-time.After(lookAgain):
		return c.look(ctx, sessionID)
	case <-ctx.Done():
		return whereabouts{}, temporalError(ctx.Err())
	}
}

func (c *temporalClient) look(ctx context.Context, sessionID string) (whereabouts, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	is, err := c.temporal.DescribeWorkflowExecution(ctx, schema.WorkflowID(sessionID), "")
	if _, ok := errors.AsType[*serviceerror.NotFound](err); ok {
		return whereabouts{unknown: true, why: "the session's workflow is gone: Temporal has no workflow with its id"}, nil
	}
	if err != nil {
		return whereabouts{}, temporalError(err)
	}
	info := is.GetWorkflowExecutionInfo()
	words := map[enums.WorkflowExecutionStatus]string{
		enums.WORKFLOW_EXECUTION_STATUS_TERMINATED: "was terminated",
		enums.WORKFLOW_EXECUTION_STATUS_FAILED:     "has failed",
		enums.WORKFLOW_EXECUTION_STATUS_TIMED_OUT:  "has timed out",
		enums.WORKFLOW_EXECUTION_STATUS_CANCELED:   "has ended as cancelled",
		enums.WORKFLOW_EXECUTION_STATUS_COMPLETED:  "has ended",
	}[info.GetStatus()]
	if words == "" {
		return whereabouts{there: true}, nil
	}
	return whereabouts{why: "the session's workflow is gone: it " + words + c.howItEnded(ctx, info.GetExecution())}, nil
}

// howItEnded says by whom, and for which reason, as far as Temporal tells.
func (c *temporalClient) howItEnded(ctx context.Context, execution *commonpb.WorkflowExecution) string {
	events := c.temporal.GetWorkflowHistory(ctx, execution.GetWorkflowId(), execution.GetRunId(), false, enums.HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT)
	if !events.HasNext() {
		return ""
	}
	last, err := events.Next()
	if err != nil {
		return ""
	}
	switch a := last.GetAttributes().(type) {
	case *historypb.HistoryEvent_WorkflowExecutionTerminatedEventAttributes:
		return said(" by "+a.WorkflowExecutionTerminatedEventAttributes.GetIdentity(), a.WorkflowExecutionTerminatedEventAttributes.GetReason())
	case *historypb.HistoryEvent_WorkflowExecutionFailedEventAttributes:
		return said("", a.WorkflowExecutionFailedEventAttributes.GetFailure().GetMessage())
	default:
		return ""
	}
}

func said(who, why string) string {
	const most = 300
	if why == "" {
		return who
	}
	if text := []rune(why); len(text) > most {
		why = string(text[:most]) + "…"
	}
	return fmt.Sprintf("%s: %s", who, why)
}
