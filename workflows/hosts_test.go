package workflows_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/activity"
	sdklog "go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/workflows"
)

// hosts replaces the hosts of a session: the test decides what each does with a step, and what they
// were asked is recorded, such as "run a/1 on one".
type hosts struct {
	t   *testing.T
	env *testsuite.TestWorkflowEnvironment

	mu  sync.Mutex
	log []string
	// run answers for the nth time that a step is sent, from 1 on.
	run          func(step, host string, nth int) hostOutcome
	unresponsive map[string]bool           // hosts that do not answer on their control queue
	search       map[int]time.Duration     // how long the nth search for a host takes
	sent         map[string]int            // by step
	receipt      schema.Receipt            // of the run that was cancelled
	stands       schema.Recorded           // what Postgres has of it
	steps        map[string]schema.RunStep // as they were sent first
	plan         *schema.Plan
}

// hostOutcome is what happens to a step on a host, after a while.
type hostOutcome struct {
	takes time.Duration
	err   error
}

const hostTimeout = 30 * time.Second

func silent() hostOutcome {
	return hostOutcome{hostTimeout, temporal.NewTimeoutError(enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START, nil)}
}

func draining() hostOutcome {
	return hostOutcome{time.Millisecond, temporal.NewNonRetryableApplicationError("draining", string(schema.CodeHostDraining), nil)}
}

func done(after time.Duration) hostOutcome { return hostOutcome{after, nil} }

func newHosts(t *testing.T, run func(step, host string, nth int) hostOutcome, planText string) *hosts {
	t.Helper()
	plan, errs := schema.ParsePlan([]byte(planText))
	if errs != nil {
		t.Fatalf("%+v", errs)
	}
	h := &hosts{t: t, run: run, plan: plan, unresponsive: map[string]bool{}, search: map[int]time.Duration{}, sent: map[string]int{}, steps: map[string]schema.RunStep{}}
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler)))
	h.env = suite.NewTestWorkflowEnvironment()
	h.env.SetTestTimeout(20 * time.Second)
	h.env.RegisterWorkflowWithOptions(workflows.Session, workflow.RegisterOptions{Name: schema.WorkflowType})
	for name, fn := range map[string]any{
		schema.ActivityBeginRun: func(context.Context, schema.BeginRun) (schema.Outline, error) {
			o := plan.Outline()
			o.Host = "one"
			return o, nil
		},
		schema.ActivityRecord: h.record, schema.ActivityRunStep: h.runStep, schema.ActivityPlace: h.place, schema.ActivityStopSteps: h.stop,
		schema.ActivityFreezeSteps: h.control, schema.ActivityThawSteps: h.control,
	} {
		h.env.RegisterActivityWithOptions(fn, activity.RegisterOptions{Name: name})
	}
	return h
}

func (h *hosts) notef(format string, args ...any) {
	h.log = append(h.log, fmt.Sprintf(format, args...))
}

func (h *hosts) record(_ context.Context, t schema.Transition) (schema.Recorded, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if t.End == nil {
		return schema.Recorded{}, nil
	}
	h.notef("end %s", t.End.Status)
	if t.End.Receipt != nil {
		h.receipt = *t.End.Receipt
	}
	h.env.RegisterDelayedCallback(func() { h.env.SignalWorkflow(schema.CommandClose, schema.Command{Actor: "ada"}) }, time.Second)
	return h.stands, nil
}

// queueHost is the host whose queue delivered an activity.
func queueHost(ctx context.Context) string {
	_, host, _ := strings.Cut(activity.GetInfo(ctx).TaskQueue, "@")
	return host
}

func (h *hosts) runStep(ctx context.Context, ask schema.RunStep) (schema.StepResult, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sent[ask.StepID]++
	first, again := h.steps[ask.StepID]
	if !again {
		h.steps[ask.StepID] = ask
	} else if ask.Execution != first.Execution || ask.Digest != first.Digest || ask.Before != nil {
		h.t.Errorf("sent again as %+v, and first as %+v", ask, first)
	}
	host := queueHost(ctx)
	h.notef("run %s on %s", ask.StepID, host)
	f := h.run(ask.StepID, host, h.sent[ask.StepID])
	token := activity.GetInfo(ctx).TaskToken
	h.env.RegisterDelayedCallback(func() {
		result := schema.StepResult{Status: schema.AttemptSucceeded, Attempt: 1}
		_ = h.env.CompleteActivity(token, result, f.err) // nobody waits for a cancelled one any more
	}, f.takes)
	return schema.StepResult{}, activity.ErrResultPending
}

