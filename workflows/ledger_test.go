package workflows_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/activity"
	sdklog "go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/workflows"
)

// ledger replaces Postgres and the hosts under Temporal's time-skipping environment. It keeps what
// the workflow records and objects to everything that must never happen. In e2e the real ones are
// checked against the same model.
type ledger struct {
	mu  sync.Mutex
	env *testsuite.TestWorkflowEnvironment
	now func() time.Time

	config schema.Config
	plan   *schema.Plan
	script []outcome // of one step execution after the other

	keys      map[string]string // what was recorded under each key
	begun     string            // the key under which the latest run was opened
	runs      []*ledgerRun
	approvals map[string]*ledgerApproval
	order     []string // ids of approvals, in the order of asking
	messages  map[int]schema.MessageStatus
	status    schema.SessionStatus
	phase     schema.Phase
	expires   *time.Time
	executed  int
	running   map[string]bool // executions that were started and have not ended
	// executions by activity id: the environment ends a cancelled one at once
	executions map[string]string
	underWay   map[string]ledgerStep        // running steps, by execution
	ends       map[string]schema.StepResult // by ended execution
	places     map[string]string            // host of each running step, by execution
	lostBefore map[string]int               // how often no host took an execution
	deaf       bool                         // the session's host does not answer
	away       [2]time.Time                 // nothing is recorded between these times
	placed     int
	seen       map[string]int // what has happened, for the test of the test
	broken     []string
}

type outcome struct {
	Takes  time.Duration
	Status schema.AttemptStatus
	// Lost keeps the host from taking the step: "silent", "deaf" (it answers nothing else either)
	// or "draining".
	Lost string
	// Search is the time until some host takes the session.
	Search time.Duration
}

type ledgerRun struct {
	id    string
	plan  *schema.Plan
	steps map[string]schema.StepStatus
	// agreed are the digests that a human, or a policy, has approved.
	agreed map[string]bool
	ended  schema.SessionStatus
}

// ledgerStep is a running execution: Temporal may forget it, its host does not.
type ledgerStep struct {
	run    *ledgerRun
	ask    schema.RunStep
	until  time.Time
	result schema.StepResult
	joined bool // it was requested again
}

type ledgerApproval struct {
	schema.ApprovalOpen
	status     schema.ApprovalStatus
	resolution schema.Resolution
	answer     string // the digest of what was said besides the resolution
}

func newLedger(config schema.Config, plan *schema.Plan, script []outcome) *ledger {
	return &ledger{
		config: config, plan: plan, script: script, keys: map[string]string{}, approvals: map[string]*ledgerApproval{},
		messages: map[int]schema.MessageStatus{}, running: map[string]bool{}, executions: map[string]string{}, seen: map[string]int{},
		places: map[string]string{}, lostBefore: map[string]int{}, underWay: map[string]ledgerStep{}, ends: map[string]schema.StepResult{},
	}
}

func (l *ledger) objectf(format string, args ...any) {
	l.broken = append(l.broken, l.now().UTC().Format("15:04:05.000 ")+fmt.Sprintf(format, args...))
}

// environment is a time-skipping Temporal with the workflow, backed by the ledger.
func (l *ledger) environment(start time.Time) *testsuite.TestWorkflowEnvironment {
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler)))
	env := suite.NewTestWorkflowEnvironment()
	env.SetStartTime(start)
	env.SetWorkerOptions(worker.Options{DeadlockDetectionTimeout: time.Minute}) // on a busy machine; TestLargestPlan measures
	env.SetTestTimeout(2 * time.Minute)                                         // by the wall clock
	env.RegisterWorkflowWithOptions(workflows.Session, workflow.RegisterOptions{Name: schema.WorkflowType})
	l.register(env)
	return env
}

// register registers the ledger under the names that the workflow calls.
func (l *ledger) register(env *testsuite.TestWorkflowEnvironment) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.env, l.now = env, env.Now
	clear(l.executions)
	runStep := func(ctx context.Context, ask schema.RunStep) (schema.StepResult, error) {
		return l.runStep(ctx, env, ask)
	}
	for name, fn := range map[string]any{
		schema.ActivityBeginRun: l.beginRun, schema.ActivityRecord: l.recordWhenThere, schema.ActivityRevise: l.revise,
		schema.ActivityRunStep: runStep, schema.ActivityFreezeSteps: l.control, schema.ActivityThawSteps: l.control,
		schema.ActivityStopSteps: l.stop, schema.ActivityPlace: l.place,
	} {
		env.RegisterActivityWithOptions(fn, activity.RegisterOptions{Name: name})
	}
	env.SetOnActivityCanceledListener(func(info *activity.Info) {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.running, l.executions[info.ActivityID])
	})
}

