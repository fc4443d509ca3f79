package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const reportFD = 3

// Init is the process that [Spec.Start] starts. It builds the sandbox, drops all privileges on one
// thread and starts the program from it, reaps until the program has ended, reports, and returns
// the process's exit code. When it exits, the kernel kills what is left.
func Init() int {
	// A program that signals PID 1 must not end it, and a stop sends SIGTERM to every process of
	// the step. So the signals that end a Go program are received and dropped; the program itself
	// has their defaults.
	signal.Notify(make(chan os.Signal, 1), unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGILL, unix.SIGTRAP, unix.SIGABRT,
		unix.SIGBUS, unix.SIGFPE, unix.SIGSEGV, unix.SIGTERM, unix.SIGSTKFLT, unix.SIGSYS)
	keepThreads()
	runtime.LockOSThread() // the program inherits what this thread becomes
	keepFrom(reportFD)
	supervisor := os.NewFile(reportFD, "supervisor")
	var o order
	if err := json.NewDecoder(supervisor).Decode(&o); err != nil || o.Spec == nil {
		fmt.Fprintln(os.Stderr, "holdfast init is started by a supervisor, not by hand")
		return 2
	}
	sb := &sandbox{Spec: o.Spec, made: o.Made, missing: o.Missing, root0: o.Root, secret: o.Masked, trees: o.Trees}
	var sendMu sync.Mutex
	send := func(r report) {
		sendMu.Lock()
		defer sendMu.Unlock()
		_ = json.NewEncoder(supervisor).Encode(r) //nolint:errchkjson // when the supervisor is gone, so is init
	}
	if err := sb.build(); err != nil {
		send(report{Missing: sb.missing, Fault: "the step's sandbox cannot be built: " + err.Error()})
		return 1
	}
	if o.Probe || sb.refusal(sb.missing) != nil {
		send(report{Missing: sb.missing})
		return 0
	}
	pid, err := sb.start()
	if err != nil {
		send(report{Missing: sb.missing, StartError: err.Error()})
		return 0
	}
	send(report{Missing: sb.missing, Started: true})
	if sb.watchesSegments() {
		go watchSegments(func(bytes int64) { send(report{Segments: &bytes}) })
	}
	send(report{Outcome: reap(pid)})
	return 0
}

// keepFrom keeps from the program all descriptors that init inherited. It does not close them here,
// because the Go runtime may already have opened its own.
func keepFrom(first int) {
	if unix.CloseRange(uint(first), math.MaxInt32, unix.CLOSE_RANGE_CLOEXEC) == nil {
		return
	}
	for fd := first; fd < 1<<16; fd++ { // Linux before 5.11
		unix.CloseOnExec(fd)
	}
}

// sandbox is what init builds.
type sandbox struct {
	*Spec

	made    []Layer
	missing []Status
	root0   bool // the step is root to the host
	secret  []string
	trees   []tree
	root    string // where the new root is assembled
	mounted bool   // the mount layer is on
}

func (sb *sandbox) has(l Layer) bool { return slices.Contains(sb.made, l) }

func (sb *sandbox) isMissing(l Layer) bool {
	return slices.ContainsFunc(sb.missing, func(s Status) bool { return s.Layer == l })
}

// recordMissing records that a layer is missing, unless that is recorded already.
func (sb *sandbox) recordMissing(l Layer, err error) {
	if !sb.isMissing(l) {
		sb.missing = append(sb.missing, Status{Layer: l, Why: why(err)})
	}
}

// apply applies a layer, and records it as missing if that fails.
func (sb *sandbox) apply(l Layer, put func() error) {
	if slices.Contains(sb.Without, l) {
		sb.recordMissing(l, errLeftOut)
	} else if err := put(); err != nil {
		sb.recordMissing(l, err)
	}
}

