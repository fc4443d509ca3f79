package stack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"golang.org/x/term"

	"github.com/holdfast/holdfast/cmd/holdfast/disk"
	"github.com/holdfast/holdfast/embedded"
	"github.com/holdfast/holdfast/logs"
	"github.com/holdfast/holdfast/schema"
)

const (
	serverTries = 12 // with the pauses between them, some 20 seconds
	ourTries    = 6  // some 1.5 seconds: longer than a Temporal takes to come back
)

var (
	errStranger = errors.New("another process answers on our port")
	errNotReady = errors.New("not ready")
)

// servers launches Postgres and Temporal, unless the user named one of their own: then it returns nil for it.
func (u *Up) servers(logDir string) (postgres, temporal *supervisor, err error) {
	if u.DatabaseURL == "" {
		u.postgres = &embedded.Postgres{
			Dir: filepath.Join(u.DataDir, namePostgres), LogFile: filepath.Join(logDir, namePostgres+".log"),
		}
		postgres = u.launch(u.postgresChild())
	}
	if u.TemporalAddress == "" {
		if u.givenUIPort && !embedded.PortFree(u.TemporalUIPort) {
			return nil, nil, fmt.Errorf("%w: something else listens on port %d; name another with --temporal-ui-port",
				ErrAddrTaken, u.TemporalUIPort)
		}
		u.temporal = &embedded.Temporal{
			DynamicConfig: map[string]string{
				// The worker gets an activity that it can run itself along with the workflow's answer: one round trip less.
				"system.enableActivityEagerExecution": "true",
				// Partitioned queues are for servers on several machines: here a task would look for its poller in each partition.
				"matching.numTaskqueueReadPartitions": "1", "matching.numTaskqueueWritePartitions": "1",
			},
			Dir: filepath.Join(u.DataDir, nameTemporal), LogFile: filepath.Join(logDir, nameTemporal+".log"),
		}
		temporal = u.launch(u.temporalChild())
	}
	return postgres, temporal, nil
}

func (u *Up) postgresChild() child {
	p := u.postgres
	return child{
		name: namePostgres, tries: serverTries, grace: serverGrace,
		stop: embedded.PostgresStopSignal, death: embedded.PostgresDeathSignal,
		prepare: p.Prepare,
		again:   func(context.Context) error { return p.ClearStale() },
		command: func() (*exec.Cmd, func(), error) { return logged(p.Command(), p.LogFile) },
		ready: func(ctx context.Context, process *embedded.Process) error {
			return u.full(p.WaitReady(ctx, process.Done()))
		},
		tail: func() string { return embedded.LogTail(p.LogFile) },
	}
}

func (u *Up) temporalChild() child {
	t := u.temporal
	return child{
		name: nameTemporal, tries: serverTries, grace: serverGrace,
		stop: embedded.TemporalStopSignal, death: syscall.SIGKILL,
		prepare: func(ctx context.Context) error {
			if t.UIPort = 0; u.givenUIPort {
				t.UIPort = u.TemporalUIPort
			}
			if t.Port = 0; !u.anyPorts {
				t.DefaultPort, t.DefaultUIPort = embedded.DefaultTemporalPort, embedded.DefaultTemporalUIPort
			}
			return t.Prepare(ctx)
		},
		command: func() (*exec.Cmd, func(), error) {
			// The guard lives as long as the process: the port is never without it.
			unguard, err := t.GuardUI()
			if errors.Is(err, syscall.EADDRINUSE) {
				return nil, nil, fmt.Errorf("port %d: %w", t.UIPort, errStranger)
			}
			if err != nil {
				return nil, nil, err
			}
			cmd, done, err := logged(t.Command(), t.LogFile)
			if err != nil {
				return nil, nil, errors.Join(err, unguard())
			}
			return cmd, func() { done(); _ = unguard() }, nil
		},
		ready: func(ctx context.Context, process *embedded.Process) error {
			if err := t.WaitReady(ctx, process.Done()); err != nil {
				return u.full(err)
			}
			return ours(process, t.Port)
		},
		tail: func() string { return embedded.LogTail(t.LogFile) },
	}
}

