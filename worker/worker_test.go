package worker_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/client"

	"github.com/holdfast/holdfast/activities/runner/sandbox"
	"github.com/holdfast/holdfast/embedded"
	"github.com/holdfast/holdfast/embedded/embeddedtest"
	"github.com/holdfast/holdfast/internal/testkit"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
	"github.com/holdfast/holdfast/schema/store/storetest"
	"github.com/holdfast/holdfast/snapshot"
	"github.com/holdfast/holdfast/worker"
)

// supervise is the supervisor's program.
var supervise string

func TestMain(m *testing.M) {
	os.Exit(storetest.Main(m, testkit.WithSupervisor(&supervise)))
}

// world is one worker with its own database and its own namespace's worth of queues.
type world struct {
	t        *testing.T
	store    *store.Store
	temporal client.Client
	dir      string
	host     string
	// supervisor is the supervisor's program, unless a test changes it.
	supervisor string
	snapshots  *snapshot.Store
	// hostTimeout is for the sessions; 0 for the default.
	hostTimeout time.Duration
	// logger receives what the workers log; nil for nobody.
	logger *slog.Logger
	// keepSteps lets steps go on when a worker ends.
	keepSteps bool
	stop      func()
}

const patience = testkit.Patience

func newWorld(t *testing.T) *world {
	t.Helper()
	return newWorldAt(t, embeddedtest.StartTestTemporal(t).Addr()) // its own, because task queues have fixed names
}

func newWorldAt(t *testing.T, addr string) *world {
	t.Helper()
	c, err := client.Dial(client.Options{HostPort: addr, Identity: "holdfast test", Logger: worker.TemporalLogger(quiet())})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	w := &world{t: t, store: storetest.New(t), temporal: c, dir: t.TempDir(), host: "host-" + schema.NewID()[:8], supervisor: supervise}
	w.snapshots = openSnapshots(t, w.dir)
	w.start()
	t.Cleanup(func() { w.stop() })
	return w
}

func openSnapshots(t *testing.T, dir string) *snapshot.Store {
	t.Helper()
	s, err := snapshot.Open(t.Context(), "file://"+filepath.Join(dir, "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func (w *world) options() worker.Options {
	return worker.Options{
		Store: w.store, Temporal: w.temporal, DataDir: w.dir, Host: w.host, Supervisor: w.supervisor, Logger: cmp.Or(w.logger, quiet()), Snapshots: w.snapshots,
		Sandbox: sandbox.Weakened, EndSteps: !w.keepSteps,
	}
}

func (w *world) start() {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- worker.Run(ctx, w.options())
	}()
	w.stop = func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("worker: %v", err)
		}
		done <- nil
	}
}

func (w *world) session(config schema.Config, planText string) string {
	w.t.Helper()
	plan, problems := schema.ParsePlan([]byte(planText))
	if problems != nil {
		w.t.Fatalf("plan: %+v", problems)
	}
	id := schema.NewID()
	_, _, err := w.store.CreateSession(w.t.Context(), store.NewSession{ID: id, Name: w.t.Name(), Mode: schema.ModeRunbook, Owner: "ada", Config: config, Plan: plan})
	if err != nil {
		w.t.Fatal(err)
	}
	w.startWorkflow(id, config)
	return id
}

// histories are those of a workflow's executions, from the first to the latest.
func (w *world) histories(ctx context.Context, id string) []*historypb.History {
	w.t.Helper()
	latest, err := w.temporal.DescribeWorkflowExecution(ctx, schema.WorkflowID(id), "")
	if err != nil {
		w.t.Fatal(err)
	}
	var all []*historypb.History
	for run := latest.GetWorkflowExecutionInfo().GetFirstRunId(); run != ""; {
		history := &historypb.History{}
		events := w.temporal.GetWorkflowHistory(ctx, schema.WorkflowID(id), run, false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
		for events.HasNext() {
			e, err := events.Next()
			if err != nil {
				w.t.Fatalf("history of %s: %v", id, err)
			}
			history.Events = append(history.Events, e)
		}
		all = append(all, history)
		run = history.GetEvents()[len(history.GetEvents())-1].GetWorkflowExecutionContinuedAsNewEventAttributes().GetNewExecutionRunId()
	}
	return all
}

// await polls until the events satisfy a condition and returns them.
func (w *world) await(id, what string, ok func([]schema.Event) bool) []schema.Event {
	w.t.Helper()
	var events []schema.Event
	testkit.EventuallyRight(w.t, what, func() string {
		var err error
		if events, err = w.store.Events(w.t.Context(), id, store.EventFilter{Limit: 10_000}); err != nil {
			return err.Error()
		}
		if !ok(events) {
			return "the log is\n" + logText(events)
		}
		return ""
	})
	return events
}

func (w *world) awaitType(id string, want schema.EventType) []schema.Event {
	w.t.Helper()
	return w.await(id, string(want), func(events []schema.Event) bool {
		return slices.ContainsFunc(events, func(e schema.Event) bool { return e.Type == want })
	})
}

func logText(events []schema.Event) string {
	var b strings.Builder
	for _, e := range events {
		fmt.Fprintf(&b, "%d %s %s %s\n", e.Seq, e.Type, e.StepID, e.Data)
	}
	return b.String()
}

func output(t *testing.T, events []schema.Event, stepID string) string {
	t.Helper()
	var b strings.Builder
	for _, e := range events {
		if e.Type != schema.EventOutput || e.StepID != stepID {
			continue
		}
		var o schema.OutputData
		if err := json.Unmarshal(e.Data, &o); err != nil {
			t.Fatal(err)
		}
		b.WriteString(o.Text)
	}
	return b.String()
}

func (w *world) update(id, name string, arg any) (schema.CommandResult, error) {
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	var result schema.CommandResult
	h, err := w.temporal.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
		WorkflowID: schema.WorkflowID(id), UpdateName: name, Args: []any{arg}, WaitForStage: client.WorkflowUpdateStageCompleted,
	})
	if err == nil {
		err = h.Get(ctx, &result)
	}
	return result, err
}

