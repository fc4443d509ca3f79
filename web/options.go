package web

import (
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"time"

	"go.temporal.io/sdk/client"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
	"github.com/holdfast/holdfast/schema/wire"
	"github.com/holdfast/holdfast/snapshot"
	"github.com/holdfast/holdfast/telemetry"
	"github.com/holdfast/holdfast/web/presence"
)

// Options configures a server. Store and Temporal are required; the zero value of every
// other field means its default.
type Options struct {
	Addr            string                 // where to listen; 127.0.0.1:8000
	Listener        net.Listener           // listen here instead of on Addr
	Store           *store.Store           // it may be unable to reach Postgres yet
	Snapshots       *snapshot.Store        // where workspaces are kept whose host is elsewhere, or gone; nil has none
	Temporal        client.Client          // a lazy client: Temporal may be away
	UI              fs.FS                  // the built UI, index.html at its root
	Examples        fs.FS                  // plan files with an index.json beside them
	DataDir         string                 // where the workspaces are
	Namespace       string                 // of Temporal, the one that the client speaks to; default
	ApprovalTimeout time.Duration          // how long an approval waits unless its session says; 300 s
	AttendedTimeout time.Duration          // the same for sessions that a person starts; ApprovalTimeout unless set
	Disk            func() *wire.DiskState // nil while the data folder's disk has room; optional
	SessionTTL      time.Duration          // how long a session is kept open while nobody uses it, unless it says; 0 is for good
	HostTimeout     time.Duration          // how long a step waits for its session's host before another takes over; 0 is schema.DefaultHostTimeout
	MaxConnections  int                    // WebSocket connections of this instance; 10,000
	MaxPerUser      int                    // the same for each user; 0 is no limit of its own
	MaxPerAddress   int                    // the same for each address; 0 is no limit of its own
	Drain           time.Duration          // over how long many connections are ended when the server stops; 0 is at once
	PingInterval    time.Duration          // after so long without a frame a client is pinged; 25 s
	SilenceLimit    time.Duration          // after so long without a frame it is sent away; three times PingInterval
	WriteTimeout    time.Duration          // for which a client may take nothing of what it is sent; 30 s
	Logger          *slog.Logger           // slog.Default()
	Telemetry       *telemetry.Telemetry   // what the server is measured and traced by; nil has one of its own, without traces
	Version         string                 // shown by /api/health and to each WebSocket
	AllowedOrigins  []string               // further origins that browsers may connect from, such as https://lab.example
	AllowedHosts    []string               // names that the server answers to besides loopback's, with or without a port; needed when it is not on loopback
	Instance        string                 // names this instance in active_connections; random
}

// Timeouts and bounds, in one place.
const (
	defaultAddr            = "127.0.0.1:8000"
	defaultApprovalTimeout = 300 * time.Second
	defaultMaxConnections  = 10_000
	defaultPingInterval    = 25 * time.Second
	silentPings            = 3
	defaultWriteTimeout    = 30 * time.Second

	maxDrainBytes  = 64 << 20 // of a request that is too large, read so that its sender gets to see the answer
	readTimeout    = 60 * time.Second
	idleTimeout    = 120 * time.Second
	readBufferSize = 16 << 10        // bounds a request's headers
	drainTimeout   = 5 * time.Second // of a shutdown
)

func (o *Options) limits() presence.Limits {
	return presence.Limits{All: o.MaxConnections, PerUser: o.MaxPerUser, PerAddress: o.MaxPerAddress}
}

func (o *Options) check() error {
	if o.Store == nil {
		return errors.New("web: Options.Store is missing")
	}
	if o.Temporal == nil {
		return errors.New("web: Options.Temporal is missing")
	}
	if o.Addr == "" {
		o.Addr = defaultAddr
	}
	if o.Namespace == "" {
		o.Namespace = client.DefaultNamespace
	}
	if o.ApprovalTimeout == 0 {
		o.ApprovalTimeout = defaultApprovalTimeout
	}
	if o.AttendedTimeout == 0 {
		o.AttendedTimeout = o.ApprovalTimeout
	}
	if o.MaxConnections == 0 {
		o.MaxConnections = defaultMaxConnections
	}
	if o.PingInterval == 0 {
		o.PingInterval = defaultPingInterval
	}
	if o.SilenceLimit == 0 {
		o.SilenceLimit = silentPings * o.PingInterval
	}
	if o.WriteTimeout == 0 {
		o.WriteTimeout = defaultWriteTimeout
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Version == "" {
		o.Version = "dev"
	}
	if o.Instance == "" {
		o.Instance = schema.NewID()
	}
	return nil
}
