package embedded

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
)

// DefaultNamespace is the namespace that the development server always has.
const DefaultNamespace = "default"

// The well-known ports of the Temporal development server.
const (
	DefaultTemporalPort   = 7233
	DefaultTemporalUIPort = 8233
)

// Temporal is a Temporal development server of our own, with its state in one SQLite file. Fill in the exported fields
// and call Start. If something else starts and restarts the process, call Prepare once, then Command and WaitReady for
// each start.
type Temporal struct {
	// Dir holds temporal.db and ports. Made when missing.
	Dir string
	// Port and UIPort to use. 0 means those of the last start, or any free one. One that is taken is replaced.
	// UIPort is where GuardUI listens, in front of the Web UI itself.
	Port, UIPort int
	// DefaultPort and DefaultUIPort are tried before any free one, when no port is set and there was no last start.
	DefaultPort, DefaultUIPort int
	// Headless leaves the Web UI out.
	Headless bool
	// SearchAttributes to register at start: name to type (Keyword, Int, Text, Datetime, …).
	SearchAttributes map[string]string
	// Namespaces to make besides "default".
	Namespaces []string
	// DynamicConfig of the server: key to JSON value.
	DynamicConfig map[string]string
	// Bin is the temporal binary; FindTemporal when empty.
	Bin string
	// LogFile gets what the server prints; Dir/temporal.log when empty.
	LogFile string

	instance
	httpPort, metricsPort int
	ui                    string // where the Web UI itself listens; empty when there is none
}

// Prepare makes the folder and settles the ports.
func (t *Temporal) Prepare(context.Context) error { return noSpace(t.prepare()) }

func (t *Temporal) prepare() error {
	var err error
	if t.Bin, err = FindTemporal(t.Bin); err != nil {
		return err
	}
	if t.Dir, err = filepath.Abs(t.Dir); err != nil {
		return fmt.Errorf("prepare temporal: %w", err)
	}
	if err := os.MkdirAll(t.Dir, 0o700); err != nil {
		return fmt.Errorf("prepare temporal: %w", err)
	}
	if t.LogFile == "" {
		t.LogFile = filepath.Join(t.Dir, "temporal.log")
	}
	if err := t.beginDatabase(); err != nil {
		return fmt.Errorf("prepare temporal: %w", err)
	}
	t.ui = ""
	if !t.Headless {
		t.ui = hideaway()
	}
	return t.settlePorts()
}

// dynamicConfig is the default for every server.
var dynamicConfig = map[string]string{
	// By default a workflow's eleventh concurrent update is refused, and the refusal drops the
	// task that the first ten are in (server 1.29): in a crowd nobody gets an answer for long.
	"history.maxInFlightUpdates": "1000",
}

// Command returns a command that runs the server in the foreground. Prepare must have been called.
func (t *Temporal) Command() *exec.Cmd {
	args := []string{
		"server", "start-dev", "--disable-config-file", "--disable-config-env",
		"--db-filename", filepath.Join(t.Dir, "temporal.db"),
		// With these, writes are 5 to 7 times as fast, and the state still survives SIGKILL.
		"--sqlite-pragma", "journal_mode=WAL", "--sqlite-pragma", "synchronous=NORMAL",
		"--ip", Loopback, "--port", strconv.Itoa(t.Port),
		"--http-port", strconv.Itoa(t.httpPort), "--metrics-port", strconv.Itoa(t.metricsPort),
		"--log-level", "warn", "--log-format", "json",
	}
	if host, port, err := net.SplitHostPort(t.ui); err == nil {
		args = append(args, "--ui-ip", host, "--ui-port", port)
	} else {
		args = append(args, "--headless")
	}
	for _, namespace := range t.Namespaces {
		args = append(args, "--namespace", namespace)
	}
	for _, name := range slices.Sorted(maps.Keys(t.SearchAttributes)) {
		args = append(args, "--search-attribute", name+"="+t.SearchAttributes[name])
	}
	config := maps.Clone(dynamicConfig)
	maps.Copy(config, t.DynamicConfig)
	// The HTTP API cannot be turned off. It checks neither a request's origin nor its type, so a form on any web page
	// could use it to signal workflows: let it answer only to a name that nobody knows.
	config["frontend.httpAllowedHosts"] = `["` + strings.ToLower(rand.Text()) + `.invalid"]`
	for _, key := range slices.Sorted(maps.Keys(config)) {
		args = append(args, "--dynamic-config-value", key+"="+config[key])
	}
	cmd := exec.Command(t.Bin, args...)
	cmd.Dir = t.Dir
	cmd.Env = cleanEnv("TEMPORAL_")
	return cmd
}

