package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/holdfast/holdfast/activities"
	"github.com/holdfast/holdfast/activities/runner"
	"github.com/holdfast/holdfast/activities/runner/sandbox"
	"github.com/holdfast/holdfast/activities/runner/supervisor"
	"github.com/holdfast/holdfast/activities/workspace"
	"github.com/holdfast/holdfast/internal/wait"
	"github.com/holdfast/holdfast/logs"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
	"github.com/holdfast/holdfast/snapshot"
	"github.com/holdfast/holdfast/telemetry"
	"github.com/holdfast/holdfast/workflows"
)

// Options configures a worker process.
type Options struct {
	Store    *store.Store
	Temporal client.Client
	DataDir  string // holds workspaces/, steps/ and locks/; its owner is the host
	Host     string // names this data directory's host in task queues and attempts
	// Supervisor is the program that owns a step's processes. "" is holdfast-supervisor beside this
	// program or, if that is not installed, this program itself.
	Supervisor string
	// MaxSteps is how many steps this host runs at a time; [schema.DefaultMaxSteps] if 0.
	MaxSteps int
	// BuildID makes this a worker of a build, which receives sessions once [Rollout] says so; ""
	// leaves it unversioned.
	BuildID string
	Logger  *slog.Logger
	// Snapshots stores the workspaces; hosts that share sessions share it.
	Snapshots *snapshot.Store
	Quota     snapshot.Quota // for each session's workspace
	// MaxOutput is how much of an attempt's output is kept before the attempt is ended; 0 for all.
	MaxOutput int64
	// Sandbox is how steps are isolated, SandboxPaths what else they see of this host.
	Sandbox      sandbox.Mode
	SandboxPaths []string
	// NetworkRefused are the product's own places, which no step reaches.
	NetworkRefused []string
	// OrphanTimeout is how long a step goes on without a worker; 0 for an hour.
	OrphanTimeout time.Duration
	// EndSteps makes the steps end with this worker. Otherwise they go on, for the next one.
	EndSteps bool
	// Retention says what happens to old logs.
	Retention Retention
	// Telemetry is what the worker is measured by; nil for nothing.
	Telemetry *telemetry.Telemetry
}

// How much one worker does at a time.
const (
	maxRecords = 100
	// Orders to a host besides its steps: freeze, thaw, stop.
	maxControls = 100
	// Sessions that a host takes over at a time; each is a short answer.
	maxPlaces = 4
	// A cached session takes about 64 KB. One that was evicted is read again from its history, in
	// about 15 ms, when somebody uses it.
	cachedSessions = 2000
	// Throttled heartbeats made a cancel take 14.5 s instead of 0.5 s.
	heartbeatThrottle = time.Second
	// How long a stopping worker waits for activities that are about to end.
	stopPatience = 3 * time.Second
	// Between attempts to reach Postgres and Temporal at the start.
	dialWait = 500 * time.Millisecond
)

// Run works until ctx ends or [Drain] has ended it, and then ends what it started, in order. It
// starts, and waits, even while Postgres or Temporal is down or the database lacks migrations. If
// another worker has the data folder or the host's name, it fails with [schema.CodeConflict]; if
// this release cannot work with the database, with [schema.CodeUnsupported].
func Run(ctx context.Context, o Options) error {
	if o.MaxSteps == 0 {
		o.MaxSteps = schema.DefaultMaxSteps()
	}
	held, err := holdDataDir(&o)
	if err != nil {
		return err
	}
	defer held.release()
	if o.Supervisor == "" {
		if o.Supervisor, err = supervisor.Program(); err != nil {
			return err
		}
	}
	name, err := newHostName(&o)
	if err != nil {
		return err
	}
	steps, err := newRunner(o)
	if err != nil {
		return err
	}
	defer steps.Close()
	measure(&o, steps)
	defer startRetention(ctx, &o)()
	if err := begin(ctx, o, name, steps); err != nil {
		name.leave(ctx)
		if ctx.Err() != nil {
			return nil // stopped while it waited
		}
		return err
	}
	fatal := make(chan error, 1)
	worker.SetStickyWorkflowCacheSize(cachedSessions)
	hosts := &activities.Hosts{Host: o.Host, MaxSteps: o.MaxSteps, Lives: steps.Lives, Live: steps.Running}
	end := func(err error) {
		select {
		case fatal <- err:
		default: // the first error ends the process
		}
	}
	keeping, stopKeeping := context.WithCancel(ctx)
	name.keep(keeping, end)
	defer name.leave(ctx)
	defer stopKeeping()
	workers := compose(o, steps, hosts, end)
	drain, err := serveDrains(ctx, held, &o, hosts, workers[placementWorker].Stop, steps.EndOnClose)
	if err != nil {
		return err
	}
	defer drain.close()
	for i, w := range workers {
		if err := w.Start(); err != nil {
			stopAll(workers[:i])
			return fmt.Errorf("start a worker: %w", err)
		}
	}
	o.Logger.Info("worker ready", "host", o.Host, "build_id", o.BuildID)
	drain.ready()
	if o.BuildID != "" {
		warnIfNoSessions(ctx, o)
	}
	select {
	case <-ctx.Done():
	case <-drain.over:
	case err = <-fatal:
	}
	drain.notReady()
	// Both at once: the workers take no new tasks, and wait for activities, which end because their
	// steps do.
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		stopAll(workers)
	}()
	steps.Close()
	<-stopped
	return err
}

