package client

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/fasthttp/websocket"

	"github.com/holdfast/holdfast/schema"
)

func TestAfterClose_DoesWhatTheCodeAsksFor(t *testing.T) {
	t.Parallel()
	for code, want := range map[int]Action{
		1000: Stop, 1001: AtOnce, 1006: WithWait, 1008: Stop, 1009: WithWait, 1011: WithWait, 1012: WithWait, 1013: WithWait,
		4001: Stop, 4401: Stop, 4403: Stop, 4999: WithWait,
	} {
		if got, why := AfterClose(code, ""); got != want || why == "" {
			t.Errorf("AfterClose(%d) = %s (%q), want %s", code, got, why, want)
		}
	}
}

func TestBackoff_GrowsToItsCapAndIsNeverNothing(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		attempt int
		random  float64
		want    time.Duration
	}{
		{0, 0, backoffFloor}, {0, 0.5, 150 * time.Millisecond}, {1, 0.5, 300 * time.Millisecond},
		{3, 0.999, 2397600 * time.Microsecond}, {9, 0.5, 5 * time.Second}, {1000, 0.5, 5 * time.Second},
	} {
		if got := backoff(c.attempt, c.random); got.Round(time.Microsecond) != c.want {
			t.Errorf("backoff(%d, %g) = %s, want %s", c.attempt, c.random, got, c.want)
		}
	}
}

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
		c.close(CloseGoingAway, "")
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
		"replaced":     {func(_ *testing.T, c *fakeConn) { c.subscribed(1); c.close(CloseReplaced, "") }, "a newer connection took over"},
		"policy":       {func(_ *testing.T, c *fakeConn) { c.close(ClosePolicy, "too many subscriptions") }, "too many subscriptions"},
		"unknown":      {func(_ *testing.T, c *fakeConn) { c.failed(schema.CodeNotFound, "there is no such session") }, "there is no such session"},
		"not allowed":  {func(_ *testing.T, c *fakeConn) { c.close(CloseForbidden, "") }, "not allowed"},
		"deleted":      {func(_ *testing.T, c *fakeConn) { c.subscribed(1); c.frame(schema.FrameSessionDeleted, 0, nil) }, "deleted"},
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
	c.frame(schema.FrameError, 0, map[string]any{"code": code, "message": message, "request_id": "watch"})
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
		func(_ *testing.T, c *fakeConn) { c.close(CloseTryAgainLater, "") },
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
