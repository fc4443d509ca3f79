//go:build unix

package supervisor

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Run is the supervisor process: it starts one program, owns what the program
// starts, and carries out orders until the program has ended or the worker is gone. It
// returns the process's exit code.
func Run() int {
	// The program gets a parent-death signal, which the kernel ties to the thread that
	// started it; so this thread lives as long as the process.
	runtime.LockOSThread()
	// Taken in and dropped, not ignored: what is ignored would stay so in the program.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM, syscall.SIGPIPE)
	keepDescriptors()
	s := &supervisor{
		reports: json.NewEncoder(os.NewFile(reportFD, "reports")),
		orders:  make(chan Order),
		ended:   make(chan Exit, 1),
	}
	becomeSubreaper()
	in := bufio.NewReader(os.Stdin)
	first, err := readOrder(in)
	if err != nil || first.Do != DoStart {
		fmt.Fprintln(os.Stderr, "holdfast supervise is started by a worker, not by hand")
		return 2
	}
	pid, err := start(first)
	if err != nil {
		s.report(Report{Is: IsExited, Exit: &Exit{StartError: startError(first.Argv[0], err)}})
		return 0
	}
	s.report(Report{Is: IsStarted})
	go s.reap(pid, watchMemory(pid))
	go s.readOrders(in)
	return s.loop()
}

type supervisor struct {
	reports *json.Encoder
	orders  chan Order // closed when the worker is gone
	ended   chan Exit
}

func readOrder(in *bufio.Reader) (Order, error) {
	line, err := in.ReadBytes('\n')
	if err != nil {
		return Order{}, err
	}
	var o Order
	return o, json.Unmarshal(line, &o)
}

func (s *supervisor) readOrders(in *bufio.Reader) {
	defer close(s.orders)
	for {
		o, err := readOrder(in)
		if err != nil {
			return
		}
		s.orders <- o
	}
}

// start replaces the supervisor's environment, folder and output by the program's, so that
// nothing of the server is left to inherit, and starts the program.
func start(o Order) (int, error) {
	os.Clearenv()
	for _, kv := range o.Env {
		if k, v, ok := cut(kv); ok {
			_ = os.Setenv(k, v)
		}
	}
	if err := os.Chdir(o.Dir); err != nil {
		return 0, err
	}
	path, err := exec.LookPath(o.Argv[0])
	if err != nil {
		return 0, err
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer null.Close()
	p, err := os.StartProcess(path, o.Argv, &os.ProcAttr{
		Env: o.Env, Dir: o.Dir, Files: []*os.File{null, os.Stdout, os.Stderr}, Sys: ownGroup(),
	})
	if err != nil {
		return 0, err
	}
	// The pipes must close when the program and what it started are gone.
	for _, fd := range []int{1, 2} {
		if err := redirect(int(null.Fd()), fd); err != nil {
			return 0, err
		}
	}
	pid := p.Pid
	return pid, p.Release() // reap waits for it, with everything else
}

func cut(kv string) (key, value string, ok bool) {
	for i := range len(kv) {
		if kv[i] == '=' {
			return kv[:i], kv[i+1:], true
		}
	}
	return "", "", false
}

func startError(name string, err error) string {
	if execErr, ok := errors.AsType[*exec.Error](err); ok {
		err = execErr.Err
	}
	if pathErr, ok := errors.AsType[*os.PathError](err); ok {
		err = pathErr.Err
	}
	return fmt.Sprintf("cannot start %q: %v", name, err)
}

// reap waits for the program and for every orphan that became ours, until none is left.
func (s *supervisor) reap(main int, peak func(rusage int64) int64) {
	var sum Exit
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
		sum.MaxRSSBytes = max(sum.MaxRSSBytes, maxRSS(&ru))
		if pid != main {
			continue
		}
		sum.MaxRSSBytes = peak(sum.MaxRSSBytes)
		switch {
		case ws.Signaled():
			sum.Signal = unix.SignalName(ws.Signal())
		default:
			code := ws.ExitStatus()
			sum.ExitCode = &code
		}
		s.ended <- sum
	}
}

