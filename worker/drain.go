package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/holdfast/holdfast/activities"
	"github.com/holdfast/holdfast/activities/runner/supervisor"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/telemetry"
)

const (
	// reportEvery is how often a draining worker reports what still runs.
	reportEvery = time.Second
	pollEvery   = 50 * time.Millisecond
	// drainQuiet is how long the sessions of the last steps have to move on to their next steps.
	drainQuiet = 2 * time.Second
	// drainEnd is the longest that a drained worker takes to end.
	drainEnd  = 30 * time.Second
	drainDial = 5 * time.Second
)

// DrainState is the state of a drain.
type DrainState string

// The states: draining, then one of the others.
const (
	Draining   DrainState = "draining"
	Drained    DrainState = "drained"     // nothing runs any more
	HandedOver DrainState = "handed_over" // the time was over: running steps go on, for the next worker of the host
	Ended      DrainState = "ended"       // the time was over, and this worker's steps end with it
)

// DrainProgress is what a draining worker reports.
type DrainProgress struct {
	State   DrainState    `json:"state"`
	Host    string        `json:"host"`
	Running []DrainedStep `json:"running"`
}

// DrainedStep is a step that still runs.
type DrainedStep struct {
	SessionID string `json:"session_id"`
	RunID     string `json:"run_id"`
	StepID    string `json:"step_id"`
}

// drainRequest is the command's request: a drain, unless it says otherwise.
type drainRequest struct {
	Timeout time.Duration `json:"timeout"`
	Look    bool          `json:"look,omitempty"` // only report what runs
	End     bool          `json:"end,omitempty"`  // only record that the steps are to end with the worker
}

// drainServer is the worker's side: it listens on the data folder's socket.
type drainServer struct {
	hosts      *activities.Hosts
	refuse     func()     // no more sessions are to be placed here
	onEndSteps func()     // the steps end with this worker
	late       DrainState // what happens to steps at the deadline: HandedOver or Ended
	log        *slog.Logger
	telemetry  *telemetry.Telemetry

	listener net.Listener
	all      sync.WaitGroup
	begin    sync.Once
	finish   sync.Once
	over     chan struct{} // closed when the worker must end
	closed   chan struct{} // closed by close

	mu      sync.Mutex
	conns   []net.Conn
	refuses bool // it takes no more work
}

// serveDrains listens until close.
func serveDrains(ctx context.Context, h *folderLock, o *Options, hosts *activities.Hosts, refuse, onEndSteps func()) (*drainServer, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "unix", h.me.Socket)
	if err != nil {
		return nil, fmt.Errorf("listen for drains: %w", err)
	}
	late := HandedOver
	if o.EndSteps {
		late = Ended
	}
	d := &drainServer{hosts: hosts, refuse: refuse, onEndSteps: onEndSteps, late: late, log: o.Logger, telemetry: o.Telemetry, listener: listener, over: make(chan struct{}), closed: make(chan struct{})}
	d.all.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			d.mu.Lock()
			d.conns = append(d.conns, conn)
			d.mu.Unlock()
			d.all.Go(func() { d.serve(conn) })
		}
	})
	return d, nil
}

// ready says that the worker takes work, unless a drain has come before.
func (d *drainServer) ready() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.telemetry.SetReady(!d.refuses)
}

// notReady says that the worker takes no more work.
func (d *drainServer) notReady() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refuses = true
	d.telemetry.SetReady(false)
}

// close closes the connections, which tells the command that the worker has ended.
func (d *drainServer) close() {
	close(d.closed)
	_ = d.listener.Close()
	d.mu.Lock()
	for _, conn := range d.conns {
		_ = conn.Close()
	}
	d.mu.Unlock()
	d.all.Wait()
}

func (d *drainServer) serve(conn net.Conn) {
	if supervisor.FromStep(conn) { // a step without its own user can connect
		d.log.Warn("refused a step's request to end this worker", "host", d.hosts.Host)
		_ = conn.Close()
		return
	}
	var ask drainRequest
	if err := json.NewDecoder(conn).Decode(&ask); err != nil {
		_ = conn.Close()
		return
	}
	if ask.Look || ask.End {
		if ask.End {
			d.onEndSteps()
		}
		_ = json.NewEncoder(conn).Encode(d.progress(Draining)) //nolint:errchkjson // the caller has gone
		_ = conn.Close()
		return
	}
	d.begin.Do(func() {
		d.log.Info("draining", "host", d.hosts.Host, "timeout", ask.Timeout)
		d.notReady()
		d.hosts.Drain()
		d.all.Go(d.refuse)
	})
	timeout := time.NewTimer(ask.Timeout)
	defer timeout.Stop()
	look := time.NewTicker(pollEvery)
	defer look.Stop()
	out := json.NewEncoder(conn)
	var told time.Time
	for {
		p := d.progress(Draining)
		if len(p.Running) == 0 && d.hosts.SinceLastEnd() > drainQuiet {
			d.end(out, Drained)
			return
		}
		if time.Since(told) >= reportEvery {
			told = time.Now()
			_ = out.Encode(p) //nolint:errchkjson // the drain goes on when nobody listens any more
		}
		select {
		case <-timeout.C:
			d.end(out, d.late)
			return
		case <-d.closed:
			return
		case <-look.C:
		}
	}
}

