package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/holdfast/holdfast/schema"
)

// benchIdle measures a worker's memory with many sessions that wait for people, and how soon
// one of them answers: any session, and one that a new worker does not have in memory yet.
func benchIdle(ctx context.Context, w *world) ([]measurement, error) {
	ids, rate, _, err := w.quietSessions(ctx, 0, w.idle)
	if err != nil {
		return nil, err
	}
	pid, err := w.pid("worker")
	if err != nil {
		return nil, err
	}
	rss, err := steadyRSS(ctx, pid, w.size(30, 1))
	if err != nil {
		return nil, err
	}
	peak, err := residentMB(pid, "VmHWM")
	if err != nil {
		return nil, err
	}
	rand.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	take := func(n int) []string {
		taken := ids[:n]
		ids = ids[n:]
		return taken
	}
	samples := min(100, w.idle/4)
	query, decision, err := w.answers(ctx, take(samples), take(samples))
	if err != nil {
		return nil, err
	}
	if err := w.replaceWorker(ctx, pid, take(1)[0]); err != nil {
		return nil, fmt.Errorf("replace the worker: %w", err)
	}
	coldQuery, coldDecision, err := w.answers(ctx, take(samples), take(min(samples, len(ids))))
	if err != nil {
		return nil, err
	}
	return []measurement{
		{Figure: strconv.Itoa(w.idle) + " idle sessions, RSS of their worker", Unit: "MB", Goal: 400, Better: lower, Value: rss},
		{Figure: "the same, its peak while they were created", Unit: "MB", Value: peak},
		{Figure: "the rate at which they were created", Unit: "1/s", Value: rate},
		one("any one answers a query, p50", "ms", 0, "", query),
		one("any one takes a decision, p50", "ms", 0, "", decision),
		one("a cold one answers a query, p50", "ms", 150, lower, coldQuery),
		one("a cold one takes a decision, p50", "ms", 150, lower, coldDecision),
	}, nil
}

// answers measures how long sessions take for a query, and others for a decision.
func (w *world) answers(ctx context.Context, asked, decided []string) (query, decision []float64, err error) {
	for _, id := range asked {
		d, err := timed(func() error { return w.call(ctx, http.MethodGet, "/api/sessions/"+id+"/live", nil, nil) })
		if err != nil {
			return nil, nil, err
		}
		query = append(query, d)
	}
	for _, id := range decided {
		d, err := timed(func() error { return w.approve(ctx, schema.ApprovalID(id, 1)) })
		if err != nil {
			return nil, nil, err
		}
		decision = append(decision, d)
	}
	return query, decision, nil
}

func timed(do func() error) (float64, error) {
	began := time.Now()
	err := do()
	return milliseconds(time.Since(began)), err
}

// steadyRSS waits, for so many seconds at most, until a process' memory stops changing, and
// returns it in MB.
func steadyRSS(ctx context.Context, pid, seconds int) (float64, error) {
	const near, alike = 0.01, 5
	last, same := 0.0, 0
	for range seconds {
		now, err := residentMB(pid, "VmRSS")
		if err != nil {
			return 0, err
		}
		if same++; now > last*(1+near) || now < last*(1-near) {
			last, same = now, 0
		}
		if same >= alike {
			return now, nil
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(time.Second):
		}
	}
	return residentMB(pid, "VmRSS")
}

func residentMB(pid int, field string) (float64, error) {
	kb, err := kilobytes(fmt.Sprintf("/proc/%d/status", pid), field)
	return float64(kb) / 1024, err
}

// replaceWorker ends the worker, like a deploy, and returns when the next one answers for
// a session.
func (w *world) replaceWorker(ctx context.Context, pid int, session string) error {
	old, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	if err := old.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return poll(ctx, func(ctx context.Context) (bool, error) {
		now, err := w.pid("worker")
		if err != nil || now == pid {
			return false, nil //nolint:nilerr // up is about to start it
		}
		return w.call(ctx, http.MethodGet, "/api/sessions/"+session+"/live", nil, nil) == nil, nil
	})
}
