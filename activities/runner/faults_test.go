//go:build linux

package runner_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast/holdfast/activities/runner"
	"github.com/holdfast/holdfast/internal/testkit"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
)

// faultyStore is a store that a test can disturb.
type faultyStore struct {
	*store.Store

	append    func(a store.AppendOutput) (done bool, err error)
	suspended func()
	resume    func() error // called before what a returning worker asks
}

func (r *faultyStore) resuming() error {
	if r.resume == nil {
		return nil
	}
	return r.resume()
}

func (r *faultyStore) BeginAttempt(ctx context.Context, a store.BeginAttempt) (store.BegunAttempt, error) {
	if err := r.resuming(); err != nil {
		return store.BegunAttempt{}, err
	}
	return r.Store.BeginAttempt(ctx, a)
}

func (r *faultyStore) Snapshot(ctx context.Context, id string) (string, error) {
	if err := r.resuming(); err != nil {
		return "", err
	}
	return r.Store.Snapshot(ctx, id)
}

func (r *faultyStore) AppendOutput(ctx context.Context, a store.AppendOutput) error {
	if r.append != nil {
		if done, err := r.append(a); done {
			return err
		}
	}
	return r.Store.AppendOutput(ctx, a)
}

func (r *faultyStore) Suspended(ctx context.Context, id string) (bool, error) {
	if err := r.resuming(); err != nil {
		return false, err
	}
	suspended, err := r.Store.Suspended(ctx, id)
	if r.suspended != nil {
		r.suspended()
	}
	return suspended, err
}

// numbered prints n lines of 100 bytes.
func numbered(n int) (shell, want string) {
	var b strings.Builder
	for i := 1; i <= n; i++ {
		fmt.Fprintf(&b, "%099d\n", i)
	}
	return fmt.Sprintf(`/usr/bin/python3 -u -c 'import sys\nfor i in range(1, %d): sys.stdout.write(\"%%099d\\n\" %% i)'`, n+1), b.String()
}

