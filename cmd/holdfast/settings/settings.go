package settings

import (
	"log/slog"
	"net"
	"net/url"
	"path/filepath"
	"strconv"
	"time"

	"github.com/holdfast/holdfast/logs"
	"github.com/holdfast/holdfast/schema"
)

// Defaults that other places name, too.
const (
	DefaultAddr            = "127.0.0.1:8000"
	DefaultURL             = "http://" + DefaultAddr
	DefaultApprovalTimeout = 300 * time.Second
	DefaultAttendedTimeout = 24 * time.Hour
	DefaultMaxConnections  = 10_000

	// MinApprovalTimeout and MaxApprovalTimeout bound HOLDFAST_APPROVAL_TIMEOUT.
	MinApprovalTimeout = time.Second
	MaxApprovalTimeout = 30 * 24 * time.Hour
)

// The names of the settings that have flags.
const (
	// EnvApprovalTimeout, when set, applies to every session, whoever starts it.
	EnvApprovalTimeout = "HOLDFAST_APPROVAL_TIMEOUT"
	EnvAddr            = "HOLDFAST_ADDR"
	EnvURL             = "HOLDFAST_URL"
	EnvDataDir         = "HOLDFAST_DATA_DIR"
	EnvDatabaseURL     = "HOLDFAST_DATABASE_URL"
	EnvDirectURL       = "HOLDFAST_DATABASE_DIRECT_URL"
	EnvBlobURL         = "HOLDFAST_BLOB_URL"
	EnvBuildID         = "HOLDFAST_BUILD_ID"
	EnvHost            = "HOLDFAST_HOST"
	EnvLogFormat       = "HOLDFAST_LOG_FORMAT"
	EnvLogLevel        = "HOLDFAST_LOG_LEVEL"

	EnvAllowedHosts = "HOLDFAST_ALLOWED_HOSTS"
)

// Logging says how a process writes its log.
type Logging struct {
	Format logs.Format
	Level  slog.Level
}

func (l *Logging) specs() []spec {
	return []spec{
		{name: EnvLogFormat, def: string(logs.FormatAuto), allowed: "auto, text or json", help: "how log records are written; auto is text on a terminal, else json", parse: logFormat(&l.Format)},
		{name: EnvLogLevel, def: "info", allowed: "debug, info, warn or error", help: "the lowest level that is written", parse: logLevel(&l.Level)},
	}
}

// Storage says where a server process keeps and finds things.
type Storage struct {
	DataDir         string
	DatabaseURL     string
	DirectURL       string // "" is the same
	BlobURL         string
	Host            string // "" until [Storage.OpenHost] has run, unless it is set
	ApprovalTimeout time.Duration
	AttendedTimeout time.Duration // for sessions that a person starts: ApprovalTimeout when that is set, else a day
	SessionTTL      time.Duration // 0 is no limit
	DiskLow         int64         // in bytes: with less room in the data dir, it warns; 0 is never
}

func (s *Storage) specs(env Env) []spec {
	dir := filepath.Join(env.dataHome(), "holdfast")
	given := dir
	if v := env.Get(EnvDataDir); v != "" {
		_ = folder(&given)(v)
	}
	return []spec{
		{name: EnvDataDir, def: dir, allowed: "a folder", help: "where workspaces, the embedded servers and the host's name are kept", parse: folder(&s.DataDir)},
		{name: EnvDatabaseURL, required: true, allowed: "a URL such as postgres://user@host:5432/holdfast", help: "the Postgres database; holdfast up starts its own when this is not set", parse: postgresURL(&s.DatabaseURL), mask: maskURL},
		{name: EnvDirectURL, shown: "that of " + EnvDatabaseURL, allowed: "a URL such as postgres://user@host:5432/holdfast", help: "the same database without a pooler: for LISTEN, migrations and locks, which a transaction pooler does not support", parse: postgresURL(&s.DirectURL), mask: maskURL},
		{name: EnvBlobURL, def: (&url.URL{Scheme: "file", Path: filepath.Join(given, "blobs")}).String(), allowed: allowedBlobURL(), help: "where workspace snapshots are stored; hosts that share sessions must share it", parse: blobURL(&s.BlobURL), mask: maskURL},
		{name: EnvHost, shown: hostShown(given), allowed: "1 to 63 letters, digits, dots, dashes and underscores", help: "this host's name in Temporal; kept in the data dir, so that it survives a change of hostname", parse: hostName(&s.Host)},
		{name: EnvApprovalTimeout, def: "300s", shown: "300s, and 24h for sessions that a person starts", allowed: "a duration such as 300s or 24h, from 1s to 720h", help: "how long an approval waits, unless the session says otherwise", parse: duration(&s.ApprovalTimeout, MinApprovalTimeout, MaxApprovalTimeout)},
		{name: "HOLDFAST_DISK_LOW", def: "1GiB", allowed: "a size such as 500MB or 10GiB, or 0 for never", help: "free space on the data dir's disk below which a worker warns and /api/ready reports it", parse: byteSize(&s.DiskLow)},
		{name: "HOLDFAST_SESSION_TTL", def: "0s", allowed: "0s (never), or a duration such as 720h, from 1s to 87600h", help: "how long until an unused session expires, unless the session says otherwise", parse: orNever(&s.SessionTTL, duration(&s.SessionTTL, time.Second, schema.MaxSessionTTL))},
	}
}

