package worker_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/holdfast/holdfast/embedded/embeddedtest"
	"github.com/holdfast/holdfast/internal/testkit"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
	"github.com/holdfast/holdfast/schema/store/storetest"
	"github.com/holdfast/holdfast/worker"
)

// newEmptyWorld has no worker. Those that startBuild starts have a host each.
func newEmptyWorld(t *testing.T) (w *world, addr string) {
	t.Helper()
	addr = embeddedtest.StartTestTemporal(t).Addr()
	c, err := client.Dial(client.Options{HostPort: addr, Identity: "holdfast test", Logger: worker.TemporalLogger(quiet())})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return &world{t: t, store: storetest.New(t), temporal: c, dir: t.TempDir(), host: "host-" + schema.NewID()[:8], hostTimeout: time.Second,
		supervisor: supervise, snapshots: openSnapshots(t, t.TempDir())}, addr
}

// startBuild runs a worker of a build, "" for an unversioned one, and waits until it polls.
// The connection is its own, so that its identity is, too.
func (w *world) startBuild(addr, build string) (stop func()) {
	w.t.Helper()
	c, err := client.Dial(client.Options{HostPort: addr, Identity: "worker-" + build, Logger: worker.TemporalLogger(quiet())})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	o := w.options()
	o.Temporal, o.BuildID, o.DataDir, o.Host = c, build, w.t.TempDir(), "host-"+schema.NewID()[:8]
	go func() {
		defer c.Close()
		done <- worker.Run(ctx, o)
	}()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("worker: %v", err)
		}
	}
	w.t.Cleanup(stop)
	shown := build
	if build == "" {
		shown = worker.Unversioned
	}
	w.until("worker of "+shown, func() bool { b := buildOf(w.deployment(), shown); return b != nil && len(b.Workers) > 0 })
	return stop
}

func (w *world) until(what string, ok func() bool) {
	w.t.Helper()
	testkit.EventuallyRight(w.t, what, func() string {
		if !ok() {
			return fmt.Sprintf("the deployment is %+v", w.deployment())
		}
		return ""
	})
}

func (w *world) deployment() *worker.Deployment {
	w.t.Helper()
	d, err := worker.ReadDeployment(w.t.Context(), w.temporal)
	if err != nil {
		w.t.Fatal(err)
	}
	return d
}

func buildOf(d *worker.Deployment, id string) *worker.Build {
	i := slices.IndexFunc(d.Builds, func(b worker.Build) bool { return b.ID == id })
	if i < 0 {
		return nil
	}
	return &d.Builds[i]
}

