//go:build unix

package runner_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast/holdfast/activities/runner"
	"github.com/holdfast/holdfast/activities/runner/sandbox"
	"github.com/holdfast/holdfast/schema"
)

func TestRun_AKilledWorkerStopsNothingAndNoLineIsLostOrDoubled(t *testing.T) {
	t.Parallel()
	b := newBench(t, `"shell":"i=0; while [ ! -e stop ]; do i=$((i+1)); echo line $i; [ $((i%500)) != 0 ] || sleep 0.05; done; echo $i of attempt $HOLDFAST_ATTEMPT"`)
	for kill := range 3 {
		before := len(b.output(schema.Stdout))
		cmd := exec.Command(os.Args[0], "work", b.dsn, b.dir, string(schema.Marshal(b.ask)), supervise)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		b.await("more output", func() bool {
			return len(b.output(schema.Stdout)) > before+1000 && b.count(schema.EventStepReattached) == kill
		})
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if len(b.processes()) == 0 {
			t.Fatalf("after kill %d nothing runs", kill+1)
		}
	}
	b.r.Recover() // before anybody asks for the step
	before := len(b.output(schema.Stdout))
	b.await("more output", func() bool { return len(b.output(schema.Stdout)) > before && b.count(schema.EventStepReattached) == 3 })
	if err := os.WriteFile(filepath.Join(schema.WorkspaceDir(b.dir, b.ask.SessionID), "stop"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if result := b.run(); result.Status != schema.AttemptSucceeded || result.Attempt != 1 {
		t.Fatalf("result %+v", result)
	}
	lines := strings.Split(strings.TrimSuffix(b.output(schema.Stdout), "\n"), "\n")
	for i, line := range lines[:len(lines)-1] {
		if line != fmt.Sprint("line ", i+1) {
			t.Fatalf("line %d is %q", i+1, line)
		}
	}
	if last := lines[len(lines)-1]; last != fmt.Sprintf("%d of attempt 1", len(lines)-1) {
		t.Fatalf("the last line is %q after %d", last, len(lines)-1)
	}
	if n := b.count(schema.EventStepReattached); n != 3 {
		t.Fatalf("%d workers came back, want 3", n)
	}
	if left, err := os.ReadDir(filepath.Join(b.dir, "steps")); err != nil || len(left) != 0 {
		t.Fatalf("%v is left of it: %v", left, err)
	}
	b.await("its supervisor's end", func() bool { return b.supervisor() == 0 })
	b.newRunner().Recover()
	if left, err := os.ReadDir(filepath.Join(b.dir, "locks")); err != nil || len(left) != 0 {
		t.Fatalf("%v is locked: %v", left, err)
	}
}

func TestRecover_BringsAStepInLineWithItsSession(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name      string
		meanwhile schema.Transition
		then      func(b *bench) bool
	}{
		{"suspended", schema.Transition{Status: schema.SessionSuspended, Phase: schema.PhaseExecuting}, func(b *bench) bool { return len(b.processes()) > 0 && b.stands() }},
		{"cancelled", schema.Transition{Status: schema.SessionCancelled, Phase: schema.PhaseIdle, End: &schema.RunEnd{Status: schema.SessionCancelled}}, func(b *bench) bool {
			left, err := os.ReadDir(filepath.Join(b.dir, "steps"))
			return len(b.processes()) == 0 && b.supervisor() == 0 && err == nil && len(left) == 0
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, `"shell":"echo up; sleep 1000"`)
			b.leave()
			c.meanwhile.SessionID, c.meanwhile.RunID, c.meanwhile.Key = b.ask.SessionID, b.ask.RunID, "meanwhile"
			if _, err := b.db.Apply(t.Context(), c.meanwhile); err != nil {
				t.Fatal(err)
			}
			if len(b.processes()) == 0 {
				t.Fatal("it did not go on")
			}
			b.r = b.newRunner()
			b.r.Recover()
			b.await(c.name, func() bool { return c.then(b) })
		})
	}
}

func TestSupervisor_EndsAStepToWhichNobodyComesBack(t *testing.T) {
	t.Parallel()
	b := newBench(t, `"shell":"echo attempt $HOLDFAST_ATTEMPT; [ $HOLDFAST_ATTEMPT = 2 ] || sleep 1000"`)
	b.r = b.newRunner(func(o *runner.Options) { o.EndSteps, o.OrphanTimeout = false, 100*time.Millisecond })
	done := b.runAside()
	b.await("start", func() bool { return b.output(schema.Stdout) == "attempt 1\n" })
	b.r.Close()
	<-done
	b.await("end", func() bool { return len(b.processes()) == 0 && b.supervisor() == 0 })
	b.r = b.newRunner()
	b.r.Recover()
	if result := b.run(); result.Status != schema.AttemptSucceeded || result.Attempt != 2 {
		t.Fatalf("result %+v", result)
	}
	runs, err := b.db.Runs(t.Context(), b.ask.SessionID)
	if err != nil {
		t.Fatal(err)
	}
	if a := runs[0].Steps[0].Attempts; a[0].Status != schema.AttemptLost || a[0].Reason != schema.ReasonOrphaned {
		t.Fatalf("%+v", a)
	}
}

