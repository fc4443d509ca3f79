package stack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/holdfast/holdfast/embedded"
)

// DefaultAddr is where web listens by default.
const DefaultAddr = "127.0.0.1:8000"

// Names of the parts, in the state file, log lines and log file names.
const (
	namePostgres = "postgres"
	nameTemporal = "temporal"
	nameWorker   = "worker"
	nameWeb      = "web"
)

// ErrAddrTaken says that another program holds an address that the user asked for.
var ErrAddrTaken = errors.New("address is taken")

// Up runs the whole product on one machine. The zero value of every field but DataDir is usable.
type Up struct {
	// Addr is where web listens. Empty means DefaultAddr, or a free port when that is taken; an address given here is
	// used or refused. Port 0 is any free one, and then the embedded servers keep off their well-known ports, too.
	Addr string
	// DataDir holds everything that must survive. Made when missing.
	DataDir string
	// TemporalUIPort is for the embedded Temporal's Web UI. 0 means 8233, or a free port when that is taken.
	TemporalUIPort int
	// DatabaseURL names a Postgres to use instead of the embedded one; $HOLDFAST_DATABASE_URL when empty.
	DatabaseURL string
	// TemporalAddress names a Temporal to use instead of the embedded one; $TEMPORAL_ADDRESS when empty.
	TemporalAddress string
	// Executable understands "migrate up", "worker" and "web"; this executable when empty.
	Executable string
	// Stdout gets the ready line, Stderr what worker and web log. os.Stdout and os.Stderr when nil.
	Stdout, Stderr io.Writer
	// EndSteps and KeepSteps say that the user has decided what happens to running steps at a stop: the worker ends them,
	// or keeps them. When neither is set and up is stopped with Ctrl-C, it calls Ask.
	EndSteps, KeepSteps bool
	// Unset names variables to hide from the parts.
	Unset []string
	// Ask asks the person at the terminal a question; nil when there is nobody, and then steps are kept.
	Ask func(ctx context.Context, question string) (answer string, ok bool)
	// Log gets up's own records; slog.Default when nil.
	Log *slog.Logger

	givenUIPort bool
	anyPorts    bool // Addr has port 0
	holder      *holder
	postgres    *embedded.Postgres // nil when DatabaseURL is given
	temporal    *embedded.Temporal // nil when TemporalAddress is given
	hurry       chan struct{}      // closed by the second Ctrl-C
	hurryUp     func()             // closes it
	lost        chan error         // gets the reason why a part cannot go on where it was
	running     []*supervisor      // in the order of their start
	worker      *supervisor        // one of running
	listens     string             // where web listens
}

// Run starts everything, prints the ready line, and runs until ctx is done; then it stops everything in order and
// returns nil. It returns an error when a part cannot be started at all.
func (u *Up) Run(ctx context.Context) error {
	if err := u.defaults(); err != nil {
		return err
	}
	holder, left, err := hold(u.DataDir)
	if err != nil {
		return err
	}
	u.holder = holder
	defer holder.release() //nolint:errcheck // the kernel releases the lock in any case

	u.mayHurry()
	u.lost = make(chan error, 1)
	err = u.clear(ctx, left)
	if err == nil {
		err = u.runParts(ctx)
	}
	if ctx.Err() != nil {
		err = nil // asked to stop, before or after everything was ready
		u.Log.Info("stopping")
	}
	u.stop(ctx)
	if cleared := holder.update(func(s *state) { s.Children = nil }); err == nil {
		err = cleared
	}
	return err
}

// mayHurry prepares for a person who does not want to wait for a clean stop.
func (u *Up) mayHurry() {
	u.hurry = make(chan struct{})
	u.hurryUp = sync.OnceFunc(func() { close(u.hurry) })
}

