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

// A session's steps run on one host: the one that has its workspace. A step that this host does not
// take is lost to it, and waits here; meanwhile no other step starts. Once nothing of the session
// is under way on that host, any host with room takes over the session. The lost steps go there
// under the same execution: if it still runs there, the host joins it; otherwise the execution is
// closed as lost and the step's next attempt begins.
//
// All of this begins with a failure that older histories cannot have, because steps used to wait
// without limit. So a replay never gets here by surprise, and needs no version.

// flight is a step whose activity is under way, or that is lost to its host.
type flight struct {
	ask    schema.RunStep
	future workflow.Future // nil if it was lost in the previous execution
	cancel workflow.CancelFunc
	hosts  []string // where its processes may be; the last is the host that it was sent to
	lost   loss
}

// loss says why a host did not take a step, or what is known since.
type loss string

const (
	lossNone     loss = ""
	lossSilent   loss = "silent"   // it did not take the step in time: it is down, or full
	lossAway     loss = "away"     // it did not answer on its other queue either
	lossDraining loss = "draining" // it takes no new steps
	lossOver     loss = "over"     // the session's host is ready for it: send it again
)

// placing is a pending question about which host takes the session.
type placing struct {
	future workflow.Future
	cancel workflow.CancelFunc
}

// Flight is a [flight] as it is carried from one execution to the next.
type Flight struct {
	Step  int            `json:"step"` // index of the step
	Ask   schema.RunStep `json:"ask"`
	Hosts []string       `json:"hosts"` // where its processes may be
	Lost  loss           `json:"lost"`
}

// flights is what the next execution continues from.
func (s *session) flights() []Flight {
	var list []Flight
	for _, i := range workflow.DeterministicKeys(s.inFlight) {
		f := s.inFlight[i]
		list = append(list, Flight{Step: i, Ask: f.ask, Hosts: f.hosts, Lost: f.lost})
	}
	return list
}

// goOn continues the steps that the previous execution had under way. Temporal has forgotten their
// activities, but the steps themselves were not told. Each is requested again under its execution,
// and its host joins it, or finds its recorded end. If the session has lost its host, the question
// of which host takes it is asked again.
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

// again marks a step as requested before.
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
	ask.Before = nil // it is recorded before the step is sent again
	s.inFlight[i] = flight{ask: ask, future: future, cancel: cancel, hosts: hosts}
}

// land takes in the outcome of a step, unless its host did not take it.
func (s *session) land(ctx workflow.Context, i int, f flight) {
	var result schema.StepResult
	err := f.future.Get(ctx, &result)
	switch f.lost = lossOf(err); f.lost {
	case lossNone:
		delete(s.inFlight, i)
		s.state.Finished(i, stepResult(result, err), workflow.Now(ctx))
		return
	case lossDraining: // nothing of it is there: a draining host keeps what it has
		f.hosts = slices.DeleteFunc(f.hosts, func(host string) bool { return host == s.state.Host })
	default:
	}
	s.inFlight[i] = f
}

// lost lists the indexes of the steps in flight that were lost in one of these ways.
func (s *session) lost(how ...loss) []int {
	var list []int
	for _, i := range workflow.DeterministicKeys(s.inFlight) {
		if slices.Contains(how, s.inFlight[i].lost) {
			list = append(list, i)
		}
	}
	return list
}

// homeless reports whether a step waits for a host; meanwhile no other step starts.
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

// rehouse does the next thing for steps that wait for a host. It reports whether there was any.
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
		// Other steps under way there tie the session to the host. If the host answers, it is only
		// full; otherwise those will be lost too, and the session waits for that.
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

// place asks all hosts which one takes the session. An answer may take long.
func (s *session) place(ctx workflow.Context) {
	st := s.state
	placeCtx, cancel := workflow.WithCancel(withPlace(ctx, "find a host; "+st.Host+" "+s.why()))
	ask := schema.Place{SessionID: st.Input.SessionID, RunID: st.Run.ID, From: st.Host}
	s.placing = &placing{future: workflow.ExecuteActivity(placeCtx, schema.ActivityPlace, ask), cancel: cancel}
}

// placed takes in the answer.
func (s *session) placed(ctx workflow.Context) {
	if s.placing == nil || !s.placing.future.IsReady() {
		return
	}
	var answer schema.Placed
	err := s.placing.future.Get(ctx, &answer)
	s.placing = nil
	if err != nil {
		workflow.GetLogger(ctx).Error("no host found", "error", err)
		return // it will be asked again
	}
	s.state.Host = answer.Host
	s.mark(s.lost(lossSilent, lossAway, lossDraining), lossOver)
}

// giveUpPlacing leaves the session on its host.
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

// hostAnswers asks the session's host to do something with the steps of the run, and reports
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

// stopEverywhere has each host end its part of the run, including hosts from which a step was moved
// away.
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

// stopLeftBehind ends what is left of the run that was under way when the session's workflow was
// lost. A host that does not answer ends it when its worker is back.
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
		receipt.ArtifactsKept = max(receipt.ArtifactsKept, stopped.Files) // the same files, as far as they go
	}
	return receipt
}

// hostDetails describes in Markdown what is wrong with the host, if anything.
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
