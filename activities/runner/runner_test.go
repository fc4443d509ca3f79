//go:build unix

package runner_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/holdfast/holdfast/activities/runner"
	"github.com/holdfast/holdfast/activities/runner/sandbox"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
)

func TestRun_KeepsEveryByteOfBothStreamsInOrder(t *testing.T) {
	t.Parallel()
	b := newBench(t, `"shell":"seq 1 200000; seq 1 1000 >&2"`)
	b.run()
	var want strings.Builder
	for i := 1; i <= 200_000; i++ {
		fmt.Fprintln(&want, i)
	}
	if got := b.output(schema.Stdout); got != want.String() {
		t.Fatalf("%d bytes of stdout, want %d", len(got), want.Len())
	}
	if got := strings.Count(b.output(schema.Stderr), "\n"); got != 1000 {
		t.Fatalf("%d lines of stderr, want 1000", got)
	}
}

func TestRun_BinaryBecomesTextAndRunesStayWhole(t *testing.T) {
	t.Parallel()
	// The bytes of é come a moment apart; then two invalid bytes, and a NUL.
	b := newBench(t, `"shell":"printf '\\303'; sleep 0.2; printf '\\251\\377\\376\\000.'"`)
	b.run()
	if got, want := b.output(schema.Stdout), "é\ufffd\ufffd\x00."; got != want {
		t.Fatalf("printed %q, want %q", got, want)
	}
}

