//go:build unix

package runner_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast/holdfast/activities/runner"
	"github.com/holdfast/holdfast/activities/runner/sandbox"
	"github.com/holdfast/holdfast/activities/runner/supervisor"
	"github.com/holdfast/holdfast/activities/workspace"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
	"github.com/holdfast/holdfast/schema/store/storetest"
	"github.com/holdfast/holdfast/snapshot"
)

const patience = 30 * time.Second

// The test binary is its own supervisor, and its own worker for the tests that kill one.
func TestMain(m *testing.M) {
	if code, ok := supervisor.Main(os.Args[1:]); ok {
		os.Exit(code)
	}
	if len(os.Args) > 1 && os.Args[1] == "work" {
		os.Exit(work(os.Args[2], os.Args[3], os.Args[4]))
	}
	os.Exit(storetest.Main(m))
}

// work runs one step, as the worker that a test kills: a database, a data folder, a step.
func work(dsn, dir, askJSON string) int {
	var ask schema.RunStep
	if err := json.Unmarshal([]byte(askJSON), &ask); err != nil {
		panic(err)
	}
	db, err := store.Open(context.Background(), dsn, store.Options{})
	if err != nil {
		panic(err)
	}
	r, err := runner.New(options(db, dir))
	if err != nil {
		panic(err)
	}
	if _, err := r.Run(context.Background(), ask, db.RunPlan); err != nil {
		panic(err)
	}
	return 0
}

type bench struct {
	t   *testing.T
	db  *store.Store
	dsn string
	dir string
	r   *runner.Runner
	ask schema.RunStep
}

// newBench is a session with one step, begun and prepared.
func newBench(t *testing.T, step string) *bench {
	t.Helper()
	plan, problems := schema.ParsePlan([]byte(`{"steps":[{"id":"s",` + step + `}]}`))
	if problems != nil {
		t.Fatalf("plan: %+v", problems)
	}
	b := &bench{t: t, dir: t.TempDir()}
	b.db, b.dsn = storetest.NewDSN(t)
	id := schema.NewID()
	if _, _, err := b.db.CreateSession(t.Context(), store.NewSession{ID: id, Name: "n", Mode: schema.ModeRunbook, Owner: "ada", Plan: plan}); err != nil {
		t.Fatal(err)
	}
	run := schema.RunID(id, 1)
	if _, err := b.db.BeginRun(t.Context(), store.BeginRun{SessionID: id, RunID: run, Number: 1, Key: "begin", Status: schema.SessionActive, Phase: schema.PhaseExecuting}); err != nil {
		t.Fatal(err)
	}
	b.ask = schema.RunStep{SessionID: id, RunID: run, StepID: "s", Execution: run + "/s/1", Digest: plan.StepDigest(&plan.Steps[0]), Last: true}
	b.r = b.newRunner()
	return b
}

func options(db *store.Store, dir string, change ...func(*runner.Options)) runner.Options {
	blobs, err := snapshot.Open(context.Background(), "file://"+filepath.Join(dir, "blobs")+"?create_dir=true")
	if err != nil {
		panic(err)
	}
	discard := slog.New(slog.DiscardHandler)
	o := runner.Options{
		Recorder: db, DataDir: dir, Host: "here", Supervisor: os.Args[0], Logger: discard, Sandbox: sandbox.BestEffort,
		OrphanTimeout: time.Minute,
	}
	for _, c := range change {
		c(&o)
	}
	o.Workspaces = workspace.NewKeeper(workspace.Options{
		Store: blobs, DataDir: dir, Quota: snapshot.Quota{Bytes: o.QuotaBytes, Files: o.QuotaFiles}, Logger: discard,
	})
	return o
}

// newRunner is a worker's; the last one of a test ends what runs.
func (b *bench) newRunner(change ...func(*runner.Options)) *runner.Runner {
	b.t.Helper()
	end := func(o *runner.Options) { o.EndSteps = true }
	r, err := runner.New(options(b.db, b.dir, append([]func(*runner.Options){end}, change...)...))
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(r.Close)
	return r
}

// processes are those of the step that live, as the host sees them: by their environment.
func (b *bench) processes() []int {
	b.t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		b.t.Fatal(err)
	}
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		env, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "environ"))
		if strings.Contains(string(env), "HOLDFAST_RUN_ID="+b.ask.RunID) && alive(pid) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// supervisor is the process that owns the step: its folder is in its arguments.
func (b *bench) supervisor() int {
	b.t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		b.t.Fatal(err)
	}
	for _, e := range entries {
		args, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		if pid, err := strconv.Atoi(e.Name()); err == nil && strings.Contains(string(args), "supervise\x00"+b.dir) && alive(pid) {
			return pid
		}
	}
	return 0
}

func (b *bench) run() schema.StepResult {
	b.t.Helper()
	result, err := b.r.Run(b.t.Context(), b.ask, b.db.RunPlan)
	if err != nil {
		b.t.Fatal(err)
	}
	return result
}

// runAside runs the step while the test goes on; the channel gets its result.
func (b *bench) runAside() <-chan schema.StepResult {
	done := make(chan schema.StepResult, 1)
	go func() {
		result, _ := b.r.Run(context.Background(), b.ask, b.db.RunPlan)
		done <- result
	}()
	return done
}