// build applies the layers, each once the earlier ones no longer need what it takes away. After an
// error the program must not run.
func (sb *sandbox) build() error {
	if sb.root0 {
		_, _, _ = unix.RawSyscall(unix.SYS_SETGROUPS, 0, 0, 0) // for this thread; refused where the map does not allow it
	}
	_, _ = unix.KeyctlJoinSessionKeyring("") // none of the server's keys; fails on a kernel without keyrings
	if sb.has(LayerUTS) {
		sb.apply(LayerUTS, func() error { return unix.Sethostname([]byte("holdfast")) })
	}
	if sb.has(LayerNetwork) {
		_ = loopbackUp() // a step without a loopback is like a step without a network
		if sb.Network {
			link, err := makeLink()
			if err != nil {
				sb.recordMissing(LayerNetwork, err)
			}
			if err := giveLink(reportFD, link); err != nil {
				return fmt.Errorf("hand the network over: %w", err)
			}
		}
	}
	if sb.has(LayerUser) {
		_ = os.WriteFile("/proc/sys/user/max_user_namespaces", []byte("0"), 0) // seccomp refuses them too
	}
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("500"), 0) // killed before the server
	sb.apply(LayerPIDs, sb.boundPIDs)
	if sb.has(LayerMount) {
		if err := sb.buildRoot(); err != nil {
			return err
		}
	}
	if !sb.has(LayerPID) {
		sb.recordMissing(LayerProc, errors.New("this requires a PID namespace"))
	}
	if err := os.Chdir(sb.Dir); err != nil {
		return fmt.Errorf("the workspace: %w", errno(err))
	}
	sb.apply(LayerRlimits, sb.setRlimits)
	sb.affinity()
	sb.apply(LayerNoNewPrivs, func() error { return unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) })
	sb.apply(LayerLandlock, sb.restrictFiles)
	var kept error
	sb.apply(LayerCapabilities, func() error { kept = dropCapabilities(); return nil })
	if kept != nil { // the only layer whose failure is dangerous: init's own privileges
		return fmt.Errorf("give up capabilities: %w", kept)
	}
	// Init keeps privileges on its other threads, so no other process may look into it.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("close init to others: %w", err)
	}
	sb.apply(LayerSeccomp, filterSystemCalls)
	return nil
}

// start starts the program on this thread, so that it gets the thread's rights.
func (sb *sandbox) start() (int, error) {
	env := sb.outsideEnv()
	if sb.mounted {
		env = sb.insideEnv()
	}
	path, err := lookPath(sb.Argv[0], sb.Dir, env)
	if err != nil {
		return 0, err
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer null.Close()
	// The parent-death signal is for hosts without PID namespaces.
	pid, err := syscall.ForkExec(path, sb.Argv, &syscall.ProcAttr{
		Dir: sb.Dir, Env: env, Files: []uintptr{null.Fd(), 1, 2},
		Sys: &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL},
	})
	if err != nil {
		return 0, err
	}
	// The pipes must close when the program and what it started have closed them.
	return pid, errors.Join(unix.Dup3(int(null.Fd()), 1, 0), unix.Dup3(int(null.Fd()), 2, 0))
}

// reap waits for every process that ends, until the program has.
func reap(program int) *Outcome {
	var own unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &own) // EFAULT and EINVAL are impossible
	const slack = 4 << 10                      // KiB: init may have grown after the fork
	var out Outcome
	for {
		var ws unix.WaitStatus
		var ru unix.Rusage
		pid, err := unix.Wait4(-1, &ws, 0, &ru)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil // impossible: the program has not been waited for
		}
		out.CPUSeconds += time.Duration(ru.Utime.Nano() + ru.Stime.Nano()).Seconds()
		if ru.Maxrss > own.Maxrss+slack {
			out.MaxRSSBytes = max(out.MaxRSSBytes, ru.Maxrss<<10)
		}
		if pid != program {
			continue
		}
		if ws.Signaled() {
			out.Signal = unix.SignalName(ws.Signal())
		} else {
			code := ws.ExitStatus()
			out.ExitCode = &code
		}
		return &out
	}
}

// keepThreads makes the runtime create the threads that it may need later, and leaves them idle:
// once the program has used up the limit on processes, no more can be created.
func keepThreads() {
	const threads = 3
	r, wr, err := os.Pipe()
	if err != nil {
		return
	}
	rfd := int(r.Fd()) // blocking, so that each read takes a thread
	started, done := make(chan struct{}), make(chan struct{})
	for range threads {
		go func() {
			started <- struct{}{}
			var b [1]byte
			_, _ = unix.Read(rfd, b[:]) // ends when the other end is closed
			done <- struct{}{}
		}()
	}
	for range threads {
		<-started
	}
	_ = wr.Close()
	for range threads {
		<-done
	}
	_ = r.Close()
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo)
}

// errno removes the path from an error, because it is a path on the server.
func errno(err error) error {
	if e, ok := errors.AsType[syscall.Errno](err); ok {
		return e
	}
	return err
}
