package web

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/fasthttp/websocket"
	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"github.com/holdfast/holdfast/schema"
)

// caller is who opens a WebSocket.
type caller struct {
	clientID string
	user     string
	address  string
}

const maxClientID = 64

// upgrader makes WebSockets. The library's own origin check is off: guardOrigin has done
// it. Its write buffers are borrowed, and hardly used: see conn.write.
var upgrader = websocket.FastHTTPUpgrader{
	ReadBufferSize:  frameReadBuffer,
	WriteBufferSize: frameReadBuffer,
	WriteBufferPool: &sync.Pool{},
	CheckOrigin:     func(*fasthttp.RequestCtx) bool { return true },
	Error:           func(*fasthttp.RequestCtx, int, error) {}, // upgrade answers with a problem
}

func (s *Server) upgrade(c *fiber.Ctx) error {
	ctx := c.UserContext()
	if !websocket.FastHTTPIsWebSocketUpgrade(c.Context()) {
		p := newProblem(ctx, http.StatusUpgradeRequired, schema.CodeInvalid, "this address speaks WebSocket", nil)
		p.headers = http.Header{fiber.HeaderUpgrade: {"websocket"}}
		return p
	}
	who := caller{user: userOf(ctx), address: c.IP()}
	var wrong []schema.FieldError
	for name, value := range c.Queries() {
		switch {
		case name != "client_id":
			wrong = append(wrong, schema.FieldError{Location: "query." + name, Message: noParameter, Value: brief(value)})
		case value != "" && !printable(value, maxClientID):
			wrong = append(wrong, schema.FieldError{Location: "query.client_id", Message: "this must be 1 to 64 printable characters", Value: brief(value)})
		default:
			who.clientID = value
		}
	}
	if len(wrong) > 0 {
		return invalid(wrong)
	}
	err := upgrader.Upgrade(c.Context(), func(ws *websocket.Conn) { s.serveSocket(ws, who) })
	if _, bad := errors.AsType[websocket.HandshakeError](err); bad {
		return newProblem(ctx, http.StatusBadRequest, schema.CodeInvalid, "this is not a WebSocket handshake of version 13", nil)
	}
	return err //nolint:wrapcheck // a fault of ours
}

func (s *Server) serveSocket(ws *websocket.Conn, who caller) {
	c := s.newConn(ws, who)
	defer c.end()
	if code, reason := s.registry.add(c); code != 0 {
		_ = c.net.SetWriteDeadline(time.Now().Add(lingerTimeout))
		_, _ = c.net.Write(closeFrame(code, reason))
		c.linger()
		return
	}
	defer s.registry.remove(c)
	c.serve()
}

// query relays a query to a session's workflow.
func (s *Server) query(ctx context.Context, sessionID, name string) ([]byte, error) {
	if _, err := s.store.HeadSeq(ctx, sessionID); err != nil {
		return nil, err //nolint:wrapcheck // a schema.Error
	}
	answer, err := s.control.query(ctx, sessionID, name)
	return answer, s.noWorkflow(ctx, sessionID, err)
}
