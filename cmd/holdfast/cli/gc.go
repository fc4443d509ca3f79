package cli

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/holdfast/holdfast/cmd/holdfast/settings"
	"github.com/holdfast/holdfast/cmd/holdfast/terminal"
	"github.com/holdfast/holdfast/embedded"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
	"github.com/holdfast/holdfast/snapshot"
	"github.com/holdfast/holdfast/worker"
)

type gcCmd struct {
	DataDir string        `help:"The data folder of the host (setting HOLDFAST_DATA_DIR)." placeholder:"DIR"`
	Grace   time.Duration `default:"20m" help:"How long a session's files stay after it was deleted and has ended; default 20m. Blobs that a save may rely on stay for 20m." placeholder:"DURATION"`
	DryRun  bool          `help:"Report what would be freed, and free nothing." name:"dry-run"`
	JSON    bool          `help:"Print JSON." name:"json"`
}

// Help is shown by --help.
func (*gcCmd) Help() string {
	return "Frees the disk of deleted sessions: their folders on this host, and blobs that only they use. The workers do the same every few minutes; this does it at once and says what is kept. " +
		"A session's files stay for " + worker.CollectGrace.String() + " after it is deleted and has ended; --grace 0s removes its folder at once.\n\n" +
		"Beside a running `holdfast up` it finds the database by the data folder.\n\n" +
		example("holdfast gc --dry-run", "holdfast gc --grace 0s", "holdfast gc --data-dir ~/holdfast --json")
}

// gcReport is what gc prints.
type gcReport struct {
	DryRun  bool               `json:"dry_run"`
	Folders worker.Folders     `json:"folders"`
	Blobs   snapshot.Collected `json:"blobs"`
}

func (c *gcCmd) Run(inv *invocation) error {
	if c.Grace < 0 {
		return usage("--grace is 0s or more (got %s)", c.Grace)
	}
	set, err := settings.LoadCollect(inv.env.WithFlag(settings.EnvDataDir, c.DataDir))
	if err != nil {
		return err
	}
	if set.DatabaseURL == "" {
		dsn, running, err := embedded.RunningPostgres(filepath.Join(set.DataDir, "postgres"))
		if err != nil {
			return fmt.Errorf("find the database of %s: %w", set.DataDir, err)
		}
		if !running {
			return usage("no holdfast up runs with the data folder %s; name its database in %s, or the folder with --data-dir", set.DataDir, settings.EnvDatabaseURL)
		}
		set.DatabaseURL = dsn
	}
	log := inv.logger(set.Logging)
	snapshots, err := snapshot.Open(inv.ctx, set.BlobURL)
	if err != nil {
		return withCode(exitUsage, fmt.Errorf("the setting %s: %w", settings.EnvBlobURL, err))
	}
	defer snapshots.Close()
	db, err := store.Open(inv.ctx, set.DatabaseURL, store.Options{MaxConns: 2, Logger: log, Direct: set.DirectURL, Release: version()})
	if err != nil {
		return withCode(exitUsage, fmt.Errorf("the setting %s or %s: %w", settings.EnvDatabaseURL, settings.EnvDirectURL, err))
	}
	defer db.Close()
	if err := db.SchemaReady(inv.ctx); err != nil { // this release does not know what a newer one keeps
		return err
	}
	collector := &worker.Collector{Store: db, Snapshots: snapshots, DataDir: set.DataDir, Logger: log, DryRun: c.DryRun, Grace: max(c.Grace, 1)} // 0 is the default
	report := gcReport{DryRun: c.DryRun}
	if report.Folders, err = collector.Folders(inv.ctx, true); err != nil {
		return err
	}
	collector.Grace = max(c.Grace, worker.CollectGrace) // a save may rely on blobs that are there
	if report.Blobs, err = collectBlobs(inv.ctx, collector); err != nil {
		return err
	}
	if c.JSON {
		inv.raw(schema.Marshal(report))
		return nil
	}
	inv.printf("%s", report.text())
	return nil
}

// collectBlobs waits while a worker is collecting.
func collectBlobs(ctx context.Context, c *worker.Collector) (snapshot.Collected, error) {
	const (
		patience = 5 * time.Minute
		pause    = 200 * time.Millisecond
	)
	for deadline := time.Now().Add(patience); ; {
		done, held, err := c.Blobs(ctx, true)
		if held || err != nil {
			return done, err
		}
		if time.Now().After(deadline) {
			return done, schema.Errorf(schema.CodeUnavailable, "a worker has been looking after old logs and files for %s; try again", patience)
		}
		select {
		case <-ctx.Done():
			return done, ctx.Err()
		case <-time.After(pause):
		}
	}
}

func (r *gcReport) text() string {
	freed := "freed"
	if r.DryRun {
		freed = "would free"
	}
	f, b := &r.Folders, &r.Blobs
	kept := fmt.Sprintf("kept %d", f.Kept)
	if f.Deleted > 0 {
		kept += fmt.Sprintf(" (%d of them deleted, and free to go with --grace 0s)", f.Deleted)
	}
	return fmt.Sprintf("workspaces on this host: %s %d of deleted sessions, %s; %s, %s\n", freed, f.Sessions, terminal.Bytes(f.Bytes), kept, terminal.Bytes(f.KeptBytes)) +
		fmt.Sprintf("blob store: %s %d snapshots and %d blobs, %s; kept %d and %d, %s\n", freed, b.Snapshots, b.Blobs, terminal.Bytes(b.Bytes), b.KeptSnapshots, b.KeptBlobs, terminal.Bytes(b.KeptBytes))
}
