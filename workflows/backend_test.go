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

// fakeBackend replaces Postgres and the hosts under Temporal's time-skipping environment. It keeps what
// the workflow records and objects to everything that must never happen. In e2e the real ones are
// checked against the same model.
type fakeBackend struct {
	mu  sync.Mutex
	env *testsuite.TestWorkflowEnvironment
	now func() time.Time

	config schema.Config
	plan   *schema.Plan
	script []outcome // of one step execution after the other

	keys      map[string]string // what was recorded under each key
	begun     string            // the key under which the latest run was opened
	runs      []*backendRun
	approvals map[string]*backendApproval
	order     []string // ids of approvals, in the order of asking
	messages  map[int]schema.MessageStatus
	status    schema.SessionStatus
	phase     schema.Phase
	expires   *time.Time
	executed  int
	running   map[string]bool // executions that were started and have not ended
	// executions by activity id: the environment ends a cancelled one at once
	executions   map[string]string
	underWay     map[string]backendStep       // running steps, by execution
	ends         map[string]schema.StepResult // by ended execution
	places       map[string]string            // host of each running step, by execution
	lostBefore   map[string]int               // how often no host took an execution
	unresponsive bool                         // the session's host does not answer
	away         [2]time.Time                 // nothing is recorded between these times
	placed       int
	seen         map[string]int // what has happened, for the test of the test
	broken       []string
}

type outcome struct {
	Takes  time.Duration
	Status schema.AttemptStatus
	// Lost keeps the host from taking the step: "silent", "unresponsive" (it answers nothing else either)
	// or "draining".
	Lost string
	// Search is the time until some host takes the session.
	Search time.Duration
}

type backendRun struct {
	id    string
	plan  *schema.Plan
	steps map[string]schema.StepStatus
	// agreed are the digests that a human, or a policy, has approved.
	agreed map[string]bool
	ended  schema.SessionStatus
}

// backendStep is a running execution: Temporal may forget it, its host does not.
type backendStep struct {
	run    *backendRun
	arg    schema.RunStep
	until  time.Time
	result schema.StepResult
	joined bool // it was requested again
}

type backendApproval struct {
	schema.ApprovalOpen
	status     schema.ApprovalStatus
	resolution schema.Resolution
	answer     string // the digest of what was said besides the resolution
}

func newFakeBackend(config schema.Config, plan *schema.Plan, script []outcome) *fakeBackend {
	return &fakeBackend{
		config: config, plan: plan, script: script, keys: map[string]string{}, approvals: map[string]*backendApproval{},
		messages: map[int]schema.MessageStatus{}, running: map[string]bool{}, executions: map[string]string{}, seen: map[string]int{},
		places: map[string]string{}, lostBefore: map[string]int{}, underWay: map[string]backendStep{}, ends: map[string]schema.StepResult{},
	}
}

func (b *fakeBackend) objectf(format string, args ...any) {
	b.broken = append(b.broken, b.now().UTC().Format("15:04:05.000 ")+fmt.Sprintf(format, args...))
}

// environment is a time-skipping Temporal with the workflow, backed by the fake.
func (b *fakeBackend) environment(start time.Time) *testsuite.TestWorkflowEnvironment {
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler)))
	env := suite.NewTestWorkflowEnvironment()
	env.SetStartTime(start)
	env.SetWorkerOptions(worker.Options{DeadlockDetectionTimeout: time.Minute}) // on a busy machine; TestLargestPlan measures
	env.SetTestTimeout(2 * time.Minute)                                         // by the wall clock
	env.RegisterWorkflowWithOptions(workflows.Session, workflow.RegisterOptions{Name: schema.WorkflowType})
	b.register(env)
	return env
}

// register registers the fake's activities under the names that the workflow calls.
func (b *fakeBackend) register(env *testsuite.TestWorkflowEnvironment) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.env, b.now = env, env.Now
	clear(b.executions)
	runStep := func(ctx context.Context, ask schema.RunStep) (schema.StepResult, error) {
		return b.runStep(ctx, env, ask)
	}
	for name, fn := range map[string]any{
		schema.ActivityBeginRun: b.beginRun, schema.ActivityRecord: b.recordWhenThere, schema.ActivityRevise: b.revise,
		schema.ActivityRunStep: runStep, schema.ActivityFreezeSteps: b.control, schema.ActivityThawSteps: b.control,
		schema.ActivityStopSteps: b.stop, schema.ActivityPlace: b.place,
	} {
		env.RegisterActivityWithOptions(fn, activity.RegisterOptions{Name: name})
	}
	env.SetOnActivityCanceledListener(func(info *activity.Info) {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.running, b.executions[info.ActivityID])
	})
}

