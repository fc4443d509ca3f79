package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fasthttp/websocket"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/wire"
)

// The times and bounds of a connection.
const (
	connectWithin = 10 * time.Second
	pingEvery     = 8 * time.Second
	pongWithin    = 4 * time.Second
	silentFor     = pingEvery + pongWithin // a connection this quiet is dead
	writeWithin   = 10 * time.Second
	askAgainAfter = 5 * time.Second
	maxMessage    = 64 << 20
)

// Handler gets what [Client.Watch] sees. Its methods are called one at a time.
type Handler interface {
	// Event is called with each stored event once, in order. live is false while the log is
	// still being read up to its head at the time of subscribing.
	Event(e schema.Event, raw []byte, live bool)
	// CaughtUp is called after the last event that existed when the subscription started, and
	// after each later event.
	CaughtUp()
	// Lost says that the connection broke, and how long until the next try; Back says that it is
	// back.
	Lost(why string, wait time.Duration)
	Back()
}

// Company is a [Handler] that also gets the names of the other users who view the session, in
// order, whenever they change.
type Company interface {
	Others(users []string)
}

// DeletedError says that the session was deleted while being watched: its run is cancelled.
type DeletedError struct{ Session string }

// Error implements error.
func (e *DeletedError) Error() string {
	return "the session " + e.Session + " was deleted; what it was doing is cancelled"
}

// Historian is a [Handler] that is also told of holes in the log, and when the log was restored to an earlier state: then
// events after head did not happen, and everything follows once more from the beginning.
type Historian interface {
	Hole(from, to int64)
	Rewound(head int64)
}

// StoppedError says that watching ended for a reason that is not the session's outcome.
type StoppedError struct{ Reason string }

// Error implements error.
func (e *StoppedError) Error() string { return "watching ended: " + e.Reason }

// Watch follows a session until the run that f means is over, and returns how that run
// ended. If the server cannot be reached at first, it fails with [UnreachableError], unless
// f.Insist; if the server goes away later, it waits as long as ctx lives. If a message is
// dropped before a run answers it, it returns [DroppedError] and the session's outcome.
func (c *Client) Watch(ctx context.Context, sessionID string, f Follow, h Handler) (schema.SessionStatus, error) {
	w := newWatcher(c, sessionID, f, h)
	var again reconnect
	for {
		w.openedAt = time.Time{}
		ended := w.connection(ctx)
		switch {
		case ctx.Err() != nil:
			return "", ctx.Err()
		case w.done:
			return w.outcome, w.dropped()
		case ended.stop != nil:
			return "", ended.stop
		case ended.unreachable != nil && !w.everOpen && !f.Insist:
			return "", &UnreachableError{URL: c.base, Cause: ended.unreachable}
		}
		lived := time.Duration(0)
		if !w.openedAt.IsZero() {
			lived = time.Since(w.openedAt)
		}
		action, delay, why := again.after(ended.code, ended.reason, lived, ended.atLeast, c.jitter())
		if action == wire.Stop {
			return "", &StoppedError{Reason: why}
		}
		w.lost = true
		h.Lost(why, delay)
		if err := c.wait(ctx, delay); err != nil {
			return "", err
		}
	}
}

// watcher is the state that outlives a connection.
type watcher struct {
	standing

	client   *Client
	clientID string // a new connection replaces one that the server still thinks is open
	id       string
	h        Handler
	last     cursor
	user     string   // the user that the server takes this client for
	others   []string // who else views the session
	head     int64    // the end of the log when the subscription started
	everOpen bool
	lost     bool
	openedAt time.Time
	askedAt  time.Time // when a missing stretch was last requested
}

func newWatcher(c *Client, sessionID string, f Follow, h Handler) *watcher {
	return &watcher{client: c, clientID: schema.NewID(), id: sessionID, last: cursor(f.Since), standing: newStanding(f), h: h}
}

// ending says how a connection ended.
type ending struct {
	code        int
	reason      string
	atLeast     time.Duration
	stop        error
	unreachable error
}

// notAFrame ends a connection to something that does not speak our protocol.
var notAFrame = ending{code: wire.CloseAbnormal, reason: "the server sent something that is not a frame"}

