package e2e

import (
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
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast/holdfast/internal/testkit"
)

// instance is a `holdfast web` of its own, beside the one of a stack and on the same database.
type instance struct {
	t    *testing.T
	addr string
	env  []string
	log  *testkit.Screen

	mu  sync.Mutex
	cmd *exec.Cmd
}

// newInstance starts a web instance and waits until it serves.
func (s *stack) newInstance(env ...string) *instance {
	s.t.Helper()
	i := &instance{t: s.t, addr: testkit.FreeAddr(s.t), log: &testkit.Screen{}, env: append([]string{
		"HOLDFAST_DATABASE_URL=" + s.postgres, "TEMPORAL_ADDRESS=" + s.temporal, "HOLDFAST_DATA_DIR=" + s.dir, "HOLDFAST_LOG_LEVEL=info",
	}, env...)}
	i.start()
	s.t.Cleanup(func() {
		i.kill()
		if s.t.Failed() {
			s.t.Logf("web at %s said:\n%s", i.addr, tail(i.log.String(), 5_000))
		}
	})
	i.awaitHealth()
	return i
}

func (i *instance) start() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.cmd = exec.Command(filepath.Join(bin, "holdfast"), "web", "--addr", i.addr)
	i.cmd.Env = append(os.Environ(), i.env...)
	i.cmd.Stderr = i.log
	i.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := i.cmd.Start(); err != nil {
		i.t.Errorf("start a web instance: %v", err)
	}
}

func (i *instance) pid() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.cmd.Process.Pid
}

// kill ends it by SIGKILL; stop as a deploy does, and returns how long that took.
func (i *instance) kill() { i.end(syscall.SIGKILL) }

func (i *instance) stop() time.Duration { return i.end(syscall.SIGTERM) }

func (i *instance) end(sig syscall.Signal) time.Duration {
	i.mu.Lock()
	defer i.mu.Unlock()
	began := time.Now()
	_ = i.cmd.Process.Signal(sig)
	_ = i.cmd.Wait()
	return time.Since(began)
}

func (i *instance) awaitHealth() {
	i.t.Helper()
	testkit.Within(i.t, patience, "a web instance at "+i.addr, func() string {
		res, err := http.Get("http://" + i.addr + "/api/health")
		if err != nil {
			return err.Error() + "; it said\n" + i.log.String()
		}
		_ = res.Body.Close()
		return ""
	})
}

// balancer spreads connections over instances, one after the other, as the simplest load
// balancer does: it knows nothing of HTTP and remembers nobody.
type balancer struct {
	listener net.Listener
	next     atomic.Int64
	open     sync.WaitGroup
}

func newBalancer(t *testing.T, instances []*instance) *balancer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &balancer{listener: l}
	b.open.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				if !errors.Is(err, net.ErrClosed) {
					t.Errorf("the balancer is out of order: %v", err)
				}
				return
			}
			b.open.Go(func() { b.carry(c, instances) })
		}
	})
	t.Cleanup(func() { _ = l.Close() })
	return b
}

func (b *balancer) addr() string { return b.listener.Addr().String() }

// carry finds an instance that answers and carries bytes both ways until either side ends.
func (b *balancer) carry(c net.Conn, instances []*instance) {
	defer c.Close()
	first := int(b.next.Add(1))
	for n := range instances {
		up, err := net.DialTimeout("tcp", instances[(first+n)%len(instances)].addr, time.Second)
		if err != nil {
			continue
		}
		go func() {
			carryOneWay(up, c)
			_ = c.Close()
		}()
		carryOneWay(c, up)
		_ = up.Close()
		return
	}
}

// carryOneWay copies until either side ends, and ends the other. It hides what the two are, or
// the copy would go through a pipe, and thousands of those need more files than there are.
func carryOneWay(to, from net.Conn) {
	_, _ = io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{from}, make([]byte, 4<<10))
	_ = to.Close()
}

// residentBytes is the memory of a process.
func residentBytes(t *testing.T, pid int) int64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		t.Fatal(err)
	}
	var size, resident int64
	if _, err := fmt.Sscan(string(b), &size, &resident); err != nil {
		t.Fatal(err)
	}
	return resident * int64(os.Getpagesize())
}

// metric is one figure of an instance's /metrics.
func metric(t *testing.T, addr, name string) float64 {
	t.Helper()
	res, err := http.Get("http://" + addr + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			f, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				t.Fatal(err)
			}
			return f
		}
	}
	t.Fatalf("there is no metric %s", name)
	return 0
}

func median(values []float64) float64 {
	values = slices.Sorted(slices.Values(values))
	return values[len(values)/2]
}
