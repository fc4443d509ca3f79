package web_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
	"github.com/holdfast/holdfast/schema/wire"
)

func TestAttack_AsksAsLargeAsTheyMayBeLeaveTheSessionSmall(t *testing.T) {
	t.Parallel()
	e := start(t)
	id := e.bare().ID
	run := schema.RunID(id, 1)
	ctx := t.Context()
	_, err := e.store.BeginRun(ctx, store.BeginRun{SessionID: id, RunID: run, Number: 1, Key: "1", Status: schema.SessionActive, Phase: schema.PhaseExecuting})
	must(t, err)
	viewer := e.dial("")
	viewer.send(`{"type":"subscribe_sessions"}`)
	viewer.until(wire.FrameSessions)
	ask := schema.Transition{SessionID: id, RunID: run, Key: "ask", Status: schema.SessionActive, Phase: schema.PhaseExecuting}
	var context string
	for i := range schema.MaxOpenAsks {
		var b strings.Builder
		for n := 0; b.Len() < schema.MaxAskContext-200; n++ {
			fmt.Fprintf(&b, `"%d":"%s",`, n, schema.NewID())
		}
		context = `{` + b.String() + `"options":["a","b"]}`
		ask.Open = append(ask.Open, schema.ApprovalOpen{
			ID: schema.AskID(run, "a", itoa(int64(i))), StepID: "a", Type: schema.ApprovalProgramAsk, Options: schema.ApprovalProgramAsk.Options(),
			Description: "How?", Context: json.RawMessage(context), ExpiresAt: time.Now().Add(time.Hour),
		})
	}
	_, err = e.store.Apply(ctx, ask)
	must(t, err)

	const small = 32 << 10
	brief := func(where string, size int, list []schema.Approval) {
		t.Helper()
		if len(list) != schema.MaxOpenAsks || size > small {
			t.Errorf("%s: %d questions in %d bytes", where, len(list), size)
		}
		for _, a := range list {
			if !a.ContextTruncated || string(a.Context) != `{}` || a.Digest != ask.Open[0].Digest {
				t.Errorf("%s: %+v", where, a)
			}
		}
	}
	var s schema.Session
	r := e.do("GET", "/api/sessions/"+id, "")
	r.into(t, 200, &s)
	brief("the session", len(r.body), s.PendingApprovals)
	var sessions wire.SessionList
	r = e.do("GET", "/api/sessions", "")
	r.into(t, 200, &sessions)
	brief("the list of sessions", len(r.body), sessions.Sessions[0].PendingApprovals)
	for _, path := range []string{"/api/approvals?status=pending", "/api/sessions/" + id + "/approvals"} {
		var list wire.ApprovalList
		r = e.do("GET", path, "")
		r.into(t, 200, &list)
		brief(path, len(r.body), list.Approvals)
	}
	for {
		var d wire.SessionData
		f := viewer.until(wire.FrameSessionUpdated)
		must(t, json.Unmarshal(f.Data, &d))
		if len(d.Session.PendingApprovals) > 0 {
			brief("the frame", len(f.Data), d.Session.PendingApprovals)
			break
		}
	}

	// What is decided about is whole where one looks at the question itself, in the log, and in the export.
	last := ask.Open[schema.MaxOpenAsks-1].ID
	var a schema.Approval
	e.do("GET", "/api/approvals/"+last, "").into(t, 200, &a)
	if a.ContextTruncated || string(a.Context) != context {
		t.Errorf("the approval has %d bytes of %d", len(a.Context), len(context))
	}
	var log wire.EventList
	e.do("GET", "/api/sessions/"+id+"/events?types=approval_requested", "").into(t, 200, &log)
	if n := len(log.Events); n != schema.MaxOpenAsks || !strings.Contains(string(log.Events[n-1].Data), context) {
		t.Errorf("the log has %d questions", n)
	}
	z, _ := e.exported(id)
	if text := string(entry(t, z, "approvals.json")); strings.Count(text, `"options":["a","b"]`) != schema.MaxOpenAsks || strings.Contains(text, "truncated") {
		t.Errorf("the export has %d bytes of the questions", len(text))
	}
	e.noErrors()
}