func TestRun_AKilledSupervisorIsARetryThatSaysSo(t *testing.T) {
	t.Parallel()
	b := newBench(t, `"shell":"echo attempt $HOLDFAST_ATTEMPT; [ $HOLDFAST_ATTEMPT = 2 ] || sleep 1000"`)
	done := b.runAside()
	b.await("output", func() bool { return b.output(schema.Stdout) == "attempt 1\n" })
	_ = syscall.Kill(b.supervisor(), syscall.SIGKILL)
	if result := <-done; result.Status != schema.AttemptSucceeded || result.Attempt != 2 {
		t.Fatalf("result %+v", result)
	}
	if got := b.output(schema.Stdout); got != "attempt 1\nattempt 2\n" {
		t.Fatalf("printed %q", got)
	}
	runs, err := b.db.Runs(t.Context(), b.ask.SessionID)
	if err != nil {
		t.Fatal(err)
	}
	if a := runs[0].Steps[0].Attempts; a[0].Status != schema.AttemptLost || a[0].Reason != schema.ReasonSupervisor {
		t.Fatalf("%+v", a)
	}
}

// The supervisor is killed while a stop is on its way to it: what outlives it, if the step has no
// PID namespace, is ended and counted.
func TestStop_EndsAndCountsWhatAKilledSupervisorLeft(t *testing.T) {
	t.Parallel()
	b := newBench(t, `"shell":"setsid sh -c 'echo up; exec sleep 1000' & wait"`)
	b.r = b.newRunner(func(o *runner.Options) { o.Sandbox = sandbox.Off })
	done := b.runAside()
	b.await("start", func() bool { return b.output(schema.Stdout) == "up\n" })
	own := b.supervisor()
	_ = syscall.Kill(own, syscall.SIGSTOP) // so that it does not read the order
	stopped := make(chan schema.StoppedSteps, 1)
	go func() { stopped <- b.r.Stop(context.WithoutCancel(t.Context()), b.ask.RunID, 0) }()
	b.await("the stop", func() bool { return b.r.IsStopping(b.ask.Execution) })
	_ = syscall.Kill(own, syscall.SIGKILL)
	if result := <-done; result.Status != schema.AttemptCancelled {
		t.Fatalf("result %+v", result)
	}
	if left := b.processes(); len(left) != 0 {
		t.Fatalf("%v still run", left)
	}
	if got := <-stopped; got.ProcessesKilled == 0 || got.Survivors != 0 {
		t.Fatalf("stopped %+v", got)
	}
	if left, err := os.ReadDir(filepath.Join(b.dir, "locks")); err != nil || len(left) != 0 {
		t.Fatalf("%v is locked: %v", left, err)
	}
}

func TestRun_AKilledSupervisorAndWorkerAreARetryToo(t *testing.T) {
	t.Parallel()
	b := newBench(t, `"shell":"echo attempt $HOLDFAST_ATTEMPT; [ $HOLDFAST_ATTEMPT = 2 ] || sleep 1000"`)
	cmd := exec.Command(os.Args[0], "work", b.dsn, b.dir, string(schema.Marshal(b.ask)), supervise)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	b.await("first attempt", func() bool { return b.output(schema.Stdout) == "attempt 1\n" })
	own := b.supervisor()
	_ = cmd.Process.Kill()
	_ = syscall.Kill(own, syscall.SIGKILL)
	_ = cmd.Wait()
	b.await("end of the first attempt", func() bool { return len(b.processes()) == 0 })
	b.r.Recover()
	if result := b.run(); result.Status != schema.AttemptSucceeded || result.Attempt != 2 {
		t.Fatalf("result %+v", result)
	}
	if got := b.output(schema.Stdout); got != "attempt 1\nattempt 2\n" {
		t.Fatalf("printed %q", got)
	}
}

// TestRecover_RemovesWhatADeletedSessionHasLeft: it was deleted while no worker was here. The
// session's workflow ends what still runs.
func TestRecover_RemovesWhatADeletedSessionHasLeft(t *testing.T) {
	t.Parallel()
	b := newBench(t, `"shell":"echo x > /tmp/much; echo ready; while [ ! -e stop ]; do sleep 0.05; done"`)
	done := b.runAside()
	b.await("the program", func() bool { return b.output(schema.Stdout) == "ready\n" })
	b.r.Close()
	<-done
	if err := os.WriteFile(filepath.Join(schema.WorkspaceDir(b.dir, b.ask.SessionID), "stop"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	b.await("its end", func() bool { return b.supervisor() == 0 })
	if err := b.db.DeleteSession(t.Context(), b.ask.SessionID, "ada"); err != nil {
		t.Fatal(err)
	}
	b.newRunner().Recover()
	b.await("the removal of what it left", func() bool {
		left, err := os.ReadDir(filepath.Join(b.dir, "steps"))
		return err == nil && len(left) == 0
	})
}
