package socket

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast/holdfast/logs"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/wire"
	"github.com/holdfast/holdfast/web/caller"
	"github.com/holdfast/holdfast/web/feed"
	"github.com/holdfast/holdfast/web/frame"
	"github.com/holdfast/holdfast/web/presence"
)

// Why connections are closed, and their bounds.
const (
	reasonTooMany  = "the client kept sending after its frames were refused for exceeding the rate limit"
	reasonNoAnswer = "no response to pings"
	maxQueued      = 256 << 10 // bytes of replies that wait for a client to read; then its frames wait
	maxBatch       = 128 << 10 // bytes of one write
	maxCommands    = 16        // of one client, waiting
	maxSubscribed  = 256       // sessions of one client
	lingerTimeout  = time.Second
	maxLingerBytes = 64 << 20
)

// conn is one client's WebSocket. Its reader is a goroutine of its own; a writer runs only
// while there is something to write, so that an idle client costs one goroutine.
type conn struct {
	member  presence.Member
	service *Service
	net     net.Conn
	in      *frame.Reader
	ctx     context.Context //nolint:containedctx // ends with the connection; the writer and commands share it
	end     context.CancelFunc
	heard   atomic.Int64 // when the last frame came, whatever kind, in nanoseconds since the process started
	pinged  atomic.Int64 // the same
	rate    rate         // used by the reader alone
	tasks   sync.WaitGroup

	mu       sync.Mutex
	drained  sync.Cond // signalled when the queue was written
	queue    [][]byte
	queued   int
	sessions map[string]*feed.Cursor
	viewers  []*presence.Viewer
	list     *feed.ListCursor
	writing  bool
	again    bool
	closing  []byte // the close frame, once the connection is to end
	closed   bool   // nothing is written any more
	commands []queued
	working  bool
	leaving  func() // ends the connection; set once it is to accept no further commands
}

// newConn makes the connection of a client. unread is what the client has sent already, greeting what is written first.
func (s *Service) newConn(raw net.Conn, unread []byte, who newcomer, greeting []byte) *conn {
	var in io.Reader = raw
	if len(unread) > 0 {
		in = io.MultiReader(bytes.NewReader(unread), raw)
	}
	c := &conn{
		member:  presence.Member{ID: schema.NewID(), ClientID: who.clientID, User: who.user, Address: who.address, ConnectedAt: who.at},
		service: s, net: raw, in: frame.NewReader(in), queue: [][]byte{greeting},
	}
	c.member.Conn = c
	giveUpAfter(raw, s.WriteTimeout)
	c.drained.L = &c.mu
	ctx := caller.WithUser(s.base, who.user)
	if who.user != "" {
		ctx = logs.With(ctx, logs.Actor(who.user))
	}
	c.ctx, c.end = context.WithCancel(ctx)
	c.hear()
	return c
}

// greet queues the first frame. It comes before the registry knows the connection, whose heartbeats follow it.
func (c *conn) greet() {
	connected := frame.New(wire.FrameConnected, "", wire.ConnectedData{
		ConnectionID: c.member.ID, ServerInstance: c.service.Instance, Version: c.service.Version, User: c.member.User,
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	c.queue = append(c.queue, connected)
	c.queued += len(connected)
}

// serve reads messages until the connection ends. When it returns, nothing of the connection
// runs any more.
func (c *conn) serve() {
	c.Wake()
	err := c.read()
	c.mu.Lock()
	ours := c.closing != nil
	c.mu.Unlock()
	switch violation, violated := errors.AsType[*frame.ViolationError](err); {
	case violated:
		c.Close(violation.Code, violation.Reason)
	case err == nil:
		c.Close(wire.CloseNormal, "")
	default:
		c.closeWith([]byte{}) // nobody hears
	}
	c.end()
	_ = c.net.SetWriteDeadline(time.Now().Add(lingerTimeout))
	c.tasks.Wait()
	c.unsubscribeAll()
	if ours || err != nil {
		c.linger()
	}
}

// read handles messages until the client closes the connection, which is nil, or it breaks.
func (c *conn) read() error {
	for {
		op, data, err := c.in.Next()
		if err != nil || op == frame.OpClose {
			return err
		}
		allowed := c.allow()
		switch {
		case op == frame.OpPing && allowed:
			c.send(frame.Pong(data))
		case op == frame.OpPing || op == frame.OpPong:
		case !allowed:
			_, requestID, _ := wire.Decode(data)
			c.refuse(requestID, schema.Errorf(schema.CodeRateLimited, "a client may send %d frames a second, and %d at once; this one was ignored", framesPerSecond, frameBurst))
		case op == frame.OpBinary:
			c.refuse("", schema.Errorf(schema.CodeInvalid, "frames are text, not binary"))
		default:
			c.service.pool.do(func() { c.handle(data) })
		}
	}
}

// allow counts a frame and reports whether it is within the rate. A client that goes on and on
// beyond it is sent away for good.
func (c *conn) allow() bool {
	c.hear()
	ok, refused := c.rate.allow(time.Now())
	if refused >= maxRefused {
		c.Close(wire.ClosePolicy, reasonTooMany)
	}
	return ok
}

// began is when the process started. Times since then are by the monotonic clock, which nobody sets.
var began = time.Now()

func (c *conn) hear() { c.heard.Store(int64(time.Since(began))) }

// LastHeard implements [presence.Conn].
func (c *conn) LastHeard() time.Time { return began.Add(time.Duration(c.heard.Load())) }

// linger reads on for a moment, so that a client that still sends gets to see why it was
// closed instead of a reset.
func (c *conn) linger() {
	_ = c.net.SetReadDeadline(time.Now().Add(lingerTimeout))
	_, _ = io.Copy(io.Discard, io.LimitReader(c.net, maxLingerBytes))
}

// send queues a frame. It waits while the client has not read enough of those before.
func (c *conn) send(frame []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.queued > maxQueued && !c.closed && c.closing == nil {
		c.drained.Wait()
	}
	c.sendLocked(frame)
}

func (c *conn) sendLocked(frame []byte) {
	if c.closed || c.closing != nil {
		return
	}
	c.queue = append(c.queue, frame)
	c.queued += len(frame)
	c.kickLocked()
}

// ping queues a ping unless the client has enough to read.
func (c *conn) ping() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.queued == 0 {
		c.sendLocked(frame.Ping())
	}
}

// Close has the writer end the connection with this code, after what is queued.
func (c *conn) Close(code int, reason string) { c.closeWith(frame.Close(code, reason)) }

func (c *conn) closeWith(closing []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.closing != nil {
		return
	}
	c.closing = closing
	c.drained.Broadcast()
	c.kickLocked()
}

// Wake has the writer look for something to write.
func (c *conn) Wake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kickLocked()
}

