package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/fasthttp/websocket"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
)

const (
	frameBytes  = 256 // size of an event as viewers get it
	aheadEvents = 512 // how far the publisher may be ahead of the slowest viewer
	flushEvents = 64  // events appended in one transaction
	envelope    = len(`{"event_type":"output","seq":1000,"timestamp":"2026-11-22T00:00:00.000Z","session_id":"00000000-0000-4000-8000-000000000000","data":{"stream":"stdout","text":"","offset":0,"attempt":1}}`)
)

// publisher adds events of 256 bytes to a session, and returns when it can take more.
type publisher func(ctx context.Context, from, upTo int64) error

// appender publishes through the log, in transactions like those of a step's output.
func (w *world) appender(session string) publisher {
	data := schema.OutputData{Stream: schema.Stdout, Text: strings.Repeat("x", frameBytes-envelope), Attempt: 1}
	return func(ctx context.Context, from, upTo int64) error {
		for ; from <= upTo; from += flushEvents {
			events := make([]schema.NewEvent, min(flushEvents, upTo-from+1))
			for i := range events {
				events[i] = schema.NewEvent{Type: schema.EventOutput, Data: data}
			}
			if _, err := w.store.AppendEvents(ctx, store.AppendEvents{SessionID: session, Key: strconv.FormatInt(from, 10), Events: events}); err != nil {
				return err
			}
		}
		return nil
	}
}

// sender publishes through the relay, one message for each event.
func sender(c *websocket.Conn, session string) publisher {
	text := strings.Repeat("x", frameBytes-envelope)
	return func(_ context.Context, from, upTo int64) error {
		for ; from <= upTo; from++ {
			event := fmt.Sprintf(`{"event_type":"output","seq":%d,"timestamp":"2026-11-22T00:00:00.000Z","session_id":%q,"data":{"stream":"stdout","text":%q,"offset":0,"attempt":1}}`,
				from, session, text)
			if err := c.WriteMessage(websocket.TextMessage, []byte(event)); err != nil {
				return err
			}
		}
		return nil
	}
}

// deliver publishes events to a crowd, never far ahead of its slowest viewer, and returns the
// deliveries per second.
func deliver(ctx context.Context, all crowd, publish publisher, events int64) (float64, error) {
	first := all.last()
	goal := first + events
	done := make(chan error, 1)
	began := time.Now()
	go func() { done <- all.follow(goal) }()
	var failure error
	for sent := first; sent < goal && failure == nil; {
		upTo := min(goal, all.last()+aheadEvents)
		if upTo < goal && upTo-sent < flushEvents {
			time.Sleep(100 * time.Microsecond)
			failure = ctx.Err()
			select {
			case failure = <-done:
				return 0, fmt.Errorf("the viewers ended early: %w", failure)
			default:
			}
			continue
		}
		failure = publish(ctx, sent+1, upTo)
		sent = upTo
	}
	if failure != nil {
		all.leave()
	}
	failure = errors.Join(failure, <-done)
	if n := all.gaps(); n > 0 {
		failure = errors.Join(failure, fmt.Errorf("%d events did not follow the one before", n))
	}
	return float64(len(all)) * float64(events) / time.Since(began).Seconds(), failure
}

// contestant is a server that delivers events.
type contestant struct {
	addr    string
	pid     int
	publish publisher
	stop    func() error
	head    int64  // seq of the latest event so far
	rates   rounds // deliveries in a second
	spent   rounds // processor time for each delivery, in µs
}

// round measures one round, with viewers of its own; the first one only warms up.
func (c *contestant) round(ctx context.Context, session string, viewers int, events int64, counts bool) error {
	all, err := gather(ctx, c.addr, viewers, func(int) string { return session }, c.head)
	if err != nil {
		return err
	}
	defer all.leave()
	before, err := processorTime(c.pid)
	if err != nil {
		return err
	}
	rate, err := deliver(ctx, all, c.publish, events)
	if err != nil {
		return err
	}
	c.head += events
	after, err := processorTime(c.pid)
	if counts {
		c.rates = append(c.rates, []float64{rate})
		c.spent = append(c.spent, []float64{(after - before) * 1000 / float64(events) / float64(viewers)})
	}
	return err
}