func (w *world) pending(id string) schema.Approval {
	w.t.Helper()
	var found []schema.Approval
	w.await(id, "pending approval", func([]schema.Event) bool {
		list, _, err := w.store.Approvals(w.t.Context(), store.ApprovalFilter{SessionID: id, Status: schema.ApprovalPending})
		found = list
		return err == nil && len(list) > 0
	})
	return found[0]
}

func TestSession_RunsItsStepsInOrderAndCompletes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.session(schema.Config{}, `{"steps":[
		{"id":"write","shell":"cat greeting.txt > out.txt; echo wrote; echo careful >&2"},
		{"id":"read","run":["cat","out.txt"],"needs":["write"]}],
		"files":{"greeting.txt":"good morning\n"}}`)
	events := w.awaitType(id, schema.EventWorkflowCompleted)
	if got := output(t, events, "read"); got != "good morning\n" {
		t.Fatalf("read printed %q", got)
	}
	for i, e := range events {
		if e.Seq != int64(i+1) {
			t.Fatalf("event %d has seq %d", i, e.Seq)
		}
	}
	if !slices.ContainsFunc(events, func(e schema.Event) bool {
		return e.Type == schema.EventFileCreated && strings.Contains(string(e.Data), `"out.txt"`)
	}) {
		t.Fatalf("no file_created for out.txt:\n%s", logText(events))
	}
}

func TestSession_WaitsForTheApprovalOfAStep(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.session(schema.Config{}, `{"steps":[{"id":"publish","shell":"echo published","approval":true}]}`)
	a := w.pending(id)
	if a.Type != schema.ApprovalStep || a.RemainingSeconds < 200 || !strings.Contains(a.Description, "echo published") {
		t.Fatalf("asked %+v", a)
	}
	if _, err := w.update(id, schema.CommandResolveApproval, schema.ResolveApproval{ApprovalID: a.ID, Resolution: schema.ResolutionApproved, Actor: "ada"}); err != nil {
		t.Fatal(err)
	}
	events := w.awaitType(id, schema.EventWorkflowCompleted)
	if got := output(t, events, "publish"); got != "published\n" {
		t.Fatalf("printed %q", got)
	}
	if _, err := w.update(id, schema.CommandResolveApproval, schema.ResolveApproval{ApprovalID: a.ID, Resolution: schema.ResolutionRejected}); err == nil || !strings.Contains(err.Error(), "already resolved as approved by ada") {
		t.Fatalf("a second decision: %v", err)
	}
}

func TestCancel_EndsDaemonsTooAndCountsThem(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.session(schema.Config{}, `{"steps":[{"id":"spawn","shell":"setsid sh -c 'trap \"\" TERM; sleep 1000' & (setsid sleep 1001 &) ; echo spawned; sleep 1002"}]}`)
	w.await(id, "output", func(events []schema.Event) bool { return output(t, events, "spawn") == "spawned\n" })
	if _, err := w.update(id, schema.CommandCancel, schema.Command{Actor: "ada"}); err != nil {
		t.Fatal(err)
	}
	events := w.awaitType(id, schema.EventWorkflowCancelled)
	var data schema.WorkflowCancelledData
	if err := json.Unmarshal(events[len(events)-1].Data, &data); err != nil {
		t.Fatal(err)
	}
	if data.Receipt.ProcessesKilled < 4 || data.Receipt.Survivors != 0 || data.Actor != "ada" {
		t.Fatalf("receipt %+v", data)
	}
}