// EnvMetricsAddr is the name of the setting that says where a worker's metrics are.
const EnvMetricsAddr = "HOLDFAST_METRICS_ADDR"

// DefaultMetricsAddr is where a worker's metrics are unless another process has the port.
const DefaultMetricsAddr = "127.0.0.1:9464"

// Metrics says where a worker serves its metrics.
type Metrics struct {
	Addr  string // "" is nowhere
	Usual bool   // nobody has set it
}

const nowhere = "off"

func (m *Metrics) specs(env Env) []spec {
	m.Usual = env.source(EnvMetricsAddr) == FromDefault
	return []spec{
		{name: EnvMetricsAddr, def: DefaultMetricsAddr, shown: DefaultMetricsAddr + ", or a free port when that is taken", allowed: "HOST:PORT, such as 127.0.0.1:9464 or :9464, or off", help: "where a worker serves /metrics, /healthz and /readyz; a web process serves its own with everything else", parse: func(v string) bool {
			if v == nowhere {
				m.Addr = ""
				return true
			}
			return hostPort(&m.Addr)(v)
		}},
	}
}

// Workspaces says how large a session's workspace may grow.
type Workspaces struct {
	Bytes int64 // 0 is any size
	Files int64 // 0 is any number
}

func (w *Workspaces) specs() []spec {
	return []spec{
		{name: "HOLDFAST_WORKSPACE_BYTES", def: "10GiB", allowed: "a size such as 500MB or 10GiB, or 0 for no limit", help: "how much disk space a session's workspace may use, including a step's /tmp and its deleted files still open; a step that exceeds it fails with disk_quota", parse: byteSize(&w.Bytes)},
		{name: "HOLDFAST_WORKSPACE_FILES", def: "100000", allowed: "a whole number from 0 (no limit) to 10000000", help: "how many files and folders a session's workspace may hold, including a step's /tmp and its deleted files still open; a step that exceeds it fails with disk_quota", parse: count(&w.Files, maxWorkspaceFiles)},
	}
}

const maxWorkspaceFiles = 10_000_000

// Listener says how the web server is reached.
type Listener struct {
	Addr           string
	MaxConnections int
	MaxPerUser     int // 0 is no separate limit
	MaxPerAddress  int // 0 is no separate limit
	Drain          time.Duration
	AllowedOrigins []string
	AllowedHosts   []string
}

// EnvDrain is the name of the setting that says over how long a web process closes its connections.
const EnvDrain = "HOLDFAST_DRAIN"

const (
	maxConnections = 1_000_000
	maxDrain       = 10 * time.Minute
)

