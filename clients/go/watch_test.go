package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/fasthttp/websocket"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/wire"
)

func TestWatch_HandsOverEachEventOnceHoweverOftenTheConnectionBreaks(t *testing.T) {
	t.Parallel()
	const n = 20
	// Each connection sends some events again from before since, then a few new ones, and breaks.
	broken := func(_ *testing.T, c *fakeConn) {
		since, ok := c.subscribed(n)
		for seq := max(1, since-2); ok && seq <= since+3; seq++ {
			c.event(seq, n)
		}
	}
	restarting := func(t *testing.T, c *fakeConn) {
		broken(t, c)
		c.close(wire.CloseGoingAway, "")
	}
	whole := func(_ *testing.T, c *fakeConn) {
		since, ok := c.subscribed(n)
		for seq := since + 1; ok && seq <= n; seq++ {
			c.event(seq, n)
		}
		c.hold()
	}
	f := newFake(t, broken, restarting, broken, whole)
	c, waits := quick(t, f.URL)
	var h heard
	status, err := c.Watch(t.Context(), sessionID, Follow{}, &h)
	if err != nil || status != schema.SessionCompleted {
		t.Fatalf("status %q, error %v", status, err)
	}
	wantSeqs(t, h.seqs, 1, n)
	if len(h.lost) != 3 || h.back != 3 || len(*waits) != 3 {
		t.Errorf("lost %v, back %d, waits %v; want 3 each", h.lost, h.back, *waits)
	}
	if got := f.sinces(); len(got) != 4 || got[1] != 3 || got[2] != 6 || got[3] != 9 {
		t.Errorf("asked since %v, want 0, 3, 6, 9", got)
	}
}

func TestWatch_AsksForAMissingStretchAndTakesNothingOutOfOrder(t *testing.T) {
	t.Parallel()
	f := newFake(t, func(_ *testing.T, c *fakeConn) {
		c.subscribed(0)
		c.event(1, 5)
		c.event(4, 5)
		c.event(5, 5)
		if since, ok := c.subscribed(5); !ok || since != 1 {
			t.Errorf("asked again since %d, want 1", since)
		}
		for seq := int64(2); seq <= 5; seq++ {
			c.event(seq, 5)
		}
		c.hold()
	})
	c, _ := quick(t, f.URL)
	var h heard
	if status, err := c.Watch(t.Context(), sessionID, Follow{}, &h); err != nil || status != schema.SessionCompleted {
		t.Fatalf("status %q, error %v", status, err)
	}
	wantSeqs(t, h.seqs, 1, 5)
}

func TestWatch_TakesFramesThatWereSentTogether(t *testing.T) {
	t.Parallel()
	f := newFake(t, func(_ *testing.T, c *fakeConn) {
		c.subscribed(2)
		list := append([]byte("["), encoded(schema.EventWorkflowStarted, 1, schema.WorkflowStartedData{})...)
		list = append(append(append(list, ','), encoded(schema.EventWorkflowFailed, 2, schema.WorkflowFailedData{Error: "no"})...), ']')
		_ = c.WriteMessage(websocket.TextMessage, list)
		c.hold()
	})
	c, _ := quick(t, f.URL)
	var h heard
	if status, err := c.Watch(t.Context(), sessionID, Follow{}, &h); err != nil || status != schema.SessionFailed {
		t.Fatalf("status %q, error %v", status, err)
	}
	wantSeqs(t, h.seqs, 1, 2)
	if len(h.live) != 0 {
		t.Errorf("live events %v; all were there at the subscription", h.live)
	}
}

func TestWatch_GoesOnWhenARunEndedLongAgoAndAnotherOneRuns(t *testing.T) {
	t.Parallel()
	f := newFake(t, func(_ *testing.T, c *fakeConn) {
		c.subscribed(3)
		c.event(1, 9)
		c.frame(schema.EventWorkflowFailed, 2, schema.WorkflowFailedData{Error: "first run"})
		c.frame(schema.EventWorkflowStarted, 3, schema.WorkflowStartedData{RunNumber: 2})
		c.frame(schema.EventWorkflowCompleted, 4, schema.WorkflowCompletedData{})
		c.hold()
	})
	c, _ := quick(t, f.URL)
	var h heard
	if status, err := c.Watch(t.Context(), sessionID, Follow{}, &h); err != nil || status != schema.SessionCompleted {
		t.Fatalf("status %q, error %v", status, err)
	}
	wantSeqs(t, h.seqs, 1, 4)
	if len(h.live) != 1 || h.live[0] != 4 {
		t.Errorf("live events are %v, want 4 alone", h.live)
	}
}

