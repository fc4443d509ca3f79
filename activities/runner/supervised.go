//go:build unix

package runner

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/holdfast/holdfast/activities/runner/spool"
	"github.com/holdfast/holdfast/activities/runner/supervisor"
	"github.com/holdfast/holdfast/schema"
)

// supervised is a worker's end of the connection to a supervisor.
type supervised struct {
	dir  string // of the attempt
	conn net.Conn
	asks chan supervisor.Ask

	sending sync.Mutex // guards orders

	mu      sync.Mutex
	changed chan struct{} // holds a token when there is news
	end     int64         // how much is in the spool
	stats   *schema.StepProgressData
	waiting string         // what output waits for
	acks    map[string]int // number of reports received of each kind
	acked   *sync.Cond
	exit    *supervisor.Exit
	gone    chan struct{} // closed when the connection has ended; exit is final then
}

// startSupervisor starts the supervisor of an attempt's folder, which holds the lock from here on.
func startSupervisor(exe, dir string, lock, owners *os.File) (*supervised, error) {
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		return nil, fmt.Errorf("make a pair of sockets: %w", err)
	}
	syscall.CloseOnExec(pair[0])
	syscall.CloseOnExec(pair[1])
	ours, theirs := os.NewFile(uintptr(pair[0]), "supervisor"), os.NewFile(uintptr(pair[1]), "worker")
	defer ours.Close() // FileConn makes a copy
	defer theirs.Close()
	conn, err := net.FileConn(ours)
	if err != nil {
		return nil, fmt.Errorf("talk to the supervisor: %w", err)
	}
	cmd := exec.Command(exe, supervisor.ArgSupervise, dir)       //nolint:noctx // it ends by its own rules, not with a context
	cmd.Env = []string{"GOMAXPROCS=2", "TMPDIR=" + os.TempDir()} // for the supervisor, which idles
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.ExtraFiles = []*os.File{theirs, lock, owners} // descriptors 3 to 5; 5 is closed without owners
	if err := cmd.Start(); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("start the supervisor: %w", err)
	}
	go func() { _ = cmd.Wait() }() // its file says how the program ended; its own exit code adds nothing
	return newSupervised(dir, conn), nil
}

func newSupervised(dir string, conn net.Conn) *supervised {
	s := &supervised{
		dir: dir, conn: conn, asks: make(chan supervisor.Ask, 2*schema.MaxOpenAsks), changed: make(chan struct{}, 1), gone: make(chan struct{}), acks: map[string]int{},
	}
	s.acked = sync.NewCond(&s.mu)
	go s.read()
	return s
}

func (s *supervised) read() {
	in := bufio.NewReader(s.conn)
	for {
		line, err := in.ReadBytes('\n')
		var r supervisor.Report
		if err != nil || json.Unmarshal(line, &r) != nil {
			break
		}
		if r.Is == supervisor.IsAsk && r.Ask != nil {
			s.asks <- *r.Ask // whoever follows receives them all
			continue
		}
		s.take(&r)
	}
	s.mu.Lock()
	if s.exit == nil {
		if e, err := supervisor.ReadExit(s.dir); err == nil {
			s.exit, s.end = &e, e.SpoolEnd
		}
	}
	s.mu.Unlock()
	_ = s.conn.Close()
	close(s.gone)
	close(s.asks)
	s.acked.Broadcast()
	s.news()
}

func (s *supervised) take(r *supervisor.Report) {
	s.mu.Lock()
	s.end = max(s.end, r.End)
	s.acks[r.Is]++
	if r.Stats != nil {
		s.stats = r.Stats
	}
	if r.Is == supervisor.IsWaiting {
		s.waiting = r.Why
	}
	if r.Exit != nil {
		s.exit, s.end = r.Exit, r.Exit.SpoolEnd
	}
	s.mu.Unlock()
	s.acked.Broadcast()
	s.news()
}

func (s *supervised) news() {
	select {
	case s.changed <- struct{}{}:
	default: // there is news already
	}
}

// known is what there is to know about a step: how much is in its spool, what it uses if that is
// new, what its output waits for, and how it ended if it has.
type known struct {
	end     int64
	stats   *schema.StepProgressData
	waiting string
	exit    *supervisor.Exit
}

// look returns what is known.
func (s *supervised) look() known {
	gone := s.isGone() // checked first: once it is gone, what is known of the exit is final
	s.mu.Lock()
	defer s.mu.Unlock()
	k := known{end: s.end, stats: s.stats, waiting: s.waiting, exit: s.exit}
	s.stats = nil
	if gone && k.exit == nil {
		k.end = spool.Everything // nobody writes it now, and its length is unknown
	}
	return k
}

// printed is how much is in the spool, as far as the supervisor has said.
func (s *supervised) printed() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.end
}

// order sends an order. A supervisor that is gone ignores it: its exit says so.
func (s *supervised) order(o supervisor.Order) {
	s.sending.Lock()
	defer s.sending.Unlock()
	_ = json.NewEncoder(s.conn).Encode(o) //nolint:errchkjson,gosec // see above; the secret is for this supervisor
}

// orderAndWait sends an order and waits until it is carried out or the program has ended.
func (s *supervised) orderAndWait(o supervisor.Order, ack string, patience time.Duration) {
	s.mu.Lock()
	want := s.acks[ack] + 1
	s.mu.Unlock()
	s.order(o)
	deadline := time.AfterFunc(patience, s.acked.Broadcast)
	defer deadline.Stop()
	until := time.Now().Add(patience)
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.acks[ack] < want && s.exit == nil && time.Now().Before(until) && !s.isGone() {
		s.acked.Wait()
	}
}

func (s *supervised) isGone() bool {
	select {
	case <-s.gone:
		return true
	default:
		return false
	}
}

// detach leaves the supervisor on its own.
func (s *supervised) detach() { _ = s.conn.Close() }

// abandoned represents a supervisor that is gone: only what it left in its folder remains.
func abandoned(dir string) *supervised {
	ours, theirs := net.Pipe()
	_ = theirs.Close()
	return newSupervised(dir, ours)
}
