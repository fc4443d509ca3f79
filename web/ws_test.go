package web_test

import (
	"bytes"
	"encoding/json"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/fasthttp/websocket"

	"github.com/holdfast/holdfast/internal/testkit"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/wire"
	"github.com/holdfast/holdfast/web"
)

func TestSocket_GreetsAndAnswers(t *testing.T) {
	t.Parallel()
	e := start(t)
	ws, _, err := e.tryDial("?client_id=c1", "X-Holdfast-User", "ann")
	must(t, err)
	t.Cleanup(func() { _ = ws.Close() })
	s := &socket{ws, t}
	first := s.next()
	var hello wire.ConnectedData
	must(t, json.Unmarshal(first.Data, &hello))
	if first.Type != wire.FrameConnected || hello.User != "ann" || hello.Version != "test" || hello.ConnectionID == "" || hello.ServerInstance == "" {
		t.Fatalf("the first frame is %+v %s", first, first.Data)
	}
	s.send(`{"type":"ping","request_id":"p"}`)
	if pong := s.next(); pong.Type != wire.FramePong || pong.Seq != 0 || !strings.Contains(string(pong.Data), `"p"`) {
		t.Fatalf("the answer is %+v", pong)
	}
	pong := make(chan string, 1)
	ws.SetPongHandler(func(data string) error { pong <- data; return nil })
	must(t, ws.WriteMessage(websocket.PingMessage, []byte("are you there")))
	s.send(`{"type":"ping"}`)
	s.next()
	if got := <-pong; got != "are you there" {
		t.Fatalf("the pong is %q", got)
	}
	var list wire.ConnectionList
	e.do("GET", "/api/debug/connections", "").into(t, 200, &list)
	if list.ActiveConnections != 1 || list.Connections[0].ClientID != "c1" || list.Connections[0].User != "ann" || list.MaxConnections != 10_000 {
		t.Fatalf("the connections are %+v", list)
	}
	testkit.Eventually(t, "active_connections has it", func() bool {
		all, err := e.store.Connections(e.Context())
		return err == nil && len(all) == 1 && all[0].ClientID == "c1" && all[0].User == "ann"
	})
	must(t, ws.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(1000, "")))
	s.closed(1000)
	testkit.Eventually(t, "active_connections is empty", func() bool {
		all, err := e.store.Connections(e.Context())
		return err == nil && len(all) == 0
	})
	e.noErrors()
}

func TestSocket_CommandsAreAcceptedAndCarriedOutInOrder(t *testing.T) {
	t.Parallel()
	e := start(t)
	s := e.create(plainPlan)
	e.running(s.ID)
	ws := e.dial("?client_id=c")
	for i, kind := range []string{"pause", "resume", "suspend", "resume", "query", "cancel"} {
		name := ""
		if kind == "query" {
			name = `,"name":"state"`
		}
		ws.send(`{"type":"` + kind + `","session_id":"` + s.ID + `","request_id":"r` + itoa(int64(i)) + `"` + name + `}`)
	}
	for i := range 6 {
		f := ws.next()
		var d wire.QueryResultData
		must(t, json.Unmarshal(f.Data, &d))
		want := wire.FrameAccepted
		if i == 4 {
			want = wire.FrameQueryResult
			if !strings.Contains(string(d.Result), `"active"`) {
				t.Errorf("the state is %s", d.Result)
			}
		}
		if f.Type != want || d.RequestID != "r"+itoa(int64(i)) || f.SessionID != s.ID {
			t.Fatalf("answer %d is %s %s", i, f.Type, f.Data)
		}
	}
	testkit.Eventually(t, "cancelled", func() bool { return e.session(s.ID).Status == schema.SessionCancelled })
	e.noErrors()
}

func TestSocket_OverTheLimitIsSentAwayForLater(t *testing.T) {
	t.Parallel()
	e := start(t, withOptions(func(o *web.Options) { o.MaxConnections = 2 }))
	one := e.dial("?client_id=one")
	e.dial("")
	for range 3 {
		ws, _, err := e.tryDial("")
		must(t, err)
		(&socket{ws, t}).closed(1013)
		_ = ws.Close()
	}
	// A client that comes back takes the place of its own older connection.
	again := e.dial("?client_id=one")
	one.closed(4001)
	again.send(`{"type":"ping"}`)
	again.until(wire.FramePong)
	e.noErrors()
}

