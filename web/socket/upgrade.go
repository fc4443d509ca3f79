package socket

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // what the protocol asks for; nothing is kept secret by it
	"encoding/base64"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/wire"
	"github.com/holdfast/holdfast/web/caller"
	"github.com/holdfast/holdfast/web/frame"
	"github.com/holdfast/holdfast/web/presence"
	"github.com/holdfast/holdfast/web/problem"
)

// newcomer is a client that opens a WebSocket.
type newcomer struct {
	at       time.Time // of two connections with the same client_id the later one stays
	clientID string
	user     string
	address  string
}

const (
	protocolVersion = "13"
	keyBytes        = 16

	// protocolID is appended to a handshake's key before it is hashed (RFC 6455, section 1.3).
	protocolID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
)

// Upgrade answers a WebSocket handshake (RFC 6455, section 4.2) and serves the connection from then on. The Origin
// has been checked already.
func (s *Service) Upgrade(c *fiber.Ctx) error {
	ctx := c.UserContext()
	if !hasToken(c, fiber.HeaderUpgrade, "websocket") || !hasToken(c, fiber.HeaderConnection, "upgrade") {
		p := problem.New(ctx, http.StatusUpgradeRequired, schema.CodeInvalid, "this address accepts WebSocket handshakes only", nil)
		p.Headers = http.Header{fiber.HeaderUpgrade: {"websocket"}}
		return p
	}
	who := newcomer{at: time.Now(), user: caller.User(ctx), address: c.IP()}
	var wrong []schema.FieldError
	for name, value := range c.Queries() {
		switch {
		case name != "client_id":
			wrong = append(wrong, schema.FieldError{Location: "query." + name, Message: problem.NoParameter, Value: schema.Brief(value)})
		case value != "" && !caller.Printable(value, wire.MaxClientID):
			wrong = append(wrong, schema.FieldError{Location: "query.client_id", Message: "this must be 1 to 64 printable characters", Value: schema.Brief(value)})
		default:
			who.clientID = value
		}
	}
	if len(wrong) > 0 {
		return schema.Invalid(wrong)
	}
	key := c.Get(fiber.HeaderSecWebSocketKey)
	if nonce, err := base64.StdEncoding.DecodeString(key); err != nil || len(nonce) != keyBytes ||
		c.Method() != http.MethodGet || c.Get(fiber.HeaderSecWebSocketVersion) != protocolVersion {
		p := problem.New(ctx, http.StatusBadRequest, schema.CodeInvalid, "this is not a WebSocket handshake of version 13", nil)
		p.Headers = http.Header{fiber.HeaderSecWebSocketVersion: {protocolVersion}}
		return p
	}
	c.Status(http.StatusSwitchingProtocols)
	c.Set(fiber.HeaderUpgrade, "websocket")
	c.Set(fiber.HeaderConnection, "Upgrade")
	c.Set(fiber.HeaderSecWebSocketAccept, accept(key))
	// The answer is written together with the first frame.
	greeting := bytes.Clone(c.Response().Header.Header())
	c.Context().HijackSetNoResponse(true)
	c.Context().Hijack(func(hijacked net.Conn) { s.welcome(hijacked, who, greeting) })
	return nil
}

// hasToken reports whether a header lists a token, in any case.
func hasToken(c *fiber.Ctx, name, token string) bool {
	for _, line := range c.Request().Header.PeekAll(name) {
		for part := range strings.SplitSeq(string(line), ",") {
			if strings.EqualFold(strings.TrimSpace(part), token) {
				return true
			}
		}
	}
	return false
}

// accept shows the client that its key was read by a server that speaks WebSocket.
func accept(key string) string {
	sum := sha1.Sum([]byte(key + protocolID)) //nolint:gosec // as above
	return base64.StdEncoding.EncodeToString(sum[:])
}

// welcome serves a connection, in a goroutine of Options.Work.
func (s *Service) welcome(hijacked net.Conn, who newcomer, greeting []byte) {
	raw, unread, err := release(hijacked)
	if err != nil { // the client is gone
		_ = hijacked.Close()
		return
	}
	s.Work.Go(func() {
		defer raw.Close()
		s.serve(raw, unread, who, greeting)
	})
}

func (s *Service) serve(raw net.Conn, unread []byte, who newcomer, greeting []byte) {
	c := s.newConn(raw, unread, who, greeting)
	defer c.end()
	s.pool.do(c.greet)
	if no := s.Registry.Add(&c.member); no != nil {
		c.turnAway(no)
		return
	}
	defer s.Registry.Remove(&c.member)
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