func (b *fakeBackend) control(context.Context, schema.StepsOf) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.unresponsive {
		return errors.New("the host does not answer")
	}
	return nil
}

// place answers with another host's name every third time.
func (b *fakeBackend) place(ctx context.Context, in schema.Place) (schema.Placed, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.running) > 0 {
		b.objectf("the session moves from %s, where %d steps run", in.From, len(b.running))
	}
	b.placed++
	host := in.From
	if b.placed%3 == 0 {
		host = fmt.Sprint("host ", b.placed)
	}
	b.seen["placed"]++
	token := activity.GetInfo(ctx).TaskToken
	b.env.RegisterDelayedCallback(func() {
		b.mu.Lock()
		b.unresponsive = false
		b.mu.Unlock()
		_ = b.env.CompleteActivity(token, schema.Placed{Host: host}, nil) // nobody waits for a cancelled one any more
	}, b.script[b.executed%len(b.script)].Search)
	return schema.Placed{}, activity.ErrResultPending
}

// stop ends everything that runs, as a host does.
func (b *fakeBackend) stop(context.Context, schema.StepsOf) (schema.StoppedSteps, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.unresponsive {
		return schema.StoppedSteps{}, errors.New("the host does not answer")
	}
	stopped := schema.StoppedSteps{ProcessesKilled: len(b.running)}
	clear(b.running)
	return stopped, nil
}

func (b *fakeBackend) current() *backendRun {
	if len(b.runs) == 0 {
		return &backendRun{ended: schema.SessionCompleted}
	}
	return b.runs[len(b.runs)-1]
}

func (b *fakeBackend) beginRun(_ context.Context, in schema.BeginRun) (schema.Outline, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.current().id == in.RunID && b.begun == in.Key { // the first attempt was given up, on a busy machine, but still succeeded
		o := b.plan.Outline()
		o.Host = "host"
		return o, nil
	}
	b.begun = in.Key
	if in.Number != len(b.runs)+1 || b.current().ended == "" {
		b.objectf("run %d begins after %d runs, the last one %q", in.Number, len(b.runs), b.current().ended)
	}
	r := &backendRun{id: in.RunID, plan: b.plan, steps: map[string]schema.StepStatus{}, agreed: map[string]bool{}}
	for i := range b.plan.Steps {
		r.steps[b.plan.Steps[i].ID] = schema.StepPending
	}
	b.runs = append(b.runs, r)
	b.status, b.phase = schema.SessionActive, in.Phase
	b.seen["runs"]++
	if in.Message != 0 {
		if b.messages[in.Message] != schema.MessageQueued {
			b.objectf("run %d answers message %d, which is %q", in.Number, in.Message, b.messages[in.Message])
		}
		b.messages[in.Message] = schema.MessageTaken
	}
	o := b.plan.Outline()
	o.Host = "host"
	return o, nil
}

// recordWhenThere records, now or once Postgres is back.
func (b *fakeBackend) recordWhenThere(ctx context.Context, t schema.Transition) error {
	now := b.now()
	if now.Before(b.away[0]) || !now.Before(b.away[1]) {
		return b.record(ctx, t)
	}
	env, token := b.env, activity.GetInfo(ctx).TaskToken
	env.RegisterDelayedCallback(func() { _ = env.CompleteActivity(token, nil, b.record(ctx, t)) }, b.away[1].Sub(now))
	return activity.ErrResultPending
}

