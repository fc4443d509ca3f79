package cli

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"go.temporal.io/sdk/client"

	"github.com/holdfast/holdfast/cmd/holdfast/disk"
	"github.com/holdfast/holdfast/cmd/holdfast/settings"
	"github.com/holdfast/holdfast/logs"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
	"github.com/holdfast/holdfast/snapshot"
	"github.com/holdfast/holdfast/telemetry"
	"github.com/holdfast/holdfast/telemetry/journal"
	"github.com/holdfast/holdfast/worker"
)

// parts are what every server process needs. Neither Postgres nor Temporal has to be there
// yet: a process starts without them and says so until they are.
type parts struct {
	log       *slog.Logger
	store     *store.Store
	snapshots *snapshot.Store
	temporal  client.Client
	telemetry *telemetry.Telemetry
}

func (inv *invocation) open(process telemetry.Process, l settings.Logging, s *settings.Storage, t *settings.Temporal) (*parts, error) {
	log := inv.logger(l).With(logs.KeyComponent, string(process))
	settings.WarnUnknown(inv.env, log)
	measured, err := inv.measured(process, log)
	if err != nil {
		return nil, err
	}
	snapshots, err := snapshot.Open(inv.ctx, s.BlobURL)
	if err != nil {
		return nil, withCode(exitUsage, fmt.Errorf("the setting %s: %w", settings.EnvBlobURL, err))
	}
	db, err := store.Open(inv.ctx, s.DatabaseURL, store.Options{Logger: log, Archive: snapshots, Direct: s.DirectURL, Release: version(), Committed: journal.New(log, measured).Committed})
	if err != nil {
		_ = snapshots.Close()
		return nil, withCode(exitUsage, fmt.Errorf("the setting %s or %s: %w", settings.EnvDatabaseURL, settings.EnvDirectURL, err))
	}
	if err := checkSchema(inv.ctx, log, db); err != nil {
		db.Close()
		_ = snapshots.Close()
		return nil, err
	}
	options := t.Options
	options.Logger = worker.TemporalLogger(log)
	options.Identity = fmt.Sprintf("%s@%s/%d", process, identity(s), os.Getpid())
	if err := measured.Temporal(&options); err != nil {
		db.Close()
		_ = snapshots.Close()
		return nil, err
	}
	temporal, err := client.NewLazyClient(options)
	if err != nil {
		db.Close()
		_ = snapshots.Close()
		return nil, withCode(exitUsage, fmt.Errorf("the settings TEMPORAL_*: %w", err))
	}
	return &parts{log: log, store: db, snapshots: snapshots, temporal: temporal, telemetry: measured}, nil
}

// checkSchema refuses to start on a database that a newer release has changed too much, and reports other problems with
// it. Postgres may be away, and migrations may be on their way: readiness reports both.
func checkSchema(ctx context.Context, log *slog.Logger, db *store.Store) error {
	const patience = 2 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	state, err := db.Schema(ctx)
	if err != nil {
		log.DebugContext(ctx, "the schema cannot be checked yet", logs.Err(err))
		return nil
	}
	if newer := state.Newer(); newer != "" {
		log.WarnContext(ctx, "a newer release has migrated the database; this one can work with it, and should follow soon", slog.String("unknown", newer))
	}
	err = state.Err()
	if schema.CodeOf(err) == schema.CodeUnavailable {
		log.WarnContext(ctx, "not ready", logs.Err(err))
		return nil
	}
	return err
}

// identity names this process in Temporal's histories, beside its kind.
func identity(s *settings.Storage) string {
	if s.Host != "" {
		return s.Host
	}
	name, _ := os.Hostname() // "" will do
	return name
}

func (p *parts) close() {
	p.temporal.Close()
	p.store.Close()
	_ = p.snapshots.Close() // everything was written already
	p.telemetry.Close()
}

type workerCmd struct {
	Check   bool          `help:"Instead of running a worker, check that this data folder's worker runs and polls Temporal: exit code 0, else 1." xor:"instead"`
	Drain   bool          `help:"Instead of running a worker, tell this data folder's worker (setting HOLDFAST_DATA_DIR) to take no new steps, finish its running ones, and exit." xor:"instead"`
	Timeout time.Duration `help:"With --drain: after this time the worker exits anyway, and leaves running steps to the host's next worker; default 10m." placeholder:"DURATION"`
	JSON    bool          `help:"With --drain: print each state as a line of JSON." name:"json"`
}

// Help is shown by --help.
func (*workerCmd) Help() string {
	return "Configured by the environment; see `holdfast config`. HOLDFAST_DATABASE_URL is needed.\n\n" +
		"--drain exits with 0 once nothing runs, else with 1.\n\n" +
		example("HOLDFAST_DATABASE_URL=postgres://holdfast@db/holdfast TEMPORAL_ADDRESS=temporal:7233 holdfast worker",
			"HOLDFAST_DATA_DIR=/var/lib/holdfast holdfast worker --drain --timeout 1h",
			"HOLDFAST_DATA_DIR=/var/lib/holdfast TEMPORAL_ADDRESS=temporal:7233 holdfast worker --check")
}

func (c *workerCmd) Run(inv *invocation) error {
	switch {
	case c.Drain:
		return c.drain(inv)
	case c.Check && !c.JSON && c.Timeout == 0:
		return c.check(inv)
	case c.JSON || c.Timeout != 0:
		return usage("--json and --timeout go with --drain")
	}
	set, err := settings.LoadWorker(inv.env)
	if err != nil {
		return err
	}
	if err := set.OpenHost(); err != nil {
		return err
	}
	p, err := inv.open(telemetry.Worker, set.Logging, &set.Storage, &set.Temporal)
	if err != nil {
		return err
	}
	defer p.close()
	sayLayers(p.log, set.Sandbox)
	room := &disk.Watch{Dir: set.DataDir, Low: set.DiskLow, Log: p.log}
	ctx, stop := context.WithCancel(inv.ctx)
	var watching sync.WaitGroup
	watching.Go(func() { room.Run(ctx) })
	defer watching.Wait()
	defer stop()
	measureDisk(p.telemetry, room)
	stopMetrics, err := serveMetrics(inv.ctx, p.telemetry, set.Metrics, p.log)
	if err != nil {
		return err
	}
	defer stopMetrics()
	return inv.stopped(worker.Run(inv.ctx, worker.Options{
		Store: p.store, Temporal: p.temporal, DataDir: set.DataDir, Host: set.Host, BuildID: buildID(set.BuildID), Logger: p.log,
		Snapshots: p.snapshots, Quota: snapshot.Quota{Bytes: set.Bytes, Files: set.Files}, MaxOutput: set.MaxOutput,
		Sandbox: set.Sandbox, SandboxPaths: set.SandboxPaths, NetworkRefused: set.Places(), MaxSteps: set.MaxSteps, OrphanTimeout: set.OrphanTimeout, EndSteps: set.EndSteps,
		Telemetry: p.telemetry,
		Retention: worker.Retention{CompactAfter: set.CompactAfter, ArchiveAfter: set.ArchiveAfter, DeleteAfter: set.DeleteAfter},
	}))
}

// stopped handles the end of a process that runs until it is asked to stop: being asked is not a failure.
func (inv *invocation) stopped(err error) error {
	if err != nil && inv.ctx.Err() == nil {
		return err
	}
	return nil
}