func TestWatch_KnowsHowAFinishedSessionEndedFromTheMiddleOfItsLog(t *testing.T) {
	t.Parallel()
	f := newFake(t, func(_ *testing.T, c *fakeConn) {
		c.subscribed(7)
		c.hold()
	})
	f.mux.HandleFunc("/api/sessions/"+sessionID, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(schema.Marshal(schema.Session{ID: sessionID, Status: schema.SessionCancelled, HeadSeq: 7}))
	})
	c, _ := quick(t, f.URL)
	var h heard
	if status, err := c.Watch(t.Context(), sessionID, Follow{Since: 7}, &h); err != nil || status != schema.SessionCancelled {
		t.Fatalf("status %q, error %v", status, err)
	}
}

func TestWatch_StopsWhereComingBackDoesNotHelp(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		play func(*testing.T, *fakeConn)
		want string
	}{
		"replaced":     {func(_ *testing.T, c *fakeConn) { c.subscribed(1); c.close(wire.CloseReplaced, "") }, "a newer connection of the same client took over"},
		"policy":       {func(_ *testing.T, c *fakeConn) { c.close(wire.ClosePolicy, "too many subscriptions") }, "too many subscriptions"},
		"unknown":      {func(_ *testing.T, c *fakeConn) { c.failed(schema.CodeNotFound, "there is no such session") }, "there is no such session"},
		"not allowed":  {func(_ *testing.T, c *fakeConn) { c.close(4403, "") }, "for good"},
		"deleted":      {func(_ *testing.T, c *fakeConn) { c.subscribed(1); c.frame(wire.FrameSessionDeleted, 0, nil) }, "deleted"},
		"bad question": {func(_ *testing.T, c *fakeConn) { c.failed(schema.CodeInvalid, "since is wrong") }, "since is wrong"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, func(t *testing.T, conn *fakeConn) { c.play(t, conn); conn.hold() })
			api, waits := quick(t, f.URL)
			_, err := api.Watch(t.Context(), sessionID, Follow{}, &heard{})
			contains(t, err, c.want)
			if len(*waits) > 0 {
				t.Errorf("came back after %v", *waits)
			}
		})
	}
}

func (c *fakeConn) failed(code schema.Code, message string) {
	c.frame(wire.FrameError, 0, map[string]any{"code": code, "message": message, "request_id": "watch"})
}

// historian is a Handler that is also told what happens to the log itself.
type historian struct {
	heard

	holes   []string
	rewound []int64
}

func (h *historian) Hole(from, to int64) { h.holes = append(h.holes, fmt.Sprint(from, "-", to)) }
func (h *historian) Rewound(head int64)  { h.rewound = append(h.rewound, head) }

func TestWatch_GoesOnAfterAStretchThatCannotBeRead(t *testing.T) {
	t.Parallel()
	f := newFake(t, func(_ *testing.T, c *fakeConn) {
		c.subscribed(9)
		c.event(1, 9)
		c.frame(wire.FrameError, 0, map[string]any{"code": schema.CodeRange, "session_id": sessionID, "from_seq": 2, "to_seq": 7, "message": "gone"})
		c.event(8, 9)
		c.event(9, 9)
		c.hold()
	})
	c, waits := quick(t, f.URL)
	var h historian
	if status, err := c.Watch(t.Context(), sessionID, Follow{}, &h); err != nil || status != schema.SessionCompleted || len(*waits) > 0 {
		t.Fatalf("status %q, error %v, waited %v", status, err, *waits)
	}
	if !slices.Equal(h.holes, []string{"2-7"}) {
		t.Errorf("the holes are %q", h.holes)
	}
}

func TestWatch_BeginsAgainWithALogThatWasRestored(t *testing.T) {
	t.Parallel()
	f := newFake(t, func(_ *testing.T, c *fakeConn) {
		c.frame(wire.FrameError, 0, map[string]any{"code": schema.CodeCursorAhead, "session_id": sessionID, "head": 2, "message": "restored", "request_id": "watch"})
		c.subscribed(2)
		c.event(1, 2)
		c.event(2, 2)
		c.hold()
	})
	c, waits := quick(t, f.URL)
	var h historian
	if status, err := c.Watch(t.Context(), sessionID, Follow{Since: 20}, &h); err != nil || status != schema.SessionCompleted || len(*waits) > 0 {
		t.Fatalf("status %q, error %v, waited %v", status, err, *waits)
	}
	if !slices.Equal(h.rewound, []int64{2}) {
		t.Errorf("rewound to %v", h.rewound)
	}
}

func TestWatch_WaitsForAServerThatCannotTakeItNow(t *testing.T) {
	t.Parallel()
	whole := func(_ *testing.T, c *fakeConn) {
		c.subscribed(2)
		c.event(1, 2)
		c.event(2, 2)
		c.hold()
	}
	f := newFake(t,
		func(_ *testing.T, c *fakeConn) { c.failed(schema.CodeUnavailable, "Postgres is away"); c.hold() },
		func(_ *testing.T, c *fakeConn) { c.close(wire.CloseTryAgainLater, "") },
		whole)
	c, waits := quick(t, f.URL)
	var h heard
	if status, err := c.Watch(t.Context(), sessionID, Follow{}, &h); err != nil || status != schema.SessionCompleted {
		t.Fatalf("status %q, error %v", status, err)
	}
	if len(*waits) != 2 || (*waits)[1] <= (*waits)[0] {
		t.Errorf("waited %v, want two growing waits", *waits)
	}
}