func (l *Listener) specs() []spec {
	return []spec{
		{name: EnvAddr, def: DefaultAddr, allowed: "HOST:PORT, such as 127.0.0.1:8000 or :8000", help: "where the web server listens; port 0 picks a free one", parse: hostPort(&l.Addr)},
		{name: "HOLDFAST_MAX_CONNECTIONS", def: "10000", allowed: "a whole number from 1 to 1000000", help: "the most WebSocket connections of one web process", parse: whole(&l.MaxConnections, 1, maxConnections)},
		{name: "HOLDFAST_MAX_CONNECTIONS_PER_USER", def: "0", allowed: "a whole number from 0 (no separate limit) to 1000000", help: "the most WebSocket connections of one user to one web process", parse: whole(&l.MaxPerUser, 0, maxConnections)},
		{name: "HOLDFAST_MAX_CONNECTIONS_PER_ADDRESS", def: "0", allowed: "a whole number from 0 (no separate limit) to 1000000", help: "the most WebSocket connections from one address to one web process; behind a proxy, all come from the proxy's address", parse: whole(&l.MaxPerAddress, 0, maxConnections)},
		{name: EnvDrain, def: "5s", allowed: "a duration from 0s (at once) to 10m", help: "how long a stopping web process takes to close its WebSocket connections, when there are more than 20", parse: duration(&l.Drain, 0, maxDrain)},
		{name: "HOLDFAST_ALLOWED_ORIGINS", allowed: "a comma-separated list of origins such as https://holdfast.example.org", help: "other origins whose web pages may connect; the server's own always may", parse: origins(&l.AllowedOrigins)},
		{name: EnvAllowedHosts, allowed: "a comma-separated list of names, with or without a port, such as holdfast.example.org, lab:8000 or 192.168.1.5", help: "the host names that clients use for the web server, besides localhost and loopback addresses; required when HOLDFAST_ADDR is not on loopback, to prevent DNS rebinding", parse: hostNames(&l.AllowedHosts)},
	}
}

// check refuses to listen beyond loopback without a list of allowed names.
func (l *Listener) check() error {
	host, _, _ := net.SplitHostPort(l.Addr) // the address was checked before
	ip := net.ParseIP(host)
	if host == "localhost" || (ip != nil && ip.IsLoopback()) || len(l.AllowedHosts) > 0 {
		return nil
	}
	return &Error{Name: EnvAllowedHosts, Missing: true, Allowed: "the names by which clients call this server, such as holdfast.example.org or 192.168.1.5; it is needed because HOLDFAST_ADDR, " + strconv.Quote(l.Addr) + ", is not on loopback"}
}

// Binaries says where the embedded servers' programs are.
type Binaries struct {
	Temporal string
	Postgres string
}

func (b *Binaries) specs() []spec {
	return []spec{
		{name: "HOLDFAST_TEMPORAL_BIN", shown: "temporal beside the program", allowed: "a file", help: "the temporal program that holdfast up starts", parse: folder(&b.Temporal)},
		{name: "HOLDFAST_POSTGRES_DIR", shown: "postgres beside the program", allowed: "a folder with bin, lib and share", help: "the Postgres that holdfast up starts", parse: folder(&b.Postgres)},
	}
}

// Agents says which language model agent steps use.
type Agents struct {
	APIKey  string
	BaseURL string
	Model   string
}

func (a *Agents) specs() []spec {
	return []spec{
		{name: "OPENAI_API_KEY", allowed: "a key", help: "reserved for agent steps; not used by this version", parse: text(&a.APIKey), mask: maskAll},
		{name: "OPENAI_BASE_URL", allowed: "an http:// or https:// URL", help: "reserved for agent steps; checked, but not used by this version", parse: webURL(&a.BaseURL)},
		{name: "HOLDFAST_MODEL", allowed: "a model's name", help: "reserved for agent steps; not used by this version", parse: text(&a.Model)},
	}
}

// Versioning says which build of a Temporal Worker Deployment a worker is.
type Versioning struct {
	BuildID string // "" is none; [AutoBuildID] stands for the program's own version
}

// AutoBuildID is the value of HOLDFAST_BUILD_ID that stands for the program's version.
const AutoBuildID = "auto"

func (v *Versioning) specs() []spec {
	return []spec{
		{name: EnvBuildID, shown: none, allowed: "auto, or 1 to 63 letters, digits, dots, dashes and underscores, but not unversioned", help: "the worker's build id, for holdfast rollout; auto is the program's version, none leaves the worker unversioned", parse: buildID(&v.BuildID)},
	}
}

// Client are the settings of the commands that talk to a server.
type Client struct {
	URL string
}

func (c *Client) specs() []spec {
	return []spec{
		{name: EnvURL, def: DefaultURL, allowed: "a URL such as http://127.0.0.1:8000", help: "the server that session and approval commands talk to", parse: webURL(&c.URL)},
	}
}

// Web are the settings of `holdfast web`.
type Web struct {
	Logging
	Storage
	Listener
	Hosts
	Temporal
}