func TestRun_TheProgramGetsAnEnvironmentOfItsOwn(t *testing.T) {
	t.Setenv("HOLDFAST_DATABASE_URL", "postgres://secret")
	b := newBench(t, `"shell":"env; pwd; python3 -c 'import os; print(len(os.listdir(\"/proc/self/fd\")))'; ps -o pgid= -p $$; echo $$","env":{"COLOUR":"blue"}`)
	b.run()
	out := b.output(schema.Stdout)
	if strings.Contains(out, "secret") {
		t.Fatalf("the server's environment leaked:\n%s", out)
	}
	workspace := schema.WorkspaceDir(b.dir, b.ask.SessionID)
	for _, want := range []string{"COLOUR=blue\n", "HOME=" + workspace + "\n", "HOLDFAST_SESSION_ID=" + b.ask.SessionID + "\n", "HOLDFAST_ATTEMPT=1\n", "\n" + workspace + "\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	f := strings.Fields(out)
	if pgid, pid := f[len(f)-2], f[len(f)-1]; pgid != pid {
		t.Errorf("process group %s of process %s: not its own", pgid, pid)
	}
	if fds := f[len(f)-3]; fds != "4" { // stdin, stdout, stderr, and the listed folder
		t.Errorf("%s descriptors, want 4: something was inherited", fds)
	}
}

// What people said reaches the program, and the plan cannot replace it.
func TestRun_TheProgramGetsWhatPeopleSaid(t *testing.T) {
	t.Parallel()
	b := newBench(t, `"shell":"printf '%s|%s|%s' \"${HOLDFAST_MESSAGE-none}\" \"${HOLDFAST_FEEDBACK-none}\" \"$HOLDFAST_ATTEMPT\""`)
	b.run()
	if got := b.output(schema.Stdout); got != "none|none|1" {
		t.Fatalf("printed %q", got)
	}
	_, err := b.db.Apply(t.Context(), schema.Transition{
		SessionID: b.ask.SessionID, RunID: b.ask.RunID, Key: "end", Status: schema.SessionCompleted, Phase: schema.PhaseIdle,
		End:      &schema.RunEnd{Status: schema.SessionCompleted},
		Messages: []schema.MessageChange{{Number: 1, Status: schema.MessageQueued, Content: "the whole\ngrid"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	b.ask.RunID = schema.RunID(b.ask.SessionID, 2)
	b.ask.Execution, b.ask.Feedback = b.ask.RunID+"/s/1", "a NUL\x00 too"
	if _, err := b.db.BeginRun(t.Context(), store.BeginRun{
		SessionID: b.ask.SessionID, RunID: b.ask.RunID, Number: 2, Key: "2", Status: schema.SessionActive, Phase: schema.PhaseExecuting, Message: 1,
	}); err != nil {
		t.Fatal(err)
	}
	b.run()
	if got := b.output(schema.Stdout); got != "none|none|1"+"the whole\ngrid|a NUL\uFFFD too|1" {
		t.Fatalf("printed %q", got)
	}
	_, problems := schema.ParsePlan([]byte(`{"steps":[{"id":"s","shell":"true","env":{"HOLDFAST_MESSAGE":"x"}}]}`))
	if problems == nil {
		t.Fatal("a plan may set HOLDFAST_MESSAGE")
	}
}

// A step edited after its run began runs as edited; the version approved before does not.
func TestRun_AnEditedStepRunsAsEditedWithItsFiles(t *testing.T) {
	t.Parallel()
	b := newBench(t, `"shell":"cat old"`)
	edited, err := b.db.Revise(t.Context(), store.Revise{
		SessionID: b.ask.SessionID, RunID: b.ask.RunID, StepID: "s", Key: "1", Actor: "ada",
		Modifications: json.RawMessage(`{"shell":"cat new","files":{"new":"edited"}}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.r.Run(t.Context(), b.ask); schema.CodeOf(err) != schema.CodeConflict {
		t.Fatalf("what was agreed on before ran: %v", err)
	}
	b.ask.Digest = edited.Plan.StepDigest(&edited.Plan.Steps[0])
	b.run()
	if got := b.output(schema.Stdout); got != "edited" {
		t.Fatalf("printed %q", got)
	}
}

// Temporal may ask again at any later time for a step whose end it never heard of.
func TestRun_AStepThatHasEndedStaysSoWhenItsFilesAreEdited(t *testing.T) {
	t.Parallel()
	b := newBench(t, `"shell":"cat old"`)
	first := b.run()
	_, err := b.db.Revise(t.Context(), store.Revise{
		SessionID: b.ask.SessionID, RunID: b.ask.RunID, StepID: "s", Key: "1", Actor: "ada",
		Modifications: json.RawMessage(`{"shell":"cat new","files":{"new":"edited"}}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	again, err := b.r.Run(t.Context(), b.ask)
	if err != nil || again.Status != first.Status || again.Attempt != first.Attempt {
		t.Fatalf("it ended as %+v, and asked for again it is %+v, %v", first, again, err)
	}
}

func TestRun_TheProgramHasTheUsualSignals(t *testing.T) {
	t.Parallel()
	b := newBench(t, `"shell":"grep -E '^Sig(Ign|Blk)' /proc/self/status; yes | head -n 1; kill -TERM $$; echo still here"`)
	result := b.run()
	if result.Signal != "SIGTERM" {
		t.Errorf("result %+v, want the end by SIGTERM", result)
	}
	// Signals 32 and up belong to the C library: the process that started the tests may have left
	// its own ignored, and Go passes that on.
	var blocked, ignored uint64
	var rest string
	out := b.output(schema.Stdout)
	if _, err := fmt.Sscanf(out, "SigBlk: %x\nSigIgn: %x\n%s", &blocked, &ignored, &rest); err != nil || rest != "y" {
		t.Fatalf("printed %q: %v", out, err)
	}
	if usual := uint64(1<<31 - 1); blocked&usual != 0 || ignored&usual != 0 {
		t.Errorf("blocked %x, ignored %x, want none of the 31 signals that programs use", blocked, ignored)
	}
	if errs := b.output(schema.Stderr); errs != "" {
		t.Errorf("complained: %s", errs)
	}
}

func TestStop_LetsAProgramEndByItself(t *testing.T) {
	t.Parallel()
	b := newBench(t, `"run":["python3","-u","-c","import signal, sys, time\nsignal.signal(signal.SIGTERM, lambda *_: (print('bye'), sys.exit(0)))\nprint('up')\ntime.sleep(1000)"]`)
	done := b.runAside()
	b.await("start", func() bool { return b.output(schema.Stdout) == "up\n" })
	if stopped := b.r.Stop(t.Context(), b.ask.RunID, patience); stopped.ProcessesKilled != 1 || stopped.Survivors != 0 {
		t.Fatalf("stopped %+v", stopped)
	}
	if result := <-done; result.Status != schema.AttemptCancelled || b.output(schema.Stdout) != "up\nbye\n" {
		t.Fatalf("result %+v, printed %q", result, b.output(schema.Stdout))
	}
}

func TestRun_RecordsTimeAndMemory(t *testing.T) {
	t.Parallel()
	b := newBench(t, `"run":["python3","-c","import time; x = bytearray(100 << 20); t = time.process_time()\nwhile time.process_time() - t < 0.3: pass"]`)
	b.run()
	runs, err := b.db.Runs(t.Context(), b.ask.SessionID)
	if err != nil {
		t.Fatal(err)
	}
	a := runs[0].Steps[0].Attempts[0]
	if a.CPUSeconds < 0.3 || a.CPUSeconds > 30 || a.MaxRSSBytes < 100<<20 || a.MaxRSSBytes > 1<<30 || *a.ExitCode != 0 {
		t.Fatalf("attempt %+v", a)
	}
}

func TestRun_MemoryIsTheProgramsOwnNotTheSupervisors(t *testing.T) {
	t.Parallel()
	b := newBench(t, `"run":["sleep","0.2"]`)
	b.run()
	runs, err := b.db.Runs(t.Context(), b.ask.SessionID)
	if err != nil {
		t.Fatal(err)
	}
	if got := runs[0].Steps[0].Attempts[0].MaxRSSBytes; got <= 0 || got > 8<<20 {
		t.Fatalf("sleep is said to have needed %d bytes", got)
	}
}

func TestRun_WhatAStepLeavesBehindEndsWithIt(t *testing.T) {
	t.Parallel()
	for _, mode := range []sandbox.Mode{sandbox.Weakened, sandbox.Off} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			b := newBench(t, `"shell":"(setsid sh -c 'touch up; exec sleep 1000' &) ; while [ ! -e up ]; do sleep 0.01; done"`)
			b.r = b.newRunner(func(o *runner.Options) { o.Sandbox = mode })
			b.run()
			if left := b.processes(); len(left) != 0 {
				t.Fatalf("daemon %v still lives", left)
			}
		})
	}
}

func TestRun_ASecondCallerAttachesAndALeavingOneEndsNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t, `"shell":"echo started; sleep 0.5; echo done"`)
	leaving, leave := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() {
		_, err := b.r.Run(leaving, b.ask)
		left <- err
	}()
	b.await("output", func() bool { return b.output(schema.Stdout) == "started\n" })
	leave()
	if err := <-left; !errors.Is(err, runner.ErrDetached) {
		t.Fatalf("left with %v", err)
	}
	if result := b.run(); result.Status != schema.AttemptSucceeded || result.Attempt != 1 {
		t.Fatalf("result %+v", result)
	}
	if got := b.output(schema.Stdout); got != "started\ndone\n" {
		t.Fatalf("printed %q", got)
	}
}

func TestRun_AFinishedExecutionIsNotRunAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t, `"shell":"echo once; exit 3"`)
	first := b.run()
	b.r = b.newRunner()
	if again := b.run(); *again.ExitCode != *first.ExitCode || again.Attempt != 1 {
		t.Fatalf("first %+v, again %+v", first, again)
	}
	if got := b.output(schema.Stdout); got != "once\n" {
		t.Fatalf("printed %q", got)
	}
}

func TestStop_EndsAForkBombInProgress(t *testing.T) {
	t.Parallel()
	b := newBench(t, `"run":["python3","-u","-c","import os, signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('go')\nend = time.time() + 20\nn = 0\nwhile time.time() < end and n < 6:\n    os.fork(); n += 1\nprint('forked')\ntime.sleep(1000)"]`)
	done := b.runAside()
	b.await("fork", func() bool { return strings.Contains(b.output(schema.Stdout), "forked") })
	stopped := b.r.Stop(t.Context(), b.ask.RunID, 100*time.Millisecond)
	if stopped.ProcessesKilled < 2 || stopped.Survivors != 0 {
		t.Fatalf("stopped %+v", stopped)
	}
	if result := <-done; result.Status != schema.AttemptCancelled {
		t.Fatalf("result %+v", result)
	}
	if result := b.run(); result.Status != schema.AttemptCancelled {
		t.Fatalf("a stopped run started again: %+v", result)
	}
}

func TestFreeze_StopsTheClockOfTheTimeout(t *testing.T) {
	t.Parallel()
	b := newBench(t, `"shell":"echo started; sleep 0.6; echo done","timeout":"1500ms"`)
	done := b.runAside()
	b.await("output", func() bool { return b.output(schema.Stdout) == "started\n" })
	b.r.Freeze(b.ask.RunID)
	select {
	case result := <-done:
		t.Fatalf("it ended while frozen: %+v", result)
	case <-time.After(2 * time.Second): // longer than its timeout
	}
	b.r.Thaw(b.ask.RunID)
	if result := <-done; result.Status != schema.AttemptSucceeded {
		t.Fatalf("result %+v", result)
	}
}
