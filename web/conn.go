package web

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fasthttp/websocket"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/wire"
	"github.com/holdfast/holdfast/web/caller"
	"github.com/holdfast/holdfast/web/feed"
	"github.com/holdfast/holdfast/web/frame"
	"github.com/holdfast/holdfast/web/presence"
)

// Why connections are closed, and their bounds.
const (
	reasonTooMany   = "too many frames, though they were refused"
	reasonTooBig    = "a frame has at most 64 KiB"
	reasonParts     = "a message in too many parts"
	reasonNoAnswer  = "no sign of life"
	maxQueued       = 256 << 10 // bytes of replies that wait for a client to read; then its frames wait
	maxBatch        = 128 << 10 // bytes of one write
	maxCommands     = 16        // of one client, waiting
	maxSubscribed   = 256       // sessions of one client
	lingerTimeout   = time.Second
	frameReadBuffer = 512
)

// conn is one client's WebSocket. Its reader is the goroutine that serves the request; a
// writer runs only while there is something to write, so that an idle client costs one
// goroutine.
type conn struct {
	member presence.Member
	server *Server
	ws     *websocket.Conn
	net    net.Conn        // what the writer writes to
	ctx    context.Context //nolint:containedctx // ends with the connection; the writer and commands share it
	end    context.CancelFunc
	heard  atomic.Int64 // when the last frame came, whatever kind, in nanoseconds since the process started
	pinged atomic.Int64 // the same
	rate   rate         // used by the reader alone
	tasks  sync.WaitGroup

	mu       sync.Mutex
	room     sync.Cond // signalled when the queue was taken
	queue    [][]byte
	queued   int
	sessions map[string]*feed.Cursor
	viewers  []*presence.Viewer
	list     *feed.ListCursor
	writing  bool
	again    bool
	closing  []byte // the closing frame, once the connection is to end
	closed   bool   // nothing is written any more
	commands []queued
	working  bool
	leaving  func() // ends the connection; set once it is to take no further commands
}

// newConn makes the connection of a client. greeting is what is written first.
func (s *Server) newConn(ws *websocket.Conn, who newcomer, greeting []byte) *conn {
	under := ws.NetConn()
	if hijacked, ok := under.(interface{ UnsafeConn() net.Conn }); ok {
		under = hijacked.UnsafeConn()
	}
	c := &conn{
		member: presence.Member{ID: schema.NewID(), ClientID: who.clientID, User: who.user, Address: who.address, ConnectedAt: who.at},
		server: s, ws: ws, net: under, queue: [][]byte{greeting},
	}
	c.member.Conn = c
	giveUpAfter(under, s.opts.WriteTimeout)
	c.room.L = &c.mu
	c.ctx, c.end = context.WithCancel(caller.WithUser(s.base, who.user))
	c.hear()
	return c
}

// serve reads frames until the connection ends. When it returns, nothing of the connection
// runs any more.
func (c *conn) serve() {
	c.ws.SetReadLimit(wire.MaxFrameBytes)
	c.ws.SetPingHandler(func(data string) error {
		if c.take() {
			c.send(frame.Pong([]byte(data)))
		}
		return nil
	})
	c.ws.SetPongHandler(func(string) error {
		c.take()
		return nil
	})
	c.ws.SetCloseHandler(func(int, string) error { return nil })
	c.server.crew.do(func() {
		c.send(frame.New(wire.FrameConnected, "", wire.ConnectedData{
			ConnectionID: c.member.ID, ServerInstance: c.server.opts.Instance, Version: c.server.opts.Version, User: c.member.User,
		}))
	})
	err := c.read()
	c.mu.Lock()
	ours := c.closing != nil
	c.mu.Unlock()
	_, polite := errors.AsType[*websocket.CloseError](err)
	if polite {
		c.Close(wire.CloseNormal, "")
	} else {
		c.shutWith([]byte{}) // the library has told the client what was wrong with its frame, or nobody hears
	}
	c.end()
	_ = c.net.SetWriteDeadline(time.Now().Add(lingerTimeout))
	c.tasks.Wait()
	c.unsubscribeAll()
	if ours || !polite {
		c.linger()
	}
}

func (c *conn) read() error {
	for {
		kind, data, err := c.ws.ReadMessage()
		if errors.Is(err, errUnfinished) {
			c.Close(wire.ClosePolicy, reasonParts)
		}
		if err != nil {
			return err
		}
		switch ok := c.take(); {
		case !ok:
			_, requestID, _ := wire.Decode(data)
			c.refuse(requestID, schema.Errorf(schema.CodeRateLimited, "a client may send %d frames a second, and %d at once; this one was not looked at", framesPerSecond, frameBurst))
		case kind != websocket.TextMessage:
			c.refuse("", schema.Errorf(schema.CodeInvalid, "frames are text, not binary"))
		default:
			c.server.crew.do(func() { c.handle(data) })
		}
	}
}

// take counts a frame and reports whether it is within the rate. A client that goes on and on
// beyond it is sent away for good.
func (c *conn) take() bool {
	c.hear()
	if t, counts := c.ws.NetConn().(*taken); counts {
		t.read.Store(0)
	}
	ok, refused := c.rate.take(time.Now())
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
	_, _ = io.Copy(io.Discard, io.LimitReader(c.net, maxDrainBytes))
}

// send queues a frame. It waits while the client has not read enough of those before.
func (c *conn) send(frame []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.queued > maxQueued && !c.closed && c.closing == nil {
		c.room.Wait()
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
func (c *conn) Close(code int, reason string) { c.shutWith(frame.Close(code, reason)) }

func (c *conn) shutWith(closing []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.closing != nil {
		return
	}
	c.closing = closing
	c.room.Broadcast()
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
		c.room.Broadcast()
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
		_ = c.net.SetWriteDeadline(time.Now().Add(c.server.opts.WriteTimeout))
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
		for room := maxBatch; room > 0; {
			frames := from.Next(c.ctx, room)
			if frames == nil {
				break
			}
			batch = append(batch, frames)
			room -= len(frames)
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
		c.server.registry.Watching(&c.member, another)
	}
}

// anotherLocked is any session that the connection is subscribed to, "" for none.
func (c *conn) anotherLocked() string {
	for id := range c.sessions {
		return id
	}
	return ""
}

// last writes the closing frame and gives the client a moment to answer it.
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
	c.room.Broadcast()
	_ = c.net.SetReadDeadline(time.Now().Add(lingerTimeout))
}

// Leave ends the connection once the commands that it has taken in are carried out and
// answered; it takes no further ones.
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
		c.server.presence.Leave(v)
	}
	for _, cur := range sessions {
		cur.Detach()
	}
	if list != nil {
		list.Detach()
	}
}
