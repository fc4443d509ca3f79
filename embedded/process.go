package embedded

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Process is a started child process. It is in a process group of its own, so that a terminal's Ctrl-C does not reach
// it, and it does not outlive the process that started it (Linux).
type Process struct {
	pid  int
	done chan struct{}
	err  error // valid once done is closed
}

// StartProcess starts cmd and waits for it in the background. whenParentDies is the signal the kernel sends the child
// when this process ends (Linux only; elsewhere the child keeps running).
func StartProcess(cmd *exec.Cmd, whenParentDies syscall.Signal) (*Process, error) {
	detach(cmd, whenParentDies)
	process := &Process{done: make(chan struct{})}
	started := make(chan error)
	go func() {
		defer close(process.done)
		// The parent-death signal is tied to the thread that started the child, so this thread must live as long as it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := cmd.Start(); err != nil {
			started <- err
			return
		}
		process.pid = cmd.Process.Pid
		started <- nil
		process.err = cmd.Wait()
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	return process, nil
}

// Pid returns the process id.
func (p *Process) Pid() int { return p.pid }

// Done is closed when the process has ended and been waited for.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err returns how the process ended, as exec.Cmd.Wait does. It waits for the end.
func (p *Process) Err() error {
	<-p.done
	return p.err
}

// Signal sends sig to the process itself. It is not an error if the process has ended.
func (p *Process) Signal(sig syscall.Signal) error {
	select {
	case <-p.done:
		return nil
	default:
	}
	if err := syscall.Kill(p.pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("signal process %d: %w", p.pid, err)
	}
	return nil
}

// Stop asks the process to end with sig, and kills its whole group with SIGKILL if it has not ended when ctx is done.
// It returns when the process has ended; Err says how.
func (p *Process) Stop(ctx context.Context, sig syscall.Signal) error {
	err := p.Signal(sig)
	select {
	case <-p.done:
		return err
	case <-ctx.Done():
	}
	return errors.Join(err, p.Kill())
}

// Kill ends the process and its group with SIGKILL and waits for the end.
func (p *Process) Kill() error {
	select {
	case <-p.done:
		return nil
	default:
	}
	if err := syscall.Kill(-p.pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("kill process group %d: %w", p.pid, err)
	}
	<-p.done
	return nil
}

// OpenLog opens path for appending. It first moves a file larger than 10 MiB to path + ".1".
func OpenLog(path string) (*os.File, error) {
	const maxLog = 10 << 20
	if info, err := os.Stat(path); err == nil && info.Size() > maxLog {
		if err := os.Rename(path, path+".1"); err != nil {
			return nil, fmt.Errorf("rotate log: %w", err)
		}
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	return file, nil
}

// LogTail returns the last lines of a log file, for an error message; empty when there is none.
func LogTail(path string) string {
	const lines, window = 12, 16 << 10
	file, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer file.Close()
	if info, err := file.Stat(); err == nil && info.Size() > window {
		if _, err := file.Seek(-window, 2); err != nil {
			return ""
		}
	}
	buffer := make([]byte, window)
	n, _ := file.Read(buffer)
	all := strings.Split(strings.TrimRight(string(buffer[:n]), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// instance is a server's running process, shared by Postgres and Temporal.
type instance struct {
	mu      sync.Mutex
	process *Process
}

func (i *instance) set(p *Process) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.process = p
}

func (i *instance) get() *Process {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.process
}

// Process returns the process that Start started, nil before.
func (i *instance) Process() *Process { return i.get() }

// Kill ends the server with SIGKILL, as a crash would, and waits for its end.
func (i *instance) Kill() error {
	if p := i.get(); p != nil {
		return p.Kill()
	}
	return nil
}

// stopGrace is how long a server has to stop by itself before it is killed.
const stopGrace = 10 * time.Second

func (i *instance) stop(ctx context.Context, sig syscall.Signal) error {
	p := i.get()
	if p == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, stopGrace)
	defer cancel()
	return p.Stop(ctx, sig)
}