func (h *hosts) place(ctx context.Context, in schema.Place) (schema.Placed, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sent["place"]++
	h.notef("place, from %s", in.From)
	if queue := activity.GetInfo(ctx).TaskQueue; queue != schema.TaskQueueSteps {
		h.t.Errorf("a host is looked for on %s", queue)
	}
	token := activity.GetInfo(ctx).TaskToken
	h.env.RegisterDelayedCallback(func() { _ = h.env.CompleteActivity(token, schema.Placed{Host: "two"}, nil) }, h.search[h.sent["place"]])
	return schema.Placed{}, activity.ErrResultPending
}

func (h *hosts) control(ctx context.Context, _ schema.StepsOf) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	host := queueHost(ctx)
	if h.unresponsive[host] {
		return fmt.Errorf("%s does not answer", host)
	}
	h.notef("%s on %s", activity.GetInfo(ctx).ActivityType.Name, host)
	return nil
}

func (h *hosts) stop(ctx context.Context, of schema.StepsOf) (schema.StoppedSteps, error) {
	return schema.StoppedSteps{ProcessesKilled: 1}, h.control(ctx, of)
}

func (h *hosts) at(when time.Duration, command string) {
	h.env.RegisterDelayedCallback(func() { h.env.SignalWorkflow(command, schema.Command{Actor: "ada"}) }, when)
}

