package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/internal/testkit"
)

// untilTold goes on until its workspace has the file "enough".
const untilTold = `{"steps":[{"id":"tick","shell":"while [ ! -e enough ]; do echo tick; sleep 0.1; done"}]}`

func (s *stack) tellEnough(id string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, "workspaces", id, "enough"), nil, 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stack) awaitEnd() {
	s.t.Helper()
	select {
	case <-s.ended:
	case <-time.After(patience):
		s.t.Fatalf("holdfast up does not end:\n%s", s.log)
	}
	if code := s.cmd.ProcessState.ExitCode(); code != 0 {
		s.t.Fatalf("holdfast up ended with %d:\n%s", code, s.log)
	}
}

func reattached(n int) func([]event) bool {
	return func(seen []event) bool { return count(seen, "step_reattached") >= n }
}

func TestUp_KeepsRunningStepsHoweverItIsAskedToStop(t *testing.T) {
	t.Parallel()
	hangups := make(chan os.Signal, 1) // what these tests are started with, under nohup, would ignore them, and so would `up`
	signal.Notify(hangups, syscall.SIGHUP)
	t.Cleanup(func() { signal.Stop(hangups) })
	s := newStack(t, "HOLDFAST_STEPS_ON_STOP=") // the last one wins, and it is as if it were not set
	id := s.start(untilTold, nil)
	v := s.watch(id)
	v.await("a tick", func(seen []event) bool { return strings.Contains(printed(t, seen, "tick", 1), "tick") })
	for i, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		children := s.children()
		if err := s.cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		s.awaitEnd()
		for _, c := range children {
			if syscall.Kill(c.PID, 0) == nil {
				t.Errorf("%s is still there after %s", c.Name, signal)
			}
		}
		if !strings.Contains(s.log.String(), "steps go on") {
			t.Errorf("nothing was said of the step after %s", signal)
		}
		s.up()
		v.await(fmt.Sprintf("a worker to come back after %s", signal), reattached(i+1))
	}
	s.tellEnough(id)
	seen := v.awaitType("workflow_completed")
	if n := count(seen, "step_started"); n != 1 {
		t.Errorf("%d attempts, want 1:\n%s", n, text(seen))
	}
}

// terminal is a pseudo terminal: what a person sees and types on one side, a program's on the other.
func terminal(t *testing.T) (person, program *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatalf("no terminal: %v", err)
	}
	t.Cleanup(func() { _ = person.Close() })
	if err := unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = program.Close() })
	return person, program
}

func TestUp_AsksAtATerminalWhatBecomesOfRunningSteps(t *testing.T) {
	t.Parallel()
	s := newStack(t, "HOLDFAST_STEPS_ON_STOP=")
	id := s.start(untilTold, nil)
	v := s.watch(id)
	v.await("a tick", func(seen []event) bool { return strings.Contains(printed(t, seen, "tick", 1), "tick") })
	s.down()

	comesBack, startsAgain := 0, 1
	for _, c := range []struct {
		answers string // what is typed; "^C" is a second Ctrl-C
		again   bool   // the step was stopped, and starts anew
	}{{"k\n", false}, {"^C", false}, {"x\n\n", false}, {"s\n", true}, {"w\n", false}} {
		person, program := terminal(t)
		seen := &testkit.Screen{}
		t.Cleanup(func() {
			if t.Failed() {
				t.Logf("after %q the terminal shows:\n%s", c.answers, tail(seen.String(), 4000))
			}
		})
		go func() { // ends when the terminal is closed
			buffer := make([]byte, 4096)
			for {
				n, err := person.Read(buffer)
				_, _ = seen.Write(buffer[:n])
				if err != nil {
					return
				}
			}
		}()
		s.up(func(cmd *exec.Cmd) { cmd.Stdin, cmd.Stderr = program, program })
		if startsAgain > 1 && c.answers == "w\n" {
			v.await("the step's next attempt", func(all []event) bool { return count(all, "step_started") == startsAgain })
		} else {
			comesBack++
			v.await("a worker to come back", reattached(comesBack))
		}
		if err := s.cmd.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		s.until("the question", func() bool {
			return strings.Contains(seen.String(), "1 step is running: keep it running, wait, or stop it? [k]eep / [w]ait / [s]top:")
		})
		if c.answers == "^C" {
			_ = s.cmd.Process.Signal(syscall.SIGINT)
		} else if _, err := person.WriteString(c.answers); err != nil {
			t.Fatal(err)
		}
		if c.answers == "w\n" {
			s.until("it to wait", func() bool { return strings.Contains(seen.String(), "waiting for steps") })
			s.tellEnough(id)
		}
		s.awaitEnd()
		if c.again {
			startsAgain++
		}
	}
	s.up()
	all := v.awaitType("workflow_completed")
	if n := count(all, "step_started"); n != startsAgain {
		t.Errorf("%d attempts, want %d:\n%s", n, startsAgain, text(all))
	}
}

// What a person reads at the start, and what stays in the files of a terminal or a service's log, has no secret.
func TestAttack_NothingThatUpPrintsHasThePassword(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	password, err := os.ReadFile(filepath.Join(s.dir, "postgres", "password"))
	if err != nil {
		t.Fatal(err)
	}
	for name, said := range map[string]string{"stdout": s.ready, "stderr": s.log.String()} {
		if strings.Contains(said, string(bytes.TrimSpace(password))) {
			t.Errorf("%s has the database's password: %s", name, said)
		}
	}
	if info, err := os.Stat(s.dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the data folder is %v, %v; want 0700", info.Mode(), err)
	}
}
