package web_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast/holdfast/internal/testkit"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/wire"
)

// seen is a presence frame as user@approval, sorted.
func seen(t testing.TB, e schema.Event) (wire.PresenceData, string) {
	t.Helper()
	var d wire.PresenceData
	must(t, json.Unmarshal(e.Data, &d))
	var names []string
	for _, v := range d.Viewers {
		if v.ConnectionID == "" || v.Since.IsZero() {
			t.Fatalf("a viewer is %+v", v)
		}
		names = append(names, strings.TrimSuffix(v.User+"@"+v.ApprovalID, "@"))
	}
	slices.Sort(names)
	return d, strings.Join(names, " ")
}

// sees reads until the viewers of a session are these.
func (s *socket) sees(id, want string) wire.PresenceData {
	s.t.Helper()
	for {
		e := s.any()
		if e.Type != wire.FramePresence || e.SessionID != id {
			continue
		}
		if d, names := seen(s.t, e); names == want {
			if d.Count != len(d.Viewers) || e.Seq != 0 {
				s.t.Fatalf("a frame of presence is %+v %+v", e, d)
			}
			return d
		}
	}
}

func (e *env) as(user string) *socket {
	e.Helper()
	return e.dial("", "X-Holdfast-User", user)
}

func TestPresence_ViewersAreToldOfEachOtherOnEveryInstance(t *testing.T) {
	t.Parallel()
	e := start(t)
	other := e.another()
	s, elsewhere := e.bare(), e.bare()
	ann, ben, eve := e.as("ann"), other.as("ben"), e.as("eve")
	eve.subscribe(elsewhere.ID, 0)
	eve.sees(elsewhere.ID, "eve")
	ann.subscribe(s.ID, 0)
	ann.sees(s.ID, "ann")
	ben.subscribe(s.ID, 0)
	ann.sees(s.ID, "ann ben")
	ben.sees(s.ID, "ann ben")

	// What they look at.
	approval := schema.NewID()
	ben.send(fmt.Sprintf(`{"type":"viewing","session_id":%q,"approval_id":%q,"request_id":"v"}`, s.ID, approval))
	if f := ben.until(wire.FrameAccepted); f.SessionID != s.ID || !strings.Contains(string(f.Data), `"v"`) {
		t.Fatalf("the answer is %+v %s", f, f.Data)
	}
	if d := ann.sees(s.ID, "ann ben@"+approval); d.Viewers[0].User != "ben" {
		t.Fatalf("whoever is at the approval is not first: %+v", d)
	}
	ben.send(fmt.Sprintf(`{"type":"viewing","session_id":%q}`, s.ID))
	ann.sees(s.ID, "ann ben")

	// Who does not want to be a viewer is none, and is told nothing.
	script := e.as("script")
	script.send(fmt.Sprintf(`{"type":"subscribe","session_id":%q,"presence":false}`, s.ID))
	script.until(wire.FrameSubscribed)
	script.send(fmt.Sprintf(`{"type":"viewing","session_id":%q}`, s.ID))
	script.refused(schema.CodeConflict)
	ben.send(fmt.Sprintf(`{"type":"unsubscribe","session_id":%q}`, s.ID))
	ann.sees(s.ID, "ann")
	script.send(`{"type":"ping"}`)
	for f := script.any(); f.Type != wire.FramePong; f = script.any() {
		if f.Type == wire.FramePresence {
			t.Fatalf("told was %s", f.Data)
		}
	}
	ben.subscribe(s.ID, 0)
	ann.sees(s.ID, "ann ben")
	ann.subscribe(s.ID, 0) // again: told again
	ann.until(wire.FrameSubscribed)
	ann.sees(s.ID, "ann ben")
	_ = ben.Close()
	ann.sees(s.ID, "ann")
	for _, f := range []string{`"approval_id":"x"`, `"presence":true`, `"approval_id":null`} {
		ann.send(fmt.Sprintf(`{"type":"viewing","session_id":%q,%s}`, s.ID, f))
		ann.refused(schema.CodeInvalid)
	}
	e.noErrors()
	other.noErrors()
}

func TestPresence_AnInstanceThatIsNotHeardOfHasNoViewersUntilItIsAgain(t *testing.T) {
	t.Parallel()
	var p *proxy
	e := start(t)
	stalled := e.another(func(s *setup) { s.store = throughProxy(t, &p) })
	s := e.bare()
	ann, ben := e.as("ann"), stalled.as("ben")
	ann.subscribe(s.ID, 0)
	ben.subscribe(s.ID, 0)
	ann.sees(s.ID, "ann ben")
	ben.sees(s.ID, "ann ben")
	release, since := p.stall(), time.Now()
	ann.sees(s.ID, "ann")
	t.Logf("the viewers of an instance that is not heard of are gone after %v", time.Since(since))
	cleo := e.as("cleo")
	cleo.subscribe(s.ID, 0)
	ann.sees(s.ID, "ann cleo")
	release()
	ann.sees(s.ID, "ann ben cleo")
	ben.sees(s.ID, "ann ben cleo")
	p.down() // the connections to Postgres break, too
	ann.sees(s.ID, "ann cleo")
	_ = cleo.Close()
	ann.sees(s.ID, "ann")
	p.up()
	ann.sees(s.ID, "ann ben")
	ben.sees(s.ID, "ann ben")
	var list wire.ConnectionList
	testkit.Eventually(t, "all is recorded again", func() bool {
		e.do("GET", "/api/debug/connections?all=true", "").into(t, 200, &list)
		return list.ActiveConnections == 2 && len(list.Instances) == 2
	})
	for _, c := range list.Connections {
		if c.Instance == "" || !slices.Equal(c.Sessions, []string{s.ID}) || c.LastActivity.IsZero() || c.ConnectedAt.IsZero() {
			t.Errorf("a connection is %+v", c)
		}
	}
	e.noErrors()
}

