package cli

import (
	"context"
	"sync"

	"github.com/holdfast/holdfast/cmd/holdfast/disk"
	"github.com/holdfast/holdfast/cmd/holdfast/settings"
	"github.com/holdfast/holdfast/examples"
	"github.com/holdfast/holdfast/logs"
	"github.com/holdfast/holdfast/schema/wire"
	"github.com/holdfast/holdfast/telemetry"
	"github.com/holdfast/holdfast/web"
	"github.com/holdfast/holdfast/web/ui"
)

type webCmd struct {
	Addr string `help:"Where to listen (setting HOLDFAST_ADDR; ${default_addr} unless set)." placeholder:"HOST:PORT"`
}

// Help is shown by --help.
func (*webCmd) Help() string {
	return "Configured by the environment; see `holdfast config`. HOLDFAST_DATABASE_URL is needed. Any number of web processes may serve the same database.\n\n" +
		example("HOLDFAST_DATABASE_URL=postgres://holdfast@db/holdfast TEMPORAL_ADDRESS=temporal:7233 holdfast web --addr :8000")
}

func (c *webCmd) Run(inv *invocation) error {
	set, err := settings.LoadWeb(inv.env.WithFlag(settings.EnvAddr, c.Addr))
	if err != nil {
		return err
	}
	p, err := inv.open(telemetry.Web, set.Logging, &set.Storage, &set.Temporal)
	if err != nil {
		return err
	}
	defer p.close()
	// The worker of this data folder warns in its log; web only reports it to whoever asks.
	room := &disk.Watch{Dir: set.DataDir, Low: set.DiskLow, Log: logs.Discard()}
	ctx, stop := context.WithCancel(inv.ctx)
	var watching sync.WaitGroup
	watching.Go(func() { room.Run(ctx) })
	defer watching.Wait()
	defer stop()
	measureDisk(p.telemetry, room)
	server, err := web.New(web.Options{
		Addr: set.Addr, Store: p.store, Snapshots: p.snapshots, Temporal: p.temporal, UI: ui.FS(), Examples: examples.FS(), DataDir: set.DataDir,
		Namespace: set.Options.Namespace, ApprovalTimeout: set.ApprovalTimeout, AttendedTimeout: set.AttendedTimeout, Disk: diskState(room), SessionTTL: set.SessionTTL, HostTimeout: set.HostTimeout, MaxConnections: set.MaxConnections,
		MaxPerUser: set.MaxPerUser, MaxPerAddress: set.MaxPerAddress, Drain: set.Drain, Logger: p.log, Telemetry: p.telemetry, Version: version(), AllowedOrigins: set.AllowedOrigins,
		AllowedHosts: set.AllowedHosts,
	})
	if err != nil {
		return err
	}
	return inv.stopped(server.Run(inv.ctx))
}

func diskState(room *disk.Watch) func() *wire.DiskState {
	return func() *wire.DiskState {
		if s := room.Now(); s != nil {
			return &wire.DiskState{FreeBytes: s.Free, LowBytes: s.Low}
		}
		return nil
	}
}
