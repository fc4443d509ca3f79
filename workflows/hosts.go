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

// inFlightStep is a step whose activity is under way, or that is lost to its host.
type inFlightStep struct {
	arg    schema.RunStep
	future workflow.Future // nil if it was lost in the previous execution
	cancel workflow.CancelFunc
	hosts  []string // where its processes may be; the last is the host that it was sent to
	lost   loss
}

// loss says why a host did not take a step, or what is known since.
type loss string

const (
	lossNone     loss = ""
	lossTimeout  loss = "silent"   // it did not take the step in time: it is down, or full
	lossAway     loss = "away"     // it did not answer on its other queue either
	lossDraining loss = "draining" // it takes no new steps
	lossResend   loss = "over"     // the session's host is ready for it: send it again
)

// hostSearch is a pending question about which host takes the session.
type hostSearch struct {
	future workflow.Future
	cancel workflow.CancelFunc
}

// CarriedStep is an [inFlightStep] as it is carried from one execution to the next.
type CarriedStep struct {
	Step  int            `json:"step"` // index of the step
	Arg   schema.RunStep `json:"ask"`
	Hosts []string       `json:"hosts"` // where its processes may be
	Lost  loss           `json:"lost"`
}

// carriedSteps is what the next execution continues from.
func (s *session) carriedSteps() []CarriedStep {
	var list []CarriedStep
	for _, i := range workflow.DeterministicKeys(s.inFlight) {
		f := s.inFlight[i]
		list = append(list, CarriedStep{Step: i, Arg: f.arg, Hosts: f.hosts, Lost: f.lost})
	}
	return list
}

// resumeInFlight continues the steps that the previous execution had under way. Temporal has forgotten their
// activities, but the steps themselves were not told. Each is requested again under its execution,
// and its host joins it, or finds its recorded end. If the session has lost its host, the question
// of which host takes it is asked again.
func (s *session) resumeInFlight(ctx workflow.Context) {
	for _, f := range s.state.CarriedSteps {
		if f.Lost == lossNone {
			s.dispatch(ctx, f.Step, markAgain(f.Arg), f.Hosts)
			continue
		}
		s.inFlight[f.Step] = inFlightStep{arg: f.Arg, cancel: func() {}, hosts: f.Hosts, lost: f.Lost}
	}
	s.state.CarriedSteps = nil
}

// markAgain marks a step as requested before.
func markAgain(arg schema.RunStep) schema.RunStep {
	arg.Again = true
	return arg
}

func lossOf(err error) loss {
	if t, ok := errors.AsType[*temporal.TimeoutError](err); ok && t.TimeoutType() == enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START {
		return lossTimeout
	}
	if codeOf(err) == schema.CodeHostDraining {
		return lossDraining
	}
	return lossNone
}

// dispatch sends a step to the session's host.
func (s *session) dispatch(ctx workflow.Context, i int, arg schema.RunStep, hosts []string) {
	st := s.state
	if !slices.Contains(hosts, st.Host) {
		hosts = append(hosts, st.Host)
	}
	stepCtx, cancel := workflow.WithCancel(withStep(ctx, st.Host, st.Run.Steps[i].Title, st.hostTimeout()))
	future := workflow.ExecuteActivity(stepCtx, schema.ActivityRunStep, arg)
	arg.Before = nil // it is recorded before the step is sent again
	s.inFlight[i] = inFlightStep{arg: arg, future: future, cancel: cancel, hosts: hosts}
}

// complete accepts the outcome of a step, unless its host did not take it.
func (s *session) complete(ctx workflow.Context, i int, f inFlightStep) {
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

// needsHost reports whether a step waits for a host; meanwhile no other step starts.
func (s *session) needsHost() bool {
	return len(s.lost(lossTimeout, lossAway, lossDraining, lossResend)) > 0
}

func (s *session) mark(list []int, as loss) {
	for _, i := range list {
		f := s.inFlight[i]
		f.lost = as
		s.inFlight[i] = f
	}
}

// findHost does the next thing for steps that wait for a host. It reports whether there was any.
func (s *session) findHost(ctx workflow.Context) bool {
	st := s.state
	switch {
	case st.Suspended || st.Frozen || s.hostSearch != nil || !s.needsHost():
		return false
	case len(s.lost(lossResend)) > 0:
		for _, i := range s.lost(lossResend) {
			s.dispatch(ctx, i, markAgain(s.inFlight[i].arg), s.inFlight[i].hosts)
		}
	case len(s.lost(lossNone)) == 0:
		s.startHostSearch(ctx)
	case len(s.lost(lossTimeout)) > 0:
		// Other steps under way there tie the session to the host. If the host answers, it is only
		// full; otherwise those will be lost too, and the session waits for that.
		how := lossAway
		if s.hostAnswers(ctx, probeTimeout, schema.ActivityThawSteps, "check that the host is up") {
			how = lossResend
		}
		s.mark(s.lost(lossTimeout), how)
	default:
		return false
	}
	s.showInTemporal(ctx)
	return true
}

// startHostSearch asks all hosts which one takes the session. The answer may take long.
func (s *session) startHostSearch(ctx workflow.Context) {
	st := s.state
	searchCtx, cancel := workflow.WithCancel(withHostSearch(ctx, "find a host; "+st.Host+" "+s.hostProblem()))
	arg := schema.Place{SessionID: st.Input.SessionID, RunID: st.Run.ID, From: st.Host}
	s.hostSearch = &hostSearch{future: workflow.ExecuteActivity(searchCtx, schema.ActivityPlace, arg), cancel: cancel}
}

// finishHostSearch accepts the answer.
func (s *session) finishHostSearch(ctx workflow.Context) {
	if s.hostSearch == nil || !s.hostSearch.future.IsReady() {
		return
	}
	var answer schema.Placed
	err := s.hostSearch.future.Get(ctx, &answer)
	s.hostSearch = nil
	if err != nil {
		workflow.GetLogger(ctx).Error("no host found; check that a host is up", "error", err)
		return // it will be asked again
	}
	s.state.Host = answer.Host
	s.mark(s.lost(lossTimeout, lossAway, lossDraining), lossResend)
}

// cancelHostSearch leaves the session on its host.
func (s *session) cancelHostSearch() {
	if s.hostSearch != nil {
		s.hostSearch.cancel()
		s.hostSearch = nil
	}
}

func (s *session) hostProblem() string {
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
		workflow.GetLogger(ctx).Warn("host did not answer; check that it is up", "activity", activity, "host", st.Host, "error", err)
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
	stops := make([]workflow.Future, len(hosts))
	for i, host := range hosts {
		stops[i] = workflow.ExecuteActivity(withControl(ctx, host, stopTimeout, "stop every step"), schema.ActivityStopSteps, of)
	}
	receipt := schema.Receipt{}
	for i, host := range hosts {
		var stopped schema.StoppedSteps
		if err := stops[i].Get(ctx, &stopped); err != nil {
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
	if !s.needsHost() || len(s.lost(lossResend)) > 0 {
		return ""
	}
	return fmt.Sprintf("\n\nHost `%s` %s. The steps wait for a host that takes the session.", s.state.Host, s.hostProblem())
}

// hostTimeout is how long a step waits for the session's host.
func (s *State) hostTimeout() time.Duration {
	if s.Input.HostTimeout > 0 {
		return s.Input.HostTimeout
	}
	return schema.DefaultHostTimeout
}