func (b *bench) touch(name string) {
	b.t.Helper()
	if err := os.WriteFile(filepath.Join(schema.WorkspaceDir(b.dir, b.ask.SessionID), name), nil, 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// waiting is what the step was last said to wait for.
func (b *bench) waiting() string {
	b.t.Helper()
	why := ""
	for _, e := range b.events() {
		if e.Type == schema.EventStepProgress {
			why = dataOf[schema.StepProgressData](b.t, e).Waiting
		}
	}
	return why
}

func (b *bench) wantOneAttempt(result schema.StepResult) {
	b.t.Helper()
	if result.Status != schema.AttemptSucceeded || result.Attempt != 1 || b.count(schema.EventStepStarted) != 1 || b.count(schema.EventStepFailed) != 0 {
		b.t.Fatalf("result %+v after %d starts", result, b.count(schema.EventStepStarted))
	}
}

// The program is long over when the store comes back, with more in the pipe than the spool takes.
func TestRun_TheLastOutputWaitsForAStoreThatIsAway(t *testing.T) {
	t.Parallel()
	shell, want := numbered(9000)
	b := newBench(t, `"shell":"while [ ! -e go ]; do sleep 0.02; done; `+shell+`"`)
	var back atomic.Bool
	away := &faultyStore{Store: b.db, append: func(store.AppendOutput) (bool, error) {
		return !back.Load(), schema.Errorf(schema.CodeUnavailable, "away")
	}}
	b.r = b.newRunner(func(o *runner.Options) { o.Store, o.SpoolBytes = away, 128<<10 })
	done := b.runAside()
	b.await("start", func() bool { return len(b.processes()) > 0 })
	b.touch("go")
	b.await("end of the program", func() bool { return len(b.processes()) == 0 })
	time.Sleep(7 * time.Second) // longer than any patience with a pipe
	back.Store(true)
	b.wantOneAttempt(<-done)
	if got := b.output(schema.Stdout); got != want {
		t.Fatalf("%d bytes were recorded, of %d", len(got), len(want))
	}
}

// The disk fills while the step prints, and while it ends: it waits, says so, and goes on.
func TestRun_AFullDiskHoldsAStepAndLosesNothing(t *testing.T) {
	t.Parallel()
	disk := testkit.NewDisk(t, 32<<20)
	shell, want := numbered(100_000)
	b := newBenchAt(t, disk.Dir, `"shell":"while [ ! -e go ]; do sleep 0.02; done; `+shell+`; `+strings.ReplaceAll(shell, "stdout", "stderr")+`"`)
	done := b.runAside()
	b.await("start", func() bool { return len(b.processes()) > 0 })
	disk.Fill(5 << 20) // in the second segment
	b.touch("go")
	b.await("a word about it", func() bool { return strings.Contains(b.waiting(), "no space left on device") })
	disk.Free()
	b.wantOneAttempt(<-done)
	if out, errs := b.output(schema.Stdout), b.output(schema.Stderr); out != want || errs != want {
		t.Fatalf("%d and %d bytes were recorded, of %d", len(out), len(errs), len(want))
	}
	if why := b.waiting(); why != "" {
		t.Fatalf("it still says that it waits for %q", why)
	}
}

// The disk is full at the moment when the step succeeds.
func TestRun_ASuccessOnAFullDiskIsASuccess(t *testing.T) {
	t.Parallel()
	for _, whose := range []string{"the worker's", "the next worker's"} {
		t.Run(whose, func(t *testing.T) {
			t.Parallel()
			disk := testkit.NewDisk(t, 8<<20)
			b := newBenchAt(t, disk.Dir, `"shell":"echo up; while [ ! -e go ]; do sleep 0.02; done"`)
			b.r = b.newRunner(func(o *runner.Options) { o.EndSteps = false })
			done := b.runAside()
			b.await("start", func() bool { return b.output(schema.Stdout) == "up\n" })
			disk.Fill(0)
			if whose != "the worker's" {
				b.r.Close()
				<-done
				b.touch("go")
				b.await("its end", func() bool { return b.supervisor() == 0 })
				b.r = b.newRunner()
				done = b.runAside()
			} else {
				b.touch("go")
			}
			b.wantOneAttempt(<-done)
		})
	}
}

// A person can end a step while the disk stays full.
func TestStop_EndsAStepOnAFullDisk(t *testing.T) {
	t.Parallel()
	disk := testkit.NewDisk(t, 8<<20)
	shell, _ := numbered(100_000)
	b := newBenchAt(t, disk.Dir, `"shell":"while [ ! -e go ]; do sleep 0.02; done; `+shell+`"`)
	var back atomic.Bool
	away := &faultyStore{Store: b.db, append: func(a store.AppendOutput) (bool, error) {
		return !back.Load() && len(a.Chunks) > 0, schema.Errorf(schema.CodeUnavailable, "away")
	}}
	b.r = b.newRunner(func(o *runner.Options) { o.Store = away })
	done := b.runAside()
	b.await("start", func() bool { return len(b.processes()) > 0 })
	disk.Fill(0)
	b.touch("go")
	b.await("a full disk", func() bool { return len(b.r.Waiting()) > 0 })
	back.Store(true) // what is there is recorded; there is no room for the rest
	stopped := b.r.Stop(t.Context(), b.ask.RunID, 0)
	result := <-done
	if result.Status != schema.AttemptCancelled || stopped.Survivors != 0 {
		t.Fatalf("result %+v, stopped %+v", result, stopped)
	}
}

// A start that fails for lack of something is not a failure of the step.
func TestRun_AStartThatFailsThroughNoFaultOfTheProgramIsTriedAgain(t *testing.T) {
	t.Parallel()
	t.Run("a full disk", func(t *testing.T) {
		t.Parallel()
		disk := testkit.NewDisk(t, 1<<20)
		b := newBenchAt(t, disk.Dir, `"shell":"echo once"`)
		disk.Fill(0)
		done := b.runAside()
		b.await("a word about it", func() bool { return strings.Contains(b.waiting(), "it cannot start yet: no space left on device") })
		disk.Free()
		b.wantOneAttempt(<-done)
	})
	t.Run("no program for the supervisor", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, `"shell":"echo once"`)
		exe := filepath.Join(t.TempDir(), "supervisor")
		b.r = b.newRunner(func(o *runner.Options) { o.Supervisor = exe })
		done := b.runAside()
		b.await("a word about it", func() bool { return b.waiting() != "" })
		if err := os.Symlink("/bin/false", exe); err != nil { // one that ends at once
			t.Fatal(err)
		}
		b.await("a word about that", func() bool { return strings.Contains(b.waiting(), "the supervisor exited") })
		if err := os.Remove(exe); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(supervise, exe); err != nil {
			t.Fatal(err)
		}
		b.wantOneAttempt(<-done)
	})
	t.Run("a stop ends the wait", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, `"shell":"echo once"`)
		b.r = b.newRunner(func(o *runner.Options) { o.Supervisor = "/nowhere" })
		done := b.runAside()
		b.await("a word about it", func() bool { return b.waiting() != "" })
		b.r.Stop(t.Context(), b.ask.RunID, 0)
		if result := <-done; result.Status != schema.AttemptCancelled || b.count(schema.EventStepFailed) != 1 {
			t.Fatalf("result %+v", result)
		}
	})
	t.Run("a network that cannot be made", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, `"shell":"touch ran","network":true`)
		b.r = b.newRunner(func(o *runner.Options) { o.NetworkRefused = []string{"no place"} })
		b.r.SetFaultPatience(300 * time.Millisecond)
		if result := b.run(); result.Reason != schema.ReasonStart || !strings.Contains(result.Message, "prepare the step's network") {
			t.Fatalf("result %+v", result)
		}
		if _, err := os.Stat(filepath.Join(schema.WorkspaceDir(b.dir, b.ask.SessionID), "ran")); err == nil {
			t.Fatal("the program ran before it was refused")
		}
	})
	t.Run("what does not pass has an end", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, `"shell":"echo once"`)
		b.r = b.newRunner(func(o *runner.Options) { o.Supervisor = "/nowhere" })
		b.r.SetFaultPatience(300 * time.Millisecond)
		if result := b.run(); result.Reason != schema.ReasonStart || !strings.Contains(result.Message, "no such file") {
			t.Fatalf("result %+v", result)
		}
	})
}

