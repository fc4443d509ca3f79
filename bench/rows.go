package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/holdfast/holdfast/schema"
)

func running(argv ...string) obj { return obj{"run": argv} }

// warmUp is how many of the first samples do not count.
const warmUp = 3

// latencies measures a latency many times, one after another.
func latencies(ctx context.Context, w *world, once func(ctx context.Context) (time.Duration, error)) ([]float64, error) {
	var values []float64
	for i := range w.size(40, 2) + warmUp {
		d, err := once(ctx)
		if err != nil {
			return nil, err
		}
		if i >= warmUp {
			values = append(values, milliseconds(d))
		}
	}
	return values, nil
}

// benchCreate measures from the request that makes a session to the first line of its first step.
func benchCreate(ctx context.Context, w *world) ([]measurement, error) {
	values, err := latencies(ctx, w, func(ctx context.Context) (time.Duration, error) {
		began := time.Now()
		id, err := w.session(ctx, running("echo", "hello"))
		if err != nil {
			return 0, err
		}
		err = w.untilType(ctx, id, schema.EventOutput)
		return time.Since(began), err
	})
	return []measurement{one("create → first line, p50", "ms", 75, lower, values)}, err
}

// benchCancel measures from the request to the receipt, with a tree of processes to end.
func benchCancel(ctx context.Context, w *world) ([]measurement, error) {
	values, err := latencies(ctx, w, func(ctx context.Context) (time.Duration, error) {
		id, err := w.session(ctx, obj{"shell": "sleep 600 & sleep 600 & (setsid sleep 600 &); echo up; wait"})
		if err != nil {
			return 0, err
		}
		if err := w.untilType(ctx, id, schema.EventOutput); err != nil {
			return 0, err
		}
		began := time.Now()
		var answer struct {
			Receipt schema.Receipt `json:"receipt"`
		}
		if err := w.call(ctx, http.MethodPost, "/api/sessions/"+id+"/cancel", obj{}, &answer); err != nil {
			return 0, err
		}
		if answer.Receipt.Survivors != 0 || answer.Receipt.ProcessesKilled < 4 {
			return 0, fmt.Errorf("receipt %+v", answer.Receipt)
		}
		return time.Since(began), nil
	})
	return []measurement{
		one("cancel → receipt, p50", "ms", 0, "", values),
		{Figure: "cancel → receipt, p99", Unit: "ms", Goal: 1000, Better: lower, Value: quantile(values, 0.99), Samples: values},
	}, err
}

// benchLive measures from when a program prints a line, which holds that time, to when a
// viewer has it, over many sessions at once.
func benchLive(ctx context.Context, w *world) ([]measurement, error) {
	sessions, seconds := 50, 10
	if w.small {
		sessions, seconds = 3, 1
	}
	program := fmt.Sprintf("import time\nfor _ in range(%d):\n    print(time.time_ns(), flush=True)\n    time.sleep(0.025)\n", 40*seconds)
	var mu sync.Mutex
	var values []float64
	var all sync.WaitGroup
	errs := make(chan error, sessions)
	for range sessions {
		all.Go(func() {
			id, err := w.session(ctx, running("python3", "-c", program))
			if err == nil {
				err = w.follow(ctx, id, func(e *schema.Event) bool {
					now := time.Now()
					if e.Type == schema.EventOutput {
						var o schema.OutputData
						_ = json.Unmarshal(e.Data, &o) // an unreadable line is missing from the values
						mu.Lock()
						for line := range strings.FieldsSeq(o.Text) {
							if ns, err := strconv.ParseInt(line, 10, 64); err == nil {
								values = append(values, milliseconds(now.Sub(time.Unix(0, ns))))
							}
						}
						mu.Unlock()
					}
					return e.Type == schema.EventWorkflowCompleted
				})
			}
			errs <- err
		})
	}
	all.Wait()
	for range sessions {
		if err := <-errs; err != nil {
			return nil, err
		}
	}
	if want := sessions * 40 * seconds; len(values) != want {
		return nil, fmt.Errorf("%d lines came, want %d", len(values), want)
	}
	return []measurement{
		{Figure: fmt.Sprintf("print → viewer, %d sessions × 40 lines/s, p50", sessions), Unit: "ms", Goal: 3, Better: lower, Value: quantile(values, 0.5)},
		{Figure: "the same, p99", Unit: "ms", Goal: 15, Better: lower, Value: quantile(values, 0.99)},
	}, nil
}

// benchLines measures how long one step's million lines of 100 bytes take until a viewer has
// all of them, committed.
func benchLines(ctx context.Context, w *world) ([]measurement, error) {
	const lineBytes = 100
	lines, repeats := 1_000_000, 3
	if w.small {
		lines, repeats = 10_000, 1
	}
	program := fmt.Sprintf("import sys\nline = 'x' * %d + '\\n'\nfor _ in range(%d):\n    sys.stdout.write(line * 1000)\n", lineBytes-1, lines/1000)
	var values []float64
	for range repeats {
		began := time.Now()
		id, err := w.session(ctx, running("python3", "-c", program))
		if err != nil {
			return nil, err
		}
		got, err := w.printed(ctx, id)
		if err != nil {
			return nil, err
		}
		if got != lines {
			return nil, fmt.Errorf("%d lines came, want %d", got, lines)
		}
		values = append(values, float64(lines)/time.Since(began).Seconds())
	}
	return []measurement{one(fmt.Sprintf("%d lines of 100 B, print → viewer", lines), "lines/s", 1_000_000, higher, values)}, nil
}