func (s *supervisor) loop() int {
	for {
		select {
		case e := <-s.ended:
			// The step is over; what it left behind goes with it.
			e.Killed, e.Survivors = killTree()
			s.report(Report{Is: IsExited, Exit: &e})
			return 0
		case o, ok := <-s.orders:
			switch {
			case !ok: // the worker is gone
				killTree()
				return 1
			case o.Do == DoFreeze:
				signalTree(syscall.SIGSTOP)
				s.report(Report{Is: IsFrozen})
			case o.Do == DoThaw:
				signalTree(syscall.SIGCONT)
				s.report(Report{Is: IsThawed})
			case o.Do == DoStop:
				s.stop(time.Duration(o.GraceMS) * time.Millisecond)
				return 0
			}
		}
	}
}

// stop ends the tree: SIGTERM first, SIGKILL when the grace period is over.
func (s *supervisor) stop(grace time.Duration) {
	before := len(tree())
	signalTree(syscall.SIGTERM)
	signalTree(syscall.SIGCONT) // a frozen process takes its signals when it is thawed
	var e Exit
	select {
	case e = <-s.ended:
	case <-time.After(grace):
	case <-s.gone():
	}
	killed, survivors := killTree()
	if e.ExitCode == nil && e.Signal == "" {
		select {
		case e = <-s.ended:
		case <-time.After(killPatience):
		}
	}
	e.Stopped, e.Killed, e.Survivors = true, max(before, killed), survivors
	s.report(Report{Is: IsExited, Exit: &e})
}

// gone is closed when the worker is: orders that still come in meanwhile change nothing.
func (s *supervisor) gone() <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range s.orders { // drained until it is closed
		}
	}()
	return done
}

// report tells the worker. When the worker is gone nobody is there to tell, and the loop
// finds out by the closed orders.
func (s *supervisor) report(r Report) { _ = s.reports.Encode(r) } //nolint:errchkjson // see above

// killPatience is how long a kill waits for the kernel to end what it killed.
const killPatience = 5 * time.Second

// killTree kills everything below this process until nothing is left.
func killTree() (killed, survivors int) { return killAll(tree) }

// KillMarked kills every process that has all of these NAME=value in its environment, and
// counts. It finds what has lost its supervisor, and with it its place in a tree.
func KillMarked(marks []string) (killed, survivors int) {
	return killAll(func() []int { return marked(marks) })
}

// killAll kills what list finds until it finds nothing: first it stops all, so that nothing
// can fork away, then it kills.
func killAll(list func() []int) (killed, survivors int) {
	deadline := time.Now().Add(killPatience)
	for {
		pids := list()
		if len(pids) == 0 || time.Now().After(deadline) {
			return killed, len(pids)
		}
		killed = max(killed, len(pids))
		signalAll(pids, syscall.SIGSTOP)
		for range 2 { // what was listed can have forked before the signal reached it
			signalAll(list(), syscall.SIGKILL)
		}
		time.Sleep(time.Millisecond)
	}
}

// below lists the processes that have this one among their ancestors.
func below(parents map[int]int) []int {
	self := os.Getpid()
	var found []int
	for pid := range parents {
		for up, ok := parents[pid], true; ok; up, ok = parents[up] {
			if up == self {
				found = append(found, pid)
				break
			}
		}
	}
	return found
}

func signalTree(sig syscall.Signal) {
	// Twice, because what was listed can have forked before the signal reached it.
	for range 2 {
		signalAll(tree(), sig)
	}
}

func signalAll(pids []int, sig syscall.Signal) {
	for _, pid := range pids {
		_ = syscall.Kill(pid, sig) // ESRCH: it has ended by itself
	}
}
