package stack

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"

	"github.com/holdfast/holdfast/embedded"
	"github.com/holdfast/holdfast/internal/testkit"
	"github.com/holdfast/holdfast/logs"
	"github.com/holdfast/holdfast/schema"
)

// TestMain lets this test binary stand in for holdfast: called with one of its commands, it does the least that up needs
// to see.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && !strings.HasPrefix(os.Args[1], "-") {
		if err := standIn(os.Args[1]); err != nil {
			_, _ = fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(testkit.Main(m))
}

func standIn(command string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	switch command {
	case "migrate":
		return nil
	case nameWorker:
		connection, err := client.Dial(client.Options{HostPort: os.Getenv("TEMPORAL_ADDRESS"), Logger: logs.Discard()})
		if err != nil {
			return fmt.Errorf("stand-in worker: %w", err)
		}
		defer connection.Close()
		w := worker.New(connection, schema.TaskQueueSessions, worker.Options{LocalActivityWorkerOnly: true})
		if err := w.Start(); err != nil {
			return fmt.Errorf("stand-in worker: %w", err)
		}
		defer w.Stop()
	case nameWeb:
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", os.Getenv("HOLDFAST_ADDR"))
		if err != nil {
			return fmt.Errorf("stand-in web: %w", err)
		}
		_, _ = fmt.Fprintln(os.Stderr, "the stand-in web listens")
		server := &http.Server{
			Handler:           http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}),
			ReadHeaderTimeout: time.Second,
		}
		go server.Serve(listener)
		defer server.Close()
	case "up":
		up := &Up{DataDir: os.Getenv("HOLDFAST_DATA_DIR"), Addr: os.Getenv("HOLDFAST_ADDR")}
		return up.Run(ctx)
	}
	<-ctx.Done()
	return nil
}

var readyLine = regexp.MustCompile(
	`^holdfast ready  web=(http://\S+)  temporal=(\S+:\d+)  temporal-ui=(http://\S+)  postgres=([0-9.]+:\d+)\n$`)

// startUp runs `up` as a process on dir and returns it with the addresses of its ready line.
func startUp(t *testing.T, dir string) (up *exec.Cmd, addresses []string, took time.Duration) {
	t.Helper()
	began := time.Now()
	up = exec.Command(os.Args[0], "up")
	up.Env = append(os.Environ(), "HOLDFAST_DATA_DIR="+dir, "HOLDFAST_ADDR=127.0.0.1:0")
	var stderr bytes.Buffer
	up.Stderr = &stderr
	up.WaitDelay = time.Second
	stdout, err := up.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := up.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = up.Process.Kill(); _ = up.Wait() })
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		_ = up.Wait()
		t.Fatalf("no ready line: %v; stderr:\n%s", err, stderr.String())
	}
	addresses = readyLine.FindStringSubmatch(line)
	if addresses == nil {
		t.Fatalf("ready line is %q", line)
	}
	return up, addresses[1:], time.Since(began)
}

func recorded(t *testing.T, dir string) map[string]embedded.Owned {
	t.Helper()
	children := map[string]embedded.Owned{}
	for _, owned := range readState(filepath.Join(dir, "up.json")).Children {
		children[owned.Name] = owned
	}
	return children
}

