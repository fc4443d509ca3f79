package web_test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fasthttp/websocket"
	"github.com/jackc/pgx/v5"

	"github.com/holdfast/holdfast/internal/testkit"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
	"github.com/holdfast/holdfast/schema/wire"
)

func TestSubscribe_AHundredViewersGetEverySeqOnceUnderConcurrentWriters(t *testing.T) {
	t.Parallel()
	e := start(t)
	s := e.bare()
	const writers, each, viewers = 4, 100, 100
	const total = writers * each
	e.append(s.ID, 1, 20)
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for n := range each {
				_, err := e.store.AppendEvents(e.Context(), store.AppendEvents{
					SessionID: s.ID, Key: fmt.Sprint(w, "-", n),
					Events: []schema.NewEvent{{Type: schema.EventFileUpdated, Data: schema.FileChangedData{Path: fmt.Sprint(w, "/", n)}}},
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range viewers {
		since := rand.Int64N(20)
		all.Go(func() {
			ws, _, err := e.tryDial("")
			if err != nil {
				t.Error(err)
				return
			}
			defer ws.Close()
			v := &socket{ws, t}
			v.subscribe(s.ID, since)
			v.collect(since, 20+total)
		})
	}
	all.Wait()
	e.noErrors()
}

func TestSubscribe_FromAnywhereAndAgain(t *testing.T) {
	t.Parallel()
	e := start(t)
	s := e.bare()
	e.append(s.ID, 1, 300)
	ws := e.dial("")
	for _, since := range []int64{0, 1, 127, 128, 129, 255, 256, 299, 300} {
		ws.subscribe(s.ID, since)
		ws.until(wire.FrameSubscribed)
		ws.collect(since, 300)
		ws.send(`{"type":"unsubscribe","session_id":"` + s.ID + `"}`)
		if f := ws.next(); f.Type != wire.FrameUnsubscribed {
			t.Fatalf("after since %d came %+v", since, f)
		}
	}
	// Subscribing again moves the place, without unsubscribing.
	ws.subscribe(s.ID, 300)
	ws.until(wire.FrameSubscribed)
	ws.subscribe(s.ID, 290)
	ws.until(wire.FrameSubscribed)
	ws.collect(290, 300)
	e.append(s.ID, 301, 303)
	ws.collect(300, 303)
}

func TestSubscribe_ManySessionsStayApart(t *testing.T) {
	t.Parallel()
	e := start(t)
	ws := e.dial("")
	ids := map[string]int64{}
	for range 10 {
		s := e.bare()
		ids[s.ID] = 0
		ws.subscribe(s.ID, 0)
	}
	var all sync.WaitGroup
	for id := range ids {
		all.Go(func() { e.append(id, 1, 30) })
	}
	for done := 0; done < 10; {
		f := ws.next()
		if f.Seq == 0 {
			continue
		}
		if f.Seq != ids[f.SessionID]+1 {
			t.Fatalf("session %s: seq %d follows %d", f.SessionID, f.Seq, ids[f.SessionID])
		}
		ids[f.SessionID] = f.Seq
		if f.Seq == 30 {
			done++
		}
	}
	all.Wait()
}

func TestSubscribe_ASlowReaderFallsBackToTheLogAndCatchesUp(t *testing.T) {
	t.Parallel()
	e := start(t)
	s := e.bare()
	// A small window, so that the server's writes block early.
	dialer := websocket.Dialer{NetDial: func(network, addr string) (net.Conn, error) {
		conn, err := net.Dial(network, addr)
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetReadBuffer(64 << 10)
		}
		return conn, err
	}}
	conn, resp, err := dialer.Dial("ws"+strings.TrimPrefix(e.url, "http")+"/ws", nil)
	must(t, err)
	_ = resp.Body.Close()
	defer conn.Close()
	slow := &socket{conn, t}
	slow.until(wire.FrameConnected)
	slow.subscribe(s.ID, 0)
	slow.until(wire.FrameSubscribed)
	fast := e.dial("")
	fast.subscribe(s.ID, 0)
	fast.until(wire.FrameSubscribed)
	// More than the ring holds, in events of 64 KiB that a fast reader gets at once.
	const n = 160
	text := strings.Repeat("x", 64<<10)
	read := int64(0)
	for i := range n {
		_, err := e.store.AppendEvents(e.Context(), store.AppendEvents{
			SessionID: s.ID, Key: strconv.Itoa(i), Events: []schema.NewEvent{{Type: schema.EventOutput, Data: schema.OutputData{Stream: schema.Stdout, Text: text, Offset: int64(i)}}},
		})
		must(t, err)
		if i%20 == 19 { // slow, but not dead: a client that takes nothing for half a minute is closed
			slow.collect(read, read+1)
			read++
		}
	}
	fast.collect(0, n)
	got := slow.collect(read, n)
	if !strings.Contains(string(got[len(got)-1].Data), text) {
		t.Fatalf("the last event is %.200s", got[len(got)-1].Data)
	}
	var metrics string
	testkit.Eventually(t, "memory is bounded", func() bool {
		metrics = string(e.do("GET", "/api/metrics", "").body)
		return strings.Contains(metrics, "holdfast_events_delivered_total 320")
	})
	var held int64
	for line := range strings.Lines(metrics) {
		_, _ = fmt.Sscanf(line, "holdfast_feed_bytes %d", &held)
	}
	if held > 9<<20 {
		t.Fatalf("%d bytes are held for one session", held)
	}
}

func TestFeed_ABrokenListenConnectionLosesNothing(t *testing.T) {
	t.Parallel()
	e := start(t)
	s := e.bare()
	ws, list := e.dial(""), e.dial("")
	ws.subscribe(s.ID, 0)
	ws.until(wire.FrameSubscribed)
	list.send(`{"type":"subscribe_sessions"}`)
	list.until(wire.FrameSessions)
	conn, err := pgx.Connect(e.Context(), e.dsn)
	must(t, err)
	defer conn.Close(e.Context())
	var all sync.WaitGroup
	all.Go(func() { e.append(s.ID, 1, 200) })
	for range 3 {
		testkit.Eventually(t, "the feed listens", func() bool {
			var n int
			err := conn.QueryRow(e.Context(), `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
				WHERE datname = current_database() AND query LIKE 'LISTEN%'`).Scan(&n)
			return err == nil && n > 0
		})
	}
	all.Wait()
	ws.collect(0, 200)
	list.until(wire.FrameSessions) // the list starts over
	e.noErrors()
}

func TestFeed_TopicsWithoutViewersAreDropped(t *testing.T) {
	t.Parallel()
	e := start(t)
	s := e.bare()
	topics := func() string {
		for line := range strings.Lines(string(e.do("GET", "/metrics", "").body)) {
			if strings.HasPrefix(line, "holdfast_topics ") {
				return strings.TrimSpace(line)
			}
		}
		return ""
	}
	ws := e.dial("")
	ws.subscribe(s.ID, 0)
	ws.until(wire.FrameSubscribed)
	if got := topics(); got != "holdfast_topics 1" {
		t.Fatal(got)
	}
	ws.subscribe(schema.NewID(), 0)
	ws.refused(schema.CodeNotFound)
	if got := topics(); got != "holdfast_topics 1" {
		t.Fatal(got)
	}
	_ = ws.Close()
	testkit.Eventually(t, "no topic", func() bool { return topics() == "holdfast_topics 0" })
}

func TestFeed_ManyReconnectAtOnceFromFarBehind(t *testing.T) {
	t.Parallel()
	e := start(t)
	s := e.bare()
	events := make([]schema.NewEvent, 400)
	for i := range events {
		events[i] = schema.NewEvent{Type: schema.EventFileUpdated, Data: schema.FileChangedData{Path: "f", Size: int64(i)}}
	}
	_, err := e.store.AppendEvents(e.Context(), store.AppendEvents{SessionID: s.ID, Key: "1", Events: events})
	must(t, err)
	began := time.Now()
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			ws, _, err := e.tryDial("")
			if err != nil {
				t.Error(err)
				return
			}
			defer ws.Close()
			v := &socket{ws, t}
			v.subscribe(s.ID, 0)
			v.collect(0, 400)
		})
	}
	all.Wait()
	t.Logf("100 viewers, 400 events each: %v", time.Since(began))
	e.noErrors()
}
