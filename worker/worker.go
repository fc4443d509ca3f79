// Package worker composes a worker process: the session workflows, the activities that
// record them, and the steps that this host runs.
package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	sdklog "go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/holdfast/holdfast/activities"
	"github.com/holdfast/holdfast/activities/runner"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
	"github.com/holdfast/holdfast/snapshot"
	"github.com/holdfast/holdfast/workflows"
)

// Options configures a worker process.
type Options struct {
	Store    *store.Store
	Temporal client.Client
	DataDir  string // holds workspaces/ and locks/; its owner is the host
	Host     string // names this data directory's host in task queues and attempts
	// Supervisor is the program that owns a step's processes: holdfast-supervisor beside this
	// program when "", or, where that is not installed, this program itself.
	Supervisor string
	// BuildID makes this a worker of a build, to which sessions come once [Rollout] says so;
	// "" leaves it unversioned.
	BuildID string
	Logger  *slog.Logger
	// Snapshots keeps the workspaces; hosts that share sessions share it.
	Snapshots *snapshot.Store
	Quota     snapshot.Quota // of each session's workspace
}

// How much one worker does at a time.
const (
	maxSteps   = 200 // running steps of this host
	maxRecords = 100
	// A session takes about 64 KB while a worker knows it by heart. One that it has forgotten is
	// read again from its history, in about 15 ms, when somebody turns to it.
	cachedSessions = 2000
	// Throttled heartbeats made a cancel take 14.5 s instead of 0.5 s.
	heartbeatThrottle = time.Second
	// How long a stopping worker waits for activities that are about to end.
	stopPatience = 3 * time.Second
	// Between attempts to reach Temporal at the start.
	dialWait = 500 * time.Millisecond
)

// Run works until ctx ends, and then ends what it started, in order. It starts, and waits,
// while Temporal is away.
func Run(ctx context.Context, o Options) error {
	if o.Supervisor == "" {
		exe, err := os.Executable()
		if err != nil {
			return fmt.Errorf("find the program itself: %w", err)
		}
		o.Supervisor = exe
		if small := filepath.Join(filepath.Dir(exe), "holdfast-supervisor"); fileExists(small) {
			o.Supervisor = small
		}
	}
	if err := waitForTemporal(ctx, o); err != nil {
		if ctx.Err() != nil {
			return nil // stopped while it waited: there is nothing to end
		}
		return err
	}
	steps := runner.New(runner.Options{Recorder: o.Store, DataDir: o.DataDir, Host: o.Host, Supervisor: o.Supervisor, Logger: o.Logger})
	defer steps.Close()
	fatal := make(chan error, 1)
	worker.SetStickyWorkflowCacheSize(cachedSessions)
	workers := compose(o, steps, func(err error) {
		select {
		case fatal <- err:
		default: // the first one ends the process
		}
	})
	for i, w := range workers {
		if err := w.Start(); err != nil {
			stopAll(workers[:i])
			return fmt.Errorf("start a worker: %w", err)
		}
	}
	o.Logger.Info("worker ready", "host", o.Host, "build_id", o.BuildID)
	if o.BuildID != "" {
		sayIfWaiting(ctx, o)
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-fatal:
	}
	// Both at once: the workers take no new tasks, and wait for activities that end because
	// their steps do.
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		stopAll(workers)
	}()
	steps.Close()
	<-stopped
	return err
}

func fileExists(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.Mode().IsRegular()
}

func stopAll(workers []worker.Worker) {
	for _, w := range workers {
		w.Stop()
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

func compose(o Options, steps *runner.Runner, fatal func(error)) []worker.Worker {
	base := worker.Options{
		MaxHeartbeatThrottleInterval: heartbeatThrottle, WorkerStopTimeout: stopPatience, OnFatalError: fatal,
		DisableRegistrationAliasing: true,
	}
	sessions := base
	sessions.MaxConcurrentActivityExecutionSize = maxRecords
	sessions.DeploymentOptions = versioned(o.BuildID) // the queues of a host are its own: any build works on them
	s := worker.New(o.Temporal, schema.TaskQueueSessions, sessions)
	s.RegisterWorkflowWithOptions(workflows.Session, workflow.RegisterOptions{Name: schema.WorkflowType})
	records := &activities.Records{Store: o.Store, Host: o.Host}
	register(s, records.BeginRun, schema.ActivityBeginRun)
	register(s, records.Record, schema.ActivityRecord)
	register(s, records.Revise, schema.ActivityRevise)

	hostOnly := base
	hostOnly.DisableWorkflowWorker = true
	hostOnly.MaxConcurrentActivityExecutionSize = maxSteps
	run := &activities.Steps{Records: records, Store: o.Store, Runner: steps, DataDir: o.DataDir}

	host := worker.New(o.Temporal, schema.StepsQueue(o.Host), hostOnly)
	register(host, run.Run, schema.ActivityRunStep)
	control := worker.New(o.Temporal, schema.ControlQueue(o.Host), hostOnly)
	register(control, run.Freeze, schema.ActivityFreezeSteps)
	register(control, run.Thaw, schema.ActivityThawSteps)
	register(control, run.Stop, schema.ActivityStopSteps)
	return []worker.Worker{control, host, s}
}

func register(w worker.Worker, fn any, name string) {
	w.RegisterActivityWithOptions(fn, activity.RegisterOptions{Name: name})
}

// TemporalLogger makes the Temporal SDK log through slog.
func TemporalLogger(l *slog.Logger) sdklog.Logger { return sdklog.NewStructuredLogger(l) }
