package stack

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/holdfast/holdfast/embedded"
)

const (
	firstPause = 100 * time.Millisecond
	longest    = 5 * time.Second
	// ranWell is how long a child must have been ready for its next death to count as the first. A child that fails
	// slowly, as on a full disk, has not run well.
	ranWell = 10 * time.Second
	// readyLimit is how long a child may take to get ready.
	readyLimit = 30 * time.Second
)

// child says how one part is started, recognised as ready, and stopped.
type child struct {
	name string
	// prepare runs before every start until one gets ready; it may choose ports. Optional.
	prepare func(context.Context) error
	// again runs before every later start; it must keep what prepare chose. Optional.
	again func(context.Context) error
	// command makes the process to start; done releases its resources once the process has ended.
	command func() (cmd *exec.Cmd, done func(), err error)
	// ready returns when the part can be used. Optional.
	ready func(ctx context.Context, process *embedded.Process) error
	// tail returns the last lines of its log for an error message. Optional.
	tail func() string
	// ranWell is the constant of that name, except in tests.
	ranWell time.Duration
	// tries is how many starts may fail before one gets ready.
	tries int
	// stop asks for a clean end, the kernel sends death when up dies, and grace is how long a clean end may take.
	stop, death syscall.Signal
	grace       time.Duration
}

// supervisor keeps one child running.
type supervisor struct {
	child
	log *slog.Logger
	// started is called for every process that is started, before it is ready.
	started func(name string, pid int)
	// lost is called when another program has taken the child's port while it was restarting: the
	// child ends, because it cannot start again on that port.
	lost func(err error)

	stopping chan struct{} // closed to stop
	hurry    chan struct{} // closed to stop at once
	ended    chan struct{} // closed when the child is stopped for good
	once     sync.Once
	leave    atomic.Bool // the child is about to end by itself: it is not started again
	first    chan error  // gets nil when the child is first ready, or the reason why it never will be
}

func supervise(spec child, log *slog.Logger, hurry chan struct{}, started func(string, int), lost func(error)) *supervisor {
	s := &supervisor{
		child: spec, log: log.With("process", spec.name), started: started, lost: lost,
		stopping: make(chan struct{}), hurry: hurry, ended: make(chan struct{}), first: make(chan error, 1),
	}
	go s.run()
	return s
}

// awaitReady returns when the child is first ready, or with the reason why it never will be.
func (s *supervisor) awaitReady(ctx context.Context) error {
	select {
	case err := <-s.first:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// tell reports, on its first call, how the child's first start went.
func (s *supervisor) tell(err error) {
	select {
	case s.first <- err:
	default: // reported before, and not read: it was nil, or start-up was given up
	}
}

// end stops the child and returns when it is gone. It may be called twice.
func (s *supervisor) end() {
	s.once.Do(func() { close(s.stopping) })
	<-s.ended
}

func (s *supervisor) run() {
	defer close(s.ended)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-s.stopping:
			cancel()
		case <-ctx.Done():
		}
	}()

	wasReady, failures := false, 0
	for {
		ready, ran, err := s.runOnce(ctx, wasReady)
		wasReady = wasReady || ready
		if ctx.Err() != nil || s.leave.Load() {
			s.tell(errStopped)
			return
		}
		if ran > cmp.Or(s.ranWell, ranWell) {
			failures = 0
		}
		if wasReady && errors.Is(err, errStranger) {
			s.lost(fmt.Errorf("%s: %w", s.name, err))
			return
		}
		pause := pauseAfter(failures)
		failures++
		if !wasReady && (failures >= s.tries || errors.Is(err, embedded.ErrNoSpace)) {
			s.tell(s.explain(err))
			return
		}
		s.log.Warn("process ended, starting it again", "how", errText(err), "pause", pause, "failures", failures)
		select {
		case <-time.After(pause):
		case <-s.stopping:
		}
	}
}

// runOnce starts the child and returns when it has ended: whether it got ready, and how long it was ready.
func (s *supervisor) runOnce(ctx context.Context, wasReady bool) (ready bool, ran time.Duration, err error) {
	before := s.prepare
	if wasReady {
		before = s.again
	}
	if before != nil {
		if err := before(ctx); err != nil {
			return false, 0, err
		}
	}
	cmd, done, err := s.command()
	if err != nil {
		return false, 0, err
	}
	defer done()
	process, err := embedded.StartProcess(cmd, s.death)
	if err != nil {
		return false, 0, fmt.Errorf("start %s: %w", s.name, err)
	}
	s.started(s.name, process.Pid())

	if err := s.waitReady(ctx, process); err != nil {
		s.finish(process)
		return false, 0, err
	}
	began := time.Now()
	if wasReady {
		s.log.Info("process is ready again", "pid", process.Pid())
	} else {
		s.tell(nil)
	}
	select {
	case <-process.Done():
		return true, time.Since(began), process.Err()
	case <-ctx.Done():
		s.finish(process)
		return true, time.Since(began), nil
	}
}

func (s *supervisor) waitReady(ctx context.Context, process *embedded.Process) error {
	if s.ready == nil {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, readyLimit, fmt.Errorf("not ready after %s: %w", readyLimit, errSlow))
	defer cancel()
	if err := s.ready(ctx, process); err != nil {
		select {
		case <-process.Done():
			return errors.Join(process.Err(), err)
		default:
			return err
		}
	}
	return nil
}

// finish ends a process: cleanly within its grace, or at once when up is in a hurry.
func (s *supervisor) finish(process *embedded.Process) {
	ctx, cancel := context.WithTimeout(context.Background(), s.grace)
	defer cancel()
	go func() {
		select {
		case <-s.hurry:
			cancel()
		case <-ctx.Done():
		}
	}()
	if err := process.Stop(ctx, s.stop); err != nil {
		s.log.Error("process does not stop", "pid", process.Pid(), "error", err)
	}
}

var (
	errStopped = errors.New("stopped")
	errSlow    = errors.New("too slow")
)

func (s *supervisor) explain(err error) error {
	if s.tail != nil {
		if tail := s.tail(); tail != "" {
			return fmt.Errorf("%s does not start: %w; its last lines:\n%s", s.name, err, tail)
		}
	}
	return fmt.Errorf("%s does not start: %w", s.name, err)
}

// pauseAfter is how long to wait before the next start after this many failures in a row; the first start is at once.
func pauseAfter(failures int) time.Duration {
	if failures == 0 {
		return 0
	}
	const enough = 10 // doublings that certainly exceed the longest pause
	return min(firstPause<<min(failures-1, enough), longest)
}

func errText(err error) string {
	if err == nil {
		return "exit status 0"
	}
	return err.Error()
}
