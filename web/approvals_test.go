package web_test

import (
	"strings"
	"testing"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/web"
)

func TestResolve_TheFirstDecisionWins(t *testing.T) {
	t.Parallel()
	e := start(t)
	s := e.create(askPlan)
	a := e.asked(s.ID)
	if a.RemainingSeconds <= 290 || a.RemainingSeconds > 300 {
		t.Fatalf("%v seconds remain", a.RemainingSeconds)
	}
	path := "/api/approvals/" + a.ID
	e.do("POST", path+"/resolve", `{"resolution":"retry"}`).problem(t, 422, schema.CodeInvalid)
	e.do("POST", path+"/resolve", `{"resolution":"approved","modifications":{"a":1}}`).problem(t, 422, schema.CodeUnsupported)
	var got schema.Approval
	e.do("POST", path+"/resolve", `{"resolution":"approved","feedback":"fine"}`, "X-Holdfast-User", "ann").into(t, 200, &got)
	if got.Status != schema.ApprovalResolved || got.Resolution != schema.ResolutionApproved || got.Actor != "ann" || got.Feedback != "fine" || got.RemainingSeconds != 0 {
		t.Fatalf("the approval is %+v", got)
	}
	head := e.session(s.ID).HeadSeq
	e.do("POST", path+"/resolve", `{"resolution":"approved"}`, "X-Holdfast-User", "ben").into(t, 200, &got)
	if got.Actor != "ann" || e.session(s.ID).HeadSeq != head {
		t.Fatalf("the repetition changed something: %+v", got)
	}
	p := e.do("POST", path+"/resolve", `{"resolution":"rejected"}`, "X-Holdfast-User", "ben").problem(t, 409, schema.CodeConflict)
	if !strings.Contains(p.Detail, "ann") || !strings.Contains(p.Detail, "approved") || !strings.Contains(p.Detail, got.ResolvedAt.String()) {
		t.Fatalf("it does not say who decided what and when: %s", p.Detail)
	}
	var list web.ApprovalList
	for _, where := range []string{"/api/approvals?status=resolved&limit=5", "/api/sessions/" + s.ID + "/approvals?status=resolved"} {
		e.do("GET", where, "").into(t, 200, &list)
		if len(list.Approvals) != 1 || list.Approvals[0].ID != a.ID {
			t.Fatalf("%s: %+v", where, list)
		}
	}
	e.do("GET", "/api/approvals?status=pending", "").into(t, 200, &list)
	if len(list.Approvals) != 0 {
		t.Fatalf("still pending: %+v", list)
	}
	e.noErrors()
}

func TestResolve_ClosedApprovalsAreAnsweredWithoutAnyWorker(t *testing.T) {
	t.Parallel()
	p := newProxy(t, temporalServer.Addr())
	e := start(t, func(s *setup) { s.temporal = p.addr })
	s := e.create(askPlan)
	a := e.asked(s.ID)
	path := "/api/approvals/" + a.ID + "/resolve"
	e.do("POST", path, `{"resolution":"rejected"}`).into(t, 200, nil)
	p.down()
	e.do("POST", path, `{"resolution":"rejected"}`).into(t, 200, nil)
	e.do("POST", path, `{"resolution":"approved"}`).problem(t, 409, schema.CodeConflict)
	e.noErrors()
}

func TestResolve_TooLateIsGone(t *testing.T) {
	t.Parallel()
	e := start(t, withOptions(func(o *web.Options) { o.ApprovalTimeout = 1e9 }))
	s := e.create(askPlan)
	var a schema.Approval
	eventually(t, "an expired approval", func() bool {
		var list web.ApprovalList
		e.do("GET", "/api/sessions/"+s.ID+"/approvals", "").into(t, 200, &list)
		if len(list.Approvals) > 0 {
			a = list.Approvals[0]
		}
		return a.Status == schema.ApprovalExpired
	})
	e.do("POST", "/api/approvals/"+a.ID+"/resolve", `{"resolution":"approved"}`).problem(t, 410, schema.CodeExpired)
	ws := e.dial("")
	ws.send(`{"type":"resolve_approval","approval_id":"` + a.ID + `","resolution":"approved","request_id":"late"}`)
	if d := ws.refused(schema.CodeExpired); d.RequestID != "late" {
		t.Fatalf("refused %+v", d)
	}
	e.noErrors()
}

func TestResolve_OverTheWebSocketReachesAllViewers(t *testing.T) {
	t.Parallel()
	e := start(t)
	s := e.create(askPlan)
	a := e.asked(s.ID)
	one, two := e.dial(""), e.dial("")
	for _, ws := range []*socket{one, two} {
		ws.subscribe(s.ID, 0)
		ws.until(schema.FrameSubscribed)
	}
	one.send(`{"type":"resolve_approval","approval_id":"` + a.ID + `","resolution":"approved","feedback":"go","request_id":"r1"}`)
	accepted, received := false, false
	for !accepted || !received {
		switch ev := one.next(); ev.Type {
		case schema.FrameAccepted:
			accepted = strings.Contains(string(ev.Data), `"r1"`)
		case schema.EventApprovalReceived:
			received = true
		case schema.FrameError:
			t.Fatalf("refused: %s", ev.Data)
		}
	}
	two.until(schema.EventApprovalReceived)
	one.send(`{"type":"resolve_approval","approval_id":"` + a.ID + `","resolution":"approved"}`)
	one.until(schema.FrameAccepted)
	one.send(`{"type":"resolve_approval","approval_id":"` + a.ID + `","resolution":"rejected"}`)
	one.refused(schema.CodeConflict)
	e.noErrors()
}
