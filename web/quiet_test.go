package web_test

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/holdfast/holdfast/internal/testkit"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/wire"
)

// A line at WARN or above says that somebody should look. People who come, decide, make mistakes and go away, and a
// server that stops, are what happens every day.
func TestLog_SaysNothingAtWarnInNormalOperation(t *testing.T) { //nolint:tparallel // the rest follows the end of the subtest
	t.Parallel()
	var e *env
	var viewer *socket
	t.Run("server", func(t *testing.T) {
		e = start(t)
		e.decided()
		e.cancelled()
		e.mistaken()
		e.left()
		s := e.create(askPlan)
		conn, _, err := e.tryDial("?client_id=stays")
		must(t, err)
		viewer = &socket{conn, t}
		viewer.subscribe(s.ID, 0)
		viewer.until(schema.EventApprovalRequested)
	})
	if viewer == nil {
		return // it has failed before
	}
	viewer.t = t
	defer viewer.Close()
	viewer.closed(1001) // the server has stopped under its viewer
	for line := range strings.Lines(e.logs.String()) {
		t.Errorf("logged: %s", line)
	}
}

// decided is a session that is watched, approved, and deleted under its viewer.
func (e *env) decided() {
	e.Helper()
	s := e.create(askPlan)
	ws := e.dial("?client_id=tab")
	ws.subscribe(s.ID, 0)
	ws.until(wire.FrameSubscribed)
	again := e.dial("?client_id=tab") // the same tab, connected anew
	ws.closed(4001)
	again.subscribe(s.ID, 0)
	a := e.asked(s.ID)
	path := "/api/approvals/" + a.ID + "/resolve"
	e.do("POST", path, `{"resolution":"approved"}`).into(e, 200, nil)
	e.do("POST", path, `{"resolution":"rejected"}`).problem(e, 409, schema.CodeConflict)
	again.until(schema.EventApprovalReceived)
	e.do("DELETE", "/api/sessions/"+s.ID, "").into(e, 204, nil)
	again.until(wire.FrameSessionDeleted)
	must(e, again.Close())
}

// cancelled is a session that is suspended, resumed and cancelled.
func (e *env) cancelled() {
	e.Helper()
	s := e.create(plainPlan)
	e.running(s.ID)
	for _, command := range []string{"suspend", "resume", "cancel"} {
		if r := e.do("POST", "/api/sessions/"+s.ID+"/"+command, ""); r.StatusCode != http.StatusOK && r.StatusCode != http.StatusAccepted {
			e.Fatalf("%s: %d %s", command, r.StatusCode, r.body)
		}
	}
	testkit.Eventually(e, "it is cancelled", func() bool { return e.session(s.ID).Status == schema.SessionCancelled })
	e.do("POST", "/api/sessions/"+s.ID+"/resume", "").problem(e, 409, schema.CodeConflict)
}

// mistaken is who asks for what there is not.
func (e *env) mistaken() {
	e.Helper()
	e.do("GET", "/api/sessions/"+schema.NewID(), "").problem(e, 404, schema.CodeNotFound)
	e.do("POST", "/api/sessions", `{"mode":"runbook"}`).problem(e, 422, schema.CodeInvalid)
	e.do("POST", "/api/sessions", `{`).problem(e, 400, schema.CodeInvalid)
	e.do("POST", "/api/ready", "").problem(e, 405, schema.CodeMethod)
	ws := e.dial("")
	ws.send(`no JSON`)
	ws.refused(schema.CodeInvalid)
	must(e, ws.Close())
}

// left are clients that go away without a word, in the middle of everything.
func (e *env) left() {
	e.Helper()
	s := e.bare()
	e.append(s.ID, 1, 20)
	e.noise(s.ID, 8<<20)
	reset := func(conn net.Conn) {
		must(e, conn.(*net.TCPConn).SetLinger(0))
		must(e, conn.Close())
	}
	ws := e.dial("")
	ws.subscribe(s.ID, 0)
	ws.until(wire.FrameSubscribed)
	reset(ws.NetConn())

	ctx, goAway := context.WithCancel(e.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, e.url+"/api/sessions/"+s.ID+"/export", http.NoBody)
	must(e, err)
	resp, err := e.http.Do(req)
	must(e, err)
	_, err = resp.Body.Read(make([]byte, 100))
	must(e, err)
	goAway()
	_ = resp.Body.Close()

	for _, begun := range []string{"GET /api/sess", "POST /api/sessions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(e.url, "http://"))
		must(e, err)
		_, err = conn.Write([]byte(begun))
		must(e, err)
		reset(conn)
	}
	testkit.Eventually(e, "nobody is left", func() bool {
		var list wire.ConnectionList
		e.do("GET", "/api/debug/connections", "").into(e, 200, &list)
		return list.ActiveConnections == 0
	})
}