func (b *fakeBackend) record(_ context.Context, t schema.Transition) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch was, twice := b.keys[t.Key]; {
	case twice && was != string(schema.Marshal(t)):
		b.objectf("%s is recorded twice, as %s and as %s", t.Key, was, schema.Marshal(t))
		return nil
	case twice: // by the workflow, and by the host of a step that it starts at the same time
		return nil
	}
	b.keys[t.Key] = string(schema.Marshal(t))
	r := b.current()
	if r.id != t.RunID {
		b.objectf("%s is of run %s, which has not begun", t.Key, t.RunID)
		return nil
	}
	for _, m := range t.Messages {
		if m.Status == schema.MessageQueued && m.Number != len(b.messages)+1 {
			b.objectf("message %d follows %d", m.Number, len(b.messages))
		}
		b.messages[m.Number] = m.Status
		b.seen["message "+string(m.Status)]++
	}
	for _, c := range t.Steps {
		b.move(r, c.ID, c.Status)
	}
	// What this transition asks is closed after it was asked, everything else before.
	asked := func(id string) bool {
		return slices.ContainsFunc(t.Open, func(o schema.ApprovalOpen) bool { return o.ID == id })
	}
	b.closeApprovals(r, t.Close, func(id string) bool { return !asked(id) })
	b.extendApprovals(t.Extend, func(id string) bool { return !asked(id) })
	for _, o := range t.Open {
		if b.approvals[o.ID] != nil || !o.ExpiresAt.After(o.CreatedAt) || r.ended != "" {
			b.objectf("approval %s is asked for: %+v, in a run that is %q", o.ID, o, r.ended)
		}
		b.approvals[o.ID] = &backendApproval{ApprovalOpen: o, status: schema.ApprovalPending}
		b.order = append(b.order, o.ID)
	}
	b.extendApprovals(t.Extend, asked)
	b.closeApprovals(r, t.Close, asked)
	if t.End != nil {
		if r.ended != "" {
			b.objectf("a run ends as %s and had ended as %s", t.End.Status, r.ended)
		}
		r.ended = t.End.Status
		b.seen["run "+string(t.End.Status)+" "+t.End.Reason]++
		for id, status := range r.steps {
			if !status.Final() {
				b.objectf("a run ends as %s with step %s %s", t.End.Status, id, status)
			}
		}
		for id, a := range b.approvals {
			if a.status == schema.ApprovalPending {
				b.objectf("a run ends as %s with approval %s pending", t.End.Status, id)
			}
		}
	}
	for _, e := range t.Audit {
		b.seen["audit "+string(e.Outcome)]++
		if e.Actor == "" || e.Action == "" {
			b.objectf("an audit entry without actor or action: %+v", e)
		}
	}
	b.status, b.phase, b.expires = t.Status, t.Phase, t.ExpiresAt
	return nil
}

func (b *fakeBackend) closeApprovals(r *backendRun, list []schema.ApprovalClose, which func(id string) bool) {
	for _, c := range list {
		if !which(c.ID) {
			continue
		}
		a := b.approvals[c.ID]
		if a == nil || a.status != schema.ApprovalPending {
			b.objectf("approval %s is closed as %s, and was %+v", c.ID, c.Status, a)
			continue
		}
		a.status, a.resolution = c.Status, c.Resolution
		a.answer = schema.AnswerDigest(a.Type, c.Feedback, c.Modifications)
		b.seen[string(a.Type)+" "+string(c.Status)+" "+string(c.Resolution)+c.Reason]++
		yes := c.Resolution == schema.ResolutionApproved || c.Resolution == schema.ResolutionRetry ||
			(c.Status == schema.ApprovalExpired && a.OnTimeout == schema.OnTimeoutApprove)
		if yes {
			r.agreed[a.Digest] = true
		}
	}
}

func (b *fakeBackend) extendApprovals(list []schema.ApprovalExtend, which func(id string) bool) {
	for _, e := range list {
		if !which(e.ID) {
			continue
		}
		a := b.approvals[e.ID]
		if a == nil || a.status != schema.ApprovalPending || !e.ExpiresAt.After(a.ExpiresAt) {
			b.objectf("approval %s moves to %s, and was %+v", e.ID, e.ExpiresAt, a)
			continue
		}
		a.ExpiresAt = e.ExpiresAt
		b.seen[fmt.Sprintf("extended, escalates %v", e.Escalates)]++
	}
}

func (b *fakeBackend) move(r *backendRun, id string, to schema.StepStatus) {
	from, ok := r.steps[id]
	if from == to || (from.Final() && (to == schema.StepRunning || to == schema.StepFrozen)) {
		return // its host recorded the end while the workflow was busy freezing it
	}
	if !ok || from.Final() || r.ended != "" {
		b.objectf("step %s moves from %q to %s in a run that is %q", id, from, to, r.ended)
	}
	r.steps[id] = to
}

