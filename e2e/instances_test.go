package e2e

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fasthttp/websocket"

	"github.com/holdfast/holdfast/internal/testkit"
)

// socket is a WebSocket whose frames are kept.
type socket struct {
	t    *testing.T
	conn *websocket.Conn

	mu     sync.Mutex
	frames []event
	code   int // of the closing frame
	ended  chan struct{}
}

func (i *instance) socket(clientID string) *socket {
	i.t.Helper()
	d := websocket.Dialer{HandshakeTimeout: 10 * time.Second}
	c, _, err := d.Dial("ws://"+i.addr+"/ws?client_id="+clientID, nil)
	if err != nil {
		i.t.Fatal(err)
	}
	s := &socket{t: i.t, conn: c, ended: make(chan struct{})}
	go s.read()
	i.t.Cleanup(func() {
		_ = c.Close()
		<-s.ended
	})
	return s
}

func (s *socket) read() {
	defer close(s.ended)
	for {
		var e event
		err := s.conn.ReadJSON(&e)
		s.mu.Lock()
		if err != nil {
			if c, ok := errors.AsType[*websocket.CloseError](err); ok {
				s.code = c.Code
			}
			s.mu.Unlock()
			return
		}
		s.frames = append(s.frames, e)
		s.mu.Unlock()
	}
}

func (s *socket) say(frame obj) {
	s.t.Helper()
	if err := s.conn.WriteJSON(frame); err != nil {
		s.t.Fatal(err)
	}
}

func (s *socket) await(what string, ok func(frames []event) bool) {
	s.t.Helper()
	testkit.Within(s.t, patience, what, func() string {
		s.mu.Lock()
		defer s.mu.Unlock()
		if !ok(s.frames) {
			return "there came\n" + text(s.frames)
		}
		return ""
	})
}

// viewers are the client ids in the latest presence frame, in order.
func viewers(frames []event) string {
	for _, e := range slices.Backward(frames) {
		if e.Type != "presence" {
			continue
		}
		var data struct {
			Viewers []struct {
				ClientID   string `json:"client_id"`
				ApprovalID string `json:"approval_id"`
			} `json:"viewers"`
		}
		if json.Unmarshal(e.Data, &data) != nil {
			return "not JSON"
		}
		var ids []string
		for _, v := range data.Viewers {
			id := v.ClientID
			if v.ApprovalID != "" {
				id += " looks"
			}
			ids = append(ids, id)
		}
		slices.Sort(ids)
		return strings.Join(ids, ", ")
	}
	return ""
}

func sees(want string) func([]event) bool {
	return func(frames []event) bool { return viewers(frames) == want }
}

// Whoever commands, through whichever instance: all viewers, on every instance, see it.
func TestInstances_AnyServesEverySession(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	a, b, c := s.newInstance(), s.newInstance(), s.newInstance()
	list := c.socket("list")
	list.say(obj{"type": "subscribe_sessions"})
	list.await("snapshot", func(frames []event) bool { return has(frames, "sessions") })
	// From here on REST goes to instance a.
	s.web = "http://" + a.addr
	id := s.start(`{"steps":[{"id":"publish","shell":"echo published","approval":true}]}`, nil)
	viewer := b.socket("viewer")
	viewer.say(obj{"type": "subscribe", "session_id": id, "since": 0})
	viewer.await("question", func(frames []event) bool { return has(frames, "approval_requested") })
	list.await("question in the list", func(frames []event) bool {
		return slices.ContainsFunc(frames, func(e event) bool { return strings.Contains(string(e.Data), `"pending_approvals":[{`) })
	})
	asked := s.awaitApproval(id)
	decides := c.socket("decides")
	decides.say(obj{"type": "resolve_approval", "approval_id": asked.ID, "resolution": "approved", "request_id": "1"})
	decides.await("answer", func(frames []event) bool { return has(frames, "accepted") })
	viewer.await("end", func(frames []event) bool { return has(frames, "workflow_completed") && has(frames, "output") })
	list.await("end in the list", func(frames []event) bool {
		return slices.ContainsFunc(frames, func(e event) bool {
			return e.Type == "session_updated" && strings.Contains(string(e.Data), `"status":"completed"`)
		})
	})
}

// Who views a session is right on every instance, also after one of them was killed with
// its viewers.
func TestInstances_PresenceIsRightWhenOneDies(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	a, b := s.newInstance(), s.newInstance()
	id := s.start(`{"steps":[{"id":"publish","shell":"echo published","approval":true}]}`, nil)
	asked := s.awaitApproval(id)
	ada, bob, eve := a.socket("ada"), b.socket("bob"), a.socket("eve")
	for _, viewer := range []*socket{ada, bob, eve} {
		viewer.say(obj{"type": "subscribe", "session_id": id, "since": 0})
	}
	for _, viewer := range []*socket{ada, bob, eve} {
		viewer.await("presence of all", sees("ada, bob, eve"))
	}
	eve.say(obj{"type": "viewing", "session_id": id, "approval_id": asked.ID})
	bob.await("eve at the question", sees("ada, bob, eve looks"))
	began := time.Now()
	a.kill()
	bob.await("presence without the dead instance", sees("bob"))
	t.Logf("the viewers of a killed instance were gone after %s", time.Since(began).Round(time.Millisecond))
	a.start()
	a.awaitHealth()
	back := a.socket("ada")
	back.say(obj{"type": "subscribe", "session_id": id, "since": 0})
	bob.await("ada again", sees("ada, bob"))
	back.await("presence", sees("ada, bob"))
	// She opens another tab's connection under the same name, elsewhere: the newer one stays.
	again := b.socket("ada")
	again.say(obj{"type": "subscribe", "session_id": id, "since": 0})
	<-back.ended
	if back.code != 4001 {
		t.Errorf("the older connection was closed with %d", back.code)
	}
	again.await("presence", sees("ada, bob"))
}

// A deploy sends its clients away over a while, each with the code that says to come back.
func TestInstances_AStopSpreadsItsClients(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	web := s.newInstance("HOLDFAST_DRAIN=2s")
	const many = 60
	var sockets []*socket
	for range many {
		sockets = append(sockets, web.socket(""))
	}
	for _, c := range sockets {
		c.await("greeting", func(frames []event) bool { return has(frames, "connected") })
	}
	var mu sync.Mutex
	var ended []time.Time
	var all sync.WaitGroup
	for _, c := range sockets {
		all.Go(func() {
			<-c.ended
			mu.Lock()
			defer mu.Unlock()
			ended = append(ended, time.Now())
		})
	}
	took := web.stop()
	all.Wait()
	for _, c := range sockets {
		if c.code != 1001 {
			t.Fatalf("a client was sent away with %d", c.code)
		}
	}
	if spread := ended[many-1].Sub(ended[0]); spread < time.Second {
		t.Errorf("all were sent away within %s", spread)
	}
	t.Logf("%d clients were sent away over %s; the instance ended after %s", many, ended[many-1].Sub(ended[0]).Round(time.Millisecond), took.Round(time.Millisecond))
}