// Worker are the settings of `holdfast worker`.
type Worker struct {
	Logging
	Storage
	Workspaces
	Isolation
	Hosts
	Retention
	Agents
	Versioning
	Temporal

	Metrics Metrics
}

// Stack are the settings of `holdfast up`. DatabaseURL and Temporal.Named say which servers
// it need not start.
type Stack struct {
	Logging
	Storage
	Listener
	Binaries
	Temporal
}

// Migrate are the settings of `holdfast migrate`.
type Migrate struct {
	Logging
	DatabaseURL string
	DirectURL   string
}

// LoadWeb reads the settings of a web process.
func LoadWeb(env Env) (*Web, error) {
	w := &Web{}
	if err := load(env, w.Logging.specs(), w.Storage.specs(env), w.Listener.specs(), w.Hosts.specs()); err != nil {
		return nil, err
	}
	if err := w.check(); err != nil {
		return nil, err
	}
	w.AttendedTimeout = DefaultAttendedTimeout
	if env.source(EnvApprovalTimeout) != FromDefault {
		w.AttendedTimeout = w.ApprovalTimeout
	}
	return w, loadTemporal(env, &w.Temporal)
}

// LoadWorker reads the settings of a worker process.
func LoadWorker(env Env) (*Worker, error) {
	w := &Worker{}
	if err := load(env, w.Logging.specs(), w.Storage.specs(env), w.Workspaces.specs(), w.Isolation.specs(), w.Hosts.specs(), w.Retention.specs(), w.Agents.specs(), w.Versioning.specs(), w.Metrics.specs(env)); err != nil {
		return nil, err
	}
	return w, loadTemporal(env, &w.Temporal)
}

// LoadStack reads the settings of the embedded stack, and checks those that its children
// will read, so that a bad one fails at once.
func LoadStack(env Env) (*Stack, error) {
	s := &Stack{}
	storage := s.Storage.specs(env)
	for i := range storage {
		storage[i].required = false
	}
	if err := load(env, s.Logging.specs(), storage, s.Listener.specs(), s.Binaries.specs(), new(Workspaces).specs(), new(Isolation).specs(), new(Hosts).specs(), new(Retention).specs(), new(Agents).specs(), new(Metrics).specs(env)); err != nil {
		return nil, err
	}
	if err := s.check(); err != nil {
		return nil, err
	}
	return s, loadTemporal(env, &s.Temporal)
}

// LoadMigrate reads the settings of the migrate commands.
func LoadMigrate(env Env) (*Migrate, error) {
	m, s := &Migrate{}, &Storage{}
	if err := load(env, m.specs(), s.specs(env)); err != nil {
		return nil, err
	}
	m.DatabaseURL, m.DirectURL = s.DatabaseURL, s.DirectURL
	return m, nil
}

// Collect are the settings of `holdfast gc`. DatabaseURL may be "".
type Collect struct {
	Logging
	Storage
}

// LoadCollect reads the settings of the gc command.
func LoadCollect(env Env) (*Collect, error) {
	c := &Collect{}
	storage := c.Storage.specs(env)
	for i := range storage {
		storage[i].required = false
	}
	return c, load(env, c.Logging.specs(), storage)
}

// Rollout are the settings of `holdfast rollout`.
type Rollout struct {
	Logging
	Temporal
}

// LoadRollout reads the settings of the rollout command.
func LoadRollout(env Env) (*Rollout, error) {
	r := &Rollout{}
	if err := load(env, r.specs()); err != nil {
		return nil, err
	}
	return r, loadTemporal(env, &r.Temporal)
}

// LoadClient reads the settings of the commands that talk to a server.
func LoadClient(env Env) (*Client, error) {
	c := &Client{}
	return c, load(env, c.specs())
}

// All lists every setting. A bad value is listed with its Problem.
func All(env Env) []Setting {
	var out []Setting
	for _, group := range [][]spec{
		new(Listener).specs(), new(Storage).specs(env), new(Workspaces).specs(), new(Isolation).specs(), new(Hosts).specs(), new(Retention).specs(), new(Client).specs(), new(Logging).specs(), new(Metrics).specs(env),
		new(Binaries).specs(), new(Agents).specs(), new(Versioning).specs(),
	} {
		for i := range group {
			out = append(out, group[i].describe(env))
		}
	}
	return append(out, describeTemporal(env)...)
}