func (c *conn) kickLocked() {
	switch {
	case c.closed:
	case c.writing:
		c.again = true
	default:
		c.writing = true
		c.tasks.Go(c.write)
	}
}

// write is the one writer: replies first, then a share of each subscription, until there is
// nothing left.
func (c *conn) write() {
	var sources []source
	for {
		c.mu.Lock()
		c.again = false
		batch := net.Buffers(c.queue)
		c.queue, c.queued = nil, 0
		c.drained.Broadcast()
		sources = sources[:0]
		if c.list != nil {
			sources = append(sources, c.list)
		}
		for _, cur := range c.sessions {
			sources = append(sources, cur)
		}
		for _, s := range c.viewers {
			sources = append(sources, s)
		}
		closing := c.closing
		c.mu.Unlock()
		if closing != nil {
			c.last(append(batch, closing))
			return
		}
		batch = c.gather(batch, sources)
		if len(batch) == 0 {
			c.mu.Lock()
			idle := !c.again
			c.writing = !idle
			c.mu.Unlock()
			if idle {
				return
			}
			continue
		}
		timeout := c.service.WriteTimeout
		if c.ctx.Err() != nil { // the reader has ended, and waits
			timeout = lingerTimeout
		}
		_ = c.net.SetWriteDeadline(time.Now().Add(timeout))
		if _, err := batch.WriteTo(c.net); err != nil {
			c.abandon()
			return
		}
	}
}

// source is something that a connection is subscribed to.
type source interface {
	Next(ctx context.Context, most int) []byte
}

func (c *conn) gather(batch net.Buffers, sources []source) net.Buffers {
	for _, from := range sources {
		for left := maxBatch; left > 0; {
			frames := from.Next(c.ctx, left)
			if frames == nil {
				break
			}
			batch = append(batch, frames)
			left -= len(frames)
		}
		if cur, ok := from.(*feed.Cursor); ok && cur.Over() {
			c.drop(cur)
		}
	}
	return batch
}

// drop lets go of a subscription that has ended by itself.
func (c *conn) drop(cur *feed.Cursor) {
	c.mu.Lock()
	mine := c.sessions[cur.SessionID()] == cur
	if mine {
		delete(c.sessions, cur.SessionID())
	}
	another := c.anotherLocked()
	c.mu.Unlock()
	cur.Detach()
	if mine {
		c.disappear(cur.SessionID())
		c.service.Registry.Watching(&c.member, another)
	}
}

// anotherLocked is any session that the connection is subscribed to, "" for none.
func (c *conn) anotherLocked() string {
	for id := range c.sessions {
		return id
	}
	return ""
}

// last writes the close frame and gives the client a moment to answer it.
func (c *conn) last(batch net.Buffers) {
	_ = c.net.SetWriteDeadline(time.Now().Add(lingerTimeout))
	_, _ = batch.WriteTo(c.net)
	c.abandon()
}

// abandon stops writing and has the reader end soon.
func (c *conn) abandon() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed, c.writing = true, false
	c.queue, c.queued = nil, 0
	c.drained.Broadcast()
	_ = c.net.SetReadDeadline(time.Now().Add(lingerTimeout))
}

// Leave ends the connection once the commands that it has accepted are carried out and
// answered; it accepts no further ones.
func (c *conn) Leave(code int, reason string) {
	c.mu.Lock()
	c.leaving = func() { c.Close(code, reason) }
	busy := c.working
	c.mu.Unlock()
	if !busy { // else work does
		c.Close(code, reason)
	}
}

// Cut implements [presence.Conn].
func (c *conn) Cut() { _ = c.net.Close() }

// Watched implements [presence.Conn]: what the client is subscribed to, and how many events it is behind.
func (c *conn) Watched() (sessions []string, list bool, lag int64) {
	c.mu.Lock()
	list = c.list != nil
	cursors := make([]*feed.Cursor, 0, len(c.sessions))
	for id, cur := range c.sessions {
		sessions = append(sessions, id)
		cursors = append(cursors, cur)
	}
	c.mu.Unlock()
	slices.Sort(sessions)
	for _, cur := range cursors {
		lag += cur.Lag()
	}
	return sessions, list, lag
}

func (c *conn) unsubscribeAll() {
	c.mu.Lock()
	sessions, viewers, list := c.sessions, c.viewers, c.list
	c.sessions, c.viewers, c.list = nil, nil, nil
	c.mu.Unlock()
	for _, v := range viewers {
		c.service.Presence.Leave(v)
	}
	for _, cur := range sessions {
		cur.Detach()
	}
	if list != nil {
		list.Detach()
	}
}
