//go:build linux

package e2e

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/holdfast/holdfast/internal/testkit"
)

// How many stacks the fault harness plays, and with which number it begins: `make faults`.
var (
	faultStacks = flag.Int("faults", 1, "stacks of the fault harness")
	faultFirst  = flag.Int("faults-first", 1, "number of the first stack, to play one again")
)

// faultyRun is what sessions do on a stack, and what goes wrong under them.
type faultyRun struct {
	sessions []faultySession
	faults   []drawnFault
}

type faultySession struct {
	start time.Duration // after the first fault has begun
	lines []int         // that the step prints, with pauses in between
	pause time.Duration
	exit  int
}

type drawnFault struct {
	name string
	room int64
	hold time.Duration
}

// Each of what may go wrong happens, in an order that is drawn, and over each other.
var faultyRuns = rapid.Custom(func(t *rapid.T) faultyRun {
	r := faultyRun{sessions: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) faultySession {
		return faultySession{
			start: time.Duration(rapid.IntRange(0, 15).Draw(t, "start")) * time.Second,
			lines: rapid.SliceOfN(rapid.SampledFrom([]int{1, 200, 5_000, 60_000}), 2, 6).Draw(t, "lines"),
			pause: time.Duration(rapid.SampledFrom([]int{0, 300, 2000, 5000}).Draw(t, "pause")) * time.Millisecond,
			exit:  rapid.SampledFrom([]int{0, 0, 3}).Draw(t, "exit"),
		}
	}), 5, 7).Draw(t, "sessions")}
	long := 12 * time.Second // longer than a heartbeat's, a record's and an order's time
	r.faults = rapid.Permutation([]drawnFault{
		{name: "fill", hold: 2 * time.Second}, {name: "fill", room: 1 << 20, hold: 4 * time.Second}, {name: "free", hold: time.Second},
		{name: "stop postgres", hold: long}, {name: "stop temporal", hold: long}, {name: "kill worker", hold: 2 * time.Second},
		{name: "kill worker", hold: time.Second}, {name: "free", hold: time.Second},
	}).Draw(t, "faults")
	return r
})

// Sessions of which nobody thought run while the disk of their steps fills, Postgres and Temporal stand still for
// longer than any deadline, and workers are killed: each step runs once, and what it prints is there once.
func TestFaults_NothingIsLostDoubledStuckOrRunTwice(t *testing.T) {
	t.Parallel()
	for i := range *faultStacks {
		t.Run(strconv.Itoa(*faultFirst+i), func(t *testing.T) {
			t.Parallel()
			f := faultyRuns.Example(*faultFirst + i)
			f.play(t)
		})
	}
}

// newFaultyStack has a disk of its own for what steps leave to their workers.
func newFaultyStack(t *testing.T, bytes int64) (*stack, *testkit.Disk) {
	t.Helper()
	s := &stack{t: t, dir: t.TempDir(), log: &testkit.Screen{}}
	disk := testkit.NewDiskAt(t, filepath.Join(s.dir, "steps"), bytes)
	s.up()
	t.Cleanup(func() {
		disk.Free()
		s.down()
		if t.Failed() {
			t.Logf("holdfast up said:\n%s", tail(s.log.String(), 20_000))
		}
	})
	return s, disk
}

func (f *faultyRun) play(t *testing.T) {
	t.Helper()
	s, disk := newFaultyStack(t, 48<<20)
	ids := make([]string, len(f.sessions))
	began := time.Now()
	started := make(chan struct{})
	go func() { // they come while things go wrong
		defer close(started)
		order := make([]int, len(f.sessions))
		for i := range order {
			order[i] = i
		}
		slices.SortFunc(order, func(a, b int) int { return int(f.sessions[a].start - f.sessions[b].start) })
		for _, i := range order {
			time.Sleep(time.Until(began.Add(f.sessions[i].start)))
			ids[i] = s.start(f.sessions[i].plan(), obj{"approval_mode": "none"})
		}
	}()
	for _, fault := range f.faults {
		t.Logf("%s: %s", time.Since(began).Round(time.Millisecond), fault.name)
		switch name, _ := strings.CutPrefix(fault.name, "stop "); {
		case name != fault.name:
			goOn := s.pause(name)
			time.Sleep(fault.hold)
			goOn()
			continue
		case fault.name == "fill":
			disk.Fill(fault.room)
		case fault.name == "free":
			disk.Free()
		default:
			s.kill("worker")
		}
		time.Sleep(fault.hold)
	}
	disk.Free()
	<-started
	for i, id := range ids {
		f.sessions[i].check(s, id)
	}
}