// runParts starts everything and waits until ctx ends. When a part has lost its port to
// another program, it starts all parts afresh: the others must not go on with that program
// in the part's place.
func (u *Up) runParts(ctx context.Context) error {
	for announced := false; ; announced = true {
		if err := u.start(ctx); err != nil {
			return err
		}
		if !announced {
			if err := u.announce(); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case reason := <-u.lost:
			u.Log.Warn("a port was taken by another program; every part starts anew", "error", reason)
			u.stop(ctx)
			u.running, u.worker = nil, nil
			if u.postgres != nil {
				u.DatabaseURL = "" // it was ours
			}
		}
	}
}

func (u *Up) defaults() error {
	if u.Stdout == nil {
		u.Stdout = os.Stdout
	}
	if u.Stderr == nil {
		u.Stderr = os.Stderr
	}
	if u.Log == nil {
		u.Log = slog.Default()
	}
	if u.DatabaseURL == "" {
		u.DatabaseURL = os.Getenv("HOLDFAST_DATABASE_URL")
	}
	if u.TemporalAddress == "" {
		u.TemporalAddress = os.Getenv("TEMPORAL_ADDRESS")
	}
	u.givenUIPort = u.TemporalUIPort != 0
	var err error
	if u.Executable == "" {
		if u.Executable, err = os.Executable(); err != nil {
			return fmt.Errorf("find our own executable: %w", err)
		}
	}
	if u.DataDir == "" {
		if u.DataDir, err = DefaultDataDir(); err != nil {
			return err
		}
	}
	if u.DataDir, err = filepath.Abs(u.DataDir); err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	return nil
}

// DefaultDataDir returns the folder in the user's home that up uses by default.
func DefaultDataDir() (string, error) {
	if dir := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "holdfast"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("data folder: none was named, and %w", err)
	}
	return filepath.Join(home, ".local", "share", "holdfast"), nil
}

// clear ends what an earlier up on this data folder left running.
func (u *Up) clear(ctx context.Context, left []embedded.Owned) error {
	if u.DatabaseURL == "" {
		// A Postgres that had started but was not yet recorded when its up was killed.
		unrecorded := embedded.Postgres{Dir: filepath.Join(u.DataDir, namePostgres)}
		if owned, err := embedded.OwnedBy(namePostgres, unrecorded.Postmaster()); err == nil && owned.PID != 0 {
			left = append(left, owned)
		}
	}
	names, err := endLeftovers(ctx, left)
	if err != nil {
		return err
	}
	if len(names) > 0 {
		u.Log.Warn("ended what an earlier up left over", "processes", names)
	}
	return u.holder.update(func(s *state) { s.Children = nil })
}

// start brings the parts up: both servers at once, migrations as soon as Postgres answers, then worker and web.
func (u *Up) start(ctx context.Context) error {
	logs := filepath.Join(u.DataDir, "logs")
	if err := os.MkdirAll(logs, 0o700); err != nil {
		return fmt.Errorf("log folder: %w", err)
	}
	addr, err := u.chooseAddr()
	if err != nil {
		return err
	}
	postgres, temporal, err := u.servers(logs)
	if err != nil {
		return err
	}
	if postgres != nil {
		if err := postgres.awaitReady(ctx); err != nil {
			return err
		}
		u.DatabaseURL = u.postgres.DSN(embedded.DefaultDatabase)
	}
	// Migrations need no Temporal, so they run while it starts.
	if err := u.program(addr, logs, "").migrate(ctx); err != nil {
		return err
	}
	if temporal != nil {
		if err := temporal.awaitReady(ctx); err != nil {
			return err
		}
	}
	temporalAddr := u.TemporalAddress
	if temporalAddr == "" {
		temporalAddr = u.temporal.Addr()
	}
	if u.temporal != nil && !u.anyPorts && u.temporal.Port != embedded.DefaultTemporalPort {
		u.Log.Warn("temporal does not have its usual port, because that was taken when this data folder was new",
			"usual", embedded.DefaultTemporalPort, "using", u.temporal.Port)
	}
	u.listens = addr
	if at := beyond(addr); at != "" {
		u.Log.Warn("web listens beyond this machine: whoever reaches it may do everything", "addr", addr)
	}
	program := u.program(addr, logs, temporalAddr)
	u.worker = u.launch(program.worker())
	web := u.launch(program.web())
	return errors.Join(u.worker.awaitReady(ctx), web.awaitReady(ctx), u.holder.update(func(s *state) {
		s.Web, s.Temporal, s.TemporalUI = webURL(addr), temporalAddr, u.uiURL()
		if u.postgres != nil {
			s.Postgres = u.postgres.Addr()
		}
	}))
}

