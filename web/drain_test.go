package web_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/fasthttp/websocket"

	"github.com/holdfast/holdfast/internal/testkit"
	"github.com/holdfast/holdfast/logs"
	"github.com/holdfast/holdfast/schema/store/storetest"
	"github.com/holdfast/holdfast/schema/wire"
	"github.com/holdfast/holdfast/web"
)

func TestDrain_OfManyIsSpreadAndInRandomOrder(t *testing.T) { //nolint:tparallel // the rest follows the end of the subtest
	t.Parallel()
	const many = 60
	type goodbye struct {
		n   int
		at  time.Time
		err error
	}
	ended := make(chan goodbye, many)
	var stopping time.Time
	t.Run("server", func(t *testing.T) {
		e := start(t, withOptions(func(o *web.Options) { o.Drain = 2 * time.Second }))
		for n := range many {
			conn, _, err := e.tryDial("")
			must(t, err)
			(&socket{conn, t}).until(wire.FrameConnected)
			_ = conn.SetReadDeadline(time.Now().Add(testTimeout))
			go func() { // ends with the connection
				defer conn.Close()
				var err error
				for err == nil { // heartbeats may come before the end
					_, _, err = conn.ReadMessage()
				}
				ended <- goodbye{n, time.Now(), err}
			}()
		}
		stopping = time.Now()
	})
	var (
		order []int
		last  time.Time
	)
	for range many {
		g := <-ended
		order, last = append(order, g.n), g.at
		if !websocket.IsCloseError(g.err, 1001) {
			t.Errorf("client %d: %v", g.n, g.err)
		}
	}
	if took := last.Sub(stopping); took < time.Second {
		t.Errorf("all %d were ended within %v", many, took)
	}
	if slices.IsSorted(order) {
		t.Errorf("they were ended in the order of their coming: %v", order)
	}
}

func TestRun_StopsThoughItHasNotBegunToAccept(t *testing.T) {
	t.Parallel()
	temporal := sharedTemporal(t)
	s := storetest.New(t)
	for range 20 {
		server, err := web.New(web.Options{Addr: "127.0.0.1:0", Store: s, Temporal: temporal, DataDir: t.TempDir(), Logger: logs.Discard()})
		must(t, err)
		ctx, stop := context.WithCancel(t.Context())
		stop()
		done := make(chan error, 1)
		go func() { done <- server.Run(ctx) }()
		must(t, testkit.Receive(t, "the end of the server", done))
	}
}

func TestDrain_WhatWasTakenInIsAnsweredFirst(t *testing.T) { //nolint:tparallel // the rest follows the end of the subtest
	t.Parallel()
	var ws *socket
	t.Run("server", func(t *testing.T) {
		p := newProxy(t, temporalServer.Addr())
		e := start(t, func(s *setup) { s.temporal = p.addr })
		s := e.create(plainPlan)
		e.running(s.ID)
		conn, _, err := e.tryDial("")
		must(t, err)
		ws = &socket{conn, t}
		p.stall() // until this subtest ends, which stops the server next
		ws.send(fmt.Sprintf(`{"type":"message","session_id":%q,"content":"m","request_id":"r"}`, s.ID))
		ws.send(`{"type":"ping"}`)
		ws.until(wire.FramePong)
	})
	ws.t = t
	defer ws.Close()
	ws.until(wire.FrameAccepted)
	ws.closed(1001)
}
