package workflows_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"
	"pgregory.net/rapid"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/workflows"
)

// A case is a session with everything that happens to it, drawn in advance.
type modelCase struct {
	config  schema.Config
	plan    *schema.Plan
	script  []outcome
	actions []action
}

// action is something that somebody does. The approval is chosen only when its time has come.
type action struct {
	after      time.Duration // since the previous action
	name       string
	pick       int // among the approvals, the latest first
	resolution schema.Resolution
	option     int // one of the approval's own instead of resolution, if there is one and this is not negative
	edit       int
	seconds    float64
	signal     bool
	again      bool // sent twice, with the same request id
	suggest    bool // from here on Temporal suggests to continue as new
}

var someStart = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func drawCase(t *rapid.T) modelCase {
	c := modelCase{config: schema.Config{
		ApprovalMode:           rapid.SampledFrom(schema.ApprovalModes).Draw(t, "approval_mode"),
		ApprovalTimeoutSeconds: 300.7, // no deadline coincides with an action
		OnTimeout:              rapid.SampledFrom([]schema.OnTimeout{"", "reject", "approve", "escalate"}).Draw(t, "on_timeout"),
		OnModified:             rapid.SampledFrom([]schema.OnModified{"", "approve"}).Draw(t, "on_modified"),
		WhenBusy:               rapid.SampledFrom([]schema.WhenBusy{"", "interrupt", "reject"}).Draw(t, "when_busy"),
		RunTimeout:             rapid.SampledFrom([]string{"", "", "", "20m0.7s"}).Draw(t, "run_timeout"),
		SessionTTL:             rapid.SampledFrom([]string{"", "", "", "50m0.7s"}).Draw(t, "session_ttl"),
		Parallel:               rapid.IntRange(1, 3).Draw(t, "parallel"),
	}}
	c.plan = drawPlan(t)
	c.script = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) outcome {
		return outcome{
			Takes:  time.Duration(rapid.IntRange(1, 90).Draw(t, "tens of seconds"))*10*time.Second + 1310*time.Millisecond, // nor does the end of a step
			Status: rapid.SampledFrom([]schema.AttemptStatus{"succeeded", "succeeded", "failed"}).Draw(t, "outcome"),
			Lost:   rapid.SampledFrom([]string{"", "", "", "", "", "silent", "unresponsive", "draining"}).Draw(t, "lost"),
			Search: time.Duration(rapid.SampledFrom([]int{0, 0, 1200}).Draw(t, "search"))*time.Second + 17*time.Millisecond,
		}
	}), 1, 8).Draw(t, "script")
	c.actions = rapid.SliceOfN(rapid.Custom(drawAction), 1, 25).Draw(t, "actions")
	return c
}

func drawPlan(t *rapid.T) *schema.Plan {
	p := &schema.Plan{}
	for i := range rapid.IntRange(1, 5).Draw(t, "steps") {
		s := schema.PlanStep{ID: fmt.Sprintf("s%d", i), Shell: "true"}
		for j := range i {
			if rapid.IntRange(0, 2).Draw(t, "need") == 0 {
				s.Needs = append(s.Needs, fmt.Sprintf("s%d", j))
			}
		}
		s.Approval = rapid.IntRange(0, 2).Draw(t, "approval") == 0
		s.Retries = rapid.IntRange(0, 2).Draw(t, "retries")
		s.OnError = rapid.SampledFrom([]schema.OnError{"", "ask", "continue"}).Draw(t, "on_error")
		p.Steps = append(p.Steps, s)
	}
	return p
}