// full marks the failure of a server that has no room to write, which it reports in its own words or not at all.
func (u *Up) full(err error) error {
	const least = 8 << 20
	if err == nil {
		return nil
	}
	if free, asked := disk.Free(u.DataDir); asked == nil && free < least {
		return errors.Join(fmt.Errorf("%w: %s has %s", embedded.ErrNoSpace, u.DataDir, schema.Size(free)), err)
	}
	return err
}

// ours checks that the process we started holds the port, and not another that was quicker.
func ours(process *embedded.Process, port int) error {
	if !embedded.Listens(process.Pid(), port) {
		return fmt.Errorf("port %d: %w", port, errStranger)
	}
	return nil
}

// logged makes a command print to its log file.
func logged(cmd *exec.Cmd, path string) (*exec.Cmd, func(), error) {
	file, err := embedded.OpenLog(path)
	if err != nil {
		return nil, nil, err
	}
	cmd.Stdout, cmd.Stderr = file, file
	return cmd, func() { _ = file.Close() }, nil // the child has its own descriptor
}

// program makes the parts that run our own executable.
type program struct {
	executable   string
	env          []string
	addr         string
	temporalAddr string
	pollersKnown bool // Temporal is ours, so we may ask it who polls
	logDir       string
	stderr       io.Writer
}

func (u *Up) program(addr, logDir, temporalAddr string) program {
	p := program{
		executable: u.Executable, addr: addr, temporalAddr: temporalAddr, pollersKnown: u.temporal != nil, logDir: logDir,
		stderr: &lockedWriter{writer: u.Stderr}, env: os.Environ(),
	}
	p.env = slices.DeleteFunc(p.env, func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		return slices.Contains(u.Unset, name)
	})
	if u.temporal != nil {
		// Settings for another Temporal (a key, TLS, a profile) must not reach this one.
		p.env = slices.DeleteFunc(p.env, func(entry string) bool { return strings.HasPrefix(entry, "TEMPORAL_") })
		p.env = append(p.env, "TEMPORAL_NAMESPACE="+embedded.DefaultNamespace, "TEMPORAL_CONFIG_FILE="+os.DevNull)
	}
	if temporalAddr != "" {
		p.env = append(p.env, "TEMPORAL_ADDRESS="+temporalAddr)
	}
	if u.postgres != nil {
		p.env = append(p.env, "HOLDFAST_DATABASE_DIRECT_URL=") // it would lead to another Postgres
	}
	p.env = append(p.env, "HOLDFAST_BUILD_ID=") // its one worker gets every session, and nobody has to roll it out
	p.env = append(p.env, "HOLDFAST_DRAIN=0s")  // there is no other instance for its clients to move to
	p.env = append(p.env, "HOLDFAST_ADDR="+addr, "HOLDFAST_DATABASE_URL="+u.DatabaseURL, "HOLDFAST_DATA_DIR="+u.DataDir)
	if u.anyPorts && os.Getenv("HOLDFAST_METRICS_ADDR") == "" {
		p.env = append(p.env, "HOLDFAST_METRICS_ADDR=127.0.0.1:0")
	}
	if file, ok := u.Stderr.(*os.File); ok && term.IsTerminal(int(file.Fd())) && os.Getenv("HOLDFAST_LOG_FORMAT") == "" {
		p.env = append(p.env, "HOLDFAST_LOG_FORMAT="+string(logs.FormatText)) // they write to a pipe, but a person reads
	}
	return p
}

// migrate brings the schema up to date.
func (p program) migrate(ctx context.Context) error {
	const limit = 5 * time.Minute
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.Command(p.executable, "migrate", "up")
	cmd.Env = p.env
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	process, err := embedded.StartProcess(cmd, syscall.SIGKILL)
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	select {
	case <-process.Done():
	case <-ctx.Done():
		// A migration runs in a transaction under a lock, so one that is cut short did nothing.
		return errors.Join(context.Cause(ctx), process.Kill())
	}
	if err := process.Err(); err != nil {
		return fmt.Errorf("migrate: %w\n%s", err, bytes.TrimSpace(out.Bytes()))
	}
	return nil
}