func (l *ledger) control(context.Context, schema.StepsOf) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.deaf {
		return errors.New("the host is deaf")
	}
	return nil
}

// place answers with another host's name every third time.
func (l *ledger) place(ctx context.Context, in schema.Place) (schema.Placed, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.running) > 0 {
		l.objectf("the session moves from %s, where %d steps run", in.From, len(l.running))
	}
	l.placed++
	host := in.From
	if l.placed%3 == 0 {
		host = fmt.Sprint("host ", l.placed)
	}
	l.seen["placed"]++
	token := activity.GetInfo(ctx).TaskToken
	l.env.RegisterDelayedCallback(func() {
		l.mu.Lock()
		l.deaf = false
		l.mu.Unlock()
		_ = l.env.CompleteActivity(token, schema.Placed{Host: host}, nil) // nobody waits for a cancelled one any more
	}, l.script[l.executed%len(l.script)].Search)
	return schema.Placed{}, activity.ErrResultPending
}

// stop ends everything that runs, as a host does.
func (l *ledger) stop(context.Context, schema.StepsOf) (schema.StoppedSteps, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.deaf {
		return schema.StoppedSteps{}, errors.New("the host is deaf")
	}
	stopped := schema.StoppedSteps{ProcessesKilled: len(l.running)}
	clear(l.running)
	return stopped, nil
}

func (l *ledger) current() *ledgerRun {
	if len(l.runs) == 0 {
		return &ledgerRun{ended: schema.SessionCompleted}
	}
	return l.runs[len(l.runs)-1]
}

func (l *ledger) beginRun(_ context.Context, in schema.BeginRun) (schema.Outline, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.current().id == in.RunID && l.begun == in.Key { // the first attempt was given up, on a busy machine, but still succeeded
		o := l.plan.Outline()
		o.Host = "host"
		return o, nil
	}
	l.begun = in.Key
	if in.Number != len(l.runs)+1 || l.current().ended == "" {
		l.objectf("run %d begins after %d runs, the last one %q", in.Number, len(l.runs), l.current().ended)
	}
	r := &ledgerRun{id: in.RunID, plan: l.plan, steps: map[string]schema.StepStatus{}, agreed: map[string]bool{}}
	for i := range l.plan.Steps {
		r.steps[l.plan.Steps[i].ID] = schema.StepPending
	}
	l.runs = append(l.runs, r)
	l.status, l.phase = schema.SessionActive, in.Phase
	l.seen["runs"]++
	if in.Message != 0 {
		if l.messages[in.Message] != schema.MessageQueued {
			l.objectf("run %d answers message %d, which is %q", in.Number, in.Message, l.messages[in.Message])
		}
		l.messages[in.Message] = schema.MessageTaken
	}
	o := l.plan.Outline()
	o.Host = "host"
	return o, nil
}

// recordWhenThere records, now or once Postgres is back.
func (l *ledger) recordWhenThere(ctx context.Context, t schema.Transition) error {
	now := l.now()
	if now.Before(l.away[0]) || !now.Before(l.away[1]) {
		return l.record(ctx, t)
	}
	env, token := l.env, activity.GetInfo(ctx).TaskToken
	env.RegisterDelayedCallback(func() { _ = env.CompleteActivity(token, nil, l.record(ctx, t)) }, l.away[1].Sub(now))
	return activity.ErrResultPending
}

