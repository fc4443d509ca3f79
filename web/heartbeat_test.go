package web_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
	"github.com/holdfast/holdfast/schema/store/storetest"
	"github.com/holdfast/holdfast/schema/wire"
)

// beats reads up to a heartbeat that is as wanted.
func (s *socket) beats(wanted func(f schema.Event, d wire.HeartbeatData) bool) time.Duration {
	s.t.Helper()
	began := time.Now()
	for {
		f := s.any()
		if f.Type != wire.FrameHeartbeat {
			continue
		}
		var d wire.HeartbeatData
		must(s.t, json.Unmarshal(f.Data, &d))
		if wanted(f, d) {
			return time.Since(began)
		}
	}
}

func TestHeartbeat_TellsTheHeadOfEverySession(t *testing.T) {
	t.Parallel()
	e := start(t)
	one, two := e.bare(), e.bare()
	e.append(one.ID, 1, 3)
	ws, idle := e.dial(""), e.dial("")
	for _, id := range []string{one.ID, two.ID} {
		ws.subscribe(id, 0)
		ws.until(wire.FrameSubscribed)
	}
	seen := map[string]int64{}
	took := ws.beats(func(f schema.Event, d wire.HeartbeatData) bool {
		if d.Head == nil || d.Postgres != "up" || d.Temporal != "up" || d.Worker != "up" || f.Seq != 0 {
			t.Fatalf("a heartbeat is %+v %s", f, f.Data)
		}
		seen[f.SessionID] = *d.Head
		return len(seen) == 2
	})
	if seen[one.ID] != 3 || seen[two.ID] != 0 {
		t.Fatalf("the heads are %v", seen)
	}
	if took > 15*time.Second {
		t.Errorf("it took %v", took)
	}
	idle.beats(func(f schema.Event, d wire.HeartbeatData) bool {
		if f.SessionID != "" || d.Head != nil {
			t.Fatalf("a heartbeat without a subscription is %+v %s", f, f.Data)
		}
		return true
	})
	e.noErrors()
}

func TestHeartbeat_TellsWhatIsAwayAndThatItIsBack(t *testing.T) {
	t.Parallel()
	temporal := newProxy(t, temporalServer.Addr())
	var postgres *proxy
	e := start(t, func(s *setup) {
		s.temporal = temporal.addr
		s.store = throughProxy(t, &postgres)
	})
	s := e.bare()
	ws := e.dial("")
	ws.subscribe(s.ID, 0)
	ws.until(wire.FrameSubscribed)
	is := func(postgres, temporal string) func(schema.Event, wire.HeartbeatData) bool {
		return func(_ schema.Event, d wire.HeartbeatData) bool {
			return d.Postgres == postgres && d.Temporal == temporal
		}
	}
	ws.beats(is("up", "up"))
	temporal.down()
	ws.beats(is("up", "down"))
	temporal.up()
	ws.beats(is("up", "up"))
	postgres.down()
	ws.beats(is("down", "up"))
	var r wire.Readiness
	e.do("GET", "/api/ready", "").into(t, 503, &r)
	if r.Postgres.Ready || !r.Temporal.Ready || !r.Worker.Ready || r.Postgres.Error == "" {
		t.Errorf("readiness is %+v", r)
	}
	postgres.up()
	ws.beats(is("up", "up"))
	e.noErrors()
}

// A worker that was killed has said nothing to anybody, and Temporal holds its last poll for a minute.
func TestHeartbeat_MissesAWorkerThatWasKilled(t *testing.T) {
	t.Parallel()
	e := start(t)
	killed, next := store.HostHolder{Host: "a", Folder: "f", Holder: "killed"}, store.HostHolder{Host: "b", Folder: "g", Holder: "next"}
	ws := e.dial("")
	worker := func(word string) {
		t.Helper()
		ws.beats(func(_ schema.Event, d wire.HeartbeatData) bool {
			return d.Worker == word && d.Postgres == "up" && d.Temporal == "up"
		})
	}
	began := time.Now()
	claim, err := e.store.ClaimHost(t.Context(), killed)
	must(t, err)
	if !claim.Taken {
		t.Fatalf("%+v", claim)
	}
	worker("up")
	worker("down")
	if took := time.Since(began); took > store.HostLease+10*time.Second {
		t.Errorf("it was missed after %s", took)
	}
	var r wire.Readiness
	e.do("GET", "/api/ready", "").into(t, 200, &r)
	if r.Worker.Ready || !strings.Contains(r.Worker.Error, "no worker") {
		t.Errorf("%+v", r)
	}
	_, err = e.store.ClaimHost(t.Context(), next)
	must(t, err)
	worker("up")
	e.noErrors()
}

func TestReady_IsNotWithoutTheMigrations(t *testing.T) {
	t.Parallel()
	e := start(t, func(s *setup) {
		s.store = func(string) string { return storetest.Server().NewDatabase(t) }
	})
	var r wire.Readiness
	e.do("GET", "/api/ready", "").into(t, 503, &r)
	if r.Ready || r.Postgres.Ready || r.Postgres.Error != "the database lacks migrations: run `holdfast migrate up`" || !r.Temporal.Ready {
		t.Errorf("readiness is %+v", r)
	}
}

func TestReady_IsNotWithTheSchemaOfANewerRelease(t *testing.T) {
	t.Parallel()
	e := start(t)
	e.do("GET", "/api/ready", "").into(t, 200, nil)
	storetest.Exec(t, e.dsn, `INSERT INTO bun_migrations (name, group_id) VALUES ('0999', 2)`)
	storetest.Exec(t, e.dsn, `INSERT INTO migration_marks (name, title, release, older_releases) VALUES ('0999', 'shinier', 'v9', 'stop')`)
	var r wire.Readiness
	e.do("GET", "/api/ready", "").into(t, 503, &r)
	if r.Postgres.Ready || !strings.Contains(r.Postgres.Error, "0999_shinier (of release v9)") {
		t.Errorf("readiness is %+v", r)
	}
}
