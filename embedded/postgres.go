package embedded

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	// DefaultDatabase is the name of the database that WaitReady creates if needed, and of its owner.
	DefaultDatabase = "holdfast"

	startTimeout   = 30 * time.Second
	connectTimeout = 2 * time.Second
)

// ErrNoSpace says that the disk is full. Trying again is useless until somebody makes room.
var ErrNoSpace = errors.New("the disk has no space left")

// newDatabaseMB is how much initdb and the first start write, including the first file of the write-ahead log.
const newDatabaseMB = 60

// ErrRunning says that a live server already works on the data folder.
var ErrRunning = errors.New("already running")

// Postgres is a Postgres server of our own. Fill in the exported fields and call Start. If something else starts and
// restarts the process, call Prepare once, then Command and WaitReady for each start.
type Postgres struct {
	// Dir holds data/ (the cluster), password (0600) and port. Made when missing.
	Dir string
	// Port to use. 0 means the port of the last start, or any free one. If it is taken, a free one is chosen.
	Port int
	// Bin is the folder with bin, lib and share; FindPostgres when empty.
	Bin string
	// LogFile gets what the server prints; Dir/postgres.log when empty.
	LogFile string
	// Settings are added to, or replace, the ones in defaultSettings.
	Settings map[string]string

	instance
	password string
}

func defaultSettings() map[string]string {
	return map[string]string{
		"listen_addresses":        Loopback,
		"unix_socket_directories": "",
		"max_connections":         "200",
		"shared_buffers":          "128MB",
		"max_wal_size":            "2GB",
		"synchronous_commit":      "on",
		"jit":                     "off",
		"log_timezone":            "UTC",
		"timezone":                "UTC",
		"log_line_prefix":         "%m [%p] ",
	}
}

// Prepare makes the cluster if there is none, cleans up after a crash, and settles the port. It fails with ErrRunning
// when a live Postgres uses this folder.
func (p *Postgres) Prepare(ctx context.Context) error {
	return noSpace(p.prepare(ctx))
}

func (p *Postgres) prepare(ctx context.Context) error {
	var err error
	if p.Bin, err = FindPostgres(p.Bin); err != nil {
		return err
	}
	if p.Dir, err = filepath.Abs(p.Dir); err != nil {
		return fmt.Errorf("prepare postgres: %w", err)
	}
	if err := os.MkdirAll(p.Dir, 0o700); err != nil {
		return fmt.Errorf("prepare postgres: %w", err)
	}
	if p.LogFile == "" {
		p.LogFile = filepath.Join(p.Dir, "postgres.log")
	}
	if p.password, err = p.readPassword(); err != nil {
		return fmt.Errorf("prepare postgres: %w", err)
	}
	if err := p.initialise(ctx); err != nil {
		return fmt.Errorf("prepare postgres: %w", err)
	}
	if err := p.ClearStale(); err != nil {
		return fmt.Errorf("prepare postgres: %w", err)
	}
	if err := p.settlePort(); err != nil {
		return fmt.Errorf("prepare postgres: %w", err)
	}
	return nil
}

// ClearStale removes the lock file that a killed server left. It fails with ErrRunning when the server lives.
func (p *Postgres) ClearStale() error {
	if pid := p.Postmaster(); pid != 0 {
		return fmt.Errorf("pid %d on %s: %w", pid, p.Dir, ErrRunning)
	}
	// No live Postgres is behind the file, whatever it says: another process may have its pid by now, which Postgres
	// itself would take for a running server.
	if err := os.Remove(p.pidFile()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("clear stale lock: %w", err)
	}
	return nil
}

// Postmaster returns the pid of a live server that uses Dir, whoever started it; 0 when there is none.
func (p *Postgres) Postmaster() int {
	content, err := os.ReadFile(p.pidFile())
	if err != nil {
		return 0
	}
	first, _, _ := bytes.Cut(content, []byte("\n"))
	pid, err := strconv.Atoi(strings.TrimSpace(string(first)))
	if err != nil || pid <= 1 {
		return 0
	}
	if _, err := StartTime(pid); err != nil || !worksIn(pid, p.dataDir()) {
		return 0
	}
	return pid
}

