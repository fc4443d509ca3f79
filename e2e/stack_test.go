package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast/holdfast/internal/testkit"
)

const patience = testkit.StackPatience

// bin is where `make build` leaves the programs.
var bin, _ = filepath.Abs("../bin")

func TestMain(m *testing.M) {
	if _, err := os.Stat(filepath.Join(bin, "holdfast")); err != nil {
		fmt.Fprintln(os.Stderr, "bin/holdfast is missing; run `make build` first")
		os.Exit(1)
	}
	os.Exit(testkit.Main(m))
}

// stack is a `holdfast up` on a data directory of its own.
type stack struct {
	t        *testing.T
	dir      string
	env      []string
	cmd      *exec.Cmd
	ended    chan struct{}
	web      string
	temporal string
	postgres string // its URL, with the password
	ready    string // the line that said so
	log      *testkit.Screen
}

func newStack(t *testing.T, env ...string) *stack {
	t.Helper()
	s := &stack{t: t, dir: t.TempDir(), env: env, log: &testkit.Screen{}}
	s.up()
	t.Cleanup(func() {
		s.down()
		for _, pid := range supervisorsOf(t, s.dir) { // steps that were to go on go no further than the test
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		if t.Failed() {
			t.Logf("holdfast up said:\n%s", tail(s.log.String(), 20_000))
		}
	})
	return s
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }

// up starts the stack and waits for its ready line. With port 0 it keeps off the usual ports,
// which the tests beside it would compete for, and keeps those it had before.
func (s *stack) up(change ...func(*exec.Cmd)) {
	s.t.Helper()
	s.cmd = exec.Command(filepath.Join(bin, "holdfast"), "up", "--addr", "127.0.0.1:0", "--data-dir", s.dir)
	// What a test leaves running ends with its stack, unless the test says otherwise.
	s.cmd.Env = append(append(os.Environ(), "HOLDFAST_LOG_LEVEL=info", "HOLDFAST_STEPS_ON_STOP=end"), s.env...)
	s.cmd.Stderr = s.log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	for _, c := range change {
		c(s.cmd)
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.ended = make(chan struct{})
	ready := make(chan string, 1)
	go func() {
		var line bytes.Buffer
		_, _ = io.Copy(firstLine{&line, ready}, out)
		_ = s.cmd.Wait()
		close(s.ended)
	}()
	select {
	case line := <-ready:
		s.ready = line
		for word := range strings.FieldsSeq(line) {
			if v, ok := strings.CutPrefix(word, "web="); ok {
				s.web = v
			}
			if v, ok := strings.CutPrefix(word, "temporal="); ok {
				s.temporal = v
			}
			if v, ok := strings.CutPrefix(word, "postgres="); ok {
				password, err := os.ReadFile(filepath.Join(s.dir, "postgres", "password"))
				if err != nil {
					s.t.Fatal(err)
				}
				s.postgres = "postgres://holdfast:" + strings.TrimSpace(string(password)) + "@" + v + "/holdfast?sslmode=disable"
			}
		}
		if s.web == "" || s.temporal == "" || !strings.HasPrefix(line, "holdfast ready  ") {
			s.t.Fatalf("not a ready line: %q", line)
		}
	case <-s.ended:
		s.t.Fatalf("holdfast up ended before it was ready:\n%s", s.log)
	case <-time.After(patience):
		s.t.Fatalf("holdfast up was not ready in time:\n%s", s.log)
	}
}

// firstLine hands the first line that is written over and swallows the rest.
type firstLine struct {
	b    *bytes.Buffer
	line chan string
}

func (f firstLine) Write(p []byte) (int, error) {
	f.b.Write(p)
	if line, _, ok := strings.Cut(f.b.String(), "\n"); ok {
		select {
		case f.line <- line:
		default:
		}
	}
	return len(p), nil
}

// down ends the stack as Ctrl-C does.
func (s *stack) down() {
	_ = s.cmd.Process.Signal(syscall.SIGINT)
	select {
	case <-s.ended:
	case <-time.After(30 * time.Second):
		s.t.Errorf("holdfast up did not end on SIGINT")
		_ = s.cmd.Process.Kill()
		<-s.ended
	}
}

type child struct {
	Name string `json:"name"`
	PID  int    `json:"pid"`
}

func (s *stack) children() []child {
	s.t.Helper()
	b, err := os.ReadFile(filepath.Join(s.dir, "up.json"))
	if err != nil {
		s.t.Fatal(err)
	}
	var state struct {
		Children []child `json:"children"`
	}
	if err := json.Unmarshal(b, &state); err != nil {
		s.t.Fatal(err)
	}
	return state.Children
}

// kill sends SIGKILL to one process of the stack.
func (s *stack) kill(name string) {
	s.t.Helper()
	for _, c := range s.children() {
		if c.Name == name {
			if err := syscall.Kill(c.PID, syscall.SIGKILL); err != nil {
				s.t.Fatalf("kill %s: %v", name, err)
			}
			return
		}
	}
	s.t.Fatalf("no child %q among %+v", name, s.children())
}

// killUp sends SIGKILL to `holdfast up` alone; killTree to everything at once.
func (s *stack) killUp() {
	_ = s.cmd.Process.Kill()
	<-s.ended
}

func (s *stack) killTree() {
	s.t.Helper()
	children := s.children()
	_ = s.cmd.Process.Kill()
	for _, c := range children {
		_ = syscall.Kill(c.PID, syscall.SIGKILL)
	}
	<-s.ended
}

// problem is an RFC 9457 document.
type problem struct {
	Status int    `json:"status"`
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

// call makes one request; into may be nil.
func (s *stack) call(method, path string, body, into any) (int, problem, error) {
	var in io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return 0, problem{}, err
		}
		in = bytes.NewReader(b)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, s.web+path, in)
	if err != nil {
		return 0, problem{}, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, problem{}, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, problem{}, err
	}
	var p problem
	if res.StatusCode >= 400 {
		err = json.Unmarshal(b, &p)
	} else if into != nil {
		err = json.Unmarshal(b, into)
	}
	return res.StatusCode, p, err
}

// mustCall expects success, and forgives a server that is away for a moment.
func (s *stack) mustCall(method, path string, body, into any) {
	s.t.Helper()
	testkit.Within(s.t, patience, "the success of "+method+" "+path, func() string {
		status, p, err := s.call(method, path, body, into)
		switch {
		case err == nil && status < 300:
			return ""
		case err == nil && status < 500:
			s.t.Fatalf("%s %s: %d %+v", method, path, status, p)
		}
		return fmt.Sprint(status, p, err)
	})
}

type session struct {
	ID      string     `json:"id"`
	Status  string     `json:"status"`
	Phase   string     `json:"phase"`
	HeadSeq int64      `json:"head_seq"`
	Pending []approval `json:"pending_approvals"`
}

type approval struct {
	ID         string  `json:"id"`
	Type       string  `json:"approval_type"`
	Status     string  `json:"status"`
	Resolution string  `json:"resolution"`
	Actor      string  `json:"actor"`
	Feedback   string  `json:"feedback"`
	Remaining  float64 `json:"remaining_seconds"`
}

type obj = map[string]any

func (s *stack) start(plan string, config obj) string {
	s.t.Helper()
	var got session
	s.mustCall("POST", "/api/sessions", obj{"name": s.t.Name(), "mode": "runbook", "plan": json.RawMessage(plan), "config": config}, &got)
	return got.ID
}

func (s *stack) session(id string) session {
	s.t.Helper()
	var got session
	s.mustCall("GET", "/api/sessions/"+id, nil, &got)
	return got
}

// awaitSession polls until the session is as wanted.
func (s *stack) awaitSession(id, what string, ok func(session) bool) session {
	s.t.Helper()
	var got session
	testkit.Within(s.t, patience, "session "+id+": "+what, func() string {
		if got = s.session(id); !ok(got) {
			return fmt.Sprintf("%+v", got)
		}
		return ""
	})
	return got
}

func (s *stack) awaitStatus(id, status string) session {
	s.t.Helper()
	return s.awaitSession(id, "status "+status, func(got session) bool { return got.Status == status })
}

func (s *stack) awaitApproval(id string) approval {
	s.t.Helper()
	return s.awaitSession(id, "pending approval", func(got session) bool { return len(got.Pending) > 0 }).Pending[0]
}

func (s *stack) approval(id string) approval {
	s.t.Helper()
	var got approval
	s.mustCall("GET", "/api/approvals/"+id, nil, &got)
	return got
}

// run executes a program of bin/ and returns its output and exit code.
func (s *stack) run(stdin, name string, args ...string) (stdout, stderr string, code int) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(bin, name), args...)
	cmd.Env = append(os.Environ(), "HOLDFAST_URL="+s.web, "TEMPORAL_ADDRESS="+s.temporal, "NO_COLOR=1")
	cmd.Stdin = strings.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		code = exit.ExitCode()
	} else if err != nil {
		s.t.Fatalf("%s %v: %v", name, args, err)
	}
	return out.String(), errs.String(), code
}
