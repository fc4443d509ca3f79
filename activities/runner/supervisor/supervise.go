//go:build unix

package supervisor

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/activities/runner/network"
	"github.com/holdfast/holdfast/activities/runner/sandbox"
	"github.com/holdfast/holdfast/activities/runner/spool"
	"github.com/holdfast/holdfast/schema"
)

// The arguments that mark a process as one of a step's.
const (
	ArgSupervise = "supervise" // followed by the attempt's folder
	ArgInit      = "init"
)

// Main runs the process if its arguments mark it as one of a step's; otherwise ok is false.
func Main(args []string) (code int, ok bool) {
	switch {
	case len(args) == 2 && args[0] == ArgSupervise:
		return Run(args[1]), true
	case len(args) == 1 && args[0] == ArgInit:
		return sandbox.Init(), true
	default:
		return 0, false
	}
}

const (
	// timeoutGrace is how long a program has to end by itself after its timeout.
	timeoutGrace = 2 * time.Second
	// killPatience is how long a kill waits for the kernel to end the killed processes.
	killPatience = 5 * time.Second
	// pipePatience is how long a pipe may stay open and silent after everything has been ended: by
	// then only a process that cannot be ended holds it.
	pipePatience = 5 * time.Second
	// How often a full disk is tried again.
	roomFirstWait = 10 * time.Millisecond
	roomLongest   = 250 * time.Millisecond
)

// Run is the supervisor process: it starts one program, owns everything that the program starts,
// and carries out orders until the program has ended. It returns the process's exit code.
func Run(dir string) int {
	// The program gets a parent-death signal, which the kernel ties to the thread that
	// started it; so this thread lives as long as the process.
	runtime.LockOSThread()
	// Received and dropped, not ignored: the program would inherit ignored signals.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM, syscall.SIGPIPE)
	keepDescriptors()
	becomeSubreaper()
	// Everything is named relative to the folder, because a socket's address must be short.
	if err := os.Chdir(dir); err != nil {
		return fail(err)
	}
	if log, err := os.OpenFile(logFile, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600); err == nil {
		_ = redirect(int(log.Fd()), int(os.Stderr.Fd())) // a panic is written there
	}
	s, err := newSupervisor()
	if err != nil {
		return fail(err)
	}
	if err := s.start(); err != nil {
		s.exit.StartError, s.exit.Fault = err.Error(), isOurs(err)
		if schema.CodeOf(err) == schema.CodeUnsupported { // the sandbox lacks something required
			s.exit.Reason = schema.ReasonSandbox
		}
		return s.leave()
	}
	return s.loop()
}

func fail(err error) int {
	fmt.Fprintln(os.Stderr, "holdfast supervise is started by a worker, not by hand:", err)
	return 2
}

// supervisor is the state of the process. Its loop owns every field without a lock.
type supervisor struct {
	spec    Spec
	spool   *spool.Writer
	asks    *asks
	workers *workers
	out     *output
	record  *exitRecord // nil until its space is reserved
	child   *sandbox.Child
	router  *network.Router // nil without a network
	began   time.Time

	orders     chan Order
	ended      chan Exit
	drained    chan struct{} // closed when all output is in the spool
	endReasons chan endReason

	exit     Exit
	over     bool // the program has ended
	stopping bool
	frozen   bool
	clock    *stopwatch
	grace    <-chan time.Time
	stats    *sampler
}

// endReason is why the supervisor ends a program on its own.
type endReason struct {
	reason  schema.Reason
	message string
}

func newSupervisor() (*supervisor, error) {
	spec, err := ReadSpec(".")
	if err != nil {
		return nil, err
	}
	s := &supervisor{
		spec: spec, began: time.Now(), orders: make(chan Order), ended: make(chan Exit, 1), drained: make(chan struct{}),
		endReasons: make(chan endReason, 1), clock: newStopwatch(time.Duration(spec.TimeoutMS) * time.Millisecond),
	}
	s.spec.Sandbox.Owners = sandbox.InheritOwners(ownersFD)
	if s.spool, err = spool.Create(".", spec.SpoolBytes); err != nil {
		return nil, err
	}
	inherited := os.NewFile(workerFD, "worker")
	defer inherited.Close() // first is a copy
	first, err := net.FileConn(inherited)
	if err != nil {
		return nil, err
	}
	s.asks = newAsks(&spec)
	s.asks.tell = func(r Report) { s.workers.send(r) }
	s.workers = newWorkers(s, first, time.Duration(spec.OrphanMS)*time.Millisecond)
	return s, nil
}

