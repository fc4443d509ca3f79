package client

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/wire"
)

// told is a log entry of a test: an event with the fields that matter.
type told struct {
	kind schema.EventType
	run  string
	data any
}

func started(run string, message int) told {
	return told{schema.EventWorkflowStarted, run, schema.WorkflowStartedData{Message: message}}
}

func completed(run string) told {
	return told{schema.EventWorkflowCompleted, run, schema.WorkflowCompletedData{}}
}

func failedRun(run string) told {
	return told{schema.EventWorkflowFailed, run, schema.WorkflowFailedData{}}
}

func cancelled(run, reason string) told {
	return told{schema.EventWorkflowCancelled, run, schema.WorkflowCancelledData{Reason: reason}}
}

func message(n int) told {
	return told{schema.EventAgentMessage, "", schema.AgentMessageData{Role: "user", Number: n}}
}

func expired() told {
	return told{schema.EventWorkflowStateChanged, "", schema.WorkflowStateChangedData{Status: schema.SessionExpired}}
}

// tell sends the log after since, up to the event with seq to.
func (c *fakeConn) tell(log []told, since, to int64) {
	for seq := since + 1; seq <= to; seq++ {
		e := log[seq-1]
		_ = c.WriteJSON(schema.Event{Type: e.kind, Seq: seq, Timestamp: schema.Time{Time: time.Now()}, SessionID: sessionID, RunID: e.run, Data: schema.Marshal(e.data)})
	}
}

func TestWatch_EndsWithTheRunThatIsFollowed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		log    []told
		head   int64 // when the watch begins
		follow Follow
		status schema.SessionStatus // of the session, if the client asks
		want   schema.SessionStatus
		last   int64
	}{
		"the run under way, whatever is queued behind it": {
			log:  []told{started("1", 0), completed("1"), started("2", 0), message(1), failedRun("2"), started("3", 1), completed("3")},
			head: 4, want: schema.SessionFailed, last: 5,
		},
		"the latest run, when none is under way": {
			log: []told{started("1", 0), completed("1"), started("2", 0), failedRun("2")}, head: 4, want: schema.SessionFailed, last: 4,
		},
		"the first run, even when the next has begun": {
			log: []told{started("1", 0), failedRun("1"), started("2", 1), completed("2")}, head: 4, follow: Follow{First: true}, want: schema.SessionFailed, last: 2,
		},
		"the run that answers a message": {
			log:  []told{started("1", 0), message(2), completed("1"), started("2", 1), completed("2"), started("3", 2), failedRun("3"), started("4", 3)},
			head: 5, follow: Follow{Since: 1, Message: 2}, want: schema.SessionFailed, last: 7,
		},
		"the run that a message interrupts another one for": {
			log:  []told{started("1", 0), message(1), cancelled("1", "interrupted"), started("2", 1), completed("2")},
			head: 1, follow: Follow{Since: 1, Message: 1}, want: schema.SessionCompleted, last: 5,
		},
		"a run by its id": {
			log: []told{started("1", 0), failedRun("1"), started("2", 0), completed("2")}, head: 4, follow: Follow{Since: 1, RunID: "2"}, want: schema.SessionCompleted, last: 4,
		},
		"a suspended run that expires": {
			log: []told{started("1", 0), expired(), cancelled("1", "expired")}, head: 1, want: schema.SessionExpired, last: 3,
		},
		"an idle session that expired": {
			log: []told{started("1", 0), completed("1"), expired()}, head: 3, want: schema.SessionExpired, last: 3,
		},
		"from the middle of a run": {
			log: []told{started("1", 0), message(1), expired(), cancelled("1", "expired")}, head: 2, follow: Follow{Since: 1}, status: schema.SessionSuspended,
			want: schema.SessionExpired, last: 4,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// The connection breaks after the head, and after each later event: the followed run
			// stays the same.
			play := func(_ *testing.T, conn *fakeConn) {
				conn.f.mu.Lock()
				first := len(conn.f.asked) == 0
				conn.f.mu.Unlock()
				head := int64(len(c.log))
				if first {
					head = c.head
				}
				since, ok := conn.subscribed(head)
				switch {
				case !ok:
				case first:
					conn.tell(c.log, since, head)
				default:
					conn.tell(c.log, since, min(since+1, head))
				}
			}
			f := newFake(t, play)
			f.mux.HandleFunc("/api/sessions/"+sessionID, func(w http.ResponseWriter, _ *http.Request) {
				_, _ = w.Write(schema.Marshal(schema.Session{ID: sessionID, Status: c.status, HeadSeq: c.head}))
			})
			api, _ := quick(t, f.URL)
			var h heard
			status, err := api.Watch(t.Context(), sessionID, c.follow, &h)
			if err != nil || status != c.want {
				t.Fatalf("status %q, error %v, want %q", status, err, c.want)
			}
			wantSeqs(t, h.seqs, c.follow.Since+1, c.last)
		})
	}
}

func TestWatch_SaysThatAMessageWasDropped(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		log  []told
		want schema.SessionStatus
	}{
		"with the run before it": {[]told{started("1", 0), message(1), cancelled("1", "")}, schema.SessionCancelled},
		"by expiry":              {[]told{started("1", 0), message(1), cancelled("1", "expired")}, schema.SessionExpired},
		"between two runs":       {[]told{started("1", 0), message(1), completed("1")}, schema.SessionCancelled}, // no event says so: a pong comes
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, func(_ *testing.T, conn *fakeConn) {
				if since, ok := conn.subscribed(3); ok {
					conn.tell(c.log, since, 3)
					conn.frame(wire.FramePong, 0, nil)
				}
				conn.hold()
			})
			f.history(schema.MessageDropped)
			api, _ := quick(t, f.URL)
			status, err := api.Watch(t.Context(), sessionID, Follow{Since: 1, Message: 1}, &heard{})
			if _, dropped := errors.AsType[*DroppedError](err); !dropped || status != c.want {
				t.Errorf("status %q, error %v, want %q", status, err, c.want)
			}
		})
	}
}

// history answers what happened to message 1.
func (f *fake) history(status schema.MessageStatus) {
	f.mux.HandleFunc("/api/sessions/"+sessionID+"/history", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(schema.Marshal(wire.MessageList{Messages: []schema.Message{{Number: 1, Status: status}}}))
	})
}

func TestWatch_WaitsForAMessageThatCameJustBehindACancel(t *testing.T) {
	t.Parallel()
	log := []told{started("1", 0), message(1), cancelled("1", ""), started("2", 1), completed("2")}
	f := newFake(t, func(_ *testing.T, conn *fakeConn) {
		if since, ok := conn.subscribed(5); ok {
			conn.tell(log, since, 3)
			conn.frame(wire.FramePong, 0, nil)
			conn.tell(log, 3, 5)
		}
		conn.hold()
	})
	f.history(schema.MessageQueued)
	api, _ := quick(t, f.URL)
	if status, err := api.Watch(t.Context(), sessionID, Follow{Since: 1, Message: 1}, &heard{}); err != nil || status != schema.SessionCompleted {
		t.Errorf("status %q, error %v", status, err)
	}
}