func drawAction(t *rapid.T) action {
	return action{
		after: time.Duration(rapid.SampledFrom([]int{10, 10, 20, 50, 600, 4000}).Draw(t, "after")) * time.Second, // the environment's clock moves with the wall clock while activities run
		name: rapid.SampledFrom([]string{
			"resolve", "resolve", "resolve", "resolve", "resolve", "resolve", "resolve", "resolve", "resolve", "resolve", "resolve",
			"suspend", "resume", "resume", "cancel", "extend", "message", "message", "run", "ask",
		}).Draw(t, "action"),
		pick:       rapid.SampledFrom([]int{0, 0, 0, 1, 1, 2, 99}).Draw(t, "pick"),
		resolution: rapid.SampledFrom(schema.Resolutions).Draw(t, "resolution"),
		option:     rapid.IntRange(-1, 5).Draw(t, "option"),
		edit:       rapid.IntRange(0, 5).Draw(t, "edit"),
		seconds:    rapid.SampledFrom([]float64{1, 600, 1e9}).Draw(t, "seconds"),
		signal:     rapid.Bool().Draw(t, "signal"),
		again:      rapid.IntRange(0, 3).Draw(t, "again") == 0,
		suggest:    rapid.IntRange(0, 5).Draw(t, "suggest") == 0,
	}
}

// Thousands of sessions in which everything that can happen does, in unforeseen orders: what is
// recorded is always possible, every command is answered as a small model of the session predicts,
// and Postgres shows what the workflow knows.
func TestModel_AnySequenceOfCommandsTimeoutsAndFailures(t *testing.T) {
	t.Parallel()
	const progress = 10_000 // how often a long run (make model) reports its progress
	var mu sync.Mutex
	played, seen := 0, map[string]int{}
	for shard := range 4 {
		t.Run(strconv.Itoa(shard), func(t *testing.T) {
			t.Parallel()
			part := t
			rapid.Check(t, func(t *rapid.T) {
				m := newModel(drawCase(t))
				m.play()
				if len(m.broken) > 0 {
					t.Fatalf("%s\n\nconfig %s\nplan %s", strings.Join(m.broken, "\n"), schema.Marshal(m.c.config), schema.Marshal(m.c.plan))
				}
				mu.Lock()
				defer mu.Unlock()
				if played++; played%progress == 0 {
					part.Logf("%d sessions", played)
				}
				for what, n := range m.seen {
					seen[what] += n
				}
			})
		})
	}
	t.Cleanup(func() {
		for _, what := range []string{
			// What comes up dozens of times in a run of the test; the rest has its own tests.
			"plan_approval resolved approved", "plan_approval resolved rejected", "plan_approval expired timeout",
			"step_approval resolved approved", "step_approval resolved modified", "step_approval void plan_changed", "step_approval expired timeout",
			"error_recovery expired timeout", "error_recovery cancelled cancelled", "program_ask cancelled step_ended",
			"edit made", "extended, escalates false", "extended, escalates true", "message queued", "message dropped",
			"run completed ", "run failed ", "run cancelled ", "run cancelled interrupted",
			"lost silent", "lost unresponsive", "lost draining", "placed", "ran after it was lost",
			"audit taken", "audit ignored", "continued as new",
			"continued as new with steps under way", "joined", "found its end", "refused conflict", "refused expired", "refused invalid",
		} {
			if seen[what] == 0 && !t.Failed() {
				t.Errorf("%q never happened; what did: %v", what, seen)
			}
		}
	})
}

// model plays a case and knows, beside the fake backend, what the commands so far must have led to.
type model struct {
	*fakeBackend
	c          modelCase
	at         time.Time // of the next action
	next       int
	env        *testsuite.TestWorkflowEnvironment
	decided    map[string]schema.Resolution // the first accepted decision on each approval
	perhaps    map[string]bool              // a decision was sent to a run that was being cancelled
	stopped    string                       // the id of the run whose cancel was accepted
	dropped    []int                        // messages that waited when a cancel was accepted
	asked      int                          // commands sent as updates
	unanswered map[int]func()
	closing    bool
}

func newModel(c modelCase) *model {
	return &model{c: c, at: someStart, fakeBackend: newFakeBackend(c.config, c.plan, c.script), decided: map[string]schema.Resolution{}, perhaps: map[string]bool{}, unanswered: map[int]func(){}}
}