// play runs the session and compares what the hosts were asked, in order; requests made at once,
// such as "a & b", are in any order.
func (h *hosts) play(want ...string) {
	h.t.Helper()
	began := h.env.Now()
	h.env.ExecuteWorkflow(schema.WorkflowType, schema.SessionInput{
		SessionID: "11111111-2222-4333-8444-555555555555", Mode: schema.ModeRunbook, ApprovalTimeout: time.Minute, HostTimeout: hostTimeout,
	}, nil)
	if err := h.env.GetWorkflowError(); err != nil {
		h.t.Error(err)
	}
	got := slices.Clone(h.log)
	at := 0
	for _, line := range want {
		n := strings.Count(line, " & ") + 1
		if at+n <= len(got) {
			slices.Sort(got[at : at+n])
			got = slices.Replace(got, at, at+n, strings.Join(got[at:at+n], " & "))
		}
		at++
	}
	if !slices.Equal(got, want) {
		h.t.Errorf("after %s the hosts were asked\n%s\nwant\n%s", h.env.Now().Sub(began), strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

const (
	oneStep  = `{"steps":[{"id":"a","shell":"true"}]}`
	twoSteps = `{"steps":[{"id":"a","shell":"true"},{"id":"b","shell":"true"},{"id":"c","shell":"true","needs":["a"]}]}`
)

// lives answers on every host but the first one.
func livesOn(host string, otherwise hostOutcome) func(step, on string, nth int) hostOutcome {
	return func(_, on string, _ int) hostOutcome {
		if on == host {
			return done(time.Minute)
		}
		return otherwise
	}
}

func TestHosts_AStepThatItsHostDoesNotTakeGoesToAnother(t *testing.T) {
	t.Parallel()
	newHosts(t, livesOn("two", silent()), oneStep).play("run a on one", "place, from one", "run a on two", "end completed")
}

func TestHosts_StepsSideBySideMoveTogether(t *testing.T) {
	t.Parallel()
	h := newHosts(t, func(step, on string, _ int) hostOutcome {
		f := silent()
		if on == "two" {
			f = done(time.Minute)
		}
		if step == "b" {
			f.takes += 10 * time.Second
		}
		return f
	}, twoSteps)
	h.unresponsive["one"] = true
	h.play("run a on one & run b on one", "place, from one", "run a on two & run b on two", "run c on two", "end completed")
}

// A host that is only full keeps its session while something of it runs there.
func TestHosts_AFullHostIsAskedAgainWhileItRunsAnotherStep(t *testing.T) {
	t.Parallel()
	h := newHosts(t, func(step, _ string, nth int) hostOutcome {
		switch {
		case step == "a" && nth < 3:
			return silent()
		default:
			return done(2 * time.Minute)
		}
	}, twoSteps)
	h.play("run a on one & run b on one", "Steps.Thaw on one", "run a on one", "Steps.Thaw on one", "run a on one", "run c on one", "end completed")
}

// A draining host finishes what it runs; what follows goes elsewhere.
func TestHosts_ADrainingHostKeepsWhatItRunsAndNothingElse(t *testing.T) {
	t.Parallel()
	h := newHosts(t, func(step, on string, _ int) hostOutcome {
		if step == "c" && on == "one" {
			return draining()
		}
		if step == "b" {
			return done(time.Hour)
		}
		return done(time.Minute)
	}, twoSteps)
	h.play("run a on one & run b on one", "run c on one", "place, from one", "run c on two", "end completed")
}

func TestHosts_CancelWhileNoHostLives(t *testing.T) {
	t.Parallel()
	h := newHosts(t, livesOn("two", silent()), oneStep)
	h.search[1] = 100 * time.Hour
	h.unresponsive["one"] = true
	h.at(time.Hour, schema.CommandCancel)
	h.play("run a on one", "place, from one", "end cancelled")
	if !slices.Equal(h.receipt.Unreachable, []string{"one"}) || h.receipt.ProcessesKilled != 0 {
		t.Errorf("receipt %+v", h.receipt)
	}
}

// A host from which a step was moved away may still run it: it also receives a cancel.
func TestHosts_CancelReachesTheHostBefore(t *testing.T) {
	t.Parallel()
	h := newHosts(t, livesOn("two", silent()), oneStep)
	h.at(time.Minute, schema.CommandCancel)
	h.play("run a on one", "place, from one", "run a on two", "Steps.Stop on one & Steps.Stop on two", "end cancelled")
	if h.receipt.ProcessesKilled != 2 || h.receipt.Unreachable != nil {
		t.Errorf("receipt %+v", h.receipt)
	}
}

// The host had recorded the step's success before it was stopped, and died before anybody learnt of
// it.
func TestHosts_WhatTheHostRecordedBeforeItDiedStands(t *testing.T) {
	t.Parallel()
	h := newHosts(t, livesOn("none", silent()), oneStep)
	h.unresponsive["one"], h.unresponsive["two"] = true, true
	h.stands.Steps = []schema.StepChange{{ID: "a", Status: schema.StepSucceeded}}
	h.at(time.Second, schema.CommandCancel)
	h.play("run a on one", "end cancelled")
	answer, err := h.env.QueryWorkflow(schema.QueryState)
	if err != nil {
		t.Fatal(err)
	}
	var view schema.WorkflowState
	if err := answer.Get(&view); err != nil || len(view.Steps) != 1 || view.Steps[0].Status != schema.StepSucceeded {
		t.Fatalf("%+v, %v", view, err)
	}
}

// Nothing starts in a suspended session, wherever its host is.
func TestHosts_SuspendWhileAHostIsLookedFor(t *testing.T) {
	t.Parallel()
	h := newHosts(t, livesOn("two", silent()), oneStep)
	h.search[1] = time.Hour
	h.at(time.Minute, schema.CommandSuspend)
	h.env.RegisterDelayedCallback(func() { h.notef("resume") }, 3*time.Hour-time.Second)
	h.at(3*time.Hour, schema.CommandResume)
	h.play("run a on one", "place, from one", "resume", "Steps.Thaw on two", "run a on two", "end completed")
}

// A host that comes back while the session is suspended keeps it: its steps are there, frozen.
func TestHosts_AHostThatIsBackBeforeTheResumeKeepsTheSession(t *testing.T) {
	t.Parallel()
	h := newHosts(t, func(_, _ string, nth int) hostOutcome {
		if nth == 1 {
			return silent()
		}
		return done(time.Minute)
	}, oneStep)
	h.at(10*time.Second, schema.CommandSuspend)
	h.env.RegisterDelayedCallback(func() { h.notef("resume") }, 3*time.Hour-time.Second)
	h.at(3*time.Hour, schema.CommandResume)
	h.play("run a on one", "Steps.Freeze on one", "resume", "Steps.Thaw on one", "run a on one", "end completed")
}

func TestHosts_ASessionMovesEachTimeItsHostIsLost(t *testing.T) {
	t.Parallel()
	h := newHosts(t, func(_, _ string, nth int) hostOutcome {
		if nth < 4 {
			return silent()
		}
		return done(time.Minute)
	}, oneStep)
	h.play("run a on one", "place, from one", "run a on two", "place, from two", "run a on two", "place, from two", "run a on two", "end completed")
}