func TestUp_RestartsWhatIsKilledOnTheSamePortsAndStopsCleanly(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	up, addresses, _ := startUp(t, dir)

	other := exec.Command(os.Args[0], "up")
	other.Env = append(os.Environ(), "HOLDFAST_DATA_DIR="+dir)
	refusal, err := other.CombinedOutput()
	if want := "pid " + strconv.Itoa(up.Process.Pid); err == nil || !strings.Contains(string(refusal), want) ||
		!strings.Contains(string(refusal), addresses[0]) {
		t.Errorf("a second up: %v, %s; want an error with %q and %q", err, refusal, want, addresses[0])
	}

	before := recorded(t, dir)
	for name, owned := range before {
		if err := syscall.Kill(owned.PID, syscall.SIGKILL); err != nil {
			t.Fatalf("kill %s: %v", name, err)
		}
	}
	for name, old := range before {
		testkit.Eventually(t, name+" to be started again", func() bool {
			now := recorded(t, dir)[name]
			return now.Alive() && now != old
		})
	}
	testkit.Eventually(t, "web on its old address", func() bool { return ready200(t.Context(), addresses[0]) == nil })
	server := &embedded.Postgres{Dir: filepath.Join(dir, namePostgres)}
	testkit.Eventually(t, "postgres on its data folder", func() bool { return server.Postmaster() != 0 })

	children := recorded(t, dir)
	if err := up.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := up.Wait(); err != nil {
		t.Errorf("after Ctrl-C: %v, want exit code 0", err)
	}
	for name, owned := range children {
		if owned.Alive() {
			t.Errorf("%s is still there after Ctrl-C", name)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, namePostgres, "data", "postmaster.pid")); err == nil {
		t.Error("postgres was not stopped cleanly: its lock file is there")
	}
}

func TestUp_RecoversAfterSIGKILLOfItselfAndOfAll(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var last []string
	for _, all := range []bool{false, true} {
		up, addresses, _ := startUp(t, dir)
		if last != nil && !slices.Equal(last[1:], addresses[1:]) {
			t.Errorf("the servers moved from %s to %s", last[1:], addresses[1:])
		}
		last = addresses
		if all {
			for _, owned := range recorded(t, dir) {
				_ = syscall.Kill(owned.PID, syscall.SIGKILL)
			}
		}
		if err := up.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = up.Wait()
	}
	up, _, took := startUp(t, dir)
	t.Logf("warm start after SIGKILL: %s", took)
	if err := up.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := up.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v, want exit code 0", err)
	}
}

func TestUp_RefusesAnAddressThatWasAskedForAndIsTaken(t *testing.T) {
	t.Parallel()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	up := &Up{DataDir: t.TempDir(), Addr: listener.Addr().String(), Log: logs.Discard()}
	if err := up.Run(t.Context()); !errors.Is(err, ErrAddrTaken) || !strings.Contains(err.Error(), up.Addr) {
		t.Errorf("got %v, want %v with the address", err, ErrAddrTaken)
	}
}

func TestUp_SaysWhyAPartDoesNotStart(t *testing.T) {
	t.Parallel()
	script := filepath.Join(t.TempDir(), "holdfast")
	text := "#!/bin/sh\n[ $1 = migrate ] && exit 0\necho $1 cannot find its hat >&2\nexit 3\n"
	if err := os.WriteFile(script, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	up := &Up{
		DataDir: t.TempDir(), Addr: "127.0.0.1:0", Log: logs.Discard(), Executable: script,
		DatabaseURL: "postgres://nobody@127.0.0.1:1/none", TemporalAddress: "127.0.0.1:1",
		Stdout: io.Discard, Stderr: &stderr,
	}
	err := up.Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "web cannot find its hat") {
		t.Errorf("got %v, want the last words of web", err)
	}
	if !strings.Contains(stderr.String(), "web cannot find its hat") {
		t.Error("what web printed did not reach stderr")
	}
}

// shell is a child that runs a shell script.
func shell(name, script string) child {
	return child{
		name: name, tries: 3, stop: syscall.SIGTERM, death: syscall.SIGKILL, grace: 10 * time.Second,
		command: func() (*exec.Cmd, func(), error) { return exec.Command("sh", "-c", script), func() {}, nil },
	}
}

type starts struct {
	mu   sync.Mutex
	pids []int
}

func (s *starts) add(_ string, pid int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pids = append(s.pids, pid)
}
func (s *starts) count() int { s.mu.Lock(); defer s.mu.Unlock(); return len(s.pids) }

func TestSupervise_StartsAgainAndStopsForGood(t *testing.T) {
	t.Parallel()
	var seen starts
	s := supervise(shell("short", "exit 1"), slog.New(slog.DiscardHandler), make(chan struct{}), seen.add, notLost(t))
	if err := s.awaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "a fourth start", func() bool { return seen.count() >= 4 })
	s.end()
	s.end()
	after := seen.count()
	if s.awaitReady(t.Context()) == nil {
		t.Error("a stopped child is said to be ready")
	}
	if seen.count() != after {
		t.Error("started again after it was stopped")
	}
}