// start starts the program.
func (s *supervisor) start() error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	if err := s.workers.listen(); err != nil {
		return err
	}
	if err := s.asks.serve(&s.spec.Sandbox); err != nil {
		return err
	}
	if s.out, err = newOutput(s.spool, s.spec.OutputBytes, s.workers.setWaiting, s.printsTooMuch); err != nil {
		return err
	}
	if s.record, err = reserveExit(); err != nil {
		return fmt.Errorf("reserve space for the exit record: %w", err)
	}
	if err := s.prepareNetwork(); err != nil {
		return err
	}
	// The program must not inherit the server's environment.
	os.Clearenv()
	s.began = time.Now()
	s.child, err = s.spec.Sandbox.Start(exe, s.out.stdout, s.out.stderr)
	s.out.started()
	if err != nil {
		return err
	}
	s.serveNetwork()
	s.stats = newSampler(s)
	go s.reap()
	go s.stats.run()
	s.clock.start()
	return nil
}

// isOurs tells whether a start failed for our reasons rather than the program's.
func isOurs(err error) bool {
	program, failed := errors.AsType[*sandbox.StartError](err)
	if !failed {
		return schema.CodeOf(err) != schema.CodeUnsupported
	}
	// The host was short of something, or a newly written file is still open elsewhere. The error
	// may have come as text.
	short := []syscall.Errno{
		syscall.EAGAIN, syscall.ENOMEM, syscall.EMFILE, syscall.ENFILE, syscall.ENOSPC, syscall.EDQUOT, syscall.EIO, syscall.ETXTBSY,
	}
	return slices.ContainsFunc(short, func(e syscall.Errno) bool {
		return errors.Is(program, e) || strings.HasSuffix(program.Error(), ": "+e.Error())
	})
}

// reap waits for the program and for every orphan that became ours, until none is left.
func (s *supervisor) reap() {
	var sum Exit
	peak := func(int64) int64 { return 0 } // nobody needs init's
	if !s.hasInit() {
		peak = watchMemory(s.child.Pid)
	}
	for {
		var ws syscall.WaitStatus
		var ru syscall.Rusage
		pid, err := syscall.Wait4(-1, &ws, 0, &ru)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil { // ECHILD: the program ended before, and now everything else has
			return
		}
		sum.CPUSeconds += time.Duration(ru.Utime.Nano() + ru.Stime.Nano()).Seconds()
		sum.ReadBytes += ru.Inblock * blockBytes
		sum.WriteBytes += ru.Oublock * blockBytes
		if pid != s.child.Pid {
			continue
		}
		if o, ok := s.child.Outcome(); ok {
			sum.ExitCode, sum.Signal, sum.MaxRSSBytes = o.ExitCode, o.Signal, o.MaxRSSBytes
		} else {
			sum.MaxRSSBytes = peak(maxRSS(&ru))
			if ws.Signaled() {
				sum.Signal = unix.SignalName(ws.Signal())
			} else {
				code := ws.ExitStatus()
				sum.ExitCode = &code
			}
		}
		s.ended <- sum
	}
}

// blockBytes is the unit of getrusage's block counts (linux: include/linux/task_io_accounting_ops.h).
const blockBytes = 512

func (s *supervisor) loop() int {
	for {
		select {
		case e := <-s.ended:
			s.programEnded(e)
		case <-s.drained:
			return s.leave()
		case o := <-s.orders:
			s.carryOut(o)
		case <-s.clock.rings:
			s.endBy(endReason{reason: schema.ReasonTimeout}, timeoutGrace)
		case <-s.workers.orphaned:
			s.endBy(endReason{reason: schema.ReasonOrphaned, message: "no worker came back to it"}, timeoutGrace)
			s.spool.RemoveLimit()
		case v := <-s.endReasons:
			s.endBy(v, 0)
		case <-s.grace:
			s.grace = nil
			s.kill()
		}
	}
}

func (s *supervisor) carryOut(o Order) {
	switch o.Do {
	case DoFreeze:
		s.clock.pause()
		s.frozen = true
		if !s.over {
			freezeTree()
		}
		s.workers.send(Report{Is: IsFrozen})
	case DoThaw:
		if s.frozen { // if not, the worker could not know
			signalTree(syscall.SIGCONT)
		}
		s.frozen = false
		s.clock.resume()
		s.workers.send(Report{Is: IsThawed})
	case DoStop:
		if !s.over && s.exit.Reason == "" {
			s.exit.Stopped = true
		}
		s.out.setEndedByPerson()
		s.stop(time.Duration(o.GraceMS) * time.Millisecond)
	}
}