// benchFanout measures one publisher with a thousand viewers of one session.
func benchFanout(ctx context.Context, w *world) ([]measurement, error) {
	viewers, events := w.size(1000, 20), int64(w.size(2000, 200))
	ids, err := w.logs(ctx, 1)
	if err != nil {
		return nil, err
	}
	pid, err := w.pid("web")
	if err != nil {
		return nil, err
	}
	all := []*contestant{{addr: w.host(), pid: pid, publish: w.appender(ids[0]), stop: func() error { return nil }}}
	defer func() {
		for _, c := range all {
			_ = c.stop()
		}
	}()
	for _, flags := range [][]string{{}, {"-coalesce"}} {
		r, err := w.newRelay(ctx, flags...)
		if err != nil {
			return nil, err
		}
		c := &contestant{addr: r.addr, pid: r.cmd.Process.Pid, stop: r.stop}
		all = append(all, c)
		to, err := r.publisher(ctx, ids[0])
		if err != nil {
			return nil, err
		}
		defer to.Close()
		c.publish = sender(to, ids[0])
	}
	for round := range w.roundsOf() + 1 {
		for _, c := range all {
			if err := c.round(ctx, ids[0], viewers, events, round > 0 || w.small); err != nil {
				return nil, err
			}
		}
	}
	ours, bare, coalescing := all[0], all[1], all[2]
	m := compared(fmt.Sprintf("1 publisher → %d viewers, %d B, deliveries; bare: a write for each", viewers, frameBytes), "1/s", ours.rates, bare.rates)
	m.RatioGoal, m.Better = 1, higher
	return []measurement{
		m,
		compared("the same; bare: frames that wait are joined", "1/s", ours.rates, coalescing.rates),
		compared("processor time of the server for each; bare: a write for each", "µs", ours.spent, bare.spent),
		compared("the same; bare: frames that wait are joined", "µs", ours.spent, coalescing.spent),
	}, nil
}

// benchReconnect cuts a thousand viewers at once, which miss a thousand events and come back
// at once. It counts events that do not follow the one before: gaps and duplicates.
func benchReconnect(ctx context.Context, w *world) ([]measurement, error) {
	viewers, missed := w.size(1000, 20), int64(w.size(1000, 100))
	var values []float64
	wrong := 0
	for range w.roundsOf() {
		ids, err := w.logs(ctx, 1)
		if err != nil {
			return nil, err
		}
		publish := w.appender(ids[0])
		if err := publish(ctx, 1, missed); err != nil {
			return nil, err
		}
		all, err := gather(ctx, w.host(), viewers, func(int) string { return ids[0] }, 0)
		if err == nil {
			err = all.follow(missed)
		}
		if err != nil {
			return nil, err
		}
		wrong += all.gaps()
		all.leave()
		if err := publish(ctx, missed+1, 2*missed); err != nil {
			return nil, err
		}
		again := make(crowd, viewers)
		began := time.Now()
		err = atOnce(viewers, func(i int) (err error) {
			if again[i], err = dial(ctx, w.host(), ids[0], missed); err == nil {
				err = again[i].until(2 * missed)
			}
			return err
		})
		values = append(values, milliseconds(time.Since(began)))
		again.leave()
		if err != nil {
			return nil, err
		}
		wrong += again.gaps()
	}
	what := fmt.Sprintf("%d viewers come back at once, each %d events behind", viewers, missed)
	return []measurement{
		one(what+": all have them", "ms", 3000, lower, values),
		one(what+": events lost or doubled", "", 0, "", []float64{float64(wrong)}),
	}, nil
}
