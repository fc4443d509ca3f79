package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/wire"
)

// benchPages measures what an event that changes a session costs with a thousand browsers on its page. Each of them
// reads the projection once and follows the log from there, as the UI does: the server counts the requests that come
// of an event, which are to be none.
func benchPages(ctx context.Context, w *world) ([]measurement, error) {
	viewers, events := w.size(1000, 20), w.size(200, 20)
	ids, err := w.logs(ctx, 1)
	if err != nil {
		return nil, err
	}
	pid, err := w.pid("web")
	if err != nil {
		return nil, err
	}
	all, err := w.openPages(ctx, ids[0], viewers)
	if err != nil {
		return nil, err
	}
	defer all.leave()
	head := all.last()
	change := func(n int) error {
		phase := []schema.Phase{schema.PhaseExecuting, schema.PhaseReviewing}[n%2]
		_, err := w.store.Apply(ctx, schema.Transition{SessionID: ids[0], Key: fmt.Sprintf("bench/%d", n), Status: schema.SessionActive, Phase: phase})
		return err
	}
	var took []float64
	for n := range warmUp {
		if _, err := all.afterChange(head+int64(n)+1, func() error { return change(n) }); err != nil {
			return nil, err
		}
	}
	head += warmUp
	asked, err := w.requests(ctx)
	if err != nil {
		return nil, err
	}
	before, err := processorTime(pid)
	if err != nil {
		return nil, err
	}
	for n := range events {
		each, err := all.afterChange(head+int64(n)+1, func() error { return change(warmUp + n) })
		if err != nil {
			return nil, err
		}
		took = append(took, each...)
	}
	after, err := processorTime(pid)
	if err != nil {
		return nil, err
	}
	now, err := w.requests(ctx)
	if err != nil {
		return nil, err
	}
	if n := all.gaps(); n > 0 {
		return nil, fmt.Errorf("%d events did not follow the one before", n)
	}
	const thousand = 1000
	what := fmt.Sprintf("%d browsers on a session's page, an event that changes it", viewers)
	return []measurement{
		one(what+": requests that come of it", "", 0, "", []float64{float64(now-asked-1) / float64(events)}), // reading the count is one itself
		one("the same, processor time of web for each event and 1,000 browsers", "ms", 0, "", []float64{(after - before) * thousand / float64(events) / float64(viewers)}),
		{Figure: "the same, transition → browser, p50", Unit: "ms", Better: lower, Value: quantile(took, 0.5)},
		{Figure: "the same, p99", Unit: "ms", Better: lower, Value: quantile(took, 0.99)},
	}, nil
}

// openPages opens a session as the UI does: one request, then the log from there.
func (w *world) openPages(ctx context.Context, session string, many int) (crowd, error) {
	since := make([]int64, many)
	if _, err := together(ctx, many, func(ctx context.Context, i int) error {
		var p wire.Projection
		err := w.call(ctx, http.MethodGet, "/api/sessions/"+session+"/projection", nil, &p)
		since[i] = p.Seq
		return err
	}); err != nil {
		return nil, err
	}
	all := make(crowd, many)
	_, err := together(ctx, many, func(ctx context.Context, i int) (err error) {
		all[i], err = dial(ctx, w.host(), session, since[i])
		return err
	})
	if err != nil {
		all.leave()
	}
	return all, err
}

// afterChange makes a change, and returns how long each viewer waited for its event, in milliseconds.
func (all crowd) afterChange(seq int64, change func() error) ([]float64, error) {
	took := make([]float64, len(all))
	began := time.Now()
	done := make(chan error, 1)
	limit := time.AfterFunc(time.Minute, all.leave)
	defer limit.Stop()
	go func() {
		done <- atOnce(len(all), func(i int) error {
			err := all[i].until(seq)
			took[i] = milliseconds(time.Since(began))
			return err
		})
	}()
	err := change()
	if err != nil {
		all.leave()
	}
	return took, errors.Join(err, <-done)
}

// requests is how many requests web has answered with success.
func (w *world) requests(ctx context.Context) (n int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.web+"/metrics", http.NoBody)
	if err != nil {
		return 0, err
	}
	res, err := w.http.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err
	}
	const metric = `holdfast_requests_total{status="2xx"} `
	_, rest, found := strings.Cut(string(text), metric)
	if !found {
		return 0, fmt.Errorf("web's metrics have no %s", metric)
	}
	_, err = fmt.Sscan(rest, &n)
	return n, err
}
