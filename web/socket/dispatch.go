package socket

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/holdfast/holdfast/logs"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/wire"
	"github.com/holdfast/holdfast/web/control"
	"github.com/holdfast/holdfast/web/feed"
	"github.com/holdfast/holdfast/web/frame"
	"github.com/holdfast/holdfast/web/problem"
)

// handle answers one frame. Commands wait in a queue of their own, in the order in which
// the client sent them, so that the client can go on with everything else meanwhile.
func (c *conn) handle(text []byte) {
	asked, requestID, err := wire.Decode(text)
	if err != nil {
		c.refuse(requestID, err)
		return
	}
	switch f := asked.(type) {
	case *wire.PingFrame:
		c.send(frame.New(wire.FramePong, "", wire.PongData{RequestID: f.RequestID}))
	case *wire.SubscribeFrame:
		c.subscribe(f)
	case *wire.UnsubscribeFrame:
		c.unsubscribe(f)
	case *wire.ViewingFrame:
		c.view(f)
	case *wire.SubscribeSessionsFrame:
		c.subscribeList(f)
	case *wire.UnsubscribeSessionsFrame:
		c.unsubscribeList(f)
	default:
		c.enqueue(asked)
	}
}

// refuse answers a frame with an error; the connection stays.
func (c *conn) refuse(requestID string, err error) {
	e := wire.Public(err)
	ctx := c.ctx
	if requestID != "" {
		ctx = logs.With(ctx, logs.Request(requestID))
	}
	if c.ctx.Err() == nil {
		problem.Log(ctx, c.service.Log, e, err)
	}
	data := wire.ErrorData{Code: e.Code, Message: e.Message, RequestID: requestID, Errors: e.Fields}
	if data.Errors == nil {
		data.Errors = []schema.FieldError{}
	}
	c.send(frame.New(wire.FrameError, "", data))
}

func (c *conn) subscribe(f *wire.SubscribeFrame) {
	ctx, cancel := context.WithTimeout(c.ctx, feed.ReadTimeout)
	defer cancel()
	cur, head, err := c.service.Hub.Subscribe(ctx, f.SessionID, f.Since, c.Wake)
	if ahead, ok := errors.AsType[*feed.AheadError](err); ok {
		c.send(ahead.Frame(f.SessionID, f.RequestID))
		return
	}
	if err != nil {
		c.refuse(f.RequestID, err)
		return
	}
	c.mu.Lock()
	old := c.sessions[f.SessionID]
	full := old == nil && len(c.sessions) >= maxSubscribed
	if !full {
		if c.sessions == nil {
			c.sessions = map[string]*feed.Cursor{}
		}
		c.sessions[f.SessionID] = cur
		c.sendLocked(frame.New(wire.FrameSubscribed, f.SessionID, wire.SubscribedData{
			SessionID: f.SessionID, Since: f.Since, Head: head, RequestID: f.RequestID,
		}))
	}
	c.mu.Unlock()
	if old != nil {
		old.Detach()
	}
	if full {
		cur.Detach()
		c.refuse(f.RequestID, schema.Errorf(schema.CodeRateLimited, "a connection has at most %d subscriptions; unsubscribe from some", maxSubscribed))
		return
	}
	if f.Presence != nil && !*f.Presence {
		c.disappear(f.SessionID)
	} else {
		c.appear(f.SessionID)
	}
	c.service.Registry.Watching(&c.member, f.SessionID)
}

func (c *conn) unsubscribe(f *wire.UnsubscribeFrame) {
	c.mu.Lock()
	cur := c.sessions[f.SessionID]
	delete(c.sessions, f.SessionID)
	another := c.anotherLocked()
	if cur != nil {
		c.sendLocked(frame.New(wire.FrameUnsubscribed, f.SessionID, wire.UnsubscribedData{SessionID: f.SessionID, RequestID: f.RequestID}))
	}
	c.mu.Unlock()
	if cur == nil {
		c.refuse(f.RequestID, schema.Errorf(schema.CodeConflict, "this connection is not subscribed to the session %q", f.SessionID))
		return
	}
	cur.Detach()
	c.disappear(f.SessionID)
	c.service.Registry.Watching(&c.member, another)
}

func (c *conn) subscribeList(f *wire.SubscribeSessionsFrame) {
	fresh := c.service.Hub.AttachList(c.Wake)
	c.mu.Lock()
	old := c.list
	c.list = fresh
	if f.RequestID != "" {
		c.sendLocked(frame.New(wire.FrameAccepted, "", wire.AcceptedData{RequestID: f.RequestID}))
	}
	c.kickLocked()
	c.mu.Unlock()
	if old != nil {
		old.Detach()
	}
}