// begin continues what runs on this host, and returns when the worker may take new work: when it owns its name, and
// Postgres and Temporal are up.
func begin(ctx context.Context, o Options, name *hostName, steps *runner.Runner) error {
	before := name.wasOurs()
	if before {
		steps.Recover() // running steps go on while Postgres and Temporal are down
	}
	if err := name.claim(ctx); err != nil {
		return err
	}
	if !before {
		steps.Recover()
	}
	if err := waitForSchema(ctx, o); err != nil {
		return err
	}
	return waitForTemporal(ctx, o)
}

func newRunner(o Options) (*runner.Runner, error) {
	group, err := sandbox.EnterCgroup()
	if err != nil {
		o.Logger.Debug("no cgroups for steps", "error", err)
	}
	return runner.New(runner.Options{
		Store: o.Store, Asker: &activities.Asker{Temporal: o.Temporal, Store: o.Store}, DataDir: o.DataDir, Host: o.Host,
		Supervisor: o.Supervisor, Sandbox: o.Sandbox, SandboxPaths: o.SandboxPaths, NetworkRefused: o.NetworkRefused, Cgroup: group,
		Workspaces: workspace.NewManager(workspace.Options{Store: o.Snapshots, DataDir: o.DataDir, Quota: o.Quota, Latest: o.Store.Snapshot, Logger: o.Logger}),
		Started:    started(o.Telemetry), OutputBytes: o.MaxOutput, QuotaBytes: o.Quota.Bytes, QuotaFiles: o.Quota.Files, OrphanTimeout: o.OrphanTimeout, EndSteps: o.EndSteps, Logger: o.Logger,
	})
}

func stopAll(workers []worker.Worker) {
	for _, w := range workers {
		w.Stop()
	}
}

// waitForSchema returns when this release can work with the database, or never will.
func waitForSchema(ctx context.Context, o Options) error {
	for said := ""; ; {
		err := o.Store.SchemaReady(ctx)
		if code := schema.CodeOf(err); err == nil || code != schema.CodeUnavailable {
			return err
		}
		if text := err.Error(); text != said && ctx.Err() == nil {
			o.Logger.WarnContext(ctx, "the database is not ready yet", logs.Err(err))
			said = text
		}
		if !wait.For(ctx, dialWait) {
			return errors.Join(ctx.Err(), err)
		}
	}
}

func waitForTemporal(ctx context.Context, o Options) error {
	for said := false; ; {
		_, err := o.Temporal.CheckHealth(ctx, &client.CheckHealthRequest{})
		if err == nil {
			return nil
		}
		if !said {
			o.Logger.Warn("Temporal does not answer yet", "error", err)
			said = true
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(dialWait):
		}
	}
}

// placementWorker is the index of the worker that takes sessions over.
const placementWorker = 0

// endable is a worker whose Stop may be called at any time: twice, and before Start, which then starts nothing. The
// SDK's would go on to poll if it were stopped while it starts.
type endable struct {
	worker.Worker

	mu               sync.Mutex
	started, stopped bool
}

func (w *endable) Start() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped {
		return nil
	}
	w.started = true
	return w.Worker.Start()
}

func (w *endable) Stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.started && !w.stopped {
		w.Worker.Stop()
	}
	w.stopped = true
}

func compose(o Options, steps *runner.Runner, hosts *activities.Hosts, fatal func(error)) []worker.Worker {
	base := worker.Options{
		MaxHeartbeatThrottleInterval: heartbeatThrottle, WorkerStopTimeout: stopPatience, OnFatalError: fatal,
		DisableRegistrationAliasing: true,
	}
	sessions := base
	sessions.MaxConcurrentActivityExecutionSize = maxRecords
	sessions.DeploymentOptions = versioned(o.BuildID) // a host's own queues are not versioned: any build serves them
	s := worker.New(o.Temporal, schema.TaskQueueSessions, sessions)
	s.RegisterWorkflowWithOptions(workflows.Session, workflow.RegisterOptions{Name: schema.WorkflowType})
	records := &activities.Records{Store: o.Store, Host: o.Host}
	register(s, records.BeginRun, schema.ActivityBeginRun)
	register(s, activities.Decoded(records.Record), schema.ActivityRecord)
	register(s, activities.Decoded(records.Revise), schema.ActivityRevise)

	activitiesOnly := func(most int) worker.Options {
		only := base
		only.DisableWorkflowWorker = true
		only.MaxConcurrentActivityExecutionSize = most
		return only
	}
	run := &activities.Steps{Records: records, Store: o.Store, Runner: steps, DataDir: o.DataDir}

	place := &endable{Worker: worker.New(o.Temporal, schema.TaskQueueSteps, activitiesOnly(maxPlaces))}
	register(place, hosts.Place, schema.ActivityPlace)
	host := worker.New(o.Temporal, schema.StepsQueue(o.Host), activitiesOnly(o.MaxSteps))
	register(host, activities.Decoded(hosts.Track(run.Run)), schema.ActivityRunStep)
	control := worker.New(o.Temporal, schema.ControlQueue(o.Host), activitiesOnly(maxControls))
	register(control, run.Freeze, schema.ActivityFreezeSteps)
	register(control, run.Thaw, schema.ActivityThawSteps)
	register(control, run.Stop, schema.ActivityStopSteps)
	return []worker.Worker{placementWorker: place, control, host, s}
}

func register(w worker.Worker, fn any, name string) {
	w.RegisterActivityWithOptions(fn, activity.RegisterOptions{Name: name})
}
