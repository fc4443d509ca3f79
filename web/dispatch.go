package web

import (
	"cmp"
	"context"
	"errors"

	"github.com/holdfast/holdfast/logs"
	"github.com/holdfast/holdfast/schema"
)

// handle answers one frame. Commands wait in a queue of their own, in the order in which
// the client sent them, so that the client can go on with everything else meanwhile.
func (c *conn) handle(text []byte) {
	f, err := parseFrame(text)
	if err != nil {
		c.refuse(f.RequestID, err)
		return
	}
	switch f.Type {
	case framePing:
		c.send(newFrame(schema.FramePong, "", PongData{RequestID: f.RequestID}))
	case frameSubscribe:
		c.subscribe(f)
	case frameUnsubscribe:
		c.unsubscribe(f)
	case frameViewing:
		c.view(f)
	case frameSubscribeSessions:
		c.subscribeList(f)
	case frameUnsubscribeSessions:
		c.unsubscribeList(f)
	default:
		c.enqueue(f)
	}
}

// refuse answers a frame with an error; the connection stays.
func (c *conn) refuse(requestID string, err error) {
	e := publicError(err)
	ctx := c.ctx
	if requestID != "" {
		ctx = logs.With(ctx, logs.Request(requestID))
	}
	if c.ctx.Err() == nil {
		c.server.logFault(ctx, e, err)
	}
	data := ErrorData{Code: e.Code, Message: e.Message, RequestID: requestID, Errors: e.Fields}
	if data.Errors == nil {
		data.Errors = []schema.FieldError{}
	}
	c.send(newFrame(schema.FrameError, "", data))
}

func (c *conn) subscribe(f clientFrame) {
	ctx, cancel := context.WithTimeout(c.ctx, logTimeout)
	defer cancel()
	cur, head, err := c.server.hub.subscribe(ctx, f.SessionID, f.Since, c.kick)
	if ahead, ok := errors.AsType[*aheadError](err); ok {
		c.send(ahead.frame(f.SessionID, f.RequestID))
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
			c.sessions = map[string]*cursor{}
		}
		c.sessions[f.SessionID] = cur
		c.sendLocked(newFrame(schema.FrameSubscribed, f.SessionID, SubscribedData{
			SessionID: f.SessionID, Since: f.Since, Head: head, RequestID: f.RequestID,
		}))
	}
	c.mu.Unlock()
	if old != nil {
		old.detach()
	}
	if full {
		cur.detach()
		c.refuse(f.RequestID, schema.Errorf(schema.CodeRateLimited, "a connection has at most %d subscriptions; unsubscribe from some", maxSubscribed))
		return
	}
	if f.Hidden {
		c.disappear(f.SessionID)
	} else {
		c.appear(f.SessionID)
	}
	c.server.registry.watching(c, f.SessionID)
}

func (c *conn) unsubscribe(f clientFrame) {
	c.mu.Lock()
	cur := c.sessions[f.SessionID]
	delete(c.sessions, f.SessionID)
	another := c.anotherLocked()
	if cur != nil {
		c.sendLocked(newFrame(schema.FrameUnsubscribed, f.SessionID, UnsubscribedData{SessionID: f.SessionID, RequestID: f.RequestID}))
	}
	c.mu.Unlock()
	if cur == nil {
		c.refuse(f.RequestID, schema.Errorf(schema.CodeConflict, "this connection is not subscribed to the session %q", f.SessionID))
		return
	}
	cur.detach()
	c.disappear(f.SessionID)
	c.server.registry.watching(c, another)
}

func (c *conn) subscribeList(f clientFrame) {
	fresh := c.server.hub.list.attach(c.kick)
	c.mu.Lock()
	old := c.list
	c.list = fresh
	if f.RequestID != "" {
		c.sendLocked(newFrame(schema.FrameAccepted, "", AcceptedData{RequestID: f.RequestID}))
	}
	c.kickLocked()
	c.mu.Unlock()
	if old != nil {
		old.detach()
	}
}

func (c *conn) unsubscribeList(f clientFrame) {
	c.mu.Lock()
	old := c.list
	c.list = nil
	c.mu.Unlock()
	if old != nil {
		old.detach()
	}
	c.send(newFrame(schema.FrameUnsubscribed, "", UnsubscribedData{RequestID: f.RequestID}))
}

func (c *conn) enqueue(f clientFrame) {
	if f.RequestID == "" {
		f.RequestID, f.Anonymous = schema.NewID(), true
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
		c.refuse(f.RequestID, schema.Errorf(schema.CodeUnavailable, "the server is stopping; send this command again over another connection"))
	case full:
		c.refuse(f.RequestID, schema.Errorf(schema.CodeRateLimited, "%d commands of this connection wait already; send this one again later", maxCommands))
	}
}

// work carries out the client's commands, one after the other. A client that goes away
// right after a command still means it.
func (c *conn) work() {
	ctx, cancel := context.WithCancel(context.WithoutCancel(c.ctx))
	defer cancel()
	defer context.AfterFunc(c.server.base, cancel)()
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
		answer, err := c.execute(logs.With(ctx, logs.Request(f.RequestID)), f)
		switch {
		case err == nil:
			c.send(answer)
		case c.ctx.Err() != nil: // nobody hears the answers: what is away may stay so for all that wait
			c.mu.Lock()
			c.commands = nil
			c.mu.Unlock()
		default:
			c.refuse(f.RequestID, err)
		}
	}
}

func (c *conn) execute(ctx context.Context, f clientFrame) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	// Neither a user nor a client_id has a space in it.
	key := "ws " + c.user + " " + cmp.Or(c.clientID, c.id) + " " + f.RequestID
	if f.Anonymous { // no other frame can have its name
		key = ""
	}
	accepted := func(sessionID string) []byte {
		return newFrame(schema.FrameAccepted, sessionID, AcceptedData{RequestID: f.RequestID})
	}
	switch f.Type {
	case frameResolveApproval:
		a, err := c.server.decide(ctx, resolution{
			ApprovalID: f.ApprovalID, Resolution: schema.Resolution(f.Resolution), Feedback: f.Feedback, Changes: f.Modifications, At: "frame.",
		}, key)
		return accepted(a.SessionID), err
	case frameReopenApproval:
		a, err := c.server.reopen(ctx, f.ApprovalID, key)
		return accepted(a.SessionID), err
	case frameMessage:
		_, err := c.server.message(ctx, f.SessionID, f.Content, "frame.", key)
		return accepted(f.SessionID), err
	case frameQuery:
		if f.Name != schema.QueryState && f.Name != schema.QueryApprovals && f.Name != schema.QueryPlan {
			return nil, invalidField("frame.name", "allowed are state, approvals, plan", f.Name)
		}
		result, err := c.server.query(ctx, f.SessionID, f.Name)
		return newFrame(schema.FrameQueryResult, f.SessionID, QueryResultData{RequestID: f.RequestID, Name: f.Name, Result: result}), err
	}
	name := map[string]string{
		frameSuspend: schema.CommandSuspend, "pause": schema.CommandSuspend, "resume": schema.CommandResume, "cancel": schema.CommandCancel,
	}[f.Type]
	if name == "" {
		return nil, errors.New("no handler for frames of type " + f.Type)
	}
	_, err := c.server.command(ctx, f.SessionID, name, key)
	return accepted(f.SessionID), err
}
