package web

import (
	"bytes"
	"errors"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/fasthttp/websocket"
	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/wire"
	"github.com/holdfast/holdfast/web/caller"
	"github.com/holdfast/holdfast/web/frame"
	"github.com/holdfast/holdfast/web/presence"
)

// newcomer is who opens a WebSocket.
type newcomer struct {
	at       time.Time // when it came: of two connections of a client the later one stays
	clientID string
	user     string
	address  string
}

const maxClientID = 64

// upgrader answers handshakes. The library's own origin check is off: upgrade does it.
var upgrader = websocket.FastHTTPUpgrader{
	CheckOrigin: func(*fasthttp.RequestCtx) bool { return true },
	Error:       func(*fasthttp.RequestCtx, int, error) {}, // upgrade answers with a problem
}

func (s *Server) upgrade(c *fiber.Ctx) error {
	ctx := c.UserContext()
	if !websocket.FastHTTPIsWebSocketUpgrade(c.Context()) {
		p := newProblem(ctx, http.StatusUpgradeRequired, schema.CodeInvalid, "this address speaks WebSocket", nil)
		p.headers = http.Header{fiber.HeaderUpgrade: {"websocket"}}
		return p
	}
	if err := s.checkOrigin(c); err != nil {
		return err
	}
	who := newcomer{at: time.Now(), user: caller.User(ctx), address: c.IP()}
	var wrong []schema.FieldError
	for name, value := range c.Queries() {
		switch {
		case name != "client_id":
			wrong = append(wrong, schema.FieldError{Location: "query." + name, Message: noParameter, Value: schema.Brief(value)})
		case value != "" && !printable(value, maxClientID):
			wrong = append(wrong, schema.FieldError{Location: "query.client_id", Message: "this must be 1 to 64 printable characters", Value: schema.Brief(value)})
		default:
			who.clientID = value
		}
	}
	if len(wrong) > 0 {
		return schema.Invalid(wrong)
	}
	err := upgrader.Upgrade(c.Context(), func(*websocket.Conn) {})
	if _, bad := errors.AsType[websocket.HandshakeError](err); bad {
		return newProblem(ctx, http.StatusBadRequest, schema.CodeInvalid, "this is not a WebSocket handshake of version 13", nil)
	}
	if err == nil {
		// The answer is written together with the first frame.
		greeting := bytes.Clone(c.Response().Header.Header())
		c.Context().HijackSetNoResponse(true)
		c.Context().Hijack(func(hijacked net.Conn) { s.welcome(hijacked, who, greeting) })
	}
	return err
}

// welcome serves a WebSocket from now on. It returns at once; Run waits for what it has started.
func (s *Server) welcome(hijacked net.Conn, who newcomer, greeting []byte) {
	ws, err := takeOver(hijacked)
	if err != nil { // the client is gone
		_ = hijacked.Close()
		return
	}
	s.work.Go(func() {
		defer ws.Close()
		s.serveSocket(ws, who, greeting)
	})
}

func (s *Server) serveSocket(ws *websocket.Conn, who newcomer, greeting []byte) {
	c := s.newConn(ws, who, greeting)
	defer c.end()
	if no := s.registry.Add(&c.member); no != nil {
		c.turnAway(no)
		return
	}
	defer s.registry.Remove(&c.member)
	c.serve()
}

// turnAway tells a client why it may not come in, and closes the connection.
func (c *conn) turnAway(no *presence.Refusal) {
	text := frame.Close(no.Code, no.Reason)
	if no.RetryIn > 0 {
		text = append(frame.New(wire.FrameError, "", wire.ErrorData{
			Code: schema.CodeRateLimited, Message: no.Reason, RetryIn: no.RetryIn, Errors: []schema.FieldError{},
		}), text...)
	}
	_ = c.net.SetWriteDeadline(time.Now().Add(lingerTimeout))
	_, _ = c.net.Write(slices.Concat(c.queue[0], text))
	c.linger()
}
