package runner_test

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/holdfast/holdfast/activities/runner"
	"github.com/holdfast/holdfast/activities/runner/sandbox"
	"github.com/holdfast/holdfast/activities/runner/supervisor"
	"github.com/holdfast/holdfast/schema"
)

// intruder has everything that an unisolated step has: the worker's user, and the attempt's secret.
// It prints what answered it.
const intruder = `
import json, os, socket, sys
attempt, worker, ask = sys.argv[1:]
def say(name, path, *lines):
    s = socket.socket(socket.AF_UNIX); s.settimeout(20)
    try:
        here = os.getcwd(); os.chdir(os.path.dirname(path))
        s.connect(os.path.basename(path)); os.chdir(here)
        for line in lines: s.sendall(line)
        print(name, "answered" if s.recv(1) else "hung up")
    except OSError as e:
        print(name, "hung up", e)
secret = json.load(open(attempt + "/spec.json"))["secret"]
stop = json.dumps({"do": "stop"}).encode() + b"\n"
say("control", attempt + "/control", stop)
say("control", attempt + "/control", json.dumps({"do": "attach", "secret": secret}).encode() + b"\n", stop)
say("worker", worker, b"{}\n")
say("ask", ask, b"GET /status HTTP/1.0\r\n\r\n")
`

// TestAttack_ControlSocketsOfOthers: a step that can read its worker's files still reaches neither
// another step's supervisor, nor its questions, nor the worker.
func TestAttack_ControlSocketsOfOthers(t *testing.T) {
	t.Parallel()
	off := func(o *runner.Options) { o.Sandbox = sandbox.Off }
	victim := newBench(t, `"shell":"while [ ! -e stop ]; do sleep 0.05; done"`)
	victim.r = victim.newRunner(off)
	ended := make(chan schema.StepResult, 1)
	go func() { ended <- victim.run() }()
	attempt := filepath.Join(victim.dir, "steps", victim.ask.RunID, "s", "1")
	victim.await("the victim", func() bool { return len(victim.processes()) > 0 && isFile(filepath.Join(attempt, "control")) })

	door := filepath.Join(t.TempDir(), "w")
	listener, err := net.Listen("unix", door)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	fromStep := make(chan bool, 2)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			fromStep <- supervisor.FromStep(conn)
			_ = conn.Close()
		}
	}()
	own, err := net.Dial("unix", door)
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	if <-fromStep {
		t.Error("a process that is of no step is taken for one")
	}

	script := schema.Marshal([]string{"/usr/bin/python3", "-c", intruder, attempt, door, socketOf(t, victim.processes()[0])})
	attacker := newBench(t, `"run":`+string(script))
	attacker.r = attacker.newRunner(off)
	result := attacker.run()
	out := attacker.output(schema.Stdout)
	if result.Status != schema.AttemptSucceeded || strings.Contains(out, "answered") || strings.Count(out, "control hung up") != 2 || !strings.Contains(out, "ask hung up") {
		t.Errorf("%+v: %s%s", result, out, attacker.output(schema.Stderr))
	}
	if !<-fromStep {
		t.Error("the worker took a step for somebody else")
	}
	select {
	case r := <-ended:
		t.Fatalf("the victim was ended: %+v", r)
	default:
	}
	touch(t, filepath.Join(schema.WorkspaceDir(victim.dir, victim.ask.SessionID), "stop"))
	if r := <-ended; r.Status != schema.AttemptSucceeded {
		t.Errorf("the victim ended as %+v", r)
	}
}

// socketOf is the socket at which a step's process asks people.
func socketOf(t *testing.T, pid int) string {
	t.Helper()
	env, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
	if err != nil {
		t.Fatal(err)
	}
	for kv := range strings.SplitSeq(string(env), "\x00") {
		if path, ok := strings.CutPrefix(kv, "HOLDFAST_SOCKET="); ok {
			return path
		}
	}
	t.Fatal("the step has no socket")
	return ""
}

func isFile(name string) bool { _, err := os.Stat(name); return err == nil }

func touch(t *testing.T, name string) {
	t.Helper()
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestAttack_NetworkReachesTheProduct: a step with the network on is refused at every address of
// the host that a server listens on, by its own router: nothing else would refuse it.
func TestAttack_NetworkReachesTheProduct(t *testing.T) {
	t.Parallel()
	product, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer product.Close()
	port := product.Addr().(*net.TCPAddr).Port
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	run := []string{"/usr/bin/python3", "-c", `
import socket, sys
for place in sys.argv[2:]:
    try: socket.create_connection((place, int(sys.argv[1])), 20); print(place, "reached")
    except OSError as e: print(place, e)
`, strconv.Itoa(port), "127.0.0.1", "::1", "169.254.169.254"}
	for _, a := range addresses {
		if n, ok := a.(*net.IPNet); ok && !n.IP.IsLoopback() && !n.IP.IsLinkLocalUnicast() {
			run = append(run, n.IP.String())
		}
	}
	for _, network := range []string{`true`, `{"allow":["*:*"]}`} {
		b := newBench(t, `"network":`+network+`,"run":`+string(schema.Marshal(run)))
		b.r = b.newRunner(func(o *runner.Options) { o.Sandbox = sandbox.Isolated })
		if result := b.run(); result.Status != schema.AttemptSucceeded {
			t.Fatalf("%+v: %s", result, b.output(schema.Stderr))
		}
		if out := b.output(schema.Stdout); strings.Count(out, "Connection refused") != len(run)-4 {
			t.Errorf("%s: %s", network, out)
		}
	}
}