// Command returns a command that runs the server in the foreground. Prepare must have been called.
func (p *Postgres) Command() *exec.Cmd {
	settings := defaultSettings()
	maps.Copy(settings, p.Settings)
	settings["port"] = strconv.Itoa(p.Port)
	args := []string{"-D", p.dataDir()}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		args = append(args, "-c", name+"="+settings[name])
	}
	cmd := exec.Command(filepath.Join(p.Bin, "bin", "postgres"), args...)
	cmd.Dir = p.Dir
	cmd.Env = cleanEnv("PG", "LC_", "LANG")
	unroot(cmd)
	return cmd
}

// WaitReady returns when the server takes connections and the database exists. It fails at once when ended is closed.
func (p *Postgres) WaitReady(ctx context.Context, ended <-chan struct{}) error {
	err := poll(ctx, ended, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, connectTimeout)
		defer cancel()
		return p.ensureDatabase(ctx, DefaultDatabase)
	})
	if err != nil {
		return fmt.Errorf("wait for postgres on %s: %w", p.Addr(), err)
	}
	return nil
}

// Addr returns the host and port that the server listens on.
func (p *Postgres) Addr() string { return address(p.Port) }

// DSN returns the address, with user and password, of a database on this server.
func (p *Postgres) DSN(database string) string {
	dsn := url.URL{
		Scheme: "postgres", User: url.UserPassword(DefaultDatabase, p.password), Host: p.Addr(),
		Path: "/" + database, RawQuery: "sslmode=disable",
	}
	return dsn.String()
}

// Start prepares and starts the server and returns when it is ready. The server ends with this process.
func (p *Postgres) Start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		if err := p.Prepare(ctx); err != nil {
			return err
		}
		err := p.startOnce(ctx)
		if err == nil || ctx.Err() != nil {
			return err
		}
		tail := LogTail(p.LogFile)
		switch {
		case strings.Contains(tail, "pre-existing shared memory block"):
			// Backends of a killed server are still ending.
		case strings.Contains(tail, "could not create any TCP/IP sockets"):
			p.Port = 0 // taken since it was chosen
		default:
			return fmt.Errorf("%w\n%s", err, tail)
		}
	}
}

func (p *Postgres) startOnce(ctx context.Context) error {
	log, err := OpenLog(p.LogFile)
	if err != nil {
		return err
	}
	defer log.Close()
	if err := log.Truncate(0); err != nil {
		return fmt.Errorf("start postgres: %w", err)
	}
	cmd := p.Command()
	cmd.Stdout, cmd.Stderr = log, log
	process, err := StartProcess(cmd, PostgresDeathSignal)
	if err != nil {
		return fmt.Errorf("%w%s", err, rootHint(err))
	}
	p.set(process)
	if err := p.WaitReady(ctx, process.Done()); err != nil {
		return errors.Join(err, process.Kill())
	}
	return nil
}

// Signals that Postgres understands.
const (
	// PostgresStopSignal ends every connection and stops cleanly ("fast shutdown").
	PostgresStopSignal = syscall.SIGINT
	// PostgresDeathSignal stops at once, without a checkpoint, but still removes its lock file and shared memory.
	PostgresDeathSignal = syscall.SIGQUIT
)

// Stop stops the server cleanly, or by SIGKILL if ctx ends first. It may be called twice.
func (p *Postgres) Stop(ctx context.Context) error { return p.stop(ctx, PostgresStopSignal) }

func (p *Postgres) dataDir() string { return filepath.Join(p.Dir, "data") }
func (p *Postgres) pidFile() string { return filepath.Join(p.dataDir(), "postmaster.pid") }