func TestSocket_ANewerConnectionOfAClientReplacesTheOlder(t *testing.T) {
	t.Parallel()
	e := start(t)
	old := e.dial("?client_id=c")
	other := e.dial("?client_id=c", "X-Holdfast-User", "ben")
	e.dial("?client_id=c")
	old.closed(4001)
	other.send(`{"type":"ping"}`)
	other.until(wire.FramePong)
}

func TestSocket_AFrameOver64KiBEndsTheConnection(t *testing.T) {
	t.Parallel()
	e := start(t)
	ws := e.dial("")
	ws.send(`{"type":"ping","request_id":"` + strings.Repeat(" ", 60<<10) + `"}`)
	ws.refused(schema.CodeInvalid)
	_ = ws.WriteMessage(websocket.TextMessage, []byte(`{"type":"ping","request_id":"`+strings.Repeat("x", 3<<20)+`"}`))
	ws.closed(1009)
	e.noErrors()
}

func TestSocket_StoppingServerSendsItsClientsToAnother(t *testing.T) { //nolint:tparallel // the rest follows the end of the subtest
	t.Parallel()
	var ws *socket
	t.Run("server", func(t *testing.T) {
		e := start(t)
		conn, _, err := e.tryDial("")
		must(t, err)
		ws = &socket{conn, t}
		ws.until(wire.FrameConnected)
	})
	ws.t = t
	ws.closed(1001)
	_ = ws.Close()
}

func TestSessionsList_TellsOfEveryChange(t *testing.T) {
	t.Parallel()
	e := start(t)
	before := e.bare()
	ws := e.dial("")
	ws.send(`{"type":"subscribe_sessions"}`)
	var list wire.SessionsData
	must(t, json.Unmarshal(ws.until(wire.FrameSessions).Data, &list))
	if len(list.Sessions) != 1 || list.Sessions[0].ID != before.ID || list.Sessions[0].Plan != nil || list.Total != 1 {
		t.Fatalf("the list is %+v", list)
	}
	s := e.create(askPlan)
	var d wire.SessionData
	for d.Session.ID != s.ID {
		// A server that has only now begun to listen starts the list over, with a new snapshot.
		switch f := ws.next(); f.Type {
		case wire.FrameSessionCreated:
			must(t, json.Unmarshal(f.Data, &d))
		case wire.FrameSessions:
			must(t, json.Unmarshal(f.Data, &list))
			for _, listed := range list.Sessions {
				if listed.ID == s.ID {
					d.Session = listed
				}
			}
		default:
		}
	}
	for len(d.Session.PendingApprovals) == 0 {
		must(t, json.Unmarshal(ws.until(wire.FrameSessionUpdated).Data, &d))
	}
	if d.Session.Plan != nil || string(d.Session.PendingApprovals[0].Context) != "{}" {
		t.Fatalf("a list entry carries too much: %+v", d.Session)
	}
	e.do("DELETE", "/api/sessions/"+s.ID, "").into(t, 204, nil)
	if gone := ws.until(wire.FrameSessionDeleted); !strings.Contains(string(gone.Data), s.ID) {
		t.Fatalf("deleted %s", gone.Data)
	}
	e.noErrors()
}

func TestSocket_WhatIsSentBeforeTheAnswerIsNotLost(t *testing.T) {
	t.Parallel()
	e := start(t)
	conn, err := net.Dial("tcp", strings.TrimPrefix(e.url, "http://"))
	must(t, err)
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(testTimeout))
	const ping = `{"type":"ping","request_id":"early"}`
	frame := append([]byte{0x81, byte(len(ping)) | 0x80, 0, 0, 0, 0}, ping...)
	_, err = conn.Write(append([]byte("GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"), bytes.Repeat(frame, 40)...))
	must(t, err)
	var got []byte
	for part := make([]byte, 4096); bytes.Count(got, []byte(`"early"`)) < 40; {
		n, err := conn.Read(part)
		must(t, err)
		got = append(got, part[:n]...)
	}
	if !bytes.HasPrefix(got, []byte("HTTP/1.1 101 ")) || !bytes.Contains(got, []byte("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")) {
		t.Fatalf("the answer is %.500q", got)
	}
	e.noErrors()
}