// play runs one execution of the workflow after another until the session is closed.
func (m *model) play() {
	in := schema.SessionInput{
		SessionID: "11111111-2222-4333-8444-555555555555", Mode: schema.ModeRunbook, Config: m.c.config, ApprovalTimeout: 300 * time.Second,
	}
	var carried *workflows.State
	start := someStart
	for range 2 * len(m.c.actions) * 20 {
		m.env = m.environment(start)
		m.sendAgain()
		m.schedule(start)
		m.env.ExecuteWorkflow(schema.WorkflowType, in, carried)
		start = m.env.Now()
		var again *workflow.ContinueAsNewError
		err := m.env.GetWorkflowError()
		if !errors.As(err, &again) {
			if err != nil {
				m.objectf("the workflow ended: %v", err)
			}
			break
		}
		m.count("continued as new")
		m.skip()
		carried = &workflows.State{}
		if err := again.Input.GetPayloads()[1].GetData(); json.Unmarshal(err, carried) != nil {
			m.objectf("what is carried over cannot be read")
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.unanswered) > 0 {
		m.objectf("%d of %d commands were not answered", len(m.unanswered), m.asked)
	}
	if !m.env.IsWorkflowCompleted() || (!m.closing && !m.over()) {
		m.objectf("the session did not end; after %d of %d actions", m.next, len(m.c.actions))
	}
	for _, n := range m.dropped {
		if m.messages[n] != schema.MessageDropped {
			m.objectf("message %d waited when the session was cancelled, and is %s", n, m.messages[n])
		}
	}
	for id, r := range m.decided {
		if a := m.approvals[id]; a.resolution != r {
			m.objectf("approval %s was decided as %s, and is %s %s", id, r, a.status, a.resolution)
		}
	}
	for id, a := range m.approvals {
		if a.status == schema.ApprovalResolved && m.decided[id] == "" && !m.perhaps[id] {
			m.objectf("approval %s is %s, and nobody decided it", id, a.resolution)
		}
	}
}

func (m *model) count(what string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seen[what]++
}

// schedule makes the next action happen in its time; after the last one, the session is deleted.
func (m *model) schedule(now time.Time) {
	if m.next == len(m.c.actions) {
		m.env.RegisterDelayedCallback(func() {
			m.check()
			m.closing = true
			m.env.SignalWorkflow(schema.CommandClose, schema.Command{Actor: "ada"})
		}, max(m.at.Add(time.Minute).Sub(now), time.Millisecond))
		return
	}
	a := m.c.actions[m.next]
	m.env.RegisterDelayedCallback(func() {
		if m.next >= len(m.c.actions) || m.env.IsWorkflowCompleted() {
			return
		}
		m.next++
		m.check()
		if a.suggest {
			m.env.SetContinueAsNewSuggested(true)
		}
		m.at = m.env.Now()
		m.mu.Lock()
		m.do(a)
		m.mu.Unlock()
		m.schedule(m.at)
	}, m.later(now, a.after).Sub(now))
}

// later is when the next action happens, at least ten seconds from now: at a second of the clock plus a fraction of a
// millisecond that only this action has. Deadlines are whole milliseconds after an action. Otherwise, at the instant
// when an approval expires, its timer and a command could come in either order.
func (m *model) later(now time.Time, after time.Duration) time.Time {
	at, soon := m.at.Add(after).Truncate(time.Second), now.Add(11*time.Second-time.Millisecond).Truncate(time.Second)
	if at.Before(soon) {
		at = soon
	}
	return at.Add(time.Duration(m.next+1) * 37 * time.Microsecond)
}

// check compares what Postgres shows with what the workflow answers, except for running steps,
// which their host records.
func (m *model) check() {
	value, err := m.env.QueryWorkflow(schema.QueryState)
	if err != nil {
		return // the workflow has just ended, or continued as new
	}
	var state schema.WorkflowState
	if err := value.Get(&state); err != nil {
		m.objectf("query: %v", err)
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.runs) == 0 || state.RunID != m.current().id {
		m.objectf("the workflow is at run %d, Postgres at %d", state.RunNumber, len(m.runs))
		return
	}
	if state.Status != m.status || state.Phase != m.phase {
		m.objectf("the workflow is %s, %s; Postgres shows %s, %s", state.Status, state.Phase, m.status, m.phase)
	}
	goesOn := state.Status != schema.SessionActive || len(state.Approvals) > 0 || m.cancelling()
	for _, s := range state.Steps {
		shown := m.current().steps[s.ID]
		underWay := s.Status == schema.StepRunning || s.Status == schema.StepFrozen || s.Status == schema.StepReady
		goesOn = goesOn || underWay
		if !underWay && s.Status != shown {
			m.objectf("step %s is %s, Postgres shows %s", s.ID, s.Status, shown)
		}
	}
	if !goesOn && !m.runsOnTheClock() {
		m.objectf("the session is stuck: active, nothing runs, and nobody is asked: %+v", state.Steps)
	}
	pending := map[string]bool{}
	for _, a := range state.Approvals {
		pending[a.ApprovalID] = true
		if !a.ExpiresAt.After(m.env.Now()) {
			m.objectf("approval %s is pending, and its time was over at %s", a.ApprovalID, a.ExpiresAt)
		}
	}
	for id, a := range m.approvals {
		if (a.status == schema.ApprovalPending) != pending[id] {
			m.objectf("approval %s is %s in Postgres, pending %v in the workflow", id, a.status, pending[id])
		}
	}
}

// do sends a command and says what its answer must be.
func (m *model) do(a action) {
	key := fmt.Sprintf("request %d", m.next)
	switch a.name {
	case "resolve":
		m.resolve(a, key)
	case "extend":
		c := schema.ExtendApproval{ApprovalID: m.pick(a.pick), Seconds: a.seconds, Actor: "ada", RequestID: key}
		want := m.wantOpen(c.ApprovalID)
		if want == "" && a.seconds > schema.MaxApprovalTimeoutSeconds {
			want = schema.CodeInvalid
		}
		m.send(a, schema.CommandExtendApproval, c, want)
	case "message":
		want := schema.Code("")
		switch {
		case m.over():
			want = schema.CodeConflict
		case m.busy() && m.c.config.WhenBusy == schema.WhenBusyReject:
			want = schema.CodeConflict
		case m.busy() && m.c.config.WhenBusy == schema.WhenBusyInterrupt:
			m.stopped = m.current().id
		}
		m.send(a, schema.CommandMessage, schema.SendMessage{Content: "go on, approved", Actor: "ada", RequestID: key}, want)
	case "run":
		want := schema.Code("")
		if m.busy() || m.over() {
			want = schema.CodeConflict
		}
		m.send(a, schema.CommandRun, schema.StartRun{Actor: "ada", RequestID: key}, want)
	case "ask":
		m.send(a, schema.CommandAsk, schema.Ask{
			StepID: m.c.plan.Steps[a.pick%len(m.c.plan.Steps)].ID, Question: "Really?", TimeoutSeconds: 30.7, RequestID: key,
		}, anyCode)
	case "cancel":
		want := schema.Code("")
		if !m.busy() && m.current().ended != schema.SessionCancelled {
			want = schema.CodeConflict
		}
		m.stopped = m.current().id
		for n, status := range m.messages {
			if status == schema.MessageQueued && !m.runsOnTheClock() {
				m.dropped = append(m.dropped, n)
			}
		}
		m.send(a, schema.CommandCancel, schema.Command{Actor: "ada", RequestID: key}, want)
	default:
		want := schema.Code("")
		if !m.busy() || m.cancelling() {
			want = schema.CodeConflict
		}
		m.send(a, a.name, schema.Command{Actor: "ada", RequestID: key}, want)
	}
}

// anyCode says that the model does not know the answer, but there must be one.
const anyCode = schema.Code("any")

func (m *model) busy() bool { return m.current().ended == "" }

func (m *model) cancelling() bool { return m.busy() && m.stopped == m.current().id }

// over reports whether the session has expired.
func (m *model) over() bool { return m.status == schema.SessionExpired }

// pick chooses an approval, the latest first; one in four does not exist.
func (m *model) pick(n int) string {
	if n >= len(m.order) {
		return "99999999-2222-4333-8444-555555555555"
	}
	return m.order[len(m.order)-1-n]
}

// wantOpen is the refusal of a command on an approval that is not pending.
func (m *model) wantOpen(id string) schema.Code {
	a := m.approvals[id]
	switch {
	case a == nil:
		return schema.CodeNotFound
	case a.status == schema.ApprovalExpired:
		return schema.CodeExpired
	case a.status != schema.ApprovalPending:
		return schema.CodeConflict
	default:
		return ""
	}
}

var (
	planEdit = json.RawMessage(`{"plan":{"steps":[{"id":"s0","shell":"echo new","approval":true},{"id":"s9","shell":"true","needs":["s0"]}]}}`)
	edits    = []json.RawMessage{
		planEdit,
		json.RawMessage(`{"shell":"echo edited"}`),
		json.RawMessage(`{"files":{"input.txt":"edited"}}`),
		json.RawMessage(`{"files":{"input.txt/below":"it cannot be a folder too"}}`),
		json.RawMessage(`{"arguments":{}}`),
		nil,
	}
)

func (m *model) resolve(a action, key string) {
	id := m.pick(a.pick)
	if about := m.approvals[id]; about != nil && a.option >= 0 {
		a.resolution = about.Options[a.option%len(about.Options)]
	}
	c := schema.ResolveApproval{ApprovalID: id, Resolution: a.resolution, Actor: "ada", RequestID: key}
	if a.resolution == schema.ResolutionModified || a.edit < 3 {
		c.Modifications = edits[a.edit]
	}
	want := m.wantOpen(id)
	about := m.approvals[id]
	switch {
	case want == schema.CodeConflict && about.resolution == a.resolution && about.answer == schema.AnswerDigest(about.Type, "", c.Modifications):
		want = "" // a repetition
	case want == "" && !slices.Contains(about.Options, a.resolution):
		want = schema.CodeInvalid
	case want == "" && schema.CheckShape(about.Type, a.resolution, c.Modifications) != nil:
		want = schema.CodeInvalid
	case want == "":
		if m.cancelling() {
			want = anyCode // it may be closed at any moment
			m.perhaps[id] = true
			break
		}
		m.decided[id] = a.resolution
	}
	m.send(a, schema.CommandResolveApproval, c, want)
	if want == "" && a.edit%2 == 0 { // at the same moment, somebody decides differently
		other := c
		other.Resolution, other.RequestID, other.Modifications = schema.ResolutionRejected, key+" of another", nil
		refused := schema.CodeConflict
		if a.resolution == schema.ResolutionRejected {
			refused = ""
		}
		m.send(action{}, schema.CommandResolveApproval, other, refused)
	}
}

func (m *model) send(a action, name string, c any, want schema.Code) {
	times := 1
	if a.again {
		times = 2
	}
	if m.runsOnTheClock() {
		want = anyCode
	}
	for range times {
		if a.signal {
			m.env.SignalWorkflow(name, c)
			continue
		}
		m.asked++
		id := m.asked
		post := func() {
			m.env.UpdateWorkflow(name, fmt.Sprintf("update %d", id), &testsuite.TestUpdateCallback{
				OnReject: func(err error) { m.answer(id, name, c, err, want) }, OnComplete: func(_ any, err error) { m.answer(id, name, c, err, want) },
			}, c)
		}
		m.unanswered[id] = post
		post()
	}
}

// answer compares a command's answer with the expected one.
func (m *model) answer(id int, name string, c any, err error, want schema.Code) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.unanswered, id)
	code := refusalOf(err)
	if code == "" && err != nil {
		m.objectf("%s was answered with %v", name, err)
	}
	m.seen["refused "+string(code)]++
	if code != want && want != anyCode {
		m.objectf("%s %s was answered with %q (%v), want %q", name, schema.Marshal(c), code, err, want)
	}
}

// sendAgain does what Temporal does with updates that a workflow did not accept before it continued
// as new.
func (m *model) sendAgain() {
	for _, id := range slices.Sorted(maps.Keys(m.unanswered)) {
		m.env.RegisterDelayedCallback(m.unanswered[id], time.Millisecond)
	}
}

// runsOnTheClock reports whether a timeout may have ended the run or the session at this very
// moment, which the model does not follow.
func (m *model) runsOnTheClock() bool {
	return m.c.config.RunTimeout != "" || m.c.config.SessionTTL != ""
}