func TestWatch_StaysAwayForAsLongAsAFullServerAsks(t *testing.T) {
	t.Parallel()
	whole := func(_ *testing.T, c *fakeConn) {
		c.subscribed(2)
		c.event(1, 2)
		c.event(2, 2)
		c.hold()
	}
	full := "this server has 10000 connections; retry after 7 s"
	f := newFake(t,
		func(_ *testing.T, c *fakeConn) {
			c.close(wire.CloseTryAgainLater, full)
			c.hold()
		},
		func(_ *testing.T, c *fakeConn) {
			c.frame(wire.FrameError, 0, map[string]any{"code": schema.CodeRateLimited, "message": full, "retry_after_seconds": 7})
			c.close(wire.CloseTryAgainLater, full)
			c.hold()
		},
		whole)
	c, waits := quick(t, f.URL)
	var h heard
	if status, err := c.Watch(t.Context(), sessionID, Follow{}, &h); err != nil || status != schema.SessionCompleted {
		t.Fatalf("status %q, error %v", status, err)
	}
	if want := []time.Duration{7*time.Second + 150*time.Millisecond, 7*time.Second + 300*time.Millisecond}; !slices.Equal(*waits, want) {
		t.Errorf("waited %v, want %v", *waits, want)
	}
	if want := []string{full, full}; !slices.Equal(h.lost, want) {
		t.Errorf("said %q, want %q", h.lost, want)
	}
}

func TestWatch_ComesBackUnderTheIdThatItHad(t *testing.T) {
	t.Parallel()
	f := newFake(t,
		func(_ *testing.T, c *fakeConn) { c.subscribed(2) },
		func(_ *testing.T, c *fakeConn) {
			c.subscribed(2)
			c.event(1, 2)
			c.event(2, 2)
			c.hold()
		})
	c, _ := quick(t, f.URL)
	for range 2 {
		if _, err := c.Watch(t.Context(), sessionID, Follow{}, &heard{}); err != nil {
			t.Fatal(err)
		}
	}
	ids := f.clientIDs()
	if len(ids) != 3 || !schema.ValidID(ids[0]) || ids[1] != ids[0] || ids[2] == ids[0] {
		t.Errorf("the client ids are %q, want one for both connections of the first watch, and another", ids)
	}
}

func TestWatch_SaysThatNoServerIsThere(t *testing.T) {
	t.Parallel()
	c, waits := quick(t, "http://127.0.0.1:1")
	_, err := c.Watch(t.Context(), sessionID, Follow{}, &heard{})
	contains(t, err, "cannot reach Holdfast at http://127.0.0.1:1", "holdfast up")
	if len(*waits) > 0 {
		t.Errorf("waited %v", *waits)
	}
	// With insist, it waits until its context ends.
	ctx, cancel := context.WithCancel(t.Context())
	c.wait = func(ctx context.Context, _ time.Duration) error { cancel(); return ctx.Err() }
	if _, err := c.Watch(ctx, sessionID, Follow{Insist: true}, &heard{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that of the context", err)
	}
}

// social is a Handler that is also told who else is there.
type social struct {
	heard
	told [][]string
}

func (s *social) Others(users []string) { s.told = append(s.told, users) }

func TestWatch_TellsWhoElseIsThereWhenThatChanges(t *testing.T) {
	t.Parallel()
	type viewer struct {
		User string `json:"user"`
	}
	f := newFake(t, func(_ *testing.T, c *fakeConn) {
		present := func(users ...string) {
			viewers := []viewer{}
			for _, user := range users {
				viewers = append(viewers, viewer{user})
			}
			c.frame(wire.FramePresence, 0, map[string]any{"viewers": viewers, "count": len(viewers)})
		}
		c.frame(wire.FrameConnected, 0, map[string]any{"user": "ada", "connection_id": "c1"})
		c.subscribed(2)
		present("ada")
		present("ben", "ada", "ada", "eve", "ben")
		present("eve", "ada", "ben")
		present("ada")
		c.event(1, 2)
		c.event(2, 2)
		c.hold()
	})
	c, _ := quick(t, f.URL)
	var h social
	if status, err := c.Watch(t.Context(), sessionID, Follow{}, &h); err != nil || status != schema.SessionCompleted {
		t.Fatalf("status %q, error %v", status, err)
	}
	if len(h.told) != 2 || !slices.Equal(h.told[0], []string{"ben", "eve"}) || len(h.told[1]) != 0 {
		t.Errorf("told %q, want ben and eve, then nobody", h.told)
	}
	wantSeqs(t, h.seqs, 1, 2)
}
