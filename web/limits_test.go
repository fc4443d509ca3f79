package web_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fasthttp/websocket"

	"github.com/holdfast/holdfast/internal/testkit"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
	"github.com/holdfast/holdfast/schema/wire"
	"github.com/holdfast/holdfast/web"
)

// turnedAway reads an error that says when to come back, and a closing frame that does too.
func (s *socket) turnedAway(limit string) {
	s.t.Helper()
	if d := s.refused(schema.CodeRateLimited); d.RetryIn <= 0 || !strings.Contains(d.Message, limit) {
		s.t.Fatalf("the error is %+v, not one about %q", d, limit)
	}
	_ = s.SetReadDeadline(time.Now().Add(testTimeout))
	_, _, err := s.ReadMessage()
	closed, ok := errors.AsType[*websocket.CloseError](err)
	if !ok || closed.Code != 1013 || !strings.Contains(closed.Text, limit) || !strings.Contains(closed.Text, "retry after ") {
		s.t.Fatalf("closed with %v", err)
	}
}

func TestLimits_SayWhichOneIsReachedAndWhenToComeBack(t *testing.T) {
	t.Parallel()
	e := start(t, withOptions(func(o *web.Options) { o.MaxConnections, o.MaxPerUser = 4, 2 }))
	knock := func(limit, client, user string) {
		t.Helper()
		ws, _, err := e.tryDial("?client_id="+client, "X-Holdfast-User", user)
		must(t, err)
		(&socket{ws, t}).turnedAway(limit)
		_ = ws.Close()
	}
	first := e.dial("?client_id=a", "X-Holdfast-User", "ann")
	e.as("ann")
	knock("this user has its 2 connections", "", "ann")
	ben := e.as("ben")
	again := e.dial("?client_id=a", "X-Holdfast-User", "ann") // takes the place of its own older one
	first.closed(4001)
	e.as("cleo")
	knock("this server has its 4 connections", "", "dora")
	knock("this server has its 4 connections", "a", "dora") // another user's client
	_ = ben.Close()
	testkit.Eventually(t, "there is room again", func() bool {
		ws, _, err := e.tryDial("", "X-Holdfast-User", "dora")
		must(t, err)
		t.Cleanup(func() { _ = ws.Close() })
		return (&socket{ws, t}).any().Type == wire.FrameConnected
	})
	again.send(`{"type":"ping"}`)
	again.until(wire.FramePong)
	var list wire.ConnectionList
	e.do("GET", "/api/debug/connections", "").into(t, 200, &list)
	if list.MaxConnections != 4 || list.MaxPerUser != 2 || list.MaxPerAddress != 0 {
		t.Errorf("the limits are said to be %+v", list)
	}
	e.noErrors()
}

func TestLimits_OfAnAddressDoNotAskWhoItIs(t *testing.T) {
	t.Parallel()
	e := start(t, withOptions(func(o *web.Options) { o.MaxPerAddress = 2 }))
	e.as("ann")
	e.as("ben")
	ws, _, err := e.tryDial("", "X-Holdfast-User", "cleo")
	must(t, err)
	t.Cleanup(func() { _ = ws.Close() })
	(&socket{ws, t}).turnedAway("this address has its 2 connections")
}

// flood is more frames than a client may send, however slowly the machine carries them.
const flood = 5000

func TestRate_WhatIsTooFastIsRefusedAndWhoGoesOnIsSentAway(t *testing.T) {
	t.Parallel()
	e := start(t)
	s := e.bare()
	hasty, other := e.dial(""), e.dial("")
	var writing sync.WaitGroup
	writing.Go(func() {
		for n := 0; n < flood && hasty.WriteMessage(websocket.TextMessage, []byte(`{"type":"ping","request_id":"p"}`)) == nil; n++ {
		}
	})
	answered := 0
	for ; hasty.next().Type == wire.FramePong; answered++ { // then comes an error
	}
	if answered < 500 {
		t.Errorf("refused after %d frames", answered)
	}
	if d := hasty.refused(schema.CodeRateLimited); d.RequestID != "p" {
		t.Errorf("the refusal is %+v", d)
	}
	hasty.closed(1008)
	_ = hasty.Close()
	writing.Wait()
	other.subscribe(s.ID, 0)
	e.append(s.ID, 1, 3)
	other.collect(0, 3)
	e.noErrors()
}

func TestRate_PingsOfTheProtocolCountToo(t *testing.T) {
	t.Parallel()
	e := start(t)
	hasty := e.dial("")
	var writing sync.WaitGroup
	writing.Go(func() {
		for n := 0; n < flood && hasty.WriteMessage(websocket.PingMessage, nil) == nil; n++ {
		}
	})
	hasty.closed(1008)
	_ = hasty.Close()
	writing.Wait()
}

// raw is a client that says what it likes, however wrong.
func (e *env) raw(query string) net.Conn {
	e.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(e.url, "http://"))
	must(e, err)
	e.Cleanup(func() { _ = c.Close() })
	_, err = fmt.Fprintf(c, "GET /ws%s HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", query)
	must(e, err)
	return c
}

