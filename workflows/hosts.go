package workflows

import (
	"errors"
	"fmt"
	"slices"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/holdfast/holdfast/schema"
)

// A session's steps run on one host: the one that has its workspace. A step that this host
// does not take is lost to it, and waits here; no other step starts meanwhile. Once nothing
// of the session is under way there any more, whichever host has room takes the session, and
// what was lost goes to it under the execution that it had: where that one still runs it is
// joined, and elsewhere it is closed as lost and the step's next attempt begins.
//
// All of this begins with a failure that no history before this code can have, since steps
// had no limit to their wait: a replay never comes here by surprise, and needs no version.

// flight is a step whose activity is under way, or lost to its host.
type flight struct {
	ask    schema.RunStep
	future workflow.Future // nil for one that was lost in the execution before
	cancel workflow.CancelFunc
	hosts  []string // where its processes may be; the last one is where it was sent
	lost   loss
}

// loss says why a host did not take a step, and what is known since.
type loss string

const (
	lossNone     loss = ""
	lossSilent   loss = "silent"   // it did not take the step in time: it is away, or full
	lossAway     loss = "away"     // it did not answer on its other queue, either
	lossDraining loss = "draining" // it takes no new steps
	lossOver     loss = "over"     // the session's host is there for it: send it again
)

// placing is the question which host takes the session.
type placing struct {
	future workflow.Future
	cancel workflow.CancelFunc
}

// Flight is a step whose activity is under way, or lost to its host, between two executions.
type Flight struct {
	Step  int            `json:"step"` // its index
	Ask   schema.RunStep `json:"ask"`
	Hosts []string       `json:"hosts"` // where its processes may be
	Lost  loss           `json:"lost"`
}

// flights is what the next execution goes on with.
func (s *session) flights() []Flight {
	var list []Flight
	for _, i := range workflow.DeterministicKeys(s.inFlight) {
		f := s.inFlight[i]
		list = append(list, Flight{Step: i, Ask: f.ask, Hosts: f.hosts, Lost: f.lost})
	}
	return list
}

// goOn takes up what the execution before had under way. Temporal has forgotten its activities,
// and nobody has told their steps: each is asked for again under the execution that it has, and
// its host joins it, or finds the end that was recorded of it. Which host takes a session that
// has lost its own is asked anew.
func (s *session) goOn(ctx workflow.Context) {
	for _, f := range s.state.Flights {
		if f.Lost == lossNone {
			s.launch(ctx, f.Step, again(f.Ask), f.Hosts)
			continue
		}
		s.inFlight[f.Step] = flight{ask: f.Ask, cancel: func() {}, hosts: f.Hosts, lost: f.Lost}
	}
	s.state.Flights = nil
}

// again is a step that was asked for before.
func again(ask schema.RunStep) schema.RunStep {
	ask.Again = true
	return ask
}

func lossOf(err error) loss {
	if t, ok := errors.AsType[*temporal.TimeoutError](err); ok && t.TimeoutType() == enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START {
		return lossSilent
	}
	if codeOf(err) == schema.CodeHostDraining {
		return lossDraining
	}
	return lossNone
}

// launch sends a step to the session's host.
func (s *session) launch(ctx workflow.Context, i int, ask schema.RunStep, hosts []string) {
	st := s.state
	if !slices.Contains(hosts, st.Host) {
		hosts = append(hosts, st.Host)
	}
	stepCtx, cancel := workflow.WithCancel(withStep(ctx, st.Host, st.Run.Steps[i].Title, st.hostTimeout()))
	future := workflow.ExecuteActivity(stepCtx, schema.ActivityRunStep, ask)
	ask.Before = nil // it is recorded before anybody sends the step again
	s.inFlight[i] = flight{ask: ask, future: future, cancel: cancel, hosts: hosts}
}

// land takes in what became of a step, unless its host did not take it.
func (s *session) land(ctx workflow.Context, i int, f flight) {
	var result schema.StepResult
	err := f.future.Get(ctx, &result)
	switch f.lost = lossOf(err); f.lost {
	case lossNone:
		delete(s.inFlight, i)
		s.state.Finished(i, stepResult(result, err), workflow.Now(ctx))
		return
	case lossDraining: // nothing of it is there: a host goes on with what it has
		f.hosts = slices.DeleteFunc(f.hosts, func(host string) bool { return host == s.state.Host })
	default:
	}
	s.inFlight[i] = f
}

// lost lists the steps in flight that were lost in one of these ways, by index.
func (s *session) lost(how ...loss) []int {
	var list []int
	for _, i := range workflow.DeterministicKeys(s.inFlight) {
		if slices.Contains(how, s.inFlight[i].lost) {
			list = append(list, i)
		}
	}
	return list
}

// homeless reports whether a step waits for a host: then no other one starts.
func (s *session) homeless() bool {
	return len(s.lost(lossSilent, lossAway, lossDraining, lossOver)) > 0
}

func (s *session) mark(list []int, as loss) {
	for _, i := range list {
		f := s.inFlight[i]
		f.lost = as
		s.inFlight[i] = f
	}
}