// A freeze that comes while a worker reattaches to a step holds it, whatever that worker has read
// before.
func TestFreeze_DuringReattachmentHolds(t *testing.T) {
	t.Parallel()
	b := newBench(t, `"shell":"while :; do echo line; sleep 0.01; done"`)
	b.r = b.newRunner(func(o *runner.Options) { o.EndSteps = false })
	done := b.runAside()
	b.await("start", func() bool { return b.output(schema.Stdout) != "" })
	b.r.Close()
	<-done
	asked, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	late := &faultyStore{Store: b.db, suspended: func() { once.Do(func() { close(asked) }); <-goOn }}
	b.r = b.newRunner(func(o *runner.Options) { o.Store = late })
	b.r.Recover()
	<-asked
	frozen := make(chan struct{})
	go func() {
		defer close(frozen)
		b.r.Freeze(b.ask.RunID)
	}()
	b.await("its order", func() bool { return b.r.IsFrozen(b.ask.RunID) })
	close(goOn)
	<-frozen
	b.await("everything to stand still", b.stands) // on a busy machine a process needs its turn to stop
	testkit.Never(t, time.Second, "it goes on after Freeze has returned", func() bool { return !b.stands() })
	b.r.Thaw(b.ask.RunID)
	before := len(b.output(schema.Stdout))
	b.await("more output", func() bool { return len(b.output(schema.Stdout)) > before })
}