func (w *watcher) connection(ctx context.Context) ending {
	dialer := websocket.Dialer{HandshakeTimeout: connectWithin, Proxy: http.ProxyFromEnvironment}
	address := "ws" + strings.TrimPrefix(w.client.base, "http") + "/ws?client_id=" + w.clientID
	conn, resp, err := dialer.DialContext(ctx, address, http.Header{"User-Agent": {w.client.UserAgent}})
	if err != nil {
		return w.refused(resp, err)
	}
	defer func() { _ = resp.Body.Close() }()
	c := &connection{Conn: conn}
	var running sync.WaitGroup
	stop := context.AfterFunc(ctx, func() { c.bye() })
	quit := make(chan struct{})
	running.Go(func() { c.pings(quit) })
	defer func() {
		stop()
		close(quit)
		c.bye()
		running.Wait()
	}()
	w.everOpen, w.openedAt, w.askedAt = true, time.Now(), time.Time{}
	conn.SetReadLimit(maxMessage)
	if err := w.subscribe(c); err != nil {
		return ending{code: wire.CloseAbnormal}
	}
	return w.read(c)
}

// refused is the ending of a connection that the server did not open.
func (w *watcher) refused(resp *http.Response, err error) ending {
	if resp == nil {
		return ending{code: wire.CloseAbnormal, reason: "the server cannot be reached", unreachable: err}
	}
	if again := retryAfter(resp); again != never {
		return ending{code: wire.CloseTryAgainLater, atLeast: again}
	}
	if resp.StatusCode >= http.StatusInternalServerError {
		return ending{code: wire.CloseAbnormal, reason: "the server answered " + resp.Status}
	}
	return ending{stop: &StoppedError{Reason: fmt.Sprintf("%s/ws answered %s", w.client.base, resp.Status)}}
}

// rewind starts over with a log that was restored to an earlier state.
func (w *watcher) rewind() {
	w.last, w.head = 0, 0
	f := w.follow
	f.Since = 0
	w.standing = newStanding(f)
}

func (w *watcher) subscribe(c *connection) error {
	return c.write(&wire.SubscribeFrame{Header: wire.Header{Type: wire.FrameSubscribe, RequestID: "watch"}, SessionID: w.id, Since: int64(w.last)})
}

func (w *watcher) read(c *connection) ending {
	for {
		_ = c.SetReadDeadline(time.Now().Add(silentFor))
		_, message, err := c.ReadMessage()
		if err != nil {
			if closed, ok := errors.AsType[*websocket.CloseError](err); ok {
				return ending{code: closed.Code, reason: closed.Text}
			}
			return ending{code: wire.CloseAbnormal}
		}
		frames, err := split(message)
		if err != nil {
			return notAFrame
		}
		for _, raw := range frames {
			if end, over := w.frame(c, raw); over {
				return end
			}
		}
	}
}

// split splits a message into frames: one, or a list of frames that were sent together.
func split(message []byte) ([]json.RawMessage, error) {
	var frames []json.RawMessage
	if trimmed := strings.TrimSpace(string(message[:min(len(message), 16)])); strings.HasPrefix(trimmed, "[") {
		return frames, json.Unmarshal(message, &frames)
	}
	return []json.RawMessage{message}, nil
}

// frame handles one frame; over means that the connection must end, as end says.
func (w *watcher) frame(c *connection, raw json.RawMessage) (end ending, over bool) {
	var e schema.Event
	if err := json.Unmarshal(raw, &e); err != nil {
		return notAFrame, true
	}
	if e.SessionID != "" && e.SessionID != w.id {
		return ending{}, false
	}
	switch {
	case e.Seq > 0:
		return w.event(c, e, raw)
	case e.Type == wire.FrameSubscribed:
		return w.subscribed(e)
	case e.Type == wire.FramePong:
		w.idles()
		if w.doubtful {
			return w.caughtUp()
		}
	case e.Type == wire.FrameConnected:
		w.user = decoded[wire.ConnectedData](e).User
	case e.Type == wire.FramePresence:
		w.present(e)
	case e.Type == wire.FrameError:
		return w.failed(c, e)
	case e.Type == wire.FrameSessionDeleted && e.SessionID == w.id:
		return ending{stop: &DeletedError{Session: w.id}}, true
	}
	return ending{}, false
}

func (w *watcher) event(c *connection, e schema.Event, raw []byte) (ending, bool) {
	switch w.last.accept(e.Seq) {
	case isDuplicate:
		return ending{}, false
	case isGap: // request the missing stretch, and take nothing out of order
		if time.Since(w.askedAt) < askAgainAfter {
			return ending{}, false
		}
		w.askedAt = time.Now()
		if err := w.subscribe(c); err != nil {
			return ending{code: wire.CloseAbnormal}, true
		}
		return ending{}, false
	case isNext:
	}
	w.askedAt = time.Time{}
	w.note(e)
	w.h.Event(e, raw, e.Seq > w.head)
	if w.done {
		return ending{}, true
	}
	return w.caughtUp()
}

func (w *watcher) subscribed(e schema.Event) (ending, bool) {
	var d wire.SubscribedData
	if err := json.Unmarshal(e.Data, &d); err != nil {
		return notAFrame, true
	}
	if w.lost {
		w.lost = false
		w.h.Back()
	}
	w.head = d.Head
	w.begins(d.Head)
	return w.caughtUp()
}

