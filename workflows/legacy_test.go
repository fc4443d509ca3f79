package workflows

import (
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"time"

	sdklog "go.temporal.io/sdk/log"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"github.com/holdfast/holdfast/schema"
)

// What the previous release accepted must be accepted again when its history is replayed, although
// a new history refuses it. Signals reach only the handlers, not the validators.
func TestOlder_TakesInWhatANewHistoryRefuses(t *testing.T) {
	t.Parallel()
	asking := func(t *testing.T) *State {
		t.Helper()
		s := newState(t, schema.Config{}, step("a"))
		startIDs(s, epoch)
		return s
	}
	for name, c := range map[string]struct {
		state  func(t *testing.T) *State
		signal string
		sent   func(s *State) any
		taken  func(s *State) bool
	}{
		"a question beyond the most that a step has open": {
			func(t *testing.T) *State {
				t.Helper()
				s := asking(t)
				for i := range schema.MaxOpenAsks {
					if _, _, err := s.AskHuman(epoch, ada, schema.Ask{StepID: "a", Question: "?", RequestID: strconv.Itoa(i)}); err != nil {
						t.Fatal(err)
					}
				}
				return s
			},
			schema.CommandAsk,
			func(*State) any { return schema.Ask{StepID: "a", Question: "?", RequestID: "one more"} },
			func(s *State) bool { return s.openAsks("a") == schema.MaxOpenAsks+1 },
		},
		"feedback beyond what is kept": {
			func(t *testing.T) *State {
				t.Helper()
				s := newState(t, schema.Config{}, step("a"), gated("b"))
				settle(s, epoch)
				s.step("a").Feedback = strings.Repeat("x", maxFeedbackHeld)
				s.Approvals[0].setDeadline(time.Now().AddDate(1, 0, 0)) // the workflow has its own clock
				return s
			},
			schema.CommandResolveApproval,
			func(s *State) any {
				return schema.ResolveApproval{ApprovalID: s.Approvals[0].ApprovalID, Resolution: schema.ResolutionApproved, Feedback: "fine"}
			},
			func(s *State) bool { return s.Approvals[0].Status == schema.ApprovalResolved },
		},
		"a sender with an endless name": {
			asking, schema.CommandMessage,
			func(*State) any {
				return schema.SendMessage{Content: "hello", Actor: strings.Repeat("a", schema.MaxActorBytes+1)}
			},
			func(s *State) bool { return s.Messages == 1 },
		},
	} {
		for version, want := range map[workflow.Version]bool{workflow.DefaultVersion: true, 1: false} {
			t.Run(name+", version "+strconv.Itoa(int(version)), func(t *testing.T) {
				t.Parallel()
				st := c.state(t)
				var suite testsuite.WorkflowTestSuite
				suite.SetLogger(sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler)))
				env := suite.NewTestWorkflowEnvironment()
				env.RegisterDelayedCallback(func() { env.SignalWorkflow(c.signal, c.sent(st)) }, time.Second)
				drain := func(ctx workflow.Context) error {
					s := &session{state: st, inFlight: map[int]inFlightStep{}, since: workflow.Now(ctx)}
					if err := s.handle(ctx); err != nil {
						return err
					}
					if err := workflow.Await(ctx, func() bool { return s.hasSignals(ctx) }); err != nil {
						return err
					}
					s.receivePending(ctx)
					return nil
				}
				env.RegisterWorkflowWithOptions(drain, workflow.RegisterOptions{Name: "drain"})
				env.OnGetVersion(changeAnswers, workflow.DefaultVersion, workflow.Version(1)).Return(version)
				env.ExecuteWorkflow("drain")
				if err := env.GetWorkflowError(); err != nil {
					t.Fatal(err)
				}
				if got := c.taken(st); got != want {
					t.Errorf("it is taken in: %v, want %v; the audit trail says %+v", got, want, st.Pending.Audit)
				}
			})
		}
	}
}
