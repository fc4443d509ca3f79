// Command relay is the reference for the benchmark's delivery rows: the least that can be built from the same parts,
// Fiber and the WebSocket library that its contrib/websocket wraps. It keeps topics in memory and forwards what is
// published, with no log, users or limits, and does not care what a client missed. It prints its address and ends when
// its standard input does.
//
//	/ws            {"type":"subscribe","session_id":"…"} subscribes, and is answered
//	/publish?to=…  every message goes to all subscribers of a topic
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"

	"github.com/fasthttp/websocket"
	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"
)

func main() {
	coalesce := flag.Bool("coalesce", false, "join the frames that wait for a client into one write, in place of a write for each")
	flag.Parse()
	if err := run(*coalesce); err != nil {
		fmt.Fprintln(os.Stderr, "relay:", err)
		os.Exit(1)
	}
}

func run(coalesce bool) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it binds at once, without waiting
	if err != nil {
		return err
	}
	r := &relay{topics: map[string]*topic{}, coalesce: coalesce}
	app := fiber.New(fiber.Config{DisableStartupMessage: true})
	app.Get("/ws", upgrade(func(ws *websocket.Conn, _ string) { r.serve(ws) }))
	app.Get("/publish", upgrade(func(ws *websocket.Conn, to string) { r.publish(ws, to) }))
	served := make(chan error, 1)
	go func() { served <- app.Listener(listener) }()
	fmt.Println(listener.Addr())
	_, _ = io.Copy(io.Discard, os.Stdin) // any end will do
	return errors.Join(listener.Close(), <-served)
}

// upgrader has contrib/websocket's default buffers.
var upgrader = websocket.FastHTTPUpgrader{ReadBufferSize: 1024, WriteBufferSize: 1024, CheckOrigin: func(*fasthttp.RequestCtx) bool { return true }}

func upgrade(serve func(ws *websocket.Conn, to string)) fiber.Handler {
	return func(c *fiber.Ctx) error {
		if !websocket.FastHTTPIsWebSocketUpgrade(c.Context()) {
			return c.SendStatus(http.StatusUpgradeRequired)
		}
		to := string(c.Request().URI().QueryArgs().Peek("to"))
		return upgrader.Upgrade(c.Context(), func(ws *websocket.Conn) { serve(ws, to) })
	}
}