func (l *ledger) record(_ context.Context, t schema.Transition) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch was, twice := l.keys[t.Key]; {
	case twice && was != string(schema.Marshal(t)):
		l.objectf("%s is recorded twice, as %s and as %s", t.Key, was, schema.Marshal(t))
		return nil
	case twice: // by the workflow, and by the host of a step that it starts at the same time
		return nil
	}
	l.keys[t.Key] = string(schema.Marshal(t))
	r := l.current()
	if r.id != t.RunID {
		l.objectf("%s is of run %s, which has not begun", t.Key, t.RunID)
		return nil
	}
	for _, m := range t.Messages {
		if m.Status == schema.MessageQueued && m.Number != len(l.messages)+1 {
			l.objectf("message %d follows %d", m.Number, len(l.messages))
		}
		l.messages[m.Number] = m.Status
		l.seen["message "+string(m.Status)]++
	}
	for _, c := range t.Steps {
		l.move(r, c.ID, c.Status)
	}
	// What this transition asks is closed after it was asked, everything else before.
	asked := func(id string) bool {
		return slices.ContainsFunc(t.Open, func(o schema.ApprovalOpen) bool { return o.ID == id })
	}
	l.closeApprovals(r, t.Close, func(id string) bool { return !asked(id) })
	l.extendApprovals(t.Extend, func(id string) bool { return !asked(id) })
	for _, o := range t.Open {
		if l.approvals[o.ID] != nil || !o.ExpiresAt.After(o.CreatedAt) || r.ended != "" {
			l.objectf("approval %s is asked for: %+v, in a run that is %q", o.ID, o, r.ended)
		}
		l.approvals[o.ID] = &ledgerApproval{ApprovalOpen: o, status: schema.ApprovalPending}
		l.order = append(l.order, o.ID)
	}
	l.extendApprovals(t.Extend, asked)
	l.closeApprovals(r, t.Close, asked)
	if t.End != nil {
		if r.ended != "" {
			l.objectf("a run ends as %s and had ended as %s", t.End.Status, r.ended)
		}
		r.ended = t.End.Status
		l.seen["run "+string(t.End.Status)+" "+t.End.Reason]++
		for id, status := range r.steps {
			if !status.Final() {
				l.objectf("a run ends as %s with step %s %s", t.End.Status, id, status)
			}
		}
		for id, a := range l.approvals {
			if a.status == schema.ApprovalPending {
				l.objectf("a run ends as %s with approval %s pending", t.End.Status, id)
			}
		}
	}
	for _, e := range t.Audit {
		l.seen["audit "+string(e.Outcome)]++
		if e.Actor == "" || e.Action == "" {
			l.objectf("an audit entry without actor or action: %+v", e)
		}
	}
	l.status, l.phase, l.expires = t.Status, t.Phase, t.ExpiresAt
	return nil
}

func (l *ledger) closeApprovals(r *ledgerRun, list []schema.ApprovalClose, which func(id string) bool) {
	for _, c := range list {
		if !which(c.ID) {
			continue
		}
		a := l.approvals[c.ID]
		if a == nil || a.status != schema.ApprovalPending {
			l.objectf("approval %s is closed as %s, and was %+v", c.ID, c.Status, a)
			continue
		}
		a.status, a.resolution = c.Status, c.Resolution
		a.answer = schema.AnswerDigest(a.Type, c.Feedback, c.Modifications)
		l.seen[string(a.Type)+" "+string(c.Status)+" "+string(c.Resolution)+c.Reason]++
		yes := c.Resolution == schema.ResolutionApproved || c.Resolution == schema.ResolutionRetry ||
			(c.Status == schema.ApprovalExpired && a.OnTimeout == schema.OnTimeoutApprove)
		if yes {
			r.agreed[a.Digest] = true
		}
	}
}

func (l *ledger) extendApprovals(list []schema.ApprovalExtend, which func(id string) bool) {
	for _, e := range list {
		if !which(e.ID) {
			continue
		}
		a := l.approvals[e.ID]
		if a == nil || a.status != schema.ApprovalPending || !e.ExpiresAt.After(a.ExpiresAt) {
			l.objectf("approval %s moves to %s, and was %+v", e.ID, e.ExpiresAt, a)
			continue
		}
		a.ExpiresAt = e.ExpiresAt
		l.seen[fmt.Sprintf("extended, escalates %v", e.Escalates)]++
	}
}

func (l *ledger) move(r *ledgerRun, id string, to schema.StepStatus) {
	from, ok := r.steps[id]
	if from == to || (from.Final() && (to == schema.StepRunning || to == schema.StepFrozen)) {
		return // its host recorded the end while the workflow was busy freezing it
	}
	if !ok || from.Final() || r.ended != "" {
		l.objectf("step %s moves from %q to %s in a run that is %q", id, from, to, r.ended)
	}
	r.steps[id] = to
}

func (l *ledger) revise(_ context.Context, in schema.Revise) (schema.Outline, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.current()
	if r.id != in.RunID || r.ended != "" {
		l.objectf("run %s is revised, and is %q", in.RunID, r.ended)
	}
	refused := func(errs []schema.FieldError) (schema.Outline, error) {
		l.seen["edit refused"]++
		return schema.Outline{}, temporal.NewNonRetryableApplicationError(errs[0].Message, string(schema.CodeInvalid), nil)
	}
	var plan *schema.Plan
	var errs []schema.FieldError
	if in.StepID == "" {
		plan, errs = schema.ParsePlanEdit(in.Modifications)
	} else {
		edit, bad := schema.ParseStepEdit(in.Modifications)
		if bad != nil {
			return refused(bad)
		}
		plan, errs = r.plan.Edited(in.StepID, edit)
	}
	if errs != nil {
		return refused(errs)
	}
	l.seen["edit made"]++
	if in.StepID == "" {
		r.steps = map[string]schema.StepStatus{}
		for i := range plan.Steps {
			r.steps[plan.Steps[i].ID] = schema.StepPending
		}
	}
	r.plan, l.plan = plan, plan
	if l.config.OnModified == schema.OnModifiedApprove {
		step, _ := plan.Step(in.StepID)
		if step != nil {
			r.agreed[plan.StepDigest(step)] = true
		}
		r.agreed[plan.Digest()] = true
	}
	return plan.Outline(), nil
}