func (d *drainServer) end(out *json.Encoder, state DrainState) {
	p := d.progress(state)
	if len(p.Running) == 0 {
		p.State = Drained
	}
	_ = out.Encode(p) //nolint:errchkjson // the worker ends even when nobody listens
	d.finish.Do(func() {
		d.log.Info("drained", "host", d.hosts.Host, "state", p.State, "running", len(p.Running))
		close(d.over)
	})
}

func (d *drainServer) progress(state DrainState) DrainProgress {
	p := DrainProgress{State: state, Host: d.hosts.Host, Running: []DrainedStep{}}
	for _, ask := range d.hosts.Running() {
		p.Running = append(p.Running, DrainedStep{SessionID: ask.SessionID, RunID: ask.RunID, StepID: ask.StepID})
	}
	return p
}

// Drain tells the worker of a data folder to take no new steps, to finish those that it runs and to
// end. After timeout it ends anyway, and leaves its steps to their supervisors. Drain returns when
// that worker is gone, with the last state; tell receives each state in between. The drain goes on
// when ctx ends.
func Drain(ctx context.Context, dataDir string, timeout time.Duration, tell func(DrainProgress)) (DrainProgress, error) {
	lock, free, err := lockDataDir(dataDir)
	if err != nil {
		return DrainProgress{}, err
	}
	if free {
		_ = lock.Close()
		return DrainProgress{}, schema.Errorf(schema.CodeNotFound, "no worker runs with the data folder %s", dataDir)
	}
	who := readLockOwner(dataDir)
	conn, err := dialWorker(ctx, &who, drainRequest{Timeout: timeout})
	if err != nil {
		return DrainProgress{}, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	in := json.NewDecoder(conn)
	var last DrainProgress
	for {
		var p DrainProgress
		if err := in.Decode(&p); err != nil {
			break
		}
		last = p
		tell(p)
		if p.State != Draining {
			_ = conn.SetReadDeadline(time.Now().Add(drainEnd))
		}
	}
	switch {
	case ctx.Err() != nil:
		return last, context.Cause(ctx)
	case last.State == Drained || last.State == HandedOver || last.State == Ended:
		return last, awaitFree(ctx, dataDir, &who)
	default:
		return last, schema.Errorf(schema.CodeUnavailable, "%s ended while it was draining", &who)
	}
}

// dialWorker connects to the worker of a data folder and sends it a request.
func dialWorker(ctx context.Context, who *lockOwner, ask drainRequest) (net.Conn, error) {
	conn, err := (&net.Dialer{Timeout: drainDial}).DialContext(ctx, "unix", who.Socket)
	if err != nil {
		return nil, schema.Wrap(schema.CodeUnavailable, err, who.String()+" does not listen")
	}
	if err := json.NewEncoder(conn).Encode(ask); err != nil {
		return nil, errors.Join(fmt.Errorf("ask %s: %w", who, err), conn.Close())
	}
	return conn, nil
}

// Running asks the worker of a data folder which steps it runs.
func Running(ctx context.Context, dataDir string) ([]DrainedStep, error) {
	return askOnce(ctx, dataDir, drainRequest{Look: true})
}

// EndWithWorker makes the steps of a data folder's worker end with it, whatever its settings say.
func EndWithWorker(ctx context.Context, dataDir string) error {
	_, err := askOnce(ctx, dataDir, drainRequest{End: true})
	return err
}

func askOnce(ctx context.Context, dataDir string, ask drainRequest) ([]DrainedStep, error) {
	who := readLockOwner(dataDir)
	conn, err := dialWorker(ctx, &who, ask)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(drainDial))
	var p DrainProgress
	if err := json.NewDecoder(conn).Decode(&p); err != nil {
		return nil, fmt.Errorf("ask %s: %w", &who, err)
	}
	return p.Running, nil
}

// awaitFree waits until nobody holds the data folder: the worker closes the connection a moment
// before.
func awaitFree(ctx context.Context, dataDir string, who *lockOwner) error {
	const poll = 10 * time.Millisecond
	ctx, cancel := context.WithTimeout(ctx, drainEnd)
	defer cancel()
	for {
		lock, free, err := lockDataDir(dataDir)
		if free {
			return errors.Join(err, lock.Close())
		}
		if now := readLockOwner(dataDir); err != nil || (now.PID != 0 && (now.PID != who.PID || now.Since != who.Since)) {
			return err // the next worker has already begun
		}
		select {
		case <-ctx.Done():
			return schema.Errorf(schema.CodeUnavailable, "%s has drained but does not exit", who)
		case <-time.After(poll):
		}
	}
}
