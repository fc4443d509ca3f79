package workflows_test

import (
	"errors"
	"testing"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/workflows"
)

// While Postgres is down the workflow waits for its record, and an approval by Temporal's tools is a signal in the
// history: it counts from then on, whatever comes after it until Postgres is back.
func TestSignal_CountsFromTheMomentInWhichItCame(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		timeout float64
		other   bool // somebody else decides differently, later
	}{
		"before another decision":   {timeout: 3600, other: true},
		"before its time was over":  {timeout: 50},
		"before both, in one stall": {timeout: 50, other: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plan := &schema.Plan{Steps: []schema.PlanStep{{ID: "a", Shell: "true"}, {ID: "b", Shell: "true", Approval: true}, {ID: "c", Shell: "true", Approval: true, Needs: []string{"a"}}}}
			l := newFakeBackend(schema.Config{ApprovalTimeoutSeconds: c.timeout, OnTimeout: schema.OnTimeoutReject}, plan, []outcome{{Takes: 20 * time.Second, Status: schema.AttemptSucceeded}})
			l.away = [2]time.Time{someStart.Add(15 * time.Second), someStart.Add(80 * time.Second)}
			env := l.environment(someStart)
			decide := func(r schema.Resolution) schema.ResolveApproval {
				l.mu.Lock()
				defer l.mu.Unlock()
				return schema.ResolveApproval{ApprovalID: l.order[0], Resolution: r, Actor: "ada", RequestID: string(r)}
			}
			env.RegisterDelayedCallback(func() {
				env.SignalWorkflow(schema.CommandResolveApproval, decide(schema.ResolutionApproved))
			}, 30*time.Second)
			refused := error(nil)
			if c.other {
				env.RegisterDelayedCallback(func() {
					hear := func(err error) { refused = err }
					env.UpdateWorkflow(schema.CommandResolveApproval, "other", &testsuite.TestUpdateCallback{
						OnReject: hear, OnComplete: func(_ any, err error) { hear(err) },
					}, decide(schema.ResolutionRejected))
				}, 40*time.Second)
			}
			env.RegisterDelayedCallback(func() { env.SignalWorkflow(schema.CommandClose, schema.Command{Actor: "ada"}) }, 10*time.Minute)
			env.ExecuteWorkflow(schema.WorkflowType, schema.SessionInput{
				SessionID: "11111111-2222-4333-8444-555555555555", Mode: schema.ModeRunbook, Config: l.config,
			}, (*workflows.State)(nil))
			if err := env.GetWorkflowError(); err != nil || len(l.broken) > 0 {
				t.Fatal(err, l.broken)
			}
			if a := l.approvals[l.order[0]]; a.resolution != schema.ResolutionApproved {
				t.Errorf("it is %s %s", a.status, a.resolution)
			}
			if code, want := refusalOf(refused), map[bool]schema.Code{true: schema.CodeConflict}[c.other]; code != want {
				t.Errorf("the other decision was answered with %v", refused)
			}
		})
	}
}

// refusalOf is the code with which a command was refused; "" if it was not, or with another error.
func refusalOf(err error) schema.Code {
	if app, ok := errors.AsType[*temporal.ApplicationError](err); ok {
		return schema.Code(app.Type())
	}
	return ""
}