// lose plays a host that does not take a step.
func (l *ledger) lose(ctx context.Context, ask schema.RunStep, how string) (schema.StepResult, error) {
	l.seen["lost "+how]++
	l.lostBefore[ask.Execution]++
	if how == "draining" {
		return schema.StepResult{}, temporal.NewNonRetryableApplicationError("the host is draining", string(schema.CodeHostDraining), nil)
	}
	token := activity.GetInfo(ctx).TaskToken
	l.env.RegisterDelayedCallback(func() {
		l.mu.Lock()
		l.deaf = l.deaf || how == "deaf"
		l.mu.Unlock()
		_ = l.env.CompleteActivity(token, nil, temporal.NewTimeoutError(enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START, nil))
	}, 61310*time.Millisecond)
	return schema.StepResult{}, activity.ErrResultPending
}

// runStep carries out a step as scripted, and checks that it may run at all.
func (l *ledger) runStep(ctx context.Context, env *testsuite.TestWorkflowEnvironment, ask schema.RunStep) (schema.StepResult, error) {
	l.mu.Lock()
	if env != l.env { // requested by a past execution of the workflow; the next one asks again
		l.mu.Unlock()
		return schema.StepResult{}, activity.ErrResultPending
	}
	if result, here, err := l.join(ctx, ask); here {
		l.mu.Unlock()
		return result, err
	}
	if ask.Again && l.status == schema.SessionSuspended {
		defer l.mu.Unlock()
		return l.holdWhileSuspended(ctx, env, ask)
	}
	next := l.script[l.executed%len(l.script)]
	l.executed++
	if next.Lost != "" && l.lostBefore[ask.Execution] < 2 { // it must end at some time
		defer l.mu.Unlock()
		return l.lose(ctx, ask, next.Lost)
	}
	l.mu.Unlock()
	if ask.Before != nil {
		if err := l.record(ctx, *ask.Before); err != nil {
			return schema.StepResult{}, err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if env != l.env {
		return schema.StepResult{}, activity.ErrResultPending
	}
	r := l.current()
	step, ok := r.plan.Step(ask.StepID)
	switch {
	case r.id != ask.RunID || r.ended != "":
		l.objectf("step %s starts in run %s, which is %q", ask.StepID, ask.RunID, r.ended)
		return schema.StepResult{Status: schema.AttemptCancelled}, nil
	case l.lostBefore[ask.Execution] > 0 && ok && r.plan.StepDigest(step) != ask.Digest:
		l.seen["changed while it was lost"]++
		return schema.StepResult{}, temporal.NewNonRetryableApplicationError("not what was agreed on", string(schema.CodeConflict), nil)
	case !ok || r.plan.StepDigest(step) != ask.Digest:
		l.objectf("step %s starts as %s, which is not what the plan says", ask.StepID, ask.Digest)
		return schema.StepResult{Status: schema.AttemptCancelled}, nil
	case r.steps[ask.StepID].Final() || l.running[ask.Execution]:
		l.objectf("step %s starts, and is %s", ask.StepID, r.steps[ask.StepID])
	case l.status == schema.SessionSuspended:
		l.objectf("step %s starts in a suspended session", ask.StepID)
	}
	mode := l.config.ApprovalMode
	if (step.Approval || mode.AsksEachStep()) && !r.agreed[ask.Digest] {
		l.objectf("step %s starts, and nobody agreed to %s", ask.StepID, ask.Digest)
	}
	if mode.AsksPlan() && !slices.ContainsFunc(l.order, func(id string) bool {
		a := l.approvals[id]
		return a.Type == schema.ApprovalPlan && (a.resolution != "" || a.status == schema.ApprovalExpired)
	}) {
		l.objectf("step %s starts, and nobody was asked about the plan", ask.StepID)
	}
	for _, need := range step.Needs {
		if r.steps[need] != schema.StepSucceeded {
			l.objectf("step %s starts, and %s, which it needs, is %s", ask.StepID, need, r.steps[need])
		}
	}
	if l.lostBefore[ask.Execution] > 0 {
		l.seen["ran after it was lost"]++
	}
	l.places[ask.Execution] = activity.GetInfo(ctx).TaskQueue
	for execution := range l.running {
		if l.places[execution] != l.places[ask.Execution] {
			l.objectf("step %s runs on %s, and %s on %s", ask.StepID, l.places[ask.Execution], execution, l.places[execution])
		}
	}
	l.running[ask.Execution] = true
	if most := max(l.config.Parallel, 1); len(l.running) > most && l.config.Parallel > 0 {
		l.objectf("%d steps run at once, at most %d may", len(l.running), most)
	}
	l.underWay[ask.Execution] = ledgerStep{
		run: r, ask: ask, until: l.now().Add(next.Takes), result: schema.StepResult{Status: next.Status, Attempt: l.executed, Reason: schema.ReasonExit},
	}
	return l.await(ctx, ask)
}

// holdWhileSuspended plays a host that is asked again for a step which it never had, in a session that is
// suspended meanwhile: it checks every second whether the step may begin.
func (l *ledger) holdWhileSuspended(ctx context.Context, env *testsuite.TestWorkflowEnvironment, ask schema.RunStep) (schema.StepResult, error) {
	l.seen["held while suspended"]++
	token := activity.GetInfo(ctx).TaskToken
	env.RegisterDelayedCallback(func() {
		l.mu.Lock()
		over := l.current().id != ask.RunID || l.current().ended != ""
		l.mu.Unlock()
		if over {
			return
		}
		if result, err := l.runStep(ctx, env, ask); !errors.Is(err, activity.ErrResultPending) {
			_ = env.CompleteActivity(token, result, err) // nobody waits for a cancelled one any more
		}
	}, time.Second)
	return schema.StepResult{}, activity.ErrResultPending
}

// join plays a host that is asked for an execution that it has, or had: the workflow has continued
// as new meanwhile.
func (l *ledger) join(ctx context.Context, ask schema.RunStep) (result schema.StepResult, here bool, err error) {
	is := l.underWay[ask.Execution]
	if end, over := l.ends[ask.Execution]; over && ask.Again {
		l.seen["found its end"]++
		return end, true, nil
	}
	if !l.running[ask.Execution] || (!ask.Again && !is.joined) {
		return result, false, nil
	}
	l.seen["joined"]++
	is.joined = true
	l.underWay[ask.Execution] = is
	result, err = l.await(ctx, ask)
	return result, true, err
}

// await answers the activity when the execution ends.
func (l *ledger) await(ctx context.Context, ask schema.RunStep) (schema.StepResult, error) {
	is := l.underWay[ask.Execution]
	l.executions[activity.GetInfo(ctx).ActivityID] = ask.Execution
	token := activity.GetInfo(ctx).TaskToken
	l.env.RegisterDelayedCallback(func() {
		if l.finish(is.run, ask, is.result) {
			_ = l.env.CompleteActivity(token, is.result, nil) // nobody waits for a cancelled one any more
		}
	}, max(is.until.Sub(l.now()), time.Millisecond))
	return schema.StepResult{}, activity.ErrResultPending
}

// skip lets time pass without an execution of the workflow: every other running step ends
// meanwhile, and nobody hears of it.
func (l *ledger) skip() {
	l.mu.Lock()
	if len(l.running) > 0 {
		l.seen["continued as new with steps under way"]++
	}
	var ended []ledgerStep
	for n, execution := range slices.Sorted(maps.Keys(l.running)) {
		if n%2 == l.executed%2 {
			ended = append(ended, l.underWay[execution])
		}
	}
	l.mu.Unlock()
	for _, is := range ended {
		l.finish(is.run, is.ask, is.result)
	}
}

// finish records the end of a step as the runner does; a step whose run is over was stopped.
func (l *ledger) finish(r *ledgerRun, ask schema.RunStep, result schema.StepResult) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.running[ask.Execution] || r.ended != "" {
		return false
	}
	delete(l.running, ask.Execution)
	status := result.Status
	l.ends[ask.Execution] = result
	l.seen["attempt "+string(status)]++
	switch {
	case status == schema.AttemptSucceeded:
		l.move(r, ask.StepID, schema.StepSucceeded)
	case ask.Last:
		l.move(r, ask.StepID, schema.StepFailed)
	default:
		l.move(r, ask.StepID, schema.StepReady)
	}
	return true
}
