package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/holdfast/holdfast/internal/testkit"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
)

const (
	dialers     = 32   // viewers that connect at the same time
	sessionsFor = 10   // viewers in a row that watch the same session
	restSeconds = 25   // how long a server may take to come to rest
	kilobyte    = 1024 // of a megabyte
)

// logs makes sessions whose workflow does nothing: only the benchmark adds to their logs.
func (w *world) logs(ctx context.Context, many int) ([]string, error) {
	plan, problems := schema.ParsePlan([]byte(`{"steps":[{"id":"s","run":["true"]}]}`))
	if plan == nil {
		return nil, fmt.Errorf("the plan is wrong: %v", problems)
	}
	ids := make([]string, many)
	_, err := together(ctx, many, func(ctx context.Context, i int) error {
		ids[i] = schema.NewID()
		_, _, err := w.store.CreateSession(ctx, store.NewSession{ID: ids[i], Name: "a log", Mode: schema.ModeRunbook, Owner: "nobody", Plan: plan})
		if err == nil {
			err = testkit.StandIn(ctx, w.temporal, schema.WorkflowID(ids[i]))
		}
		if err == nil {
			err = w.store.MarkWorkflowStarted(ctx, ids[i])
		}
		return err
	})
	return ids, err
}

// benchSockets measures what an idle viewer costs the server in memory. Each round has servers of its own, since
// memory that was used once is not always released.
func benchSockets(ctx context.Context, w *world) ([]measurement, error) {
	var ours, bare rounds
	for round := range w.roundsOf() {
		if round > 0 {
			fresh, err := start(ctx, w.options)
			if err != nil {
				return nil, err
			}
			w.replace(fresh)
		}
		ids, err := w.logs(ctx, max(1, w.sockets/sessionsFor))
		if err != nil {
			return nil, err
		}
		pid, err := w.pid("web")
		if err != nil {
			return nil, err
		}
		mine, err := w.perSocket(ctx, w.host(), pid, ids)
		if err != nil {
			return nil, err
		}
		r, err := w.newRelay(ctx)
		if err != nil {
			return nil, err
		}
		theirs, err := w.perSocket(ctx, r.addr, r.cmd.Process.Pid, ids)
		if err := errors.Join(err, r.stop()); err != nil {
			return nil, err
		}
		ours, bare = append(ours, []float64{mine}), append(bare, []float64{theirs})
	}
	m := compared(strconv.Itoa(w.sockets)+" idle viewers, RSS of the server for each", "KB", ours, bare)
	m.RatioGoal, m.Better = 1.1, lower
	return []measurement{m}, nil
}

// perSocket is how much a server's memory grows for each viewer, in KB.
func (w *world) perSocket(ctx context.Context, addr string, pid int, ids []string) (float64, error) {
	before, err := steadyRSS(ctx, pid, w.size(restSeconds, 1))
	if err != nil {
		return 0, err
	}
	all, err := gather(ctx, addr, w.sockets, func(i int) string { return ids[min(i/sessionsFor, len(ids)-1)] }, 0)
	if err != nil {
		return 0, err
	}
	defer all.leave()
	after, err := steadyRSS(ctx, pid, w.size(restSeconds, 1))
	return (after - before) * kilobyte / float64(w.sockets), err
}

// benchConnect measures how many viewers connect and subscribe in a second.
func benchConnect(ctx context.Context, w *world) ([]measurement, error) {
	many := w.size(5000, 40)
	ids, err := w.logs(ctx, max(1, many/sessionsFor))
	if err != nil {
		return nil, err
	}
	r, err := w.newRelay(ctx)
	if err != nil {
		return nil, err
	}
	var ours, bare, spent, bareSpent rounds
	rate := func(addr string, pid int) (perSecond, micros float64, err error) {
		before, err := processorTime(pid)
		if err != nil {
			return 0, 0, err
		}
		began := time.Now()
		all, err := gather(ctx, addr, many, func(i int) string { return ids[min(i/sessionsFor, len(ids)-1)] }, 0)
		took := time.Since(began)
		if err != nil {
			return 0, 0, err
		}
		after, err := processorTime(pid)
		all.leave()
		return float64(many) / took.Seconds(), (after - before) * 1000 / float64(many), err
	}
	pid, err := w.pid("web")
	for round := 0; round <= w.roundsOf() && err == nil; round++ {
		var mine, mineSpent, theirs, theirsSpent float64
		if mine, mineSpent, err = rate(w.host(), pid); err != nil {
			break
		}
		if theirs, theirsSpent, err = rate(r.addr, r.cmd.Process.Pid); err != nil {
			break
		}
		if err = w.deserted(ctx); round == 0 { // to warm up
			continue
		}
		ours, bare = append(ours, []float64{mine}), append(bare, []float64{theirs})
		spent, bareSpent = append(spent, []float64{mineSpent}), append(bareSpent, []float64{theirsSpent})
	}
	if err := errors.Join(err, r.stop()); err != nil {
		return nil, err
	}
	m := compared("viewers that connect and subscribe", "1/s", ours, bare)
	m.RatioGoal, m.Better = 0.5, higher
	return []measurement{m, compared("the same, processor time of the server for each", "µs", spent, bareSpent)}, nil
}

// deserted returns when the product has noticed that all viewers are gone.
func (w *world) deserted(ctx context.Context) error {
	return poll(ctx, func(ctx context.Context) (bool, error) {
		var n struct {
			ActiveConnections int `json:"active_connections"`
		}
		err := w.call(ctx, "GET", "/api/debug/connections", nil, &n)
		return n.ActiveConnections == 0, err
	})
}