// A worker that starts while Postgres is down keeps what runs here: the step holds its place, and
// is continued before anybody asks for it.
func TestRecover_KeepsWhatRunsWhileTheStoreIsAway(t *testing.T) {
	t.Parallel()
	b := newBench(t, `"shell":"echo up; while [ ! -e go ]; do sleep 0.02; done; echo done","cpu":1`)
	b.leave()
	var asked atomic.Int64
	away := &faultyStore{Store: b.db, resume: func() error {
		if asked.Add(1)%4 != 0 { // each call fails before it is answered
			return schema.Errorf(schema.CodeUnavailable, "away")
		}
		return nil
	}}
	slots := runner.NewSlots(1, 0)
	b.r = b.newRunner(func(o *runner.Options) { o.Store, o.Slots = away, slots })
	b.r.Recover()
	b.await("reattachment", func() bool { return b.count(schema.EventStepReattached) == 1 })
	if len(b.r.Running()) != 1 {
		t.Fatal("it was let go")
	}
	b.touch("go")
	b.await("its end, which nobody asked for", func() bool { return b.count(schema.EventStepCompleted) == 1 })
	if out := b.output(schema.Stdout); out != "up\ndone\n" {
		t.Fatalf("printed %q", out)
	}
}

// Postgres makes up for an order that never came.
func TestRunner_BringsAFrozenRunInLineWithItsSession(t *testing.T) {
	t.Parallel()
	b := newBench(t, `"shell":"echo up; while [ ! -e go ]; do sleep 0.02; done"`)
	b.r = b.newRunner(func(o *runner.Options) { o.CheckEvery = 50 * time.Millisecond })
	done := b.runAside()
	b.await("start", func() bool { return b.output(schema.Stdout) == "up\n" })
	b.r.Freeze(b.ask.RunID) // the session is active, but nobody could report the thaw
	b.touch("go")
	b.wantOneAttempt(<-done)
}

// Recovered steps hold what they declared.
func TestRecover_StepsThatRunTakeTheirSlots(t *testing.T) {
	t.Parallel()
	b := newBench(t, `"shell":"echo up; while [ ! -e go ]; do sleep 0.02; done","cpu":1`)
	b.leave()
	slots := runner.NewSlots(1, 0)
	b.r = b.newRunner(func(o *runner.Options) { o.Slots = slots })
	b.r.Recover()
	got := make(chan func(), 1)
	go func() {
		release, err := slots.Acquire(context.WithoutCancel(t.Context()), 1, 0)
		if err != nil {
			t.Error(err)
		}
		got <- release
	}()
	b.await("a step that waits", func() bool { return slots.Waiting() == 1 })
	b.touch("go")
	b.wantOneAttempt(b.run())
	release := <-got
	release()
}

// A database that lost its data gets it again; one that takes nothing ends the attempt.
func TestRun_OutputThatDoesNotFitIsNotTriedForEver(t *testing.T) {
	t.Parallel()
	t.Run("a flush was lost", func(t *testing.T) {
		t.Parallel()
		shell, want := numbered(60_000)
		b := newBench(t, `"shell":"`+shell+`"`)
		n := 0
		lossy := &faultyStore{Store: b.db, append: func(a store.AppendOutput) (bool, error) {
			if len(a.Chunks) > 0 {
				n++
			}
			return n == 3, nil
		}}
		b.r = b.newRunner(func(o *runner.Options) { o.Store = lossy })
		b.wantOneAttempt(b.run())
		if got := b.output(schema.Stdout); got != want {
			t.Fatalf("%d bytes were recorded, of %d", len(got), len(want))
		}
	})
	for _, code := range []schema.Code{schema.CodeConflict, schema.CodeInvalid, schema.CodeTooLarge} {
		t.Run("nothing is taken: "+string(code), func(t *testing.T) {
			t.Parallel()
			b := newBench(t, `"shell":"echo up; sleep 1000"`)
			never := &faultyStore{Store: b.db, append: func(store.AppendOutput) (bool, error) {
				return true, schema.Errorf(code, "it is not taken")
			}}
			b.r = b.newRunner(func(o *runner.Options) { o.Store = never })
			if result := b.run(); result.Status != schema.AttemptFailed || result.Reason != schema.ReasonOutput {
				t.Fatalf("result %+v", result)
			}
			if left := b.processes(); len(left) != 0 {
				t.Fatalf("%v still run", left)
			}
		})
	}
}