func TestSupervise_GivesUpAFirstStartHoweverLongItsFailuresTake(t *testing.T) {
	t.Parallel()
	var seen starts
	slow := shell("slow", "exit 0")
	slow.ranWell = time.Nanosecond // each failure takes longer than that
	slow.prepare = func(context.Context) error { return io.ErrShortWrite }
	s := supervise(slow, logs.Discard(), make(chan struct{}), seen.add, notLost(t))
	if err := s.awaitReady(t.Context()); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("ended with %v", err)
	}
	<-s.ended
}

func TestSupervise_DoesNotTryAgainOnAFullDisk(t *testing.T) {
	t.Parallel()
	full := shell("full", "exit 0")
	tries := 0
	full.prepare = func(context.Context) error { tries++; return embedded.ErrNoSpace }
	s := supervise(full, logs.Discard(), make(chan struct{}), func(string, int) {}, notLost(t))
	if err := s.awaitReady(t.Context()); !errors.Is(err, embedded.ErrNoSpace) || tries != 1 {
		t.Errorf("ended with %v after %d tries", err, tries)
	}
	<-s.ended
}

func notLost(t *testing.T) func(error) {
	t.Helper()
	return func(err error) { t.Errorf("lost: %v", err) }
}

func TestSupervise_GivesUpAPortThatAnotherProgramHasTaken(t *testing.T) {
	t.Parallel()
	spec := shell("unlucky", "sleep 0.05")
	var readies atomic.Int64
	spec.ready = func(context.Context, *embedded.Process) error {
		if readies.Add(1) == 1 {
			return nil
		}
		return fmt.Errorf("port 1: %w", errStranger)
	}
	lost := make(chan error, 1)
	s := supervise(spec, logs.Discard(), make(chan struct{}), func(string, int) {}, func(err error) { lost <- err })
	if err := s.awaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-lost; !errors.Is(err, errStranger) || !strings.Contains(err.Error(), "unlucky") {
		t.Errorf("lost with %v", err)
	}
	<-s.ended
}

// stubborn is a child that does not stop by itself.
func stubborn(t *testing.T, hurry chan struct{}) *supervisor {
	t.Helper()
	spec := shell("stubborn", "")
	spec.grace = time.Hour
	output, input := io.Pipe()
	spec.command = func() (*exec.Cmd, func(), error) {
		cmd := exec.Command("sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1000; done")
		cmd.Stdout = input
		cmd.WaitDelay = time.Second
		return cmd, func() { _ = input.Close() }, nil
	}
	spec.ready = func(context.Context, *embedded.Process) error {
		_, err := output.Read(make([]byte, 1))
		go io.Copy(io.Discard, output)
		return err
	}
	s := supervise(spec, logs.Discard(), hurry, func(string, int) {}, notLost(t))
	if err := s.awaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// soon fails the test if do takes long.
func soon(t *testing.T, what string, do func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); do() }()
	testkit.Receive(t, what, done)
}

func TestSupervise_HurryKillsWhatDoesNotWantToStop(t *testing.T) {
	t.Parallel()
	hurry := make(chan struct{})
	s := stubborn(t, hurry)
	time.AfterFunc(10*time.Millisecond, func() { close(hurry) })
	soon(t, "the end", s.end)
}

// When a part loses its port, up stops and restarts all parts, so one stop may follow another.
func TestStop_HurriesEachTimeThatItIsAskedTo(t *testing.T) {
	t.Parallel()
	u := &Up{Log: logs.Discard()}
	u.mayHurry()
	stopped, stop := context.WithCancel(t.Context())
	stop()
	for range 3 {
		u.running = []*supervisor{stubborn(t, u.hurry)}
		again := make(chan os.Signal, 1)
		again <- os.Interrupt
		soon(t, "a stop in a hurry", func() { u.stopUnder(stopped, again) })
		if len(again) > 0 { // it ended before it saw the signal
			u.hurryUp()
		}
	}
}

