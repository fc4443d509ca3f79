package web_test

import (
	"strings"
	"testing"
	"time"

	"github.com/holdfast/holdfast/internal/testkit"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/wire"
	"github.com/holdfast/holdfast/web"
)

// expired is a session whose question nobody has answered.
func (e *env) expired() (session string, a schema.Approval) {
	e.Helper()
	id := e.create(askPlan).ID
	testkit.Eventually(e, "the question expires", func() bool {
		s := e.session(id)
		if len(s.ExpiredApprovals) > 0 {
			a = s.ExpiredApprovals[0]
		}
		return a.ID != ""
	})
	return id, a
}

func TestReopen_AnExpiredQuestionStaysListedAndIsAskedAgain(t *testing.T) {
	t.Parallel()
	e := start(t, withOptions(func(o *web.Options) { o.ApprovalTimeout = time.Second }))
	id, a := e.expired()
	if a.Status != schema.ApprovalExpired || !a.Reopenable || string(a.Context) == "" {
		t.Fatalf("the approval is %+v", a)
	}
	open := func(path string) []schema.Approval {
		var list wire.ApprovalList
		e.do("GET", path, "").into(t, 200, &list)
		return list.Approvals
	}
	for _, path := range []string{"/api/approvals?status=open", "/api/sessions/" + id + "/approvals?status=open"} {
		if list := open(path); len(list) != 1 || list[0].ID != a.ID || !list[0].Reopenable {
			t.Fatalf("%s: %+v", path, list)
		}
	}
	var sessions wire.SessionList
	e.do("GET", "/api/sessions", "").into(t, 200, &sessions)
	if list := sessions.Sessions[0].ExpiredApprovals; len(list) != 1 || list[0].ID != a.ID {
		t.Fatalf("the list has %+v", sessions.Sessions)
	}
	if p := e.do("POST", "/api/approvals/"+a.ID+"/resolve", `{"resolution":"approved"}`).problem(t, 410, schema.CodeExpired); !strings.Contains(p.Detail, "reopen") {
		t.Errorf("it does not say what helps: %s", p.Detail)
	}
	path := "/api/approvals/" + a.ID + "/reopen"
	var got schema.Approval
	e.do("POST", path, "", "Idempotency-Key", "k").into(t, 202, &got)
	if got.ID != a.ID {
		t.Fatalf("the answer is %+v", got)
	}
	e.do("POST", path, "", "Idempotency-Key", "k").into(t, 202, nil)
	e.do("POST", "/api/sessions/"+id+"/resume", "", "Idempotency-Key", "k").problem(t, 409, schema.CodeConflict) // another request
	e.do("POST", path, "{}").into(t, 202, nil)                                                                   // once is enough
	again := e.asked(id)
	if again.ID == a.ID {
		t.Fatal("the same question cannot be open again")
	}
	if list := e.session(id).ExpiredApprovals; len(list) != 0 {
		t.Fatalf("still expired: %+v", list)
	}
	if list := open("/api/approvals?status=open"); len(list) != 1 || list[0].ID != again.ID || list[0].Reopenable {
		t.Fatalf("open are %+v", list)
	}
	e.do("POST", "/api/approvals/"+again.ID+"/reopen", "").problem(t, 409, schema.CodeConflict)
	// When the second question has expired, too, the first is of no use any more.
	testkit.Eventually(t, "it expires again", func() bool { return len(e.session(id).ExpiredApprovals) > 0 })
	if list := open("/api/approvals?status=open"); len(list) != 1 || list[0].ID != again.ID || !list[0].Reopenable {
		t.Fatalf("open are %+v", list)
	}
	e.do("POST", path, "").problem(t, 409, schema.CodeConflict)
	e.noErrors()
}

func TestReopen_OverTheWebSocket(t *testing.T) {
	t.Parallel()
	e := start(t, withOptions(func(o *web.Options) { o.ApprovalTimeout = time.Second }))
	id, a := e.expired()
	ws := e.dial("?client_id=c")
	for range 2 {
		ws.send(`{"type":"reopen_approval","approval_id":"` + a.ID + `","request_id":"r"}`)
		if f := ws.until(wire.FrameAccepted); f.SessionID != id {
			t.Fatalf("accepted for %q", f.SessionID)
		}
	}
	e.asked(id)
	ws.send(`{"type":"reopen_approval","approval_id":"` + schema.NewID() + `"}`)
	ws.refused(schema.CodeNotFound)
	ws.send(`{"type":"reopen_approval"}`)
	ws.refused(schema.CodeInvalid)
	e.noErrors()
}

func TestReopen_SaysWhyNot(t *testing.T) {
	t.Parallel()
	e := start(t, withOptions(func(o *web.Options) { o.ApprovalTimeout = time.Second }))
	id, a := e.expired()
	e.do("POST", "/api/sessions/"+id+"/cancel", "").into(t, 200, nil)
	if p := e.do("POST", "/api/approvals/"+a.ID+"/reopen", "").problem(t, 409, schema.CodeConflict); !strings.Contains(p.Detail, "over: cancelled") {
		t.Errorf("of a run that is over: %s", p.Detail)
	}
	if list := e.session(id).ExpiredApprovals; len(list) != 0 {
		t.Errorf("a cancelled session has %+v", list)
	}
	e.do("POST", "/api/approvals/"+schema.NewID()+"/reopen", "").problem(t, 404, schema.CodeNotFound)
	e.do("GET", "/api/approvals?status=ajar", "").problem(t, 422, schema.CodeInvalid)
	e.noErrors()
}
