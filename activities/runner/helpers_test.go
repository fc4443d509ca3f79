//go:build unix

package runner_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast/holdfast/activities/runner"
	"github.com/holdfast/holdfast/activities/runner/sandbox"
	"github.com/holdfast/holdfast/activities/workspace"
	"github.com/holdfast/holdfast/internal/testkit"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
	"github.com/holdfast/holdfast/schema/store/storetest"
	"github.com/holdfast/holdfast/snapshot"
)

const patience = testkit.Patience

// supervise is the supervisor's program.
var supervise string

// The test binary is also a worker, for the tests that kill one.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "work" {
		supervise = os.Args[5]
		os.Exit(work(os.Args[2], os.Args[3], os.Args[4]))
	}
	os.Exit(storetest.Main(m, testkit.WithSupervisor(&supervise)))
}

// work runs one step as the worker that a test kills: a database, a data folder, a step.
func work(dsn, dir, askJSON string) int {
	var arg schema.RunStep
	if err := json.Unmarshal([]byte(askJSON), &arg); err != nil {
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
	if _, err := r.Run(context.Background(), arg); err != nil {
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
	return newBenchAt(t, filepath.Join(t.TempDir(), "data"), step)
}

// newBenchAt is newBench with a given data folder.
func newBenchAt(t *testing.T, dir, step string) *bench {
	t.Helper()
	plan, problems := schema.ParsePlan([]byte(`{"steps":[{"id":"s",` + step + `}]}`))
	if problems != nil {
		t.Fatalf("plan: %+v", problems)
	}
	b := &bench{t: t, dir: dir}
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
	blobs, err := snapshot.Open(context.Background(), "file://"+dir+"-blobs?create_dir=true")
	if err != nil {
		panic(err)
	}
	discard := slog.New(slog.DiscardHandler)
	o := runner.Options{
		Store: db, DataDir: dir, Host: "here", Supervisor: supervise, Logger: discard, Sandbox: sandbox.Weakened,
		OrphanTimeout: time.Minute,
	}
	for _, c := range change {
		c(&o)
	}
	o.Workspaces = workspace.NewManager(workspace.Options{
		Store: blobs, DataDir: dir, Quota: snapshot.Quota{Bytes: o.QuotaBytes, Files: o.QuotaFiles}, Logger: discard,
	})
	return o
}

// newRunner is a worker's runner; a test's last one ends what runs.
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

// processes are the step's live processes as the host sees them, found by their environment.
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

// stands reports whether all of them are stopped. A shell whose child was stopped before it became a program waits for
// it, in state D.
func (b *bench) stands() bool {
	b.t.Helper()
	for _, pid := range b.processes() {
		stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if !strings.Contains(string(stat), ") T ") && !strings.Contains(string(stat), ") D ") {
			return false
		}
	}
	return true
}

// supervisor is the process that owns the step, found by the folder in its arguments.
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
	result, err := b.r.Run(b.t.Context(), b.ask)
	if err != nil {
		b.t.Fatal(err)
	}
	return result
}

// runAside runs the step in the background; the channel receives its result.
func (b *bench) runAside() <-chan schema.StepResult {
	done := make(chan schema.StepResult, 1)
	go func() {
		result, _ := b.r.Run(context.Background(), b.ask)
		done <- result
	}()
	return done
}

// leave starts a step that first prints "up", and ends its worker: the step is left to the next one.
func (b *bench) leave() {
	b.t.Helper()
	b.r = b.newRunner(func(o *runner.Options) { o.EndSteps = false })
	done := b.runAside()
	b.await("start", func() bool { return b.output(schema.Stdout) == "up\n" })
	b.r.Close()
	<-done
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
	testkit.Eventually(b.t, what, ok)
}

func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}