func TestStop_TheCtrlCThatEndsUpIsNoHurry(t *testing.T) {
	t.Parallel()
	u := &Up{Log: logs.Discard()}
	u.mayHurry()
	u.running = []*supervisor{stubborn(t, u.hurry)}
	signals := make(chan os.Signal)
	over := make(chan struct{})
	go func() { // parts are stopped for a restart, while nobody has asked for an end
		defer close(over)
		u.stopUnder(t.Context(), signals)
	}()
	soon(t, "the first is heard", func() { signals <- os.Interrupt })
	select {
	case <-u.hurry:
		t.Error("the first Ctrl-C makes it hurry")
	default:
	}
	soon(t, "the second is heard", func() { signals <- os.Interrupt })
	soon(t, "the end", func() { <-over })
}

func TestPauseAfter_StartsAtOnceThenDoublesToALimit(t *testing.T) {
	t.Parallel()
	milliseconds := []int64{0, 100, 200, 400, 800, 1600, 3200, 5000, 5000}
	for failures, want := range milliseconds {
		if got := pauseAfter(failures).Milliseconds(); got != want {
			t.Errorf("after %d failures: %d ms, want %d ms", failures, got, want)
		}
	}
	if got := pauseAfter(1000); got != longest {
		t.Errorf("after 1000 failures: %s, want %s", got, longest)
	}
}

func TestHold_OneAtATimeAndLeftoversAreEnded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, left, err := hold(dir)
	if err != nil || len(left) != 0 {
		t.Fatalf("first: %v, %v", left, err)
	}
	if _, _, err := hold(dir); !errors.Is(err, ErrInUse) {
		t.Errorf("second while the first holds: %v, want %v", err, ErrInUse)
	}
	sleep, err := embedded.StartProcess(exec.Command("sleep", "1000"), syscall.SIGKILL)
	if err != nil {
		t.Fatal(err)
	}
	defer sleep.Kill()
	if err := first.record("sleep", sleep.Pid()); err != nil {
		t.Fatal(err)
	}
	// A pid that another process has now: it must not be ended.
	innocent := embedded.Owned{Name: "innocent", PID: os.Getpid(), Start: 1}
	if err := first.update(func(s *state) { s.Children = append(s.Children, innocent) }); err != nil {
		t.Fatal(err)
	}
	if err := first.release(); err != nil { // as the kernel does when up is killed
		t.Fatal(err)
	}
	second, left, err := hold(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer second.release()
	ended, err := endLeftovers(t.Context(), left)
	if err != nil || !slices.Equal(ended, []string{"sleep"}) {
		t.Errorf("ended %v, %v; want sleep alone", ended, err)
	}
	testkit.Receive(t, "the end of the leftover", sleep.Done())
}

func TestBeyond_SaysWhereElseWebListens(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]string{
		":8411": "  listens=0.0.0.0:8411", "0.0.0.0:80": "  listens=0.0.0.0:80", "[::]:80": "  listens=[::]:80", "192.168.1.5:80": "  listens=192.168.1.5:80",
		"lab.example:80": "  listens=lab.example:80", "127.0.0.1:8000": "", "[::1]:8000": "", "localhost:1": "", "127.3.2.1:9": "",
	} {
		if got := beyond(addr); got != want {
			t.Errorf("%s: %q, want %q", addr, got, want)
		}
	}
}

func TestAddressOf_HasNoPassword(t *testing.T) {
	t.Parallel()
	for dsn, want := range map[string]string{
		"postgres://u:s3cret@db.example:5432/h?sslmode=require":   "db.example:5432",
		"postgres://db.example/h":                                 "db.example:5432",
		"postgres:///h?host=db.example&port=6432&password=s3cret": "db.example:6432",
		"host=db password=s3cret":                                 "db:5432",
		"no address":                                              "-",
	} {
		if got := addressOf(dsn); got != want {
			t.Errorf("%q becomes %q, want %q", dsn, got, want)
		}
	}
}