func (u *Up) launch(spec child) *supervisor {
	s := supervise(spec, u.Log, u.hurry, func(name string, pid int) {
		if err := u.holder.record(name, pid); err != nil {
			u.Log.Error("cannot record a process", "process", name, "pid", pid, "error", err)
		}
	}, func(err error) {
		select {
		case u.lost <- err:
		default: // one reason is enough
		}
	})
	u.running = append(u.running, s)
	return s
}

// announce prints the one line that says everything is ready.
func (u *Up) announce() error {
	s := u.holder.now()
	ui := s.TemporalUI
	if ui == "" {
		ui = "-"
	}
	_, err := fmt.Fprintf(u.Stdout, "holdfast ready  web=%s  temporal=%s  temporal-ui=%s  postgres=%s%s\n",
		s.Web, s.Temporal, ui, u.databaseAddr(), beyond(u.listens))
	if err != nil {
		return fmt.Errorf("say that all is ready: %w", err)
	}
	return nil
}

// chooseAddr returns the address for web: the one asked for, else the default, else a free port.
func (u *Up) chooseAddr() (string, error) {
	given, addr := u.Addr != "", u.Addr
	if !given {
		addr = DefaultAddr
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", fmt.Errorf("address %q: want HOST:PORT: %w", addr, err)
	}
	u.anyPorts = port == "0"
	if !u.anyPorts && addrFree(addr) {
		return addr, nil
	}
	if given && !u.anyPorts {
		return "", fmt.Errorf("%w: something else listens on %s; name another with --addr", ErrAddrTaken, addr)
	}
	free, err := embedded.FreePort()
	if err != nil {
		return "", fmt.Errorf("address %q: %w", addr, err)
	}
	chosen := net.JoinHostPort(host, strconv.Itoa(free))
	if !given {
		u.Log.Warn("the default address is taken, using another", "taken", addr, "using", chosen)
	}
	return chosen, nil
}

func addrFree(addr string) bool {
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", addr)
	return err == nil && listener.Close() == nil
}

// beyond says where web listens, if that is more than the loopback address that a browser on this machine uses.
func beyond(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if ip := net.ParseIP(host); err != nil || host == "localhost" || ip != nil && ip.IsLoopback() {
		return ""
	}
	if host == "" {
		host = "0.0.0.0" // or the same in IPv6
	}
	return "  listens=" + net.JoinHostPort(host, port)
}

// webURL is web's address for a browser on this machine.
func webURL(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "http://" + addr
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = embedded.Loopback
	}
	return "http://" + net.JoinHostPort(host, port)
}

func (u *Up) uiURL() string {
	if u.temporal == nil {
		return ""
	}
	return u.temporal.UIURL()
}

// databaseAddr is where the database listens, without user and password: those are in DATA/postgres/password, or where
// the user keeps them.
func (u *Up) databaseAddr() string {
	if u.postgres != nil {
		return u.postgres.Addr()
	}
	return addressOf(u.DatabaseURL)
}

func addressOf(dsn string) string {
	config, err := pgconn.ParseConfig(dsn)
	if err != nil {
		return "-"
	}
	return net.JoinHostPort(config.Host, strconv.Itoa(int(config.Port)))
}

const (
	webGrace    = 8 * time.Second
	workerGrace = 20 * time.Second
	serverGrace = 10 * time.Second
)
