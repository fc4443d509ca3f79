package workflows

import (
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/holdfast/holdfast/schema"
)

// Session is the workflow of type [schema.WorkflowType]. State is nil for a new session; when it
// continues as new, it is what the previous execution carried over.
func Session(ctx workflow.Context, in schema.SessionInput, carried *State) error {
	state := carried
	switch {
	case state != nil:
	case in.Revival != nil:
		state = Revived(in, workflow.GetInfo(ctx).WorkflowExecution.RunID)
	default:
		state = NewState(in)
	}
	// The session itself decides what a cancellation through Temporal means: a cancel like any
	// other, with a receipt. So nothing below runs under ctx itself.
	work, _ := workflow.NewDisconnectedContext(ctx)
	s := &session{state: state, inFlight: map[int]inFlightStep{}, since: workflow.Now(ctx)}
	if err := s.handle(work); err != nil {
		return err
	}
	s.resumeInFlight(work)
	s.receiveSignals(work)
	return s.loop(work, ctx)
}

// session is a running workflow: its State, and what belongs to this execution only.
type session struct {
	state          *State
	since          time.Time // this execution's start
	receivers      []signalReceiver
	inFlight       map[int]inFlightStep // by the index of the step
	hostSearch     *hostSearch          // the search for a host
	received       received             // from signals, since collect
	idle           bool                 // the loop waits for something to happen, not for an activity
	stateChanged   bool                 // a command changed State
	updates        int                  // how many of the commands came as updates
	cancelAccepted bool                 // a cancellation through Temporal was accepted
	ignoresCancel  bool                 // another one would not be noticed
	timer          timer
	cause          any // the span of the update that was carried out last, if it is traced: what follows belongs to it
}

// loop makes one move at a time: collect what happened, advance, record, act, wait. It records a
// change before anything that follows from it, and records nothing of a run before opening it.
func (s *session) loop(ctx, outer workflow.Context) error {
	base := ctx
	for {
		s.collect(ctx, outer)
		if s.cause != nil {
			ctx = workflow.WithValue(base, schema.WorkflowSpan{}, s.cause) // of base: a chain would grow with every update
			s.cause = nil
		}
		s.state.Advance(workflow.Now(ctx))
		switch {
		case !s.state.Run.Begun:
			s.begin(ctx)
		case s.state.Dirty():
			if err := s.record(ctx); err != nil {
				return err
			}
		case s.mayContinueAsNew(ctx):
			return s.continueAsNew(ctx)
		case s.act(ctx):
		case s.state.Over():
			return workflow.Await(ctx, func() bool { return workflow.AllHandlersFinished(ctx) })
		default:
			if err := s.wait(ctx, outer); err != nil {
				return err
			}
		}
	}
}

// collect brings everything that has happened into State.
func (s *session) collect(ctx, outer workflow.Context) {
	s.stateChanged, s.received = false, received{}
	s.receivePending(ctx)
	s.acceptCancellation(ctx, outer)
	for i := range s.state.Run.Steps { // by index: a replay would iterate a map in another order
		if f, ok := s.inFlight[i]; ok && f.lost == lossNone && f.future.IsReady() {
			s.complete(ctx, i, f)
		}
	}
	s.finishHostSearch(ctx)
}

// acceptCancellation accepts a cancellation through Temporal. It counts as one cancel, of what is
// under way at that moment, although its context stays cancelled for the rest of the execution.
// Another one is noticed only by the next execution, which begins as soon as it may.
func (s *session) acceptCancellation(ctx, outer workflow.Context) {
	if outer.Err() == nil {
		return
	}
	again := s.cancelAccepted
	s.cancelAccepted = true
	version := workflow.GetVersion(ctx, changeCancelOnce, workflow.DefaultVersion, 2)
	if version == workflow.DefaultVersion {
		again = s.state.Run.Ended != "" // it was accepted for every run
	}
	s.ignoresCancel = version > 1
	if !again {
		_, _ = s.state.RequestCancel(workflow.Now(ctx), schema.Command{Actor: schema.ActorTemporal}) // refused only if there is nothing to cancel
	}
}