func (b *bench) events() []schema.Event {
	b.t.Helper()
	var all []schema.Event
	for {
		page, err := b.db.Events(b.t.Context(), b.ask.SessionID, store.EventFilter{Since: int64(len(all)), Limit: 1000})
		if err != nil {
			b.t.Fatal(err)
		}
		if len(page) == 0 {
			return all
		}
		all = append(all, page...)
	}
}

func (b *bench) output(stream schema.Stream) string {
	b.t.Helper()
	var text strings.Builder
	for _, e := range b.events() {
		if e.Type != schema.EventOutput {
			continue
		}
		var o schema.OutputData
		if err := json.Unmarshal(e.Data, &o); err != nil {
			b.t.Fatal(err)
		}
		if o.Stream == stream {
			text.WriteString(o.Text)
		}
	}
	return text.String()
}

func dataOf[T any](t *testing.T, e schema.Event) T {
	t.Helper()
	var data T
	if err := json.Unmarshal(e.Data, &data); err != nil {
		t.Fatal(err)
	}
	return data
}

func (b *bench) count(kind schema.EventType) int {
	b.t.Helper()
	n := 0
	for _, e := range b.events() {
		if e.Type == kind {
			n++
		}
	}
	return n
}

func (b *bench) await(what string, ok func() bool) {
	b.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
	}
	b.t.Fatalf("no %s in time", what)
}

func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

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
	// The bytes of é come a moment apart; then two bytes that are no text, and a NUL.
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
	if fds := f[len(f)-3]; fds != "4" { // stdin, stdout, stderr, and the folder that is listed
		t.Errorf("%s descriptors, want 4: something was inherited", fds)
	}
}

// What people said reaches the program, and the plan cannot say it in their place.
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

// A step that was edited after its run began runs as edited; what was agreed on before does not.
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
	if _, err := b.r.Run(t.Context(), b.ask, b.db.RunPlan); schema.CodeOf(err) != schema.CodeConflict {
		t.Fatalf("what was agreed on before ran: %v", err)
	}
	b.ask.Digest = edited.Plan.StepDigest(&edited.Plan.Steps[0])
	b.run()
	if got := b.output(schema.Stdout); got != "edited" {
		t.Fatalf("printed %q", got)
	}
}

func TestRun_TheProgramHasTheUsualSignals(t *testing.T) {
	t.Parallel()
	b := newBench(t, `"shell":"grep -E '^Sig(Ign|Blk)' /proc/self/status; yes | head -n 1; kill -TERM $$; echo still here"`)
	result := b.run()
	if result.Signal != "SIGTERM" {
		t.Errorf("result %+v, want the end by SIGTERM", result)
	}
	// Signals 32 and up belong to the C library: whoever started the tests may have left its own
	// at "ignored", and Go hands it on.
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
	for _, mode := range []sandbox.Mode{sandbox.BestEffort, sandbox.Off} {
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
		_, err := b.r.Run(leaving, b.ask, b.db.RunPlan)
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

// The worker dies by SIGKILL while the step prints; the step goes on, and the next worker
// takes over where the dead one was.
func TestRun_AKilledWorkerStopsNothingAndNoLineIsLostOrDoubled(t *testing.T) {
	t.Parallel()
	b := newBench(t, `"shell":"i=0; while [ ! -e stop ]; do i=$((i+1)); echo line $i; done; echo $i of attempt $HOLDFAST_ATTEMPT"`)
	for kill := range 3 {
		before := len(b.output(schema.Stdout))
		cmd := exec.Command(os.Args[0], "work", b.dsn, b.dir, string(schema.Marshal(b.ask)))
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
}

// What happened while no worker was there is made up for.
func TestRecover_BringsAStepInLineWithItsSession(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name      string
		meanwhile schema.Transition
		then      func(b *bench) bool
	}{
		{"suspended", schema.Transition{Status: schema.SessionSuspended, Phase: schema.PhaseExecuting}, func(b *bench) bool {
			list := b.processes()
			for _, pid := range list {
				stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
				if !strings.Contains(string(stat), ") T ") {
					return false
				}
			}
			return len(list) > 0
		}},
		{"cancelled", schema.Transition{Status: schema.SessionCancelled, Phase: schema.PhaseIdle, End: &schema.RunEnd{Status: schema.SessionCancelled}}, func(b *bench) bool {
			left, err := os.ReadDir(filepath.Join(b.dir, "steps"))
			return len(b.processes()) == 0 && b.supervisor() == 0 && err == nil && len(left) == 0
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, `"shell":"echo up; sleep 1000"`)
			b.r = b.newRunner(func(o *runner.Options) { o.EndSteps = false })
			done := b.runAside()
			b.await("start", func() bool { return b.output(schema.Stdout) == "up\n" })
			b.r.Close()
			<-done
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

// The program dies with its supervisor, and starts again; what it had printed stays.
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

// Both at once: nothing is left that could end the program but the kernel.
func TestRun_AKilledSupervisorAndWorkerAreARetryToo(t *testing.T) {
	t.Parallel()
	b := newBench(t, `"shell":"echo attempt $HOLDFAST_ATTEMPT; [ $HOLDFAST_ATTEMPT = 2 ] || sleep 1000"`)
	cmd := exec.Command(os.Args[0], "work", b.dsn, b.dir, string(schema.Marshal(b.ask)))
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