func TestSuspend_FreezesWhatRunsAndResumeThawsIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.session(schema.Config{}, `{"steps":[{"id":"tick","shell":"for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do echo $i; sleep 0.1; done","timeout":"20s"}]}`)
	w.await(id, "first ticks", func(events []schema.Event) bool { return strings.Contains(output(t, events, "tick"), "3\n") })
	if _, err := w.update(id, schema.CommandSuspend, schema.Command{Actor: "ada"}); err != nil {
		t.Fatal(err)
	}
	w.await(id, "frozen step", func(events []schema.Event) bool { return strings.Contains(logText(events), `"new_status":"frozen"`) })
	frozenAt := output(t, w.awaitType(id, schema.EventWorkflowPaused), "tick")
	testkit.Never(t, 500*time.Millisecond, "it ticked on while frozen", func() bool { // five ticks, if it went on
		return len(output(t, w.awaitType(id, schema.EventWorkflowPaused), "tick")) > len(frozenAt)+4
	})
	if _, err := w.update(id, schema.CommandResume, schema.Command{Actor: "ada"}); err != nil {
		t.Fatal(err)
	}
	events := w.awaitType(id, schema.EventWorkflowCompleted)
	if got := strings.Count(output(t, events, "tick"), "\n"); got != 20 {
		t.Fatalf("%d ticks, want 20", got)
	}
}

func TestWorker_StoppedInTheMiddleRunsTheStepAgainAndSaysSo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.session(schema.Config{}, `{"steps":[{"id":"slow","shell":"echo attempt $HOLDFAST_ATTEMPT; [ $HOLDFAST_ATTEMPT = 2 ] || sleep 1000"}]}`)
	w.await(id, "output", func(events []schema.Event) bool { return output(t, events, "slow") != "" })
	w.stop()
	w.start()
	events := w.awaitType(id, schema.EventWorkflowCompleted)
	if got := output(t, events, "slow"); got != "attempt 1\nattempt 2\n" {
		t.Fatalf("printed %q\n%s", got, logText(events))
	}
	if !strings.Contains(logText(events), `step_retry_started slow {"attempt":2,"reason":"worker_lost"}`) {
		t.Fatalf("the new attempt is not explained:\n%s", logText(events))
	}
}

func TestStep_FailuresAreNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, c := range map[string]struct{ step, want string }{
		"exit code":     {`"shell":"exit 7"`, `"exit_code":7,"reason":"exit"`},
		"signal":        {`"shell":"kill -SEGV $$"`, `"signal":"SIGSEGV","reason":"signal"`},
		"timeout":       {`"shell":"sleep 1000","timeout":"300ms"`, `"reason":"timeout"`},
		"not a program": {`"run":["no-such-program"]`, `cannot start \"no-such-program\": executable file not found in $PATH`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			id := w.session(schema.Config{}, `{"steps":[{"id":"s",`+c.step+`}]}`)
			events := w.awaitType(id, schema.EventWorkflowFailed)
			if !strings.Contains(logText(events), c.want) {
				t.Fatalf("want %s in\n%s", c.want, logText(events))
			}
		})
	}
}

// hastyTemporal suggests continue-as-new early.
func hastyTemporal(t *testing.T) (addr string) {
	t.Helper()
	return suggestingTemporal(t, 30)
}

// suggestingTemporal is a server that suggests continue-as-new after this many events.
func suggestingTemporal(t *testing.T, events int) (addr string) {
	t.Helper()
	server := &embedded.Temporal{Dir: t.TempDir(), Headless: true, DynamicConfig: map[string]string{"limit.historyCount.suggestContinueAsNew": strconv.Itoa(events)}}
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ended, cancel := context.WithCancel(context.Background())
		cancel() // at once: nobody needs its data
		if err := server.Stop(ended); err != nil {
			t.Error(err)
		}
	})
	return server.Addr()
}

// A server that suggests continue-as-new early makes a session do it many times, during its run and
// with an approval pending: nobody sees a difference.
func TestSession_ContinuesAsNewWithoutATrace(t *testing.T) {
	t.Parallel()
	w := newWorldAt(t, hastyTemporal(t))
	const steps = 12
	var plan strings.Builder
	need := ""
	for i := range steps {
		if i > 0 {
			fmt.Fprintf(&plan, `,`)
		}
		fmt.Fprintf(&plan, `{"id":"s%d","shell":"echo step %d","approval":%v,"needs":[%s]}`, i, i, i%4 == 3, need)
		need = fmt.Sprintf(`"s%d"`, i)
	}
	id := w.session(schema.Config{Parallel: 1}, `{"steps":[`+plan.String()+`]}`)
	for range steps / 4 {
		a := w.pending(id)
		if _, err := w.update(id, schema.CommandResolveApproval, schema.ResolveApproval{ApprovalID: a.ID, Resolution: schema.ResolutionApproved, Actor: "ada"}); err != nil {
			t.Fatal(err)
		}
		w.await(id, "decision", func(events []schema.Event) bool {
			return strings.Contains(logText(events), `approval_received `+a.StepID)
		})
	}
	events := w.awaitType(id, schema.EventWorkflowCompleted)
	for i := range steps {
		if got, want := output(t, events, fmt.Sprintf("s%d", i)), fmt.Sprintf("step %d\n", i); got != want {
			t.Errorf("s%d printed %q", i, got)
		}
	}
	if n := strings.Count(logText(events), string(schema.EventStepStarted)); n != steps {
		t.Errorf("%d starts, want %d:\n%s", n, steps, logText(events))
	}
	if n := len(w.histories(t.Context(), id)); n < 2 {
		t.Errorf("the workflow has %d executions; it never continued as new", n)
	}
}
