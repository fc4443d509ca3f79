package web_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/holdfast/holdfast/internal/testkit"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/wire"
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
	e.do("POST", path+"/resolve", `{"resolution":"approved","modifications":{"a":1}}`).problem(t, 422, schema.CodeInvalid)
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
	var list wire.ApprovalList
	for _, where := range []string{"/api/approvals?status=resolved&limit=5", "/api/sessions/" + s.ID + "/approvals?status=resolved"} {
		e.do("GET", where, "").into(t, 200, &list)
		if len(list.Approvals) != 1 || list.Approvals[0].ID != a.ID {
			t.Fatalf("%s: %+v", where, list)
		}
	}
	e.do("GET", "/api/approvals?id_prefix="+a.ID[:6]+"&limit=2", "").into(t, 200, &list)
	if len(list.Approvals) != 1 || list.Total != 1 || list.Approvals[0].ID != a.ID {
		t.Fatalf("by the beginning of its id: %+v", list)
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
	testkit.Eventually(t, "an expired approval", func() bool {
		var list wire.ApprovalList
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
		ws.until(wire.FrameSubscribed)
	}
	one.send(`{"type":"resolve_approval","approval_id":"` + a.ID + `","resolution":"approved","feedback":"go","request_id":"r1"}`)
	accepted, received := false, false
	for !accepted || !received {
		switch ev := one.next(); ev.Type {
		case wire.FrameAccepted:
			accepted = strings.Contains(string(ev.Data), `"r1"`)
		case schema.EventApprovalReceived:
			received = true
		case wire.FrameError:
			t.Fatalf("refused: %s", ev.Data)
		}
	}
	two.until(schema.EventApprovalReceived)
	one.send(`{"type":"resolve_approval","approval_id":"` + a.ID + `","resolution":"approved"}`)
	one.until(wire.FrameAccepted)
	one.send(`{"type":"resolve_approval","approval_id":"` + a.ID + `","resolution":"rejected"}`)
	one.refused(schema.CodeConflict)
	e.noErrors()
}

func TestResolve_CarriesModificationsToTheWorkflow(t *testing.T) {
	t.Parallel()
	e := start(t)
	s := e.create(askPlan)
	a := e.asked(s.ID)
	path := "/api/approvals/" + a.ID + "/resolve"
	edit := `{"run":["echo","hi"],"env":{"A":"b"},"timeout":"30s"}`
	var got schema.Approval
	e.do("POST", path, `{"resolution":"modified","modifications":`+edit+`,"feedback":"quieter"}`).into(t, 200, &got)
	var want, have schema.StepEdit
	must(t, json.Unmarshal([]byte(edit), &want))
	must(t, json.Unmarshal(got.Modifications, &have))
	if got.Resolution != schema.ResolutionModified || !reflect.DeepEqual(have, want) {
		t.Fatalf("the approval is %+v with %s", got, got.Modifications)
	}
	e.do("POST", path, `{"resolution":"modified","modifications":`+edit+`}`).into(t, 200, &got)
	p := e.do("POST", path, `{"resolution":"approved","modifications":null}`).problem(t, 409, schema.CodeConflict)
	if !strings.Contains(p.Detail, "modified") {
		t.Fatalf("it does not say how it was decided: %s", p.Detail)
	}
	e.noErrors()
}

func TestResolve_CarriesModificationsOverTheWebSocket(t *testing.T) {
	t.Parallel()
	e := start(t)
	s := e.create(askPlan)
	a := e.asked(s.ID)
	ws := e.dial("")
	ws.subscribe(s.ID, 0)
	ws.send(`{"type":"resolve_approval","approval_id":"` + a.ID + `","resolution":"modified","modifications":{"shell":"echo hi"}}`)
	var d schema.ApprovalReceivedData
	must(t, json.Unmarshal(ws.until(schema.EventApprovalReceived).Data, &d))
	if d.Resolution != schema.ResolutionModified || !strings.Contains(string(d.Modifications), "echo hi") {
		t.Fatalf("received %+v", d)
	}
	e.noErrors()
}

func TestExtend_MovesTheDeadline(t *testing.T) {
	t.Parallel()
	e := start(t)
	s := e.create(askPlan)
	a := e.asked(s.ID)
	path := "/api/approvals/" + a.ID + "/extend"
	var got schema.Approval
	e.do("POST", path, `{"seconds":60.5}`).into(t, 200, &got)
	if moved := got.ExpiresAt.Sub(a.ExpiresAt.Time); moved != 60500*time.Millisecond || got.RemainingSeconds < 350 || got.Status != schema.ApprovalPending {
		t.Fatalf("it moved by %v to %+v", moved, got)
	}
	for range 2 { // once for each key
		e.do("POST", path, `{"seconds":100}`, "Idempotency-Key", "x").into(t, 200, &got)
		if moved := got.ExpiresAt.Sub(a.ExpiresAt.Time); moved != 160500*time.Millisecond {
			t.Fatalf("it moved by %v", moved)
		}
	}
	most := int64(schema.MaxApprovalTimeoutSeconds - got.ExpiresAt.Sub(got.CreatedAt.Time).Seconds() - 1)
	for range 2 { // the repetition alone would be too long
		e.do("POST", path, `{"seconds":`+itoa(most)+`}`, "Idempotency-Key", "most").into(t, 200, &got)
	}
	p := e.do("POST", path, `{"seconds":5}`).problem(t, 422, schema.CodeInvalid)
	if p.Errors[0].Location != "body.seconds" || !strings.Contains(p.Detail, "2592000") {
		t.Fatalf("the problem is %+v", p)
	}
	p = e.do("POST", path, `{"seconds":5}`, "Idempotency-Key", "y").problem(t, 422, schema.CodeInvalid)
	if p.Errors[0].Location != "body.seconds" {
		t.Fatalf("the workflow's refusal is %+v", p)
	}
	e.do("POST", "/api/approvals/"+a.ID+"/resolve", `{"resolution":"approved"}`, "X-Holdfast-User", "ann").into(t, 200, nil)
	e.do("POST", path, `{"seconds":100}`, "Idempotency-Key", "x").into(t, 200, &got) // it was done, whatever came after
	for _, header := range [][]string{nil, {"Idempotency-Key", "z"}} {
		if p := e.do("POST", path, `{"seconds":5}`, header...).problem(t, 409, schema.CodeConflict); !strings.Contains(p.Detail, "ann") {
			t.Fatalf("it does not say who has decided: %s", p.Detail)
		}
	}
	e.noErrors()
}

func TestExtend_TooLateIsGone(t *testing.T) {
	t.Parallel()
	e := start(t, withOptions(func(o *web.Options) { o.ApprovalTimeout = time.Second }))
	s := e.create(askPlan)
	var list wire.ApprovalList
	testkit.Eventually(t, "an expired approval", func() bool {
		e.do("GET", "/api/sessions/"+s.ID+"/approvals?status=expired", "").into(t, 200, &list)
		return len(list.Approvals) == 1
	})
	path := "/api/approvals/" + list.Approvals[0].ID + "/extend"
	e.do("POST", path, `{"seconds":5}`).problem(t, 410, schema.CodeExpired)
	e.do("POST", path, `{"seconds":5}`, "Idempotency-Key", "x").problem(t, 410, schema.CodeExpired)
	e.noErrors()
}