func (p program) worker() child {
	part := p.part(nameWorker, workerGrace)
	part.ready = func(ctx context.Context, process *embedded.Process) error {
		if !p.pollersKnown {
			return nil
		}
		return awaitPoller(ctx, process, p.temporalAddr)
	}
	return part
}

func (p program) web() child {
	part := p.part(nameWeb, webGrace)
	part.ready = func(ctx context.Context, process *embedded.Process) error {
		if err := await(ctx, process, func(ctx context.Context) error { return ready200(ctx, webURL(p.addr)) }); err != nil {
			return fmt.Errorf("wait for %s: %w", webURL(p.addr), err)
		}
		_, port, err := net.SplitHostPort(p.addr)
		if err != nil {
			return fmt.Errorf("wait for web: %w", err)
		}
		number, err := strconv.Atoi(port)
		if err != nil {
			return fmt.Errorf("wait for web: %w", err)
		}
		return ours(process, number)
	}
	return part
}

func (p program) part(name string, grace time.Duration) child {
	logFile := filepath.Join(p.logDir, name+".log")
	return child{
		name: name, tries: ourTries, grace: grace, stop: syscall.SIGTERM, death: syscall.SIGKILL,
		command: func() (*exec.Cmd, func(), error) {
			cmd := exec.Command(p.executable, name)
			cmd.Env = p.env
			file, err := embedded.OpenLog(logFile)
			if err != nil {
				return nil, nil, err
			}
			both := &tee{file: file, stderr: p.stderr}
			cmd.Stdout, cmd.Stderr = both, both
			// Processes that a part has started must not keep us from seeing that the part is gone.
			cmd.WaitDelay = time.Second
			return cmd, func() { _ = file.Close() }, nil
		},
		tail: func() string { return embedded.LogTail(logFile) },
	}
}

// tee writes what a part prints to its log file and to up's own stderr, which gets it even when the disk is full.
type tee struct {
	file   *os.File
	stderr io.Writer
}

func (t *tee) Write(line []byte) (int, error) {
	_, _ = t.file.Write(line)
	_, _ = t.stderr.Write(line)
	return len(line), nil
}

type lockedWriter struct {
	mu     sync.Mutex
	writer io.Writer
}

func (l *lockedWriter) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.writer.Write(line)
}

func ready200(ctx context.Context, url string) error {
	const limit = 2 * time.Second
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/api/ready", http.NoBody)
	if err != nil {
		return fmt.Errorf("ask web: %w", err)
	}
	answer, err := quick.Do(request)
	if err != nil {
		return fmt.Errorf("ask web: %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%w: /api/ready answers %s", errNotReady, answer.Status)
	}
	return nil
}

// quick is a client that keeps no connections and uses no proxy.
var quick = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// awaitPoller returns when somebody polls the queue of the session workflows.
func awaitPoller(ctx context.Context, process *embedded.Process, addr string) error {
	connection, err := client.NewLazyClient(client.Options{HostPort: addr, Logger: logs.Discard()})
	if err != nil {
		return fmt.Errorf("wait for worker: %w", err)
	}
	defer connection.Close()
	err = await(ctx, process, func(ctx context.Context) error {
		queue, err := connection.WorkflowService().DescribeTaskQueue(ctx, &workflowservice.DescribeTaskQueueRequest{
			Namespace:     embedded.DefaultNamespace,
			TaskQueue:     &taskqueue.TaskQueue{Name: schema.TaskQueueSessions},
			TaskQueueType: enums.TASK_QUEUE_TYPE_WORKFLOW,
		})
		if err != nil {
			return fmt.Errorf("describe task queue: %w", err)
		}
		if len(queue.GetPollers()) == 0 {
			return fmt.Errorf("%w: nobody polls task queue %s", errNotReady, schema.TaskQueueSessions)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("wait for worker: %w", err)
	}
	return nil
}

// await calls try until it succeeds, the process ends or ctx is done.
func await(ctx context.Context, process *embedded.Process, try func(context.Context) error) error {
	const pause = 20 * time.Millisecond
	timer := time.NewTicker(pause)
	defer timer.Stop()
	for {
		err := try(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-timer.C:
		case <-process.Done():
			return err
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		}
	}
}