func TestPresence_ACrowdIsCountedAndListedInPart(t *testing.T) {
	t.Parallel()
	e := start(t)
	other := e.another()
	s := e.bare()
	first := e.as("first")
	first.subscribe(s.ID, 0)
	first.sees(s.ID, "first")
	const people = 150
	var all sync.WaitGroup
	for i := range people {
		all.Go(func() {
			from := e
			if i%2 == 0 {
				from = other
			}
			ws, _, err := from.tryDial(fmt.Sprint("?client_id=", i), "X-Holdfast-User", "crowd")
			if err != nil {
				t.Error(err)
				return
			}
			t.Cleanup(func() { _ = ws.Close() })
			v := &socket{ws, t}
			v.subscribe(s.ID, 0)
			v.until(wire.FrameSubscribed)
			frame := v.any() // the session's log is empty
			for frame.Type == wire.FrameHeartbeat {
				frame = v.any()
			}
			if frame.Type != wire.FramePresence {
				t.Errorf("not told who else is there, but %s", frame.Type)
			}
		})
	}
	all.Wait()
	frames := 0
	for {
		f := first.any()
		if f.Type != wire.FramePresence {
			continue
		}
		frames++
		d, _ := seen(t, f)
		if len(d.Viewers) > 50 {
			t.Fatalf("%d are listed", len(d.Viewers))
		}
		if d.Count == people+1 {
			if len(d.Viewers) != 50 || d.Viewers[0].User != "first" {
				t.Fatalf("%d are listed, the first of them %+v", len(d.Viewers), d.Viewers[0])
			}
			break
		}
	}
	t.Logf("%d viewers were told in %d frames", people, frames)
	e.noErrors()
	other.noErrors()
}

func TestReplaced_OnWhicheverInstanceTheNewerConnectionIs(t *testing.T) {
	t.Parallel()
	e := start(t)
	both := []*env{e, e.another()}
	s := e.bare()
	watcher := e.as("watcher")
	watcher.subscribe(s.ID, 0)
	old := e.dial("?client_id=c", "X-Holdfast-User", "ann")
	old.subscribe(s.ID, 0)
	watcher.sees(s.ID, "ann watcher") // so Postgres knows of it
	for n := range 4 {
		ws := both[(n+1)%2].dial("?client_id=c", "X-Holdfast-User", "ann")
		old.closed(4001)
		ws.subscribe(s.ID, 0)
		ws.until(wire.FrameSubscribed)
		ws.sees(s.ID, "ann watcher") // its successor was not unregistered
		old = ws
	}
	testkit.Eventually(t, "one connection of the client", func() bool {
		all, err := e.store.Connections(e.Context())
		return err == nil && len(all) == 2
	})
	old.send(`{"type":"ping"}`)
	old.until(wire.FramePong)
	e.noErrors()
	both[1].noErrors()
}

func TestReplaced_OfTwoThatConnectAtTheSameTimeOneStays(t *testing.T) {
	t.Parallel()
	e := start(t)
	other := e.another()
	const clients = 25
	var all sync.WaitGroup
	for n := range clients {
		for _, from := range []*env{e, other} {
			all.Go(func() {
				ws, _, err := from.tryDial(fmt.Sprint("?client_id=", n))
				if err != nil {
					t.Error(err)
					return
				}
				t.Cleanup(func() { _ = ws.Close() })
			})
		}
	}
	all.Wait()
	testkit.Eventually(t, "one connection of each client", func() bool {
		known := map[string]int{}
		for _, from := range []*env{e, other} {
			var list wire.ConnectionList
			from.do("GET", "/api/debug/connections", "").into(t, 200, &list)
			for _, c := range list.Connections {
				known[c.ClientID]++
			}
		}
		for _, n := range known {
			if n != 1 {
				return false
			}
		}
		return len(known) == clients
	})
}

// An instance that could not reach Postgres for a while tells it late of who has come. That makes them no newer.
func TestReplaced_TheConnectionThatWasMadeLaterStaysWhicheverIsRecordedFirst(t *testing.T) {
	t.Parallel()
	for name, givenUp := range map[string]bool{"a moment": false, "until it is given up": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var p *proxy
			e := start(t, func(s *setup) { s.store = throughProxy(t, &p) })
			other := e.another()
			connected := func(client string) int {
				all, err := e.store.Connections(e.Context())
				must(t, err)
				n := 0
				for _, c := range all {
					if c.ClientID == client {
						n++
					}
				}
				return n
			}
			e.dial("?client_id=first")
			other.dial("?client_id=second")
			testkit.Eventually(t, "both instances are known", func() bool { return connected("first")+connected("second") == 2 })
			release := p.stall()
			old := e.dial("?client_id=tab")
			testkit.Eventually(t, "the old one has an age that no answer of Postgres takes", func() bool {
				var list wire.ConnectionList
				e.do("GET", "/api/debug/connections", "").into(t, 200, &list)
				return slices.ContainsFunc(list.Connections, func(c wire.ConnectionInfo) bool { return c.ClientID == "tab" && c.AgeSeconds > 0.5 })
			})
			newer := other.dial("?client_id=tab")
			testkit.Eventually(t, "the newer one is recorded", func() bool { return connected("tab") == 1 })
			if givenUp {
				testkit.Eventually(t, "the instance is given up", func() bool {
					all, err := e.store.Instances(e.Context())
					return err == nil && len(all) == 1
				})
			}
			release()
			old.closed(4001)
			testkit.Eventually(t, "one of them is left", func() bool { return connected("tab") == 1 && connected("first") == 1 })
			newer.send(`{"type":"ping"}`)
			newer.until(wire.FramePong)
		})
	}
}
