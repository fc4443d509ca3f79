package web_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/wire"
)

func TestKeys_StandForOneRequest(t *testing.T) {
	t.Parallel()
	e := start(t)
	one, two := e.create(askPlan), e.create(askPlan)
	a, b := e.asked(one.ID), e.asked(two.ID)
	sessions := "/api/sessions/"
	for name, pair := range map[string][2][2]string{
		"two decisions":     {{"/api/approvals/" + a.ID + "/extend", `{"seconds":60}`}, {"/api/approvals/" + b.ID + "/extend", `{"seconds":60}`}},
		"two lengths":       {{"/api/approvals/" + a.ID + "/extend", `{"seconds":61}`}, {"/api/approvals/" + a.ID + "/extend", `{"seconds":62}`}},
		"two messages":      {{sessions + one.ID + "/messages", `{"content":"a"}`}, {sessions + one.ID + "/messages", `{"content":"b"}`}},
		"two receivers":     {{sessions + one.ID + "/messages", `{"content":"a"}`}, {sessions + two.ID + "/messages", `{"content":"a"}`}},
		"two commands":      {{sessions + one.ID + "/suspend", ""}, {sessions + one.ID + "/resume", ""}},
		"two sessions":      {{sessions + two.ID + "/suspend", ""}, {sessions + one.ID + "/suspend", ""}},
		"create, then fork": {{"/api/sessions", `{"mode":"runbook","plan":` + plainPlan + `}`}, {sessions + one.ID + "/fork", `{}`}},
		"two plans":         {{"/api/sessions", `{"mode":"runbook","plan":` + plainPlan + `}`}, {"/api/sessions", `{"mode":"runbook","plan":` + askPlan + `}`}},
		"create, then say":  {{"/api/sessions", `{"mode":"runbook","plan":` + plainPlan + `}`}, {sessions + one.ID + "/messages", `{"content":"a"}`}},
	} {
		key := strings.ReplaceAll(name, " ", "-")
		for range 2 {
			if r := e.do("POST", pair[0][0], pair[0][1], "Idempotency-Key", key); r.StatusCode >= 300 {
				t.Fatalf("%s: %d %s", name, r.StatusCode, r.body)
			}
		}
		e.do("POST", pair[1][0], pair[1][1], "Idempotency-Key", key).problem(t, 409, schema.CodeConflict)
		// It is another's key for another person.
		if r := e.do("POST", pair[0][0], pair[0][1], "Idempotency-Key", key, "X-Holdfast-User", "ann"); r.StatusCode == http.StatusConflict && strings.Contains(string(r.body), "another request") {
			t.Errorf("%s: ann has the key of another", name)
		}
	}
	// approve #1, reject #2
	if r := e.do("POST", "/api/approvals/"+a.ID+"/resolve", `{"resolution":"approved"}`, "Idempotency-Key", "d"); r.StatusCode >= 300 {
		t.Fatalf("%d %s", r.StatusCode, r.body)
	}
	e.do("POST", "/api/approvals/"+b.ID+"/resolve", `{"resolution":"rejected"}`, "Idempotency-Key", "d").problem(t, 409, schema.CodeConflict)
	if now := e.session(two.ID); len(now.PendingApprovals) != 1 {
		t.Fatalf("the second is %+v", now.PendingApprovals)
	}
	// The same once the approval is closed: with other words, and for one that somebody else has approved.
	e.do("POST", "/api/approvals/"+a.ID+"/resolve", `{"resolution":"approved"}`, "Idempotency-Key", "d").into(t, 200, nil)
	e.do("POST", "/api/approvals/"+a.ID+"/resolve", `{"resolution":"approved","feedback":"b"}`, "Idempotency-Key", "d").problem(t, 409, schema.CodeConflict)
	e.do("POST", "/api/approvals/"+b.ID+"/resolve", `{"resolution":"approved"}`).into(t, 200, nil)
	e.do("POST", "/api/approvals/"+b.ID+"/resolve", `{"resolution":"approved"}`, "Idempotency-Key", "d").problem(t, 409, schema.CodeConflict)
	e.noErrors()
}

func TestKeys_OfFramesStandForOneRequest(t *testing.T) {
	t.Parallel()
	e := start(t)
	one, two := e.create(askPlan), e.create(askPlan)
	a, b := e.asked(one.ID), e.asked(two.ID)
	first := e.dial("?client_id=c")
	for name, pair := range map[string][2]string{
		"messages":  {`"message","session_id":"` + one.ID + `","content":"a"`, `"message","session_id":"` + one.ID + `","content":"b"`},
		"commands":  {`"suspend","session_id":"` + one.ID + `"`, `"resume","session_id":"` + one.ID + `"`},
		"sessions":  {`"suspend","session_id":"` + two.ID + `"`, `"suspend","session_id":"` + one.ID + `"`},
		"decisions": {`"resolve_approval","approval_id":"` + a.ID + `","resolution":"approved"`, `"resolve_approval","approval_id":"` + b.ID + `","resolution":"rejected"`},
	} {
		for range 2 {
			first.send(`{"type":` + pair[0] + `,"request_id":"` + name + `"}`)
			first.until(wire.FrameAccepted)
		}
		first.send(`{"type":` + pair[1] + `,"request_id":"` + name + `"}`)
		if d := first.refused(schema.CodeConflict); d.RequestID != name {
			t.Fatalf("%s: %+v", name, d)
		}
	}
	if now := e.session(two.ID); len(now.PendingApprovals) != 1 {
		t.Fatalf("the second is %+v", now.PendingApprovals)
	}
	// Frames without a request_id have nothing to do with each other.
	for _, text := range []string{"x", "y"} {
		first.send(`{"type":"message","session_id":"` + one.ID + `","content":"` + text + `"}`)
		first.until(wire.FrameAccepted)
	}
	e.noErrors()
}

func TestAttack_NobodyHasTheNamesOfTheProduct(t *testing.T) {
	t.Parallel()
	e := start(t)
	for _, name := range []string{"holdfast", "Holdfast", "retention", "temporal", "system", "step", "step:a", "STEP:a", "token:x", "temporal:ann", "service:x", "token:"} {
		e.do("GET", "/api/sessions", "", "X-Holdfast-User", name).problem(t, 403, schema.CodeForbidden)
		e.do("POST", "/api/sessions", `{"mode":"runbook","plan":`+plainPlan+`}`, "X-Holdfast-User", name).problem(t, 403, schema.CodeForbidden)
		if ws, resp, err := e.tryDial("", "X-Holdfast-User", name); err == nil {
			_ = ws.Close()
			t.Errorf("%s is let in: %v", name, resp.Status)
		}
	}
	for _, name := range []string{"stephen", "ann", "systems", "steps", "tokenizer", "a:b"} {
		e.do("GET", "/api/sessions", "", "X-Holdfast-User", name).into(t, 200, nil)
	}
	s := e.create(askPlan)
	a := e.asked(s.ID)
	e.do("POST", "/api/approvals/"+a.ID+"/resolve", `{"resolution":"approved","actor":"retention"}`).problem(t, 422, schema.CodeInvalid)
	ws := e.dial("")
	ws.send(`{"type":"resolve_approval","approval_id":"` + a.ID + `","resolution":"approved","actor":"retention"}`)
	ws.refused(schema.CodeInvalid)
	e.noErrors()
}
