//go:build linux

package runner_test

import (
	"context"
	"flag"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/holdfast/holdfast/activities/runner"
	"github.com/holdfast/holdfast/internal/testkit"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
)

// How many cases the fault harness plays, and the number of the first: `make faults`.
var (
	faultCases = flag.Int("faults", 6, "cases of the fault harness")
	faultFirst = flag.Int("faults-first", 1, "number of the first case, to play one again")
)

// drawnFaults is a step, and what goes wrong around it.
type drawnFaults struct {
	parts  []drawnPart
	exit   int
	spool  int64
	faults []drawnFault
}

// drawnPart is what the step prints before it pauses.
type drawnPart struct {
	stream schema.Stream
	lines  int
	pause  time.Duration
}

type drawnFault struct {
	after time.Duration
	name  string
	room  int64
}

var drawnCases = rapid.Custom(func(t *rapid.T) drawnFaults {
	d := drawnFaults{
		exit:  rapid.SampledFrom([]int{0, 0, 3}).Draw(t, "exit"),
		spool: rapid.SampledFrom([]int64{64 << 10, 1 << 20, 64 << 20}).Draw(t, "spool"),
	}
	d.parts = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) drawnPart {
		return drawnPart{
			stream: rapid.SampledFrom([]schema.Stream{schema.Stdout, schema.Stderr}).Draw(t, "stream"),
			lines:  rapid.SampledFrom([]int{1, 100, 5_000, 60_000}).Draw(t, "lines"),
			pause:  time.Duration(rapid.SampledFrom([]int{0, 0, 100, 700}).Draw(t, "pause")) * time.Millisecond,
		}
	}), 1, 5).Draw(t, "parts")
	d.faults = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) drawnFault {
		return drawnFault{
			// The longest exceeds any patience with a pipe or an order.
			after: time.Duration(rapid.SampledFrom([]int{0, 20, 100, 300, 1000, 6000}).Draw(t, "after")) * time.Millisecond,
			name: rapid.SampledFrom([]string{
				"fill", "fill", "fill", "free", "free", "away", "back", "restart", "restart", "freeze", "thaw", "stall", "continue",
			}).Draw(t, "name"),
			room: rapid.SampledFrom([]int64{0, 0, 8 << 10, 1 << 20, 5 << 20}).Draw(t, "room"),
		}
	}), 3, 10).Draw(t, "faults")
	return d
})

// A random step prints and ends while its disk fills, its store goes down, its worker is replaced and its
// supervisor stands still, in any order: in the end it ran once, and its output is there once.
func TestFaults_NothingIsLostDoubledStuckOrRunTwice(t *testing.T) {
	t.Parallel()
	places := make(chan struct{}, 3)
	for i := range *faultCases {
		t.Run(strconv.Itoa(*faultFirst+i), func(t *testing.T) {
			t.Parallel()
			places <- struct{}{}
			defer func() { <-places }()
			drawn := drawnCases.Example(*faultFirst + i)
			drawn.play(t)
		})
	}
}

// program is the step's program, and what it prints.
func (d *drawnFaults) program() (code string, want map[schema.Stream]string) {
	var b strings.Builder
	b.WriteString("import sys, time\n")
	b.WriteString("def part(to, name, first, n):\n  for i in range(first, first + n): to.write('%s %090d\\n' % (name, i))\n  to.flush()\n")
	texts := map[schema.Stream]*strings.Builder{schema.Stdout: {}, schema.Stderr: {}}
	at := map[schema.Stream]int{}
	for _, p := range d.parts {
		fmt.Fprintf(&b, "part(sys.%s, '%s', %d, %d)\ntime.sleep(%f)\n", p.stream, p.stream, at[p.stream], p.lines, p.pause.Seconds())
		for i := range p.lines {
			fmt.Fprintf(texts[p.stream], "%s %090d\n", p.stream, at[p.stream]+i)
		}
		at[p.stream] += p.lines
	}
	fmt.Fprintf(&b, "sys.exit(%d)\n", d.exit)
	return b.String(), map[schema.Stream]string{schema.Stdout: texts[schema.Stdout].String(), schema.Stderr: texts[schema.Stderr].String()}
}

func (d *drawnFaults) play(t *testing.T) {
	t.Helper()
	code, want := d.program()
	disk := testkit.NewDisk(t, 96<<20)
	b := newBenchAt(t, disk.Dir, `"run":["/usr/bin/python3","-c",`+string(schema.Marshal(code))+`]`)
	var away atomic.Bool
	records := &faultyStore{Store: b.db, append: func(store.AppendOutput) (bool, error) {
		return away.Load(), schema.Errorf(schema.CodeUnavailable, "away")
	}}
	worker := func() *runner.Runner {
		return b.newRunner(func(o *runner.Options) {
			o.Store, o.SpoolBytes, o.EndSteps, o.CheckEvery = records, d.spool, false, time.Second
		})
	}
	b.r = worker()
	var mu sync.Mutex // guards b.r
	result := make(chan schema.StepResult, 1)
	go func() { // as Temporal does
		for {
			mu.Lock()
			r := b.r
			mu.Unlock()
			got, err := r.Run(context.WithoutCancel(t.Context()), b.ask)
			if err == nil {
				result <- got
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	}()
	stalled := 0
	proceed := func() {
		if stalled != 0 {
			_ = syscall.Kill(stalled, syscall.SIGCONT)
		}
		stalled = 0
	}
	defer proceed()
	frozen := false
	defer disk.Free()
	var history []string
	for _, f := range d.faults {
		time.Sleep(f.after)
		history = append(history, fmt.Sprint(f.after, " ", f.name, " ", f.room))
		switch f.name {
		case "fill":
			disk.Fill(f.room)
		case "free":
			disk.Free()
		case "away", "back":
			away.Store(f.name == "away")
		case "restart":
			proceed()
			mu.Lock()
			b.r.Close()
			b.r = worker()
			b.r.Recover()
			if frozen {
				b.r.Freeze(b.ask.RunID)
			}
			mu.Unlock()
		case "freeze":
			frozen = true
			b.r.Freeze(b.ask.RunID)
		case "thaw":
			frozen = false
			b.r.Thaw(b.ask.RunID)
		case "stall":
			if stalled = b.supervisor(); stalled != 0 {
				_ = syscall.Kill(stalled, syscall.SIGSTOP)
			}
		case "continue":
			proceed()
		}
	}
	proceed()
	disk.Free()
	away.Store(false)
	b.r.Thaw(b.ask.RunID)
	var got schema.StepResult
	select {
	case got = <-result:
	case <-time.After(2 * patience):
		t.Fatalf("it is stuck after\n%s", strings.Join(history, "\n"))
	}
	// An attempt whose worker ended before it could start is lost, and ran nothing: a program that had run twice would
	// have printed twice.
	if got.ExitCode == nil || *got.ExitCode != d.exit || got.Attempt != b.count(schema.EventStepStarted) {
		t.Errorf("result %+v after %d starts", got, b.count(schema.EventStepStarted))
	}
	for stream, text := range want {
		if out := b.output(stream); out != text {
			t.Errorf("%s has %d bytes of %d", stream, len(out), len(text))
		}
	}
	b.await("end of its supervisor", func() bool { return b.supervisor() == 0 && len(b.processes()) == 0 })
	if why := b.waiting(); why != "" || len(b.r.Waiting()) > 0 {
		t.Errorf("it still waits for %q", why)
	}
	if t.Failed() {
		t.Logf("spool of %d, exit %d, parts %+v, after\n%s", d.spool, d.exit, d.parts, strings.Join(history, "\n"))
	}
}