// initialise runs initdb in a folder beside the final one, and renames it into place when it is complete.
func (p *Postgres) initialise(ctx context.Context) error {
	if _, err := os.Stat(filepath.Join(p.dataDir(), "PG_VERSION")); err == nil {
		return nil
	}
	fresh := p.dataDir() + ".new"
	if err := os.RemoveAll(fresh); err != nil {
		return fmt.Errorf("initdb: %w", err)
	}
	args := []string{
		"-D", fresh, "-U", DefaultDatabase, "-A", "scram-sha-256", "--pwfile", p.passwordFile(), "-E", "UTF8",
		"--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-instructions",
	}
	if p.Settings["fsync"] == "off" {
		args = append(args, "--no-sync")
	}
	cmd := exec.CommandContext(ctx, filepath.Join(p.Bin, "bin", "initdb"), args...)
	cmd.Dir = p.Dir
	cmd.Env = cleanEnv("PG", "LC_", "LANG")
	unroot(cmd)
	if out, err := cmd.CombinedOutput(); err != nil {
		_ = os.RemoveAll(fresh) // what initdb left behind
		if bytes.Contains(bytes.ToLower(out), []byte(syscall.ENOSPC.Error())) {
			return fmt.Errorf("%w for a new database: it takes some %d MB in %s", ErrNoSpace, newDatabaseMB, p.Dir)
		}
		return fmt.Errorf("initdb: %w%s\n%s", err, rootHint(err), bytes.TrimSpace(out))
	}
	if err := os.Rename(fresh, p.dataDir()); err != nil {
		return fmt.Errorf("initdb: %w", err)
	}
	return syncFile(p.Dir)
}

func (p *Postgres) passwordFile() string { return filepath.Join(p.Dir, "password") }

func (p *Postgres) readPassword() (string, error) {
	content, err := os.ReadFile(p.passwordFile())
	if password := strings.TrimSpace(string(content)); err == nil && password != "" {
		return password, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read password: %w", err)
	}
	random := make([]byte, 24)
	_, _ = rand.Read(random) // never fails
	password := hex.EncodeToString(random)
	if err := writeWhole(p.passwordFile(), password+"\n"); err != nil {
		return "", fmt.Errorf("write password: %w", err)
	}
	return password, nil
}

func (p *Postgres) settlePort() error {
	file := filepath.Join(p.Dir, "port")
	if p.Port == 0 {
		if content, err := os.ReadFile(file); err == nil {
			p.Port, _ = strconv.Atoi(strings.TrimSpace(string(content)))
		}
	}
	if p.Port <= 0 || !PortFree(p.Port) {
		port, err := FreePort()
		if err != nil {
			return err
		}
		p.Port = port
	}
	if err := os.WriteFile(file, []byte(strconv.Itoa(p.Port)+"\n"), 0o600); err != nil {
		return fmt.Errorf("keep port: %w", err)
	}
	return nil
}

func (p *Postgres) ensureDatabase(ctx context.Context, database string) error {
	conn, err := pgx.Connect(ctx, p.DSN(database))
	if err == nil {
		return conn.Close(ctx)
	}
	const noSuchDatabase, duplicate = "3D000", "42P04"
	var problem *pgconn.PgError
	if !errors.As(err, &problem) || problem.Code != noSuchDatabase {
		return fmt.Errorf("connect: %w", err)
	}
	if conn, err = pgx.Connect(ctx, p.DSN("postgres")); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{database}.Sanitize())
	if errors.As(err, &problem) && problem.Code == duplicate {
		return nil
	}
	if err != nil {
		return fmt.Errorf("create database %q: %w", database, err)
	}
	return nil
}

func rootHint(err error) string {
	if os.Geteuid() == 0 && errors.Is(err, syscall.EPERM) {
		return " (Postgres does not run as root, and user namespaces are not permitted here: " +
			"run as a normal user, or name a server in HOLDFAST_DATABASE_URL)"
	}
	return ""
}

// cleanEnv returns this process's environment without the variables whose names start with one of the prefixes.
func cleanEnv(prefixes ...string) []string {
	return slices.DeleteFunc(os.Environ(), func(entry string) bool {
		return slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(entry, prefix) })
	})
}