// pause stops a process of the stack and what it has started; the function that it returns lets
// them go on.
func (s *stack) pause(name string) (goOn func()) {
	s.t.Helper()
	var pids []int
	for _, c := range s.children() {
		if c.Name == name {
			pids = append(pids, c.PID)
		}
	}
	if len(pids) == 0 {
		s.t.Fatalf("no child %q among %+v", name, s.children())
	}
	for i := 0; i < len(pids); i++ { // those that come after it are its children
		_ = syscall.Kill(pids[i], syscall.SIGSTOP)
		list, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pids[i], pids[i])) // it has ended
		for child := range strings.FieldsSeq(string(list)) {
			if pid, err := strconv.Atoi(child); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return func() {
		for _, pid := range slices.Backward(pids) {
			_ = syscall.Kill(pid, syscall.SIGCONT)
		}
	}
}

func (f *faultySession) plan() string {
	var b strings.Builder
	b.WriteString("import sys, time\n")
	at := 0
	for _, n := range f.lines {
		fmt.Fprintf(&b, "for i in range(%d, %d): sys.stdout.write('%%090d\\n' %% i)\nsys.stdout.flush()\ntime.sleep(%f)\n", at, at+n, f.pause.Seconds())
		at += n
	}
	fmt.Fprintf(&b, "sys.exit(%d)\n", f.exit)
	code, err := json.Marshal(b.String())
	if err != nil {
		panic(err)
	}
	return `{"steps":[{"id":"print","run":["/usr/bin/python3","-c",` + string(code) + `]}]}`
}

func (f *faultySession) check(s *stack, id string) {
	s.t.Helper()
	want := "completed"
	if f.exit != 0 {
		want = "failed"
	}
	got := s.awaitSession(id, "end", func(got session) bool { return got.Status == "completed" || got.Status == "failed" })
	v := s.watch(id)
	seen := v.await("all events", func(seen []event) bool { return int64(len(seen)) >= got.HeadSeq })
	if got.Status != want {
		s.t.Errorf("session %s is %s, want %s:\n%s", id, got.Status, want, withoutOutput(seen))
	}
	n := 0
	for _, lines := range f.lines {
		n += lines
	}
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, "%090d\n", i)
	}
	// An attempt whose worker was killed before it could start is lost, and ran nothing: a program that had run twice
	// would have printed twice.
	var out strings.Builder
	for attempt := range count(seen, "step_started") {
		out.WriteString(printed(s.t, seen, "print", attempt+1))
	}
	if out.String() != text.String() {
		s.t.Errorf("session %s printed %d bytes in %d attempts, want %d:\n%s", id, out.Len(), count(seen, "step_started"), text.Len(), withoutOutput(seen))
	}
	if left := processesOf(s.t, id); len(left) > 0 {
		s.t.Errorf("%v of session %s still run", left, id)
	}
}

// withoutOutput is what happened.
func withoutOutput(events []event) string {
	return text(slices.DeleteFunc(slices.Clone(events), func(e event) bool { return e.Type == "output" || e.Type == "step_progress" }))
}

// Where nothing can go on, the session says why, and a person can leave.
func TestFaults_AFullDiskIsShownAndCanBeLeft(t *testing.T) {
	t.Parallel()
	s, disk := newFaultyStack(t, 16<<20)
	printing := s.start(`{"steps":[{"id":"s","shell":"echo up; while :; do head -c 65536 /dev/zero | tr '\\0' x; echo; sleep 0.01; done"}]}`, nil)
	v := s.watch(printing)
	v.await("output", func(seen []event) bool { return strings.Contains(printed(t, seen, "s", 1), "up\n") })
	waits := func(seen []event) bool {
		return slices.ContainsFunc(seen, func(e event) bool {
			return e.Type == "step_progress" && strings.Contains(string(e.Data), `"waiting":"`) && strings.Contains(string(e.Data), "no space left on device")
		})
	}
	resumeWorker := s.pause("worker") // so that the spool grows
	disk.Fill(0)
	time.Sleep(2 * time.Second) // more than fits in what the spool has of the disk
	resumeWorker()
	v.await("word that it waits", func(seen []event) bool {
		disk.Fill(0) // what the worker takes over makes room
		return waits(seen)
	})
	starting := s.start(`{"steps":[{"id":"s","shell":"echo never"}]}`, nil)
	w := s.watch(starting)
	w.await("word that it cannot start", func(seen []event) bool {
		disk.Fill(0)
		return waits(seen)
	})
	if !strings.Contains(s.log.String(), "steps wait for this host") {
		t.Error("the log has no word about it")
	}
	for _, id := range []string{starting, printing} { // in this order: what the printing one leaves is room enough to start
		s.mustCall("POST", "/api/sessions/"+id+"/cancel", obj{}, nil)
		s.awaitStatus(id, "cancelled")
		if left := processesOf(t, id); len(left) > 0 {
			t.Errorf("%v still run", left)
		}
	}
}
