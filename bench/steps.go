package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/holdfast/holdfast/schema"
)

// benchTen measures how long ten steps that print at once take until their viewers have every line.
func benchTen(ctx context.Context, w *world) ([]measurement, error) {
	const steps = 10
	lines, repeats := 100_000, 3
	if w.small {
		lines, repeats = 1000, 1
	}
	program := fmt.Sprintf("import sys\nline = 'x' * 99 + '\\n'\nfor _ in range(%d):\n    sys.stdout.write(line * 1000)\n", lines/1000)
	var values []float64
	for range repeats {
		began := time.Now()
		err := atOnce(steps, func(int) error {
			id, err := w.session(ctx, running("python3", "-c", program))
			if err != nil {
				return err
			}
			got, err := w.printed(ctx, id)
			if err == nil && got != lines {
				err = fmt.Errorf("%d lines came, want %d", got, lines)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
		values = append(values, float64(steps*lines)/time.Since(began).Seconds())
	}
	return []measurement{one(fmt.Sprintf("ten steps of %d lines at once, print → viewers", lines), "lines/s", 1_000_000, higher, values)}, nil
}

// counting is a program that counts, ten lines a second. Unlike a shell with sleep, it starts no process for each line:
// on a machine where processes are expensive, fifty of them would leave no time for what is measured.
const counting = "import itertools, time\nfor n in itertools.count(1):\n    print(n, flush=True)\n    time.sleep(0.1)\n"

// counted is what a viewer has seen of a step that counts.
type counted struct {
	id    string
	back  time.Time // when a worker re-attached to it
	lines int
	wrong int // lines that do not follow the line before
	again int // attempts after the first
}

// see handles an event, and signals when the step has counted a little and when a worker has
// re-attached to it.
func (c *counted) see(e *schema.Event, ready, came chan<- struct{}) {
	for line := range strings.FieldsSeq(outputOf(e)) {
		c.lines++
		if line != strconv.Itoa(c.lines) {
			c.wrong++
		}
		if c.lines == 5 {
			ready <- struct{}{}
		}
	}
	if e.Type == schema.EventStepReattached {
		c.back = time.Now()
		came <- struct{}{}
	}
	if e.Type == schema.EventStepRetryStarted {
		c.again++
	}
}

// benchReattach kills the worker under running steps, and measures from when another one is
// started until it has re-attached to all of them.
func benchReattach(ctx context.Context, w *world) ([]measurement, error) {
	all := make([]counted, w.size(50, 3))
	ready, came, done := make(chan struct{}, len(all)), make(chan struct{}, len(all)), make(chan error, 1)
	go func() {
		done <- atOnce(len(all), func(n int) (err error) {
			c := &all[n]
			if c.id, err = w.session(ctx, running("python3", "-c", counting)); err != nil {
				return err
			}
			return w.follow(ctx, c.id, func(e *schema.Event) bool {
				c.see(e, ready, came)
				return e.Type == schema.EventWorkflowCancelled
			})
		})
	}()
	if err := receive(ctx, ready, done, len(all)); err != nil {
		return nil, err
	}
	there, err := w.killWorker()
	if err != nil {
		return nil, err
	}
	if err := receive(ctx, came, done, len(all)); err != nil {
		return nil, err
	}
	for i := range all {
		if err := w.call(ctx, http.MethodPost, "/api/sessions/"+all[i].id+"/cancel", obj{}, nil); err != nil {
			return nil, err
		}
	}
	if err := <-done; err != nil {
		return nil, err
	}
	var values []float64
	wrong, again := 0, 0
	for i := range all {
		values = append(values, float64(all[i].back.Sub(there).Microseconds())/1000)
		wrong += all[i].wrong
		again += all[i].again
	}
	what := fmt.Sprintf("worker killed under %d steps", len(all))
	return []measurement{
		{Figure: what + ": one is started → the last is re-attached", Unit: "ms", Goal: 3000, Better: lower, Value: quantile(values, 1), Samples: values},
		one(what+": lines lost or doubled", "", 0, "", []float64{float64(wrong)}),
		one(what+": steps started again", "", 0, "", []float64{float64(again)}),
	}, nil
}

// killWorker kills the worker and returns the time at which another one was started.
func (w *world) killWorker() (there time.Time, err error) {
	old, err := w.pid("worker")
	if err == nil {
		err = syscall.Kill(old, syscall.SIGKILL)
	}
	if err != nil {
		return there, err
	}
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if now, err := w.pid("worker"); err == nil && now != old {
			return time.Now(), nil
		}
	}
	return there, errors.New("no other worker was started")
}

// outputOf is what a step has printed on its standard output, by an event. (A cancelled shell
// prints something on standard error.)
func outputOf(e *schema.Event) string {
	if e.Type != schema.EventOutput {
		return ""
	}
	var o schema.OutputData
	_ = json.Unmarshal(e.Data, &o) // unreadable output is missing from the count
	if o.Stream != schema.Stdout {
		return ""
	}
	return o.Text
}

// atOnce calls do n times concurrently, with 0, 1, 2, …, and joins the errors.
func atOnce(n int, do func(i int) error) error {
	errs := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { errs[i] = do(i) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// receive waits for n signals, unless their sender ends.
func receive(ctx context.Context, from <-chan struct{}, done chan error, n int) error {
	for range n {
		select {
		case <-from:
		case err := <-done:
			return fmt.Errorf("a step ended before its time: %w", err)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