func (w *world) rollout(build string) {
	w.t.Helper()
	at := time.Now()
	d, err := worker.Rollout(w.t.Context(), w.temporal, build, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Logf("rollout to %s took %s", build, time.Since(at))
	if d.Current != build {
		w.t.Fatalf("after the rollout of %s: %+v", build, d)
	}
}

// decidedBy says which builds completed the session's workflow tasks, in order, each once in
// a row; "" is an unversioned worker.
func (w *world) decidedBy(id string) []string {
	w.t.Helper()
	var builds []string
	for _, history := range w.histories(w.t.Context(), id) {
		for _, e := range history.GetEvents() {
			if e.GetEventType() == enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED {
				b := e.GetWorkflowTaskCompletedEventAttributes().GetDeploymentVersion().GetBuildId()
				if len(builds) == 0 || builds[len(builds)-1] != b {
					builds = append(builds, b)
				}
			}
		}
	}
	return builds
}

const twoGates = `{"steps":[
	{"id":"build","shell":"echo built","approval":true},
	{"id":"publish","shell":"echo published","approval":true,"needs":["build"]}]}`

func (w *world) approve(id, step string) {
	w.t.Helper()
	w.until("question about "+step, func() bool { return w.pending(id).StepID == step })
	if _, err := w.update(id, schema.CommandResolveApproval, schema.ResolveApproval{ApprovalID: w.pending(id).ID, Resolution: schema.ResolutionApproved, Actor: "ada"}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) completes(id string) {
	w.t.Helper()
	events := w.awaitType(id, schema.EventWorkflowCompleted)
	if got := output(w.t, events, "build") + output(w.t, events, "publish"); got != "built\npublished\n" {
		w.t.Errorf("it printed %q", got)
	}
	if n := strings.Count(logText(events), string(schema.EventStepStarted)); n != 2 {
		w.t.Errorf("%d steps were started, want 2:\n%s", n, logText(events))
	}
}

func TestRollout_AnOpenSessionGoesOnWithTheNewBuildAndBack(t *testing.T) {
	t.Parallel()
	w, addr := newEmptyWorld(t)
	stopA := w.startBuild(addr, "A")
	w.rollout("A")
	forward, back := w.session(schema.Config{}, twoGates), w.session(schema.Config{}, twoGates)
	w.approve(forward, "build")
	w.pending(back)
	w.until("second question", func() bool { return w.pending(forward).StepID == "publish" }) // else the step goes with its host

	stopB := w.startBuild(addr, "B")
	w.rollout("B")
	stopA()
	w.approve(forward, "publish")
	w.completes(forward)
	if got := w.decidedBy(forward); !slices.Equal(got, []string{"A", "B"}) {
		t.Errorf("decided by %q", got)
	}

	// The rollback: the same command with the old build.
	w.approve(back, "build")
	w.until("second question", func() bool { return w.pending(back).StepID == "publish" })
	w.startBuild(addr, "A")
	w.rollout("A")
	stopB()
	w.approve(back, "publish")
	w.completes(back)
	if got := w.decidedBy(back); !slices.Equal(got, []string{"A", "B", "A"}) {
		t.Errorf("decided by %q", got)
	}
}

func TestRollout_FromUnversionedWorkersAndBackToThem(t *testing.T) {
	t.Parallel()
	w, addr := newEmptyWorld(t)
	stopOld := w.startBuild(addr, "")
	forward, back := w.session(schema.Config{}, twoGates), w.session(schema.Config{}, twoGates)
	w.approve(forward, "build")
	w.pending(back)

	// The new worker takes nothing before its rollout.
	stopA := w.startBuild(addr, "A")
	w.until("second question", func() bool { return w.pending(forward).StepID == "publish" })
	if got := w.decidedBy(forward); !slices.Equal(got, []string{""}) {
		t.Errorf("before the rollout, decided by %q", got)
	}
	w.rollout("A")
	stopOld()
	w.approve(forward, "publish")
	w.completes(forward)
	if got := w.decidedBy(forward); !slices.Equal(got, []string{"", "A"}) {
		t.Errorf("decided by %q", got)
	}

	w.approve(back, "build")
	w.until("second question", func() bool { return w.pending(back).StepID == "publish" })
	w.startBuild(addr, "")
	w.rollout(worker.Unversioned)
	stopA()
	w.approve(back, "publish")
	w.completes(back)
	if got := w.decidedBy(back); !slices.Equal(got, []string{"", "A", ""}) {
		t.Errorf("decided by %q", got)
	}
}

// With no current build, a versioned worker alone gets nothing: sessions wait, and go on with
// the first rollout.
func TestRollout_SessionsWaitForTheFirstOne(t *testing.T) {
	t.Parallel()
	w, addr := newEmptyWorld(t)
	w.startBuild(addr, "A")
	id := w.session(schema.Config{}, twoGates)
	d := w.deployment()
	if d.Current != worker.Unversioned || buildOf(d, "A").Status != worker.BuildInactive {
		t.Fatalf("deployment %+v", d)
	}
	if events, err := w.store.Events(t.Context(), id, store.EventFilter{Limit: 100}); err != nil || slices.ContainsFunc(events, func(e schema.Event) bool { return e.Type == schema.EventApprovalRequested }) {
		t.Fatalf("it went on without a rollout: %v\n%s", err, logText(events))
	}
	w.rollout("A")
	w.approve(id, "build")
	w.approve(id, "publish")
	w.completes(id)
	if got := w.decidedBy(id); !slices.Equal(got, []string{"A"}) {
		t.Errorf("decided by %q", got)
	}
}

// Temporal carries a request out, the answer is lost, and it refuses the same request when it
// comes again. Nobody else changed anything.
func TestRollout_IsDoneThoughTheAnswerIsLost(t *testing.T) {
	t.Parallel()
	w, addr := newEmptyWorld(t)
	w.startBuild(addr, "A")
	w.startBuild(addr, "B")
	w.startBuild(addr, "C")
	answer := codes.FailedPrecondition
	c := w.dial(addr, func(ctx context.Context, method string, request, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, o ...grpc.CallOption) error {
		err := invoke(ctx, method, request, reply, conn, o...)
		switch request.(type) {
		case *workflowservice.SetWorkerDeploymentCurrentVersionRequest, *workflowservice.SetWorkerDeploymentRampingVersionRequest:
			if err == nil {
				return status.Error(answer, "conflict token mismatch, or no answer in time")
			}
		}
		return err
	})
	percent := func(p float32) *float32 { return &p }
	for _, r := range []struct {
		build            string
		percent          *float32
		current, ramping string
	}{
		{"A", nil, "A", ""},
		{"B", percent(25), "A", "B"},
		{"B", percent(50), "A", "B"},
		{"B", percent(0), "A", ""},
		{"B", percent(10), "A", "B"},
		{"B", nil, "B", ""}, // which ends its ramp
		{"A", percent(10), "B", "A"},
		{"C", nil, "C", "A"}, // and not that of another
	} {
		answer = codes.DeadlineExceeded + codes.FailedPrecondition - answer // one and the other in turn
		d, err := worker.Rollout(t.Context(), c, r.build, r.percent)
		if err != nil {
			t.Fatal(err)
		}
		if d.Current != r.current || d.Ramping != r.ramping {
			t.Errorf("after the rollout of %s: %+v", r.build, d)
		}
	}
}

// A change that comes between the look and the rollout is told, with what it was.
func TestRollout_SaysWhatSomebodyElseChanged(t *testing.T) {
	t.Parallel()
	w, addr := newEmptyWorld(t)
	w.startBuild(addr, "A")
	w.startBuild(addr, "B")
	w.rollout("A")
	var between sync.Once
	c := w.dial(addr, func(ctx context.Context, method string, request, answer any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, o ...grpc.CallOption) error {
		if _, is := request.(*workflowservice.SetWorkerDeploymentRampingVersionRequest); is {
			between.Do(func() { w.rollout("B") })
		}
		return invoke(ctx, method, request, answer, conn, o...)
	})
	tenth := float32(10)
	_, err := worker.Rollout(t.Context(), c, "B", &tenth)
	if schema.CodeOf(err) != schema.CodeConflict || !strings.Contains(err.Error(), `it was "A", and is "B"`) {
		t.Errorf("answered with %v", err)
	}
}

// dial connects to Temporal with somebody in between.
func (w *world) dial(addr string, between grpc.UnaryClientInterceptor) client.Client {
	w.t.Helper()
	c, err := client.Dial(client.Options{HostPort: addr, Identity: "holdfast test", Logger: worker.TemporalLogger(quiet()),
		ConnectionOptions: client.ConnectionOptions{DialOptions: []grpc.DialOption{grpc.WithChainUnaryInterceptor(between)}}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(c.Close)
	return c
}

func TestRollout_RampsShowAndEnd(t *testing.T) {
	t.Parallel()
	w, addr := newEmptyWorld(t)
	w.startBuild(addr, "A")
	w.startBuild(addr, "B")
	w.rollout("A")
	percent := func(p float32) *float32 { return &p }
	d, err := worker.Rollout(t.Context(), w.temporal, "B", percent(25))
	if err != nil {
		t.Fatal(err)
	}
	if b := buildOf(d, "B"); d.Current != "A" || d.Ramping != "B" || d.Percent != 25 || b.Status != worker.BuildRamping || b.Percent != 25 ||
		!slices.Equal(b.Workers, []string{"worker-B"}) || buildOf(d, "A").Status != worker.BuildCurrent {
		t.Errorf("ramping: %+v", d)
	}
	if d, err = worker.Rollout(t.Context(), w.temporal, "B", percent(0)); err != nil || d.Ramping != "" || d.Percent != 0 || d.Current != "A" {
		t.Errorf("the ramp was ended: %+v %v", d, err)
	}
	for _, c := range []struct {
		build   string
		percent *float32
		code    schema.Code
		want    string
	}{
		{"C", nil, schema.CodeConflict, `no worker of build "C" is polling, so its sessions would stall; polling are: "B" (worker-B), "A" (worker-A)`},
		{"C", percent(10), schema.CodeConflict, `no worker of build "C"`},
		{worker.Unversioned, nil, schema.CodeConflict, `no worker of build "unversioned"`},
		{"A", percent(10), schema.CodeConflict, `build "A" is already current`},
		{"B", percent(0), schema.CodeConflict, `build "B" is not ramping`},
		{"B", percent(101), schema.CodeInvalid, "percent is from 0 to 100 (got 101)"},
	} {
		_, err := worker.Rollout(t.Context(), w.temporal, c.build, c.percent)
		if e, ok := errors.AsType[*schema.Error](err); !ok || e.Code != c.code || !strings.Contains(e.Message, c.want) {
			t.Errorf("rollout of %s: %v, want %s", c.build, err, c.want)
		}
	}
}

func TestReadDeployment_WithoutAnyIsAllUnversioned(t *testing.T) {
	t.Parallel()
	w, addr := newEmptyWorld(t)
	w.startBuild(addr, "")
	d := w.deployment()
	if len(d.Builds) != 1 || d.Current != worker.Unversioned || d.Builds[0].Status != worker.BuildCurrent || len(d.Builds[0].Workers) != 1 {
		t.Errorf("%+v", d)
	}
}
