package web_test

import (
	"encoding/json"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/holdfast/holdfast/internal/testkit"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
	"github.com/holdfast/holdfast/schema/wire"
)

// exec changes the database behind the server's back.
func (e *env) exec(sql string, args ...any) {
	e.Helper()
	conn, err := pgx.Connect(e.Context(), e.dsn)
	must(e, err)
	defer conn.Close(e.Context())
	_, err = conn.Exec(e.Context(), sql, args...)
	must(e, err)
}

// deaf cuts the connection by which the server hears of changes, as a restart of Postgres does.
func (e *env) deaf() {
	e.Helper()
	conn, err := pgx.Connect(e.Context(), e.dsn)
	must(e, err)
	defer conn.Close(e.Context())
	testkit.Eventually(e, "the feed listens", func() bool {
		var n int
		err := conn.QueryRow(e.Context(), `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
			WHERE datname = current_database() AND query LIKE 'LISTEN%'`).Scan(&n)
		return err == nil && n > 0
	})
}

func TestDeleted_EveryViewerLearnsOfIt(t *testing.T) {
	t.Parallel()
	e := start(t)
	other := e.another()
	s, stays := e.bare(), e.bare()
	var sockets []*socket
	for _, at := range []*env{e, other} {
		ws := at.dial("")
		for _, id := range []string{s.ID, stays.ID} {
			ws.subscribe(id, 0)
			ws.until(wire.FrameSubscribed)
		}
		sockets = append(sockets, ws)
	}
	e.append(s.ID, 1, 5)
	for _, ws := range sockets {
		ws.collect(0, 5)
	}
	e.do("DELETE", "/api/sessions/"+s.ID, "").into(t, 204, nil)
	for _, ws := range sockets {
		var d wire.SessionDeletedData
		f := ws.until(wire.FrameSessionDeleted)
		must(t, json.Unmarshal(f.Data, &d))
		if f.SessionID != s.ID || d.SessionID != s.ID {
			t.Fatalf("deleted is %+v %s", f, f.Data)
		}
		// The subscription is over, and the others are not.
		ws.send(`{"type":"unsubscribe","session_id":"` + s.ID + `"}`)
		ws.refused(schema.CodeConflict)
		ws.subscribe(s.ID, 0)
		ws.refused(schema.CodeNotFound)
	}
	e.append(stays.ID, 1, 3)
	for _, ws := range sockets {
		ws.collect(0, 3)
	}
	testkit.Eventually(t, "nobody views it", func() bool {
		seen, err := e.store.Viewers(e.Context(), []string{s.ID}, 10)
		return err == nil && seen[s.ID].Count == 0
	})
	e.noErrors()
	other.noErrors()
}

func TestDeleted_IsToldAlsoWhenNobodyHeardOfIt(t *testing.T) {
	t.Parallel()
	e := start(t)
	s := e.bare()
	ws := e.dial("")
	ws.subscribe(s.ID, 0)
	ws.until(wire.FrameSubscribed)
	e.exec(`UPDATE sessions SET deleted_at = clock_timestamp() WHERE id = $1`, s.ID) // without a notice
	e.deaf()
	ws.until(wire.FrameSessionDeleted)
	// One that was deleted and purged before anybody came is unknown.
	ws.subscribe(s.ID, 3)
	ws.refused(schema.CodeNotFound)
	e.noErrors()
}

func TestDeleted_ByRetentionWhileItIsViewed(t *testing.T) {
	t.Parallel()
	e := start(t)
	s := e.bare()
	run := schema.RunID(s.ID, 1)
	_, err := e.store.BeginRun(e.Context(), store.BeginRun{SessionID: s.ID, RunID: run, Number: 1, Key: "1", Status: schema.SessionActive, Phase: schema.PhaseExecuting})
	must(t, err)
	_, err = e.store.Apply(e.Context(), schema.Transition{
		SessionID: s.ID, RunID: run, Key: "end", Status: schema.SessionCancelled, Phase: schema.PhaseIdle,
		End: &schema.RunEnd{Status: schema.SessionCancelled, Receipt: &schema.Receipt{}},
	})
	must(t, err)
	ws := e.dial("")
	ws.subscribe(s.ID, 0)
	ws.until(schema.EventWorkflowCancelled)
	e.exec(`UPDATE runs SET finished_at = finished_at - interval '1 hour' WHERE id = $1`, run)
	gone, err := e.store.DeleteOutdated(e.Context(), s.ID, 0)
	if err != nil || !gone {
		t.Fatalf("not deleted: %v", err)
	}
	ws.until(wire.FrameSessionDeleted)
	e.noErrors()
}