func (c *conn) unsubscribeList(f *wire.UnsubscribeSessionsFrame) {
	c.mu.Lock()
	old := c.list
	c.list = nil
	c.mu.Unlock()
	if old != nil {
		old.Detach()
	}
	c.send(frame.New(wire.FrameUnsubscribed, "", wire.UnsubscribedData{RequestID: f.RequestID}))
}

// queued is a command that waits for its turn.
type queued struct {
	frame     wire.ClientFrame
	requestID string
	anonymous bool // the request id was made up here
}

func (c *conn) enqueue(asked wire.ClientFrame) {
	f := queued{frame: asked, requestID: asked.Head().RequestID}
	if f.requestID == "" {
		f.requestID, f.anonymous = schema.NewID(), true
	}
	c.mu.Lock()
	full, leaving := len(c.commands) >= maxCommands, c.leaving != nil
	if !full && !leaving {
		c.commands = append(c.commands, f)
		if !c.working {
			c.working = true
			c.tasks.Go(c.work)
		}
	}
	c.mu.Unlock()
	switch {
	case leaving:
		c.refuse(f.requestID, schema.Errorf(schema.CodeUnavailable, "the server is stopping; send this command again over another connection"))
	case full:
		c.refuse(f.requestID, schema.Errorf(schema.CodeRateLimited, "%d commands of this connection wait already; send this one again later", maxCommands))
	}
}

// work carries out the client's commands, one after the other. A client that goes away
// right after a command still means it.
func (c *conn) work() {
	ctx, cancel := context.WithCancel(context.WithoutCancel(c.ctx))
	defer cancel()
	defer context.AfterFunc(c.service.base, cancel)()
	for {
		c.mu.Lock()
		if len(c.commands) == 0 {
			c.working = false
			leave := c.leaving
			c.mu.Unlock()
			if leave != nil {
				leave()
			}
			return
		}
		f := c.commands[0]
		c.commands = c.commands[1:]
		c.mu.Unlock()
		traced, end := c.service.traced(logs.With(ctx, logs.Request(f.requestID)), f)
		answer, err := c.execute(traced, f)
		end(err)
		switch {
		case err == nil:
			c.send(answer)
		case c.ctx.Err() != nil: // nobody hears the answers, so the commands that wait are dropped
			c.mu.Lock()
			c.commands = nil
			c.mu.Unlock()
		default:
			c.refuse(f.requestID, err)
		}
	}
}

func (c *conn) execute(ctx context.Context, q queued) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, control.RequestTimeout)
	defer cancel()
	// Neither a user nor a client_id has a space in it.
	key := "ws " + c.member.User + " " + cmp.Or(c.member.ClientID, c.member.ID) + " " + q.requestID
	if q.anonymous { // no other frame can have its name
		key = ""
	}
	accepted := func(sessionID string) []byte {
		return frame.New(wire.FrameAccepted, sessionID, wire.AcceptedData{RequestID: q.requestID})
	}
	switch f := q.frame.(type) {
	case *wire.ResolveApprovalFrame:
		a, err := c.service.Control.Decide(ctx, control.Resolution{
			ApprovalID: f.ApprovalID, Resolution: f.Resolution, Feedback: f.Feedback, Changes: f.Modifications, At: "frame.",
		}, key)
		return accepted(a.SessionID), err
	case *wire.ReopenApprovalFrame:
		a, err := c.service.Control.Reopen(ctx, f.ApprovalID, key)
		return accepted(a.SessionID), err
	case *wire.MessageFrame:
		_, err := c.service.Control.Message(ctx, f.SessionID, f.Content, "frame.", key)
		return accepted(f.SessionID), err
	case *wire.QueryFrame:
		result, err := c.service.Control.Query(ctx, f.SessionID, f.Name)
		return frame.New(wire.FrameQueryResult, f.SessionID, wire.QueryResultData{RequestID: q.requestID, Name: f.Name, Result: result}), err
	case *wire.CommandFrame:
		_, err := c.service.Control.Command(ctx, f.SessionID, commandOf[f.Type], key)
		return accepted(f.SessionID), err
	default:
		return nil, fmt.Errorf("no handler for %T", f)
	}
}

// commandOf is the command that a frame's type means.
var commandOf = map[string]string{
	wire.FrameSuspend: schema.CommandSuspend, wire.FramePause: schema.CommandSuspend,
	wire.FrameResume: schema.CommandResume, wire.FrameCancel: schema.CommandCancel,
}
