package cli

import (
	"time"

	"github.com/holdfast/holdfast/cmd/holdfast/settings"
	"github.com/holdfast/holdfast/cmd/holdfast/terminal"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
)

type migrateCmd struct {
	Up     migrateUpCmd     `cmd:"" help:"Apply missing migrations."`
	Down   migrateDownCmd   `cmd:"" help:"Undo the last batch of migrations. Their data is lost."`
	Status migrateStatusCmd `cmd:"" help:"List the migrations."`
}

type migrateUpCmd struct{}

type migrateDownCmd struct {
	Yes bool `help:"Do not ask." short:"y"`
}

type migrateStatusCmd struct {
	JSON bool `help:"Print JSON." name:"json"`
}

// Help is shown by --help.
func (*migrateUpCmd) Help() string {
	return "Works under a lock: any number of processes may run it at the same time.\n\n" +
		example("HOLDFAST_DATABASE_URL=postgres://holdfast@db/holdfast holdfast migrate up")
}

// Help is shown by --help.
func (*migrateDownCmd) Help() string {
	return "Refuses when a newer release has migrated the database: undo that with the newer one first.\n\n" +
		example("holdfast migrate down --yes")
}

// Help is shown by --help.
func (*migrateStatusCmd) Help() string {
	return "Also lists those that a newer release has applied and this one does not know.\n\n" +
		example("holdfast migrate status", "holdfast migrate status --json")
}

func (inv *invocation) openStore() (*store.Store, error) {
	set, err := settings.LoadMigrate(inv.env)
	if err != nil {
		return nil, err
	}
	return store.Open(inv.ctx, set.DatabaseURL, store.Options{MaxConns: 2, Logger: inv.logger(set.Logging), Direct: set.DirectURL, Release: version()})
}

func (*migrateUpCmd) Run(inv *invocation) error {
	s, err := inv.openStore()
	if err != nil {
		return err
	}
	defer s.Close()
	names, err := s.Migrate(inv.ctx)
	inv.listNames("applied", names)
	return err
}

func (c *migrateDownCmd) Run(inv *invocation) error {
	if !c.Yes {
		return usage("migrate down destroys data; say --yes when that is meant")
	}
	s, err := inv.openStore()
	if err != nil {
		return err
	}
	defer s.Close()
	names, err := s.MigrateDown(inv.ctx)
	inv.listNames("undone", names)
	return err
}

func (inv *invocation) listNames(what string, names []string) {
	for _, name := range names {
		inv.printf("%s %s\n", what, name)
	}
	if len(names) == 0 {
		inv.printf("nothing %s\n", what)
	}
}

func (c *migrateStatusCmd) Run(inv *invocation) error {
	s, err := inv.openStore()
	if err != nil {
		return err
	}
	defer s.Close()
	all, err := s.MigrationStatus(inv.ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		inv.raw(schema.Marshal(map[string]any{"migrations": all}))
		return nil
	}
	t := terminal.Table{Header: []string{"MIGRATION", "APPLIED"}}
	for _, m := range all {
		applied := "no"
		if m.AppliedAt != nil {
			applied = terminal.Ago(m.AppliedAt.Time, time.Now())
		}
		if m.Unknown {
			applied += ", unknown to this release"
			if m.Release != "" {
				applied += ": " + m.Release + " applied it"
			}
		}
		t.Add(m.Name, applied)
	}
	return t.Write(inv.stdout, inv.style)
}
