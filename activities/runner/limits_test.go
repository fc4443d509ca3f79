//go:build linux

package runner_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast/holdfast/activities/runner"
	"github.com/holdfast/holdfast/activities/runner/sandbox"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
)

// Exceeding a limit has a name, and is not "exit 137".
func TestRun_TooMuchIsNamed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, step string
		change     func(*runner.Options)
		want       schema.Reason
	}{
		{"memory", `"run":["/usr/bin/python3","-c","x = bytearray(400 << 20)\nimport time; time.sleep(60)"],"memory":"100MiB"`, nil, schema.ReasonOutOfMemory},
		{"memory of several", `"shell":"for i in 1 2 3; do /usr/bin/python3 -c 'x = bytearray(60 << 20); import time; time.sleep(60)' & done; wait","memory":"100MiB"`, nil, schema.ReasonOutOfMemory},
		{"time", `"shell":"trap '' TERM; while :; do sleep 1; done","timeout":"300ms"`, nil, schema.ReasonTimeout},
		{"a large file", `"shell":"head -c 50000000 /dev/zero > big; exit 0"`, func(o *runner.Options) { o.QuotaBytes = 5 << 20 }, schema.ReasonDiskQuota},
		{"a disk that fills", `"shell":"i=0; while :; do i=$((i+1)); head -c 1000000 /dev/zero > f$i; sleep 0.01; done"`, func(o *runner.Options) { o.QuotaBytes = 20 << 20 }, schema.ReasonDiskQuota},
		{"files without end", `"shell":"i=0; while :; do i=$((i+1)); : > f$i; done"`, func(o *runner.Options) { o.QuotaFiles = 500 }, schema.ReasonDiskQuota},
		{"a host that has less", `"shell":"true","memory":"9000TiB"`, nil, schema.ReasonStart},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, c.step)
			b.r = b.newRunner(func(o *runner.Options) {
				if c.change != nil {
					c.change(o)
				}
			})
			result := b.run()
			if result.Status != schema.AttemptFailed || result.Reason != c.want {
				t.Fatalf("result %+v, want %s", result, c.want)
			}
			if c.want != schema.ReasonTimeout && result.Message == "" {
				t.Fatal("nothing says what was too much")
			}
		})
	}
}

func TestRun_AStepIsRefusedWhereALayerIsRequired(t *testing.T) {
	t.Parallel()
	b := newBench(t, `"shell":"true"`)
	b.r = b.newRunner(func(o *runner.Options) { o.Sandbox = sandbox.Required })
	lacks := false
	for _, s := range sandbox.Probe(supervise) {
		lacks = lacks || (!s.On && s.Layer.Required())
	}
	result := b.run()
	if got := result.Reason == schema.ReasonSandbox; got != lacks || (!lacks && result.Status != schema.AttemptSucceeded) {
		t.Fatalf("result %+v; the host lacks a layer: %v", result, lacks)
	}
}

// A line of 256 MB arrives complete, and nobody keeps it in memory.
func TestRun_ALineThatHardlyEnds(t *testing.T) {
	t.Parallel()
	b := newBench(t, `"shell":"head -c 96000000 /dev/zero | tr '\\0' x; echo; sleep 1"`)
	done := b.runAside()
	peak := 0
	var result schema.StepResult
	for running := true; running; {
		select {
		case result = <-done:
			running = false
		case <-time.After(20 * time.Millisecond):
			status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", b.supervisor())) // it may have ended
			for line := range strings.Lines(string(status)) {
				var kib int
				if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kib); n == 1 {
					peak = max(peak, kib)
				}
			}
		}
	}
	if result.Status != schema.AttemptSucceeded || peak == 0 || peak > 80<<10 {
		t.Fatalf("result %+v, the supervisor had %d KiB at its peak", result, peak)
	}
	bytes, lines := 0, 0
	for _, e := range b.events() {
		if e.Type == schema.EventOutput {
			bytes += strings.Count(string(e.Data), "x")
			lines += strings.Count(string(e.Data), `\n`)
		}
	}
	if want := 96_000_000; bytes < want || bytes > want+want/1000 || lines != 1 {
		t.Fatalf("%d bytes in %d lines", bytes, lines)
	}
}

func TestRun_AProgramMayCloseItsOutputAndGoOn(t *testing.T) {
	t.Parallel()
	b := newBench(t, `"shell":"echo before; exec >&- 2>&-; sleep 0.3; echo > after; exit 7"`)
	result := b.run()
	if result.ExitCode == nil || *result.ExitCode != 7 || b.output(schema.Stdout) != "before\n" {
		t.Fatalf("result %+v, printed %q", result, b.output(schema.Stdout))
	}
}

func TestRun_TellsProgressAndUse(t *testing.T) {
	t.Parallel()
	b := newBench(t, `"shell":"echo start; echo '##holdfast progress=0.25 note=\"a quarter\"'; n=0; while [ $n -lt 400000 ]; do n=$((n+1)); done; printf '10%%\\r'; printf '20%%\\r'; printf 'all\\n'; sleep 1.5"`)
	b.run()
	if got := b.output(schema.Stdout); got != "start\nall\n" {
		t.Fatalf("printed %q", got)
	}
	var told []schema.StepProgressData
	for _, e := range b.events() {
		if e.Type == schema.EventStepProgress {
			told = append(told, dataOf[schema.StepProgressData](t, e))
		}
	}
	if len(told) < 2 || *told[0].Progress != 0.25 || told[0].Note != "a quarter" {
		t.Fatalf("told %+v", told)
	}
	if last := told[len(told)-1]; *last.Progress != 0.25 || last.CPUSeconds <= 0 || last.RSSBytes <= 0 || last.Processes < 1 || last.ElapsedMS < 100 {
		t.Fatalf("at last %+v", last)
	}
}

// Another host has taken the step over while this one could not be reached: what runs here ends,
// even though it never prints anything.
func TestRun_ASilentStepThatAnotherHostHasTakenOverEnds(t *testing.T) {
	t.Parallel()
	b := newBench(t, `"shell":"sleep 1000"`)
	b.r = b.newRunner(func(o *runner.Options) { o.CheckEvery = 50 * time.Millisecond })
	done := b.runAside()
	b.await("start", func() bool { return len(b.processes()) > 0 })
	taken, err := b.db.BeginAttempt(t.Context(), store.BeginAttempt{
		SessionID: b.ask.SessionID, RunID: b.ask.RunID, StepID: "s", Execution: b.ask.Execution, Host: "there", Command: []string{"sleep"},
	})
	if err != nil || taken.Number != 2 {
		t.Fatal(taken, err)
	}
	<-done
	if left := b.processes(); len(left) != 0 {
		t.Fatalf("%v still run here", left)
	}
}

// A worker that died between two of its moves has left an empty folder.
func TestRecover_LooksOverWhatWasNeverBegun(t *testing.T) {
	t.Parallel()
	b := newBench(t, `"shell":"echo once"`)
	half := filepath.Join(b.dir, "steps", b.ask.RunID, "s", "1", "tmp")
	if err := os.MkdirAll(half, 0o700); err != nil {
		t.Fatal(err)
	}
	b.r.Recover()
	if result := b.run(); result.Status != schema.AttemptSucceeded || result.Attempt != 1 || b.output(schema.Stdout) != "once\n" {
		t.Fatalf("result %+v, printed %q", result, b.output(schema.Stdout))
	}
}
