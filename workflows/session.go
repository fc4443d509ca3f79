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
	s := &session{state: state, inFlight: map[int]flight{}, since: workflow.Now(ctx)}
	if err := s.handle(work); err != nil {
		return err
	}
	s.goOn(work)
	s.hear(work)
	return s.loop(work, ctx)
}

// session is a running workflow: its State, and what belongs to this execution only.
type session struct {
	state    *State
	since    time.Time // this execution's start
	readers  []reader
	inFlight map[int]flight // by the index of the step
	placing  *placing       // the search for a host
	heard    heard          // from signals, since takeIn
	resting  bool           // the loop waits for something to happen, not for an activity
	woken    bool           // a command changed State
	updates  int            // how many of the commands came as updates
	asked    bool           // a cancellation through Temporal was accepted
	deaf     bool           // another one would not be noticed
	alarm    alarm
	cause    any // the span of the update that was carried out last, if it is traced: what follows belongs to it
}

// loop makes one move at a time: take in what happened, advance, record, act, wait. It records a
// change before anything that follows from it, and records nothing of a run before opening it.
func (s *session) loop(ctx, asked workflow.Context) error {
	for {
		s.takeIn(ctx, asked)
		if s.cause != nil {
			ctx = workflow.WithValue(ctx, schema.WorkflowSpan{}, s.cause)
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
			if err := s.wait(ctx, asked); err != nil {
				return err
			}
		}
	}
}

// takeIn takes everything that has happened into State.
func (s *session) takeIn(ctx, asked workflow.Context) {
	s.woken, s.heard = false, heard{}
	s.drain(ctx)
	s.takeCancellation(ctx, asked)
	for i := range s.state.Run.Steps { // by index: a replay would iterate a map in another order
		if f, ok := s.inFlight[i]; ok && f.lost == lossNone && f.future.IsReady() {
			s.land(ctx, i, f)
		}
	}
	s.placed(ctx)
}

// takeCancellation accepts a cancellation through Temporal. It counts as one cancel, of what is
// under way at that moment, although its context stays cancelled for the rest of the execution.
// Another one is noticed only by the next execution, which begins as soon as it may.
func (s *session) takeCancellation(ctx, asked workflow.Context) {
	if asked.Err() == nil {
		return
	}
	again := s.asked
	s.asked = true
	version := workflow.GetVersion(ctx, changeCancelOnce, workflow.DefaultVersion, 2)
	if version == workflow.DefaultVersion {
		again = s.state.Run.Ended != "" // it was accepted for every run
	}
	s.deaf = version > 1
	if !again {
		_, _ = s.state.RequestCancel(workflow.Now(ctx), schema.Command{Actor: schema.ActorTemporal}) // refused only if there is nothing to cancel
	}
}

// wait blocks until something happens for takeIn or Advance.
func (s *session) wait(ctx, asked workflow.Context) error {
	happened := func() bool {
		return s.woken || s.signalled(ctx) || s.landed() || (asked.Err() != nil && !s.asked)
	}
	deadline, what := s.state.NextDeadline(workflow.Now(ctx))
	if refresh := s.since.Add(refreshEvery); s.quiet(ctx) && (deadline.IsZero() || refresh.Before(deadline)) {
		deadline, what = refresh, "daily refresh"
	}
	s.alarm.set(ctx, deadline, what)
	s.resting = true
	defer func() { s.resting = false }()
	return workflow.Await(ctx, func() bool { return happened() || s.alarm.rang() })
}

// alarm is the only timer of a waiting session. A timer that fires before the deadline is kept: the
// session then checks what is due, and sets the next one. So a decision does not cost a timer, and
// none is left behind. (An Await with a timeout leaves its timer running when it ends early; each
// would wake the session for nothing.)
type alarm struct {
	at     time.Time
	timer  workflow.Future
	cancel workflow.CancelFunc
}

// set makes the alarm fire no later than at; at the zero time it need not fire.
func (a *alarm) set(ctx workflow.Context, at time.Time, what string) {
	if pending := a.timer != nil && !a.rang(); pending {
		if at.IsZero() || !a.at.After(at) {
			return
		}
		a.cancel()
	}
	*a = alarm{at: at}
	if at.IsZero() {
		return
	}
	ctx, a.cancel = workflow.WithCancel(ctx)
	a.timer = workflow.NewTimerWithOptions(ctx, at.Sub(workflow.Now(ctx)), workflow.TimerOptions{Summary: what})
}

func (a *alarm) rang() bool { return a.timer != nil && a.timer.IsReady() }

// landed reports whether takeIn has anything to take in besides commands.
func (s *session) landed() bool {
	for _, i := range s.lost(lossNone) {
		if s.inFlight[i].future.IsReady() {
			return true
		}
	}
	return s.placing != nil && s.placing.future.IsReady()
}

// quiet reports whether nothing is under way.
func (s *session) quiet(ctx workflow.Context) bool {
	return len(s.inFlight) == 0 && s.state.Cancel == nil && workflow.AllHandlersFinished(ctx)
}

// mayContinueAsNew reports whether it is time for a new execution, and State is complete. The time
// has come when the history is long, when Temporal would soon accept no more updates, after a
// cancellation through Temporal, and after a day: so the code of a new release never meets a
// history older than that. Running steps go on meanwhile, see [session.goOn].
func (s *session) mayContinueAsNew(ctx workflow.Context) bool {
	st := s.state
	if st.Cancel != nil || st.Over() || len(st.Edits) > 0 || s.signalled(ctx) || !workflow.AllHandlersFinished(ctx) {
		return false
	}
	due := s.deaf || !workflow.Now(ctx).Before(s.since.Add(refreshEvery)) || workflow.GetInfo(ctx).GetContinueAsNewSuggested()
	switch {
	case !due && s.updates < updatesPerExecution, !st.carriable():
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
	s.state.Flights = s.flights()
	return workflow.NewContinueAsNewError(ctx, schema.WorkflowType, s.state.Input, s.state)
}