// rehouse does the next thing for steps that wait for a host. It reports whether there was one.
func (s *session) rehouse(ctx workflow.Context) bool {
	st := s.state
	switch {
	case st.Suspended || st.Frozen || s.placing != nil || !s.homeless():
		return false
	case len(s.lost(lossOver)) > 0:
		for _, i := range s.lost(lossOver) {
			s.launch(ctx, i, again(s.inFlight[i].ask), s.inFlight[i].hosts)
		}
	case len(s.lost(lossNone)) == 0:
		s.place(ctx)
	case len(s.lost(lossSilent)) > 0:
		// What else is under way there ties the session to the host. If the host answers it is
		// only full; else that is going to be lost, too, and both are waited for.
		how := lossAway
		if s.hostAnswers(ctx, probeTimeout, schema.ActivityThawSteps, "ask whether the host is there") {
			how = lossOver
		}
		s.mark(s.lost(lossSilent), how)
	default:
		return false
	}
	s.show(ctx)
	return true
}

// place asks every host which one takes the session. It may be long before one does.
func (s *session) place(ctx workflow.Context) {
	st := s.state
	placeCtx, cancel := workflow.WithCancel(withPlace(ctx, "find a host; "+st.Host+" "+s.why()))
	ask := schema.Place{SessionID: st.Input.SessionID, RunID: st.Run.ID, From: st.Host}
	s.placing = &placing{future: workflow.ExecuteActivity(placeCtx, schema.ActivityPlace, ask), cancel: cancel}
}

// placed takes in which host it is.
func (s *session) placed(ctx workflow.Context) {
	if s.placing == nil || !s.placing.future.IsReady() {
		return
	}
	var answer schema.Placed
	err := s.placing.future.Get(ctx, &answer)
	s.placing = nil
	if err != nil {
		workflow.GetLogger(ctx).Error("no host found", "error", err)
		return // it is asked again
	}
	s.state.Host = answer.Host
	s.mark(s.lost(lossSilent, lossAway, lossDraining), lossOver)
}

// giveUpPlacing leaves the session where it was.
func (s *session) giveUpPlacing() {
	if s.placing != nil {
		s.placing.cancel()
		s.placing = nil
	}
}

func (s *session) why() string {
	if len(s.lost(lossDraining)) > 0 {
		return "takes no new steps"
	}
	return "does not answer"
}

// hostAnswers has the session's host do something with the steps of the run, and reports
// whether it did.
func (s *session) hostAnswers(ctx workflow.Context, timeout time.Duration, activity, summary string) bool {
	st := s.state
	of := schema.StepsOf{SessionID: st.Input.SessionID, RunID: st.Run.ID}
	err := workflow.ExecuteActivity(withControl(ctx, st.Host, timeout, summary), activity, of).Get(ctx, nil)
	if err != nil {
		workflow.GetLogger(ctx).Warn("host did not answer", "activity", activity, "host", st.Host, "error", err)
	}
	return err == nil
}

// stopEverywhere has each host end what it has of the run. Where a step was moved away from
// its host, that one is told, too.
func (s *session) stopEverywhere(ctx workflow.Context) schema.Receipt {
	st := s.state
	var hosts []string
	if st.Host != "" {
		hosts = append(hosts, st.Host)
	}
	for _, i := range workflow.DeterministicKeys(s.inFlight) {
		for _, host := range s.inFlight[i].hosts {
			if !slices.Contains(hosts, host) {
				hosts = append(hosts, host)
			}
		}
	}
	return s.stopOn(ctx, hosts)
}

// stopLeftBehind ends what a run has left behind that was under way when its workflow went. A
// host that does not answer ends it when its worker is back.
func (s *session) stopLeftBehind(ctx workflow.Context) {
	s.stopOn(ctx, s.state.LeftBehind)
	s.state.LeftBehind = nil
}

func (s *session) stopOn(ctx workflow.Context, hosts []string) schema.Receipt {
	st := s.state
	of := schema.StepsOf{SessionID: st.Input.SessionID, RunID: st.Run.ID, Grace: stopGrace}
	asked := make([]workflow.Future, len(hosts))
	for i, host := range hosts {
		asked[i] = workflow.ExecuteActivity(withControl(ctx, host, stopTimeout, "stop every step"), schema.ActivityStopSteps, of)
	}
	receipt := schema.Receipt{}
	for i, host := range hosts {
		var stopped schema.StoppedSteps
		if err := asked[i].Get(ctx, &stopped); err != nil {
			receipt.Unreachable = append(receipt.Unreachable, host)
		}
		receipt.ProcessesKilled += stopped.ProcessesKilled
		receipt.Survivors += stopped.Survivors
		receipt.ArtifactsKept = max(receipt.ArtifactsKept, stopped.Files) // the same ones, as far as they go
	}
	return receipt
}

// hostDetails says in Markdown what is wrong with the host, if anything is.
func (s *session) hostDetails() string {
	if !s.homeless() || len(s.lost(lossOver)) > 0 {
		return ""
	}
	return fmt.Sprintf("\n\nHost `%s` %s. The steps wait for a host that takes the session.", s.state.Host, s.why())
}

// hostTimeout is how long a step waits for the session's host.
func (s *State) hostTimeout() time.Duration {
	if s.Input.HostTimeout > 0 {
		return s.Input.HostTimeout
	}
	return schema.DefaultHostTimeout
}
