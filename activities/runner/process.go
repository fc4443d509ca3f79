package runner

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/holdfast/holdfast/activities/runner/supervisor"
)

// process is a worker's end of a supervisor.
type process struct {
	cmd    *exec.Cmd
	stdout *os.File
	stderr *os.File
	orders io.WriteCloser

	mu    sync.Mutex // guards orders
	acks  chan string
	ended chan struct{} // closed when exit is known
	exit  supervisor.Exit
}

// command is what a supervisor is to start.
type command struct {
	dir  string
	argv []string
	env  []string
	// sweep ends what the command started when its supervisor died and cannot.
	sweep func() (killed, survivors int)
}

// startProcess starts a supervisor (exe supervise) and through it the command. The lock is
// held by the supervisor from here on.
func startProcess(exe string, c command, lock *os.File) (*process, error) {
	p := &process{acks: make(chan string, 8), ended: make(chan struct{})}
	p.cmd = exec.Command(exe, "supervise") //nolint:noctx // it ends by its own rules, not with a context
	p.cmd.Env = []string{"GOMAXPROCS=2"}   // of the supervisor: it idles
	p.cmd.Dir = "/"
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	var outW, errW, reportR, reportW *os.File
	var err error
	closeAll := func(files ...*os.File) {
		for _, f := range files {
			if f != nil {
				_ = f.Close()
			}
		}
	}
	for _, pipe := range []struct{ r, w **os.File }{{&p.stdout, &outW}, {&p.stderr, &errW}, {&reportR, &reportW}} {
		if *pipe.r, *pipe.w, err = os.Pipe(); err != nil {
			closeAll(p.stdout, outW, p.stderr, errW, reportR, reportW)
			return nil, fmt.Errorf("make a pipe: %w", err)
		}
	}
	widen(p.stdout)
	widen(p.stderr)
	p.cmd.Stdout, p.cmd.Stderr = outW, errW
	p.cmd.ExtraFiles = []*os.File{reportW, lock} // descriptors 3 and 4
	if p.orders, err = p.cmd.StdinPipe(); err == nil {
		err = p.cmd.Start()
	}
	closeAll(outW, errW, reportW)
	if err != nil {
		closeAll(p.stdout, p.stderr, reportR)
		return nil, fmt.Errorf("start the supervisor: %w", err)
	}
	go p.readReports(reportR, c.sweep)
	p.order(supervisor.Order{Do: supervisor.DoStart, Dir: c.dir, Argv: c.argv, Env: c.env})
	return p, nil
}

func (p *process) readReports(r *os.File, sweep func() (int, int)) {
	defer r.Close()
	known := false
	in := bufio.NewScanner(r)
	for in.Scan() {
		var rep supervisor.Report
		if json.Unmarshal(in.Bytes(), &rep) != nil {
			continue
		}
		if rep.Is == supervisor.IsExited && rep.Exit != nil {
			p.exit, known = *rep.Exit, true
			continue
		}
		select {
		case p.acks <- rep.Is:
		default: // nobody waits for it
		}
	}
	_ = p.cmd.Wait() // the report says how the program ended; the supervisor's own code adds nothing
	p.mu.Lock()
	_ = p.orders.Close()
	p.mu.Unlock()
	if !known {
		p.exit = supervisor.Exit{Lost: true, Signal: "SIGKILL"}
		p.exit.Killed, p.exit.Survivors = sweep()
	}
	close(p.ended)
}

// order sends an order. A supervisor that is gone takes none: its exit says so.
func (p *process) order(o supervisor.Order) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = json.NewEncoder(p.orders).Encode(o) //nolint:errchkjson // see above
}

// orderAndWait sends an order and waits until it is carried out or the program has ended.
func (p *process) orderAndWait(o supervisor.Order, ack string, patience time.Duration) {
	p.order(o)
	timeout := time.After(patience)
	for {
		select {
		case got := <-p.acks:
			if got == ack {
				return
			}
		case <-p.ended:
			return
		case <-timeout:
			return
		}
	}
}