// present tells the handler who else is there, if that has changed.
func (w *watcher) present(e schema.Event) {
	company, listens := w.h.(Company)
	if !listens {
		return
	}
	others := []string{}
	for _, v := range decoded[wire.PresenceData](e).Viewers {
		if v.User != w.user {
			others = append(others, v.User)
		}
	}
	slices.Sort(others)
	if others = slices.Compact(others); !slices.Equal(others, w.others) {
		w.others = others
		company.Others(others)
	}
}

// caughtUp ends the watch when everything up to the head was seen and no run is under way.
// If watching began in the middle of the log, earlier events matter, too.
func (w *watcher) caughtUp() (ending, bool) {
	if int64(w.last) < w.head {
		return ending{}, false
	}
	if w.unsure() {
		ctx, cancel := context.WithTimeout(context.Background(), connectWithin)
		defer cancel()
		s, err := w.client.Session(ctx, w.id)
		if err != nil {
			if _, ok := errors.AsType[*ProblemError](err); ok {
				return ending{stop: err}, true
			}
			return ending{code: wire.CloseAbnormal}, true
		}
		w.is(s.Value.Status, s.Value.HeadSeq <= int64(w.last))
	}
	if w.doubtful {
		if end, over := w.askForMessage(); over {
			return end, true
		}
	}
	w.h.CaughtUp()
	w.settle()
	return ending{}, w.done
}

// askForMessage asks what happened to the followed message.
func (w *watcher) askForMessage() (ending, bool) {
	ctx, cancel := context.WithTimeout(context.Background(), connectWithin)
	defer cancel()
	for cursor := ""; ; {
		page, err := w.client.Messages(ctx, w.id, cursor)
		if err != nil {
			return ending{code: wire.CloseAbnormal}, true // ask again on the next connection
		}
		for i := range page.Value.Messages {
			if m := &page.Value.Messages[i]; m.Number == w.follow.Message {
				w.knows(m.Status)
				return ending{}, w.done
			}
		}
		if cursor = page.Value.NextCursor; cursor == "" {
			w.knows("")
			return ending{}, false
		}
	}
}

// failed handles a subscribe that the server refused. Codes that waiting does not fix end the
// watch.
func (w *watcher) failed(c *connection, e schema.Event) (ending, bool) {
	d := decoded[wire.ErrorData](e)
	historian, _ := w.h.(Historian)
	switch {
	case d.Code == schema.CodeRange:
		if d.ToSeq <= int64(w.last) {
			return ending{}, false
		}
		w.last, w.askedAt = cursor(d.ToSeq), time.Time{}
		if historian != nil {
			historian.Hole(d.FromSeq, d.ToSeq)
		}
		return w.caughtUp()
	case d.Code == schema.CodeCursorAhead:
		if historian != nil {
			historian.Rewound(headOf(d))
		}
		w.rewind()
		if err := w.subscribe(c); err != nil {
			return ending{code: wire.CloseAbnormal}, true
		}
		return ending{}, false
	case mayBeAskedAgain(d.Code):
		return ending{code: wire.CloseAbnormal, reason: d.Message, atLeast: min(retryAfterCap, time.Duration(d.RetryIn)*time.Second)}, true
	case d.Code == schema.CodeNotFound:
		return ending{stop: &ProblemError{schema.Problem{Detail: d.Message, Code: d.Code, Status: http.StatusNotFound}}}, true
	default:
		return ending{stop: &StoppedError{Reason: d.Message}}, true
	}
}

// headOf is where the log ends according to a refusal.
func headOf(d wire.ErrorData) int64 {
	if d.Head == nil {
		return 0
	}
	return *d.Head
}

// connection lets pings and subscriptions take turns writing.
type connection struct {
	*websocket.Conn
	mu     sync.Mutex
	closed bool
}

func (c *connection) write(f wire.ClientFrame) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.SetWriteDeadline(time.Now().Add(writeWithin)); err != nil {
		return err
	}
	return c.WriteMessage(websocket.TextMessage, schema.Marshal(f))
}

func (c *connection) pings(quit <-chan struct{}) {
	t := time.NewTicker(pingEvery)
	defer t.Stop()
	for {
		select {
		case <-quit:
			return
		case <-t.C:
			if c.write(&wire.PingFrame{Header: wire.Header{Type: wire.FramePing}}) != nil {
				return
			}
		}
	}
}

// bye closes the connection, politely if that is quick.
func (c *connection) bye() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	c.closed = true
	_ = c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(wire.CloseNormal, ""), time.Now().Add(time.Second))
	_ = c.Close()
}