// endBy ends the program for the supervisor's own reason.
func (s *supervisor) endBy(reason endReason, grace time.Duration) {
	if s.over || s.exit.Stopped || s.exit.Reason != "" {
		return
	}
	s.exit.Reason, s.exit.Message = reason.reason, reason.message
	s.stop(grace)
}

// printsTooMuch ends a program that goes on after printing as much as it may.
func (s *supervisor) printsTooMuch() {
	select {
	case s.endReasons <- s.tooMuchOutput():
	default: // it is already being ended
	}
}

func (s *supervisor) tooMuchOutput() endReason {
	return endReason{schema.ReasonOutputLimit, "it printed more than " + schema.Size(s.spec.OutputBytes)}
}

// stop ends the tree: first SIGTERM, then SIGKILL after the grace period. A second stop can only
// shorten it.
func (s *supervisor) stop(grace time.Duration) {
	if s.over {
		return
	}
	if !s.stopping {
		s.stopping = true
		s.exit.Killed = s.children()
		signalTree(syscall.SIGTERM)
		signalTree(syscall.SIGCONT) // a frozen process handles its signals once thawed
	}
	if grace <= 0 {
		s.kill()
		return
	}
	s.grace = time.After(grace)
}

// kill ends everything at once, and counts.
func (s *supervisor) kill() {
	before := s.children()
	if s.child != nil && !s.over {
		_ = syscall.Kill(s.child.Pid, syscall.SIGKILL) // of a namespace's first process: the kernel ends them all
	}
	killed, survivors := killTree()
	s.exit.Killed = max(s.exit.Killed, before, killed-s.own())
	s.exit.Survivors = survivors
}

// children counts the program's processes.
func (s *supervisor) children() int { return max(len(tree())-s.own(), 0) }

// hasInit tells whether the program has a first process above it, which is ours.
func (s *supervisor) hasInit() bool {
	return runtime.GOOS == "linux" && s.spec.Sandbox.Mode != sandbox.Off
}

// hasMemoryGroup tells whether the kernel enforces the step's memory limit.
func (s *supervisor) hasMemoryGroup() bool {
	return s.child.Group != nil && !slices.ContainsFunc(s.child.Missing, func(m sandbox.Status) bool { return m.Layer == sandbox.LayerCgroupMemory })
}

// own is how many processes of the tree are ours: the namespace's first one.
func (s *supervisor) own() int {
	if s.child != nil && s.hasInit() && !s.over {
		return 1
	}
	return 0
}

// programEnded ends what the program left behind: the step is over. Its output may still be on its
// way to the spool.
func (s *supervisor) programEnded(e Exit) {
	e.Reason, e.Message, e.Stopped, e.Killed = cmp.Or(s.exit.Reason, e.Reason), cmp.Or(s.exit.Message, e.Message), s.exit.Stopped, s.exit.Killed
	s.stats.finalize(&e)
	s.exit = e
	s.over = true
	s.clock.stop()
	s.grace = nil
	s.kill()
	s.exit.DurationMS = time.Since(s.began).Milliseconds()
	go func() {
		s.out.finish()
		close(s.drained)
	}()
}

// leave records how the program ended, tells the worker, and is done. The worker is told even if
// the record cannot be written: then the supervisor stays until it can, or until a worker has
// recorded the exit.
func (s *supervisor) leave() int {
	if s.child != nil {
		_ = s.child.Close() // a leftover empty cgroup is swept later
	}
	_ = s.spool.Close()
	s.exit.SpoolEnd = s.spool.End()
	if s.out.exceeded() && !s.exit.Stopped && s.exit.Reason == "" { // it ended by itself meanwhile
		v := s.tooMuchOutput()
		s.exit.Reason, s.exit.Message = v.reason, v.message
	}
	s.exit.Message = cmp.Or(s.exit.Message, s.out.missing())
	s.asks.close()
	if s.record == nil { // nothing has begun: the missing record says so
		s.workers.close(Report{Is: IsExited, Exit: &s.exit})
		return 0
	}
	err := s.record.write(&s.exit)
	if err != nil {
		s.workers.sendExit(Report{Is: IsExited, Exit: &s.exit})
	}
	for wait := roomFirstWait; err != nil && s.record.wanted(); wait = min(2*wait, roomLongest) {
		time.Sleep(wait)
		err = s.record.write(&s.exit)
	}
	s.workers.close(Report{Is: IsExited, Exit: &s.exit})
	return 0
}