// readClose reads up to the end of the connection and returns the code of the closing frame
// that came last, 0 for none.
func readClose(t *testing.T, c net.Conn) int {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(testTimeout))
	var all bytes.Buffer
	if _, err := all.ReadFrom(c); err != nil && errors.Is(err, context.DeadlineExceeded) {
		t.Fatal("the connection was not ended")
	}
	at := bytes.LastIndexByte(all.Bytes(), 0x88)
	if at < 0 || all.Len() < at+4 {
		return 0
	}
	return int(binary.BigEndian.Uint16(all.Bytes()[at+2:]))
}

func TestGarbage_HasANamedOutcomeAndHarmsNobodyElse(t *testing.T) {
	t.Parallel()
	e := start(t)
	s := e.bare()
	other := e.dial("")
	other.subscribe(s.ID, 0)
	ws := e.dial("")
	must(t, ws.WriteMessage(websocket.BinaryMessage, []byte{1, 2, 3}))
	ws.refused(schema.CodeInvalid)
	for _, bad := range []string{"", "x", "{", "[]", "null", "1", `{"type":7}`, `{"type":"ping","type2":1}`, "\xff\xfe", `{"type":"ping","request_id":"` + "\xc3\x28" + `"}`} {
		must(t, ws.WriteMessage(websocket.TextMessage, []byte(bad)))
		ws.refused(schema.CodeInvalid)
	}
	ws.send(`{"type":"ping"}`)
	ws.until(wire.FramePong)
	for name, frame := range map[string][]byte{
		"reserved opcode": {0x83, 0x80, 0, 0, 0, 0}, "reserved bit": {0xC1, 0x80, 0, 0, 0, 0}, "no mask": {0x81, 0x01, 'x'},
		"a long ping": append([]byte{0x89, 0xFE, 0, 200, 0, 0, 0, 0}, make([]byte, 200)...), "a continuation of nothing": {0x80, 0x80, 0, 0, 0, 0},
	} {
		c := e.raw("")
		_, err := c.Write(frame)
		must(t, err)
		if code := readClose(t, c); code != websocket.CloseProtocolError {
			t.Errorf("%s: closed with %d", name, code)
		}
	}
	huge := e.raw("")
	_, err := huge.Write([]byte{0x81, 0xFF, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0})
	must(t, err)
	if code := readClose(t, huge); code != websocket.CloseMessageTooBig {
		t.Errorf("a frame of 9 exabytes: closed with %d", code)
	}
	half := e.raw("")
	_, err = half.Write([]byte{0x81}) // and nothing more
	must(t, err)
	must(t, half.Close())
	e.append(s.ID, 1, 3)
	other.collect(0, 3)
	testkit.Eventually(t, "only the good ones are left", func() bool {
		var list wire.ConnectionList
		e.do("GET", "/api/debug/connections", "").into(t, http.StatusOK, &list)
		return list.ActiveConnections == 2
	})
	e.noErrors()
}

func (e *env) connections() int {
	e.Helper()
	var list wire.ConnectionList
	e.do("GET", "/api/debug/connections", "").into(e, http.StatusOK, &list)
	return list.ActiveConnections
}

func TestHalfOpen_WhoNeitherSpeaksNorAnswersIsEnded(t *testing.T) {
	t.Parallel()
	e := start(t, withOptions(func(o *web.Options) { o.PingInterval, o.SilenceLimit = time.Second, 8*time.Second }))
	mute := e.raw("")
	answers := e.dial("") // its library answers pings while it reads
	testkit.Eventually(t, "both are there", func() bool { return e.connections() == 2 })
	var pings atomic.Int64
	answers.SetPingHandler(func(data string) error {
		pings.Add(1)
		return answers.WriteControl(websocket.PongMessage, []byte(data), time.Now().Add(testTimeout))
	})
	var reading sync.WaitGroup
	reading.Go(func() {
		for {
			if _, _, err := answers.ReadMessage(); err != nil {
				return
			}
		}
	})
	if code := readClose(t, mute); code != websocket.CloseGoingAway {
		t.Errorf("closed with %d", code)
	}
	testkit.Eventually(t, "the other is still there, and was asked", func() bool { return e.connections() == 1 && pings.Load() > 1 })
	_ = answers.Close()
	reading.Wait()
}

func TestHalfOpen_WhoNeverReadsIsEndedAndHarmsNobodyElse(t *testing.T) {
	t.Parallel()
	e := start(t, withOptions(func(o *web.Options) { o.WriteTimeout = 4 * time.Second }))
	s := e.bare()
	deaf := e.raw("?client_id=deaf")
	ask := fmt.Appendf(nil, `{"type":"subscribe","session_id":%q}`, s.ID)
	_, err := deaf.Write(append([]byte{0x81, 0x80 | byte(len(ask)), 0, 0, 0, 0}, ask...))
	must(t, err)
	other := e.dial("")
	other.subscribe(s.ID, 0)
	other.until(wire.FrameSubscribed)
	text := strings.Repeat("x", 512<<10)
	const events = 50 // more than the buffers of a connection hold
	for n := range int64(events) {
		_, err := e.store.AppendEvents(e.Context(), store.AppendEvents{
			SessionID: s.ID, Key: itoa(n), Events: []schema.NewEvent{{Type: schema.EventOutput, Data: schema.OutputData{Stream: schema.Stdout, Text: text, Offset: n}}},
		})
		must(t, err)
		other.collect(n, n+1)
	}
	testkit.Eventually(t, "who reads nothing is gone", func() bool { return e.connections() == 1 })
	other.send(`{"type":"ping"}`)
	other.until(wire.FramePong)
	e.noErrors()
}