func TestSessionsList_SaysHowManyThereAreAfterADeletion(t *testing.T) {
	t.Parallel()
	e := start(t)
	var sessions []schema.Session
	for range 3 {
		sessions = append(sessions, e.bare())
	}
	ws := e.dial("")
	ws.send(`{"type":"subscribe_sessions"}`)
	ws.until(wire.FrameSessions)
	e.do("DELETE", "/api/sessions/"+sessions[0].ID, "").into(t, 204, nil)
	var d wire.SessionDeletedData
	must(t, json.Unmarshal(ws.until(wire.FrameSessionDeleted).Data, &d))
	if d.SessionID != sessions[0].ID || d.Total == nil || *d.Total != 2 {
		t.Fatalf("deleted is %+v", d)
	}
	e.bare()
	var created wire.SessionData
	must(t, json.Unmarshal(ws.until(wire.FrameSessionCreated).Data, &created))
	if created.Total != 3 {
		t.Fatalf("created is %+v", created)
	}
}

func TestRestored_WhoHasSeenMoreIsToldToBeginAgain(t *testing.T) {
	t.Parallel()
	e := start(t)
	s := e.bare()
	e.append(s.ID, 1, 20)
	ahead, behind := e.dial(""), e.dial("")
	ahead.subscribe(s.ID, 0)
	ahead.collect(0, 20)
	behind.subscribe(s.ID, 0)
	behind.until(wire.FrameSubscribed)
	e.exec(`WITH gone AS (DELETE FROM events WHERE session_id = $1 AND seq > 12) UPDATE sessions SET head_seq = 12 WHERE id = $1`, s.ID)
	e.deaf()
	d := ahead.refused(schema.CodeCursorAhead)
	if d.SessionID != s.ID || d.Head == nil || *d.Head != 12 {
		t.Fatalf("told %+v", d)
	}
	// What follows is of the new history, for everybody.
	ahead.subscribe(s.ID, 20)
	if d := ahead.refused(schema.CodeCursorAhead); *d.Head != 12 {
		t.Fatalf("told %+v", d)
	}
	ahead.subscribe(s.ID, 0)
	ahead.until(wire.FrameSubscribed)
	e.append(s.ID, 13, 15)
	events := ahead.collect(0, 15)
	var file schema.FileChangedData
	must(t, json.Unmarshal(events[12].Data, &file))
	if file.Path != "f13" {
		t.Fatalf("event 13 is %s", events[12].Data)
	}
	e.noErrors()
}

// lost is a session of which a part of the log cannot be read.
func (e *env) lost() (id string, from, to, head int64) {
	e.Helper()
	ctx := e.Context()
	id = e.bare().ID
	run := schema.RunID(id, 1)
	_, err := e.store.BeginRun(ctx, store.BeginRun{SessionID: id, RunID: run, Number: 1, Key: "1", Status: schema.SessionActive, Phase: schema.PhaseExecuting})
	must(e, err)
	_, err = e.store.BeginAttempt(ctx, store.BeginAttempt{SessionID: id, RunID: run, StepID: "a", Execution: "1", Host: "h", Command: []string{"true"}})
	must(e, err)
	from, err = e.store.HeadSeq(ctx, id)
	must(e, err)
	chunks := make([]schema.OutputData, 300)
	for i := range chunks {
		chunks[i] = schema.OutputData{Stream: schema.Stdout, Text: "line\n", Attempt: 1, Offset: int64(i)}
	}
	must(e, e.store.AppendOutput(ctx, store.AppendOutput{SessionID: id, RunID: run, StepID: "a", Attempt: 1, To: 1, Chunks: chunks}))
	to, err = e.store.HeadSeq(ctx, id)
	must(e, err)
	e.append(id, 1, 5)
	_, err = e.store.Compact(ctx, id)
	must(e, err)
	e.exec(`UPDATE event_blocks SET packed = 'damaged' WHERE session_id = $1`, id)
	return id, from + 1, to, to + 5
}

func TestLost_AStretchThatCannotBeReadIsNamedAndPassed(t *testing.T) {
	t.Parallel()
	e := start(t)
	id, from, to, head := e.lost()
	for _, since := range []int64{0, from, from + 150} {
		ws := e.dial("")
		ws.subscribe(id, since)
		ws.until(wire.FrameSubscribed)
		last := since
		for last < head {
			f := ws.next()
			switch {
			case f.Seq > 0:
				if f.Seq != last+1 {
					t.Fatalf("since %d: event %d follows %d", since, f.Seq, last)
				}
				last = f.Seq
			case f.Type == wire.FrameError:
				var d wire.ErrorData
				must(t, json.Unmarshal(f.Data, &d))
				if d.Code != schema.CodeRange || d.SessionID != id || f.SessionID != id || d.FromSeq != max(from, since+1) || d.ToSeq != to || last != d.FromSeq-1 {
					t.Fatalf("since %d, after %d: %s", since, last, f.Data)
				}
				last = d.ToSeq
			}
		}
	}
	p := e.do("GET", "/api/sessions/"+id+"/events?since="+itoa(from), "").problem(t, 503, schema.CodeRange)
	if p.Detail == "" {
		t.Fatal("it does not say which")
	}
	var list wire.EventList
	e.do("GET", "/api/sessions/"+id+"/events?since="+itoa(to), "").into(t, 200, &list)
	if len(list.Events) != 5 {
		t.Fatalf("%d events after the gap", len(list.Events))
	}
}