// WaitReady returns when the Web UI listens, the server answers for its default namespace, and its whole database is on
// the disk. It fails at once when ended is closed.
func (t *Temporal) WaitReady(ctx context.Context, ended <-chan struct{}) error {
	// gRPC waits a second after a refused connection: wait for the port first.
	err := poll(ctx, ended, func(ctx context.Context) error {
		if t.ui != "" {
			if err := dial(ctx, t.ui); err != nil {
				return err
			}
		}
		return dial(ctx, t.Addr())
	})
	if err != nil {
		return fmt.Errorf("wait for temporal on %s: %w", t.Addr(), err)
	}
	quiet := slog.New(slog.DiscardHandler)
	connection, err := client.NewLazyClient(client.Options{HostPort: t.Addr(), Namespace: DefaultNamespace, Logger: quiet})
	if err != nil {
		return fmt.Errorf("wait for temporal: %w", err)
	}
	defer connection.Close()
	err = poll(ctx, ended, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, connectTimeout)
		defer cancel()
		_, err := connection.WorkflowService().DescribeNamespace(ctx,
			&workflowservice.DescribeNamespaceRequest{Namespace: DefaultNamespace})
		return err
	})
	if err != nil {
		return fmt.Errorf("wait for temporal on %s: %w", t.Addr(), err)
	}
	return t.keepDatabase()
}

// Addr returns the host and port of the gRPC frontend, as for TEMPORAL_ADDRESS.
func (t *Temporal) Addr() string { return address(t.Port) }

// UIURL returns the address of the Web UI behind GuardUI; empty when there is none.
func (t *Temporal) UIURL() string {
	if t.ui == "" {
		return ""
	}
	return "http://" + address(t.UIPort)
}

// Start prepares and starts the server, without GuardUI, and returns when it is ready. The server ends with this process.
func (t *Temporal) Start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		if err := t.Prepare(ctx); err != nil {
			return err
		}
		err := t.startOnce(ctx)
		if err == nil || ctx.Err() != nil {
			return err
		}
		tail := LogTail(t.LogFile)
		if !strings.Contains(tail, "address already in use") {
			return fmt.Errorf("%w\n%s", err, tail)
		}
		// A port was taken since it was chosen: Prepare chooses again.
	}
}

func (t *Temporal) startOnce(ctx context.Context) error {
	log, err := OpenLog(t.LogFile)
	if err != nil {
		return err
	}
	defer log.Close()
	if err := log.Truncate(0); err != nil {
		return fmt.Errorf("start temporal: %w", err)
	}
	cmd := t.Command()
	cmd.Stdout, cmd.Stderr = log, log
	process, err := StartProcess(cmd, syscall.SIGKILL)
	if err != nil {
		return err
	}
	t.set(process)
	if err := t.WaitReady(ctx, process.Done()); err != nil {
		return errors.Join(err, process.Kill())
	}
	return nil
}

// TemporalStopSignal makes the development server stop cleanly.
const TemporalStopSignal = syscall.SIGTERM

// Stop stops the server cleanly, or by SIGKILL if ctx ends first. It may be called twice.
func (t *Temporal) Stop(ctx context.Context) error { return t.stop(ctx, TemporalStopSignal) }

// settlePorts gives each port that was not set its value of the last start, and replaces those taken.
func (t *Temporal) settlePorts() error {
	file := filepath.Join(t.Dir, "ports")
	ports := []*int{&t.Port, &t.UIPort, &t.httpPort, &t.metricsPort}
	if content, err := os.ReadFile(file); err == nil {
		for i, field := range strings.Fields(string(content)) {
			if i < len(ports) && *ports[i] == 0 {
				*ports[i], _ = strconv.Atoi(field)
			}
		}
	}
	for i, fallback := range []int{t.DefaultPort, t.DefaultUIPort} {
		if *ports[i] == 0 {
			*ports[i] = fallback
		}
	}
	taken := map[int]bool{}
	var line strings.Builder
	for _, port := range ports {
		for *port <= 0 || taken[*port] || !PortFree(*port) {
			free, err := FreePort()
			if err != nil {
				return fmt.Errorf("prepare temporal: %w", err)
			}
			*port = free
		}
		taken[*port] = true
		_, _ = fmt.Fprintln(&line, *port)
	}
	if err := os.WriteFile(file, []byte(line.String()), 0o600); err != nil {
		return fmt.Errorf("keep ports: %w", err)
	}
	return nil
}