func (b *fakeBackend) revise(_ context.Context, in schema.Revise) (schema.Outline, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.current()
	if r.id != in.RunID || r.ended != "" {
		b.objectf("run %s is revised, and is %q", in.RunID, r.ended)
	}
	refused := func(errs []schema.FieldError) (schema.Outline, error) {
		b.seen["edit refused"]++
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
	b.seen["edit made"]++
	if in.StepID == "" {
		r.steps = map[string]schema.StepStatus{}
		for i := range plan.Steps {
			r.steps[plan.Steps[i].ID] = schema.StepPending
		}
	}
	r.plan, b.plan = plan, plan
	if b.config.OnModified == schema.OnModifiedApprove {
		step, _ := plan.Step(in.StepID)
		if step != nil {
			r.agreed[plan.StepDigest(step)] = true
		}
		r.agreed[plan.Digest()] = true
	}
	return plan.Outline(), nil
}

// lose plays a host that does not take a step.
func (b *fakeBackend) lose(ctx context.Context, ask schema.RunStep, how string) (schema.StepResult, error) {
	b.seen["lost "+how]++
	b.lostBefore[ask.Execution]++
	if how == "draining" {
		return schema.StepResult{}, temporal.NewNonRetryableApplicationError("the host is draining", string(schema.CodeHostDraining), nil)
	}
	token := activity.GetInfo(ctx).TaskToken
	b.env.RegisterDelayedCallback(func() {
		b.mu.Lock()
		b.unresponsive = b.unresponsive || how == "unresponsive"
		b.mu.Unlock()
		_ = b.env.CompleteActivity(token, nil, temporal.NewTimeoutError(enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START, nil))
	}, 61310*time.Millisecond)
	return schema.StepResult{}, activity.ErrResultPending
}

// runStep carries out a step as scripted, and checks that it may run at all.
func (b *fakeBackend) runStep(ctx context.Context, env *testsuite.TestWorkflowEnvironment, ask schema.RunStep) (schema.StepResult, error) {
	b.mu.Lock()
	if env != b.env { // requested by a past execution of the workflow; the next one asks again
		b.mu.Unlock()
		return schema.StepResult{}, activity.ErrResultPending
	}
	if result, here, err := b.join(ctx, ask); here {
		b.mu.Unlock()
		return result, err
	}
	if ask.Again && b.status == schema.SessionSuspended {
		defer b.mu.Unlock()
		return b.holdWhileSuspended(ctx, env, ask)
	}
	next := b.script[b.executed%len(b.script)]
	b.executed++
	if next.Lost != "" && b.lostBefore[ask.Execution] < 2 { // it must end at some time
		defer b.mu.Unlock()
		return b.lose(ctx, ask, next.Lost)
	}
	b.mu.Unlock()
	if ask.Before != nil {
		if err := b.record(ctx, *ask.Before); err != nil {
			return schema.StepResult{}, err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if env != b.env {
		return schema.StepResult{}, activity.ErrResultPending
	}
	r := b.current()
	step, ok := r.plan.Step(ask.StepID)
	switch {
	case r.id != ask.RunID || r.ended != "":
		b.objectf("step %s starts in run %s, which is %q", ask.StepID, ask.RunID, r.ended)
		return schema.StepResult{Status: schema.AttemptCancelled}, nil
	case b.lostBefore[ask.Execution] > 0 && ok && r.plan.StepDigest(step) != ask.Digest:
		b.seen["changed while it was lost"]++
		return schema.StepResult{}, temporal.NewNonRetryableApplicationError("not what was agreed on", string(schema.CodeConflict), nil)
	case !ok || r.plan.StepDigest(step) != ask.Digest:
		b.objectf("step %s starts as %s, which is not what the plan says", ask.StepID, ask.Digest)
		return schema.StepResult{Status: schema.AttemptCancelled}, nil
	case r.steps[ask.StepID].Final() || b.running[ask.Execution]:
		b.objectf("step %s starts, and is %s", ask.StepID, r.steps[ask.StepID])
	case b.status == schema.SessionSuspended:
		b.objectf("step %s starts in a suspended session", ask.StepID)
	}
	mode := b.config.ApprovalMode
	if (step.Approval || mode.AsksEachStep()) && !r.agreed[ask.Digest] {
		b.objectf("step %s starts, and nobody agreed to %s", ask.StepID, ask.Digest)
	}
	if mode.AsksPlan() && !slices.ContainsFunc(b.order, func(id string) bool {
		a := b.approvals[id]
		return a.Type == schema.ApprovalPlan && (a.resolution != "" || a.status == schema.ApprovalExpired)
	}) {
		b.objectf("step %s starts, and nobody was asked about the plan", ask.StepID)
	}
	for _, need := range step.Needs {
		if r.steps[need] != schema.StepSucceeded {
			b.objectf("step %s starts, and %s, which it needs, is %s", ask.StepID, need, r.steps[need])
		}
	}
	if b.lostBefore[ask.Execution] > 0 {
		b.seen["ran after it was lost"]++
	}
	b.places[ask.Execution] = activity.GetInfo(ctx).TaskQueue
	for execution := range b.running {
		if b.places[execution] != b.places[ask.Execution] {
			b.objectf("step %s runs on %s, and %s on %s", ask.StepID, b.places[ask.Execution], execution, b.places[execution])
		}
	}
	b.running[ask.Execution] = true
	if most := max(b.config.Parallel, 1); len(b.running) > most && b.config.Parallel > 0 {
		b.objectf("%d steps run at once, at most %d may", len(b.running), most)
	}
	b.underWay[ask.Execution] = backendStep{
		run: r, arg: ask, until: b.now().Add(next.Takes), result: schema.StepResult{Status: next.Status, Attempt: b.executed, Reason: schema.ReasonExit},
	}
	return b.await(ctx, ask)
}

// holdWhileSuspended plays a host that is asked again for a step which it never had, in a session that is
// suspended meanwhile: it checks every second whether the step may begin.
func (b *fakeBackend) holdWhileSuspended(ctx context.Context, env *testsuite.TestWorkflowEnvironment, ask schema.RunStep) (schema.StepResult, error) {
	b.seen["held while suspended"]++
	token := activity.GetInfo(ctx).TaskToken
	env.RegisterDelayedCallback(func() {
		b.mu.Lock()
		over := b.current().id != ask.RunID || b.current().ended != ""
		b.mu.Unlock()
		if over {
			return
		}
		if result, err := b.runStep(ctx, env, ask); !errors.Is(err, activity.ErrResultPending) {
			_ = env.CompleteActivity(token, result, err) // nobody waits for a cancelled one any more
		}
	}, time.Second)
	return schema.StepResult{}, activity.ErrResultPending
}

// join plays a host that is asked for an execution that it has, or had: the workflow has continued
// as new meanwhile.
func (b *fakeBackend) join(ctx context.Context, ask schema.RunStep) (result schema.StepResult, here bool, err error) {
	is := b.underWay[ask.Execution]
	if end, over := b.ends[ask.Execution]; over && ask.Again {
		b.seen["found its end"]++
		return end, true, nil
	}
	if !b.running[ask.Execution] || (!ask.Again && !is.joined) {
		return result, false, nil
	}
	b.seen["joined"]++
	is.joined = true
	b.underWay[ask.Execution] = is
	result, err = b.await(ctx, ask)
	return result, true, err
}

// await answers the activity when the execution ends.
func (b *fakeBackend) await(ctx context.Context, ask schema.RunStep) (schema.StepResult, error) {
	is := b.underWay[ask.Execution]
	b.executions[activity.GetInfo(ctx).ActivityID] = ask.Execution
	token := activity.GetInfo(ctx).TaskToken
	b.env.RegisterDelayedCallback(func() {
		if b.finish(is.run, ask, is.result) {
			_ = b.env.CompleteActivity(token, is.result, nil) // nobody waits for a cancelled one any more
		}
	}, max(is.until.Sub(b.now()), time.Millisecond))
	return schema.StepResult{}, activity.ErrResultPending
}

// skip lets time pass without an execution of the workflow: every other running step ends
// meanwhile, and nobody hears of it.
func (b *fakeBackend) skip() {
	b.mu.Lock()
	if len(b.running) > 0 {
		b.seen["continued as new with steps under way"]++
	}
	var ended []backendStep
	for n, execution := range slices.Sorted(maps.Keys(b.running)) {
		if n%2 == b.executed%2 {
			ended = append(ended, b.underWay[execution])
		}
	}
	b.mu.Unlock()
	for _, is := range ended {
		b.finish(is.run, is.arg, is.result)
	}
}

// finish records the end of a step as the runner does; a step whose run is over was stopped.
func (b *fakeBackend) finish(r *backendRun, ask schema.RunStep, result schema.StepResult) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.running[ask.Execution] || r.ended != "" {
		return false
	}
	delete(b.running, ask.Execution)
	status := result.Status
	b.ends[ask.Execution] = result
	b.seen["attempt "+string(status)]++
	switch {
	case status == schema.AttemptSucceeded:
		b.move(r, ask.StepID, schema.StepSucceeded)
	case ask.Last:
		b.move(r, ask.StepID, schema.StepFailed)
	default:
		b.move(r, ask.StepID, schema.StepReady)
	}
	return true
}