// wait blocks until something happens for collect or Advance.
func (s *session) wait(ctx, outer workflow.Context) error {
	happened := func() bool {
		return s.stateChanged || s.hasSignals(ctx) || s.hasResults() || (outer.Err() != nil && !s.cancelAccepted)
	}
	deadline, what := s.state.NextDeadline(workflow.Now(ctx))
	if refresh := s.since.Add(refreshEvery); s.isIdle(ctx) && (deadline.IsZero() || refresh.Before(deadline)) {
		deadline, what = refresh, "daily refresh"
	}
	s.timer.set(ctx, deadline, what)
	s.idle = true
	defer func() { s.idle = false }()
	return workflow.Await(ctx, func() bool { return happened() || s.timer.fired() })
}

// timer is the only one of a waiting session. One that fires before the deadline is kept: the
// session then checks what is due, and sets the next one. So a decision does not cost a timer, and
// none is left behind. (An Await with a timeout leaves its timer running when it ends early; each
// would wake the session for nothing.)
type timer struct {
	at     time.Time
	future workflow.Future
	cancel workflow.CancelFunc
}

// set makes the timer fire no later than at; at the zero time it need not fire.
func (a *timer) set(ctx workflow.Context, at time.Time, what string) {
	if pending := a.future != nil && !a.fired(); pending {
		if at.IsZero() || !a.at.After(at) {
			return
		}
		a.cancel()
	}
	*a = timer{at: at}
	if at.IsZero() {
		return
	}
	ctx, a.cancel = workflow.WithCancel(ctx)
	a.future = workflow.NewTimerWithOptions(ctx, at.Sub(workflow.Now(ctx)), workflow.TimerOptions{Summary: what})
}

func (a *timer) fired() bool { return a.future != nil && a.future.IsReady() }

// hasResults reports whether collect has anything to do besides commands.
func (s *session) hasResults() bool {
	for _, i := range s.lost(lossNone) {
		if s.inFlight[i].future.IsReady() {
			return true
		}
	}
	return s.hostSearch != nil && s.hostSearch.future.IsReady()
}

// isIdle reports whether nothing is under way.
func (s *session) isIdle(ctx workflow.Context) bool {
	return len(s.inFlight) == 0 && s.state.Cancel == nil && workflow.AllHandlersFinished(ctx)
}

// mayContinueAsNew reports whether it is time for a new execution, and State is complete. The time
// has come when the history is long, when Temporal would soon accept no more updates, after a
// cancellation through Temporal, and after a day: so the code of a new release never meets a
// history older than that. Running steps go on meanwhile, see [session.resumeInFlight].
func (s *session) mayContinueAsNew(ctx workflow.Context) bool {
	st := s.state
	if st.Cancel != nil || st.Over() || len(st.Edits) > 0 || s.hasSignals(ctx) || !workflow.AllHandlersFinished(ctx) {
		return false
	}
	due := s.ignoresCancel || !workflow.Now(ctx).Before(s.since.Add(refreshEvery)) || workflow.GetInfo(ctx).GetContinueAsNewSuggested()
	switch {
	case !due && s.updates < updatesPerExecution, !st.canCarry():
		return false
	case due && len(s.inFlight) == 0:
		return true
	default:
		return workflow.GetVersion(ctx, changeContinueInFlight, workflow.DefaultVersion, 1) != workflow.DefaultVersion
	}
}

// continueAsNew carries State over. Nothing yields between the preceding move and the return:
// whatever has happened is in State, or is for the next execution.
func (s *session) continueAsNew(ctx workflow.Context) error {
	s.state.CarriedSteps = s.carriedSteps()
	return workflow.NewContinueAsNewError(ctx, schema.WorkflowType, s.state.Input, s.state)
}
