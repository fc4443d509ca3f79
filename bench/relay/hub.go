package main

import (
	"encoding/json"
	"net"
	"slices"
	"sync"

	"github.com/fasthttp/websocket"
)

type relay struct {
	coalesce bool

	mu     sync.Mutex
	topics map[string]*topic
}

// topic has the subscribers of one topic.
type topic struct {
	mu      sync.RWMutex
	clients []*client

	queue   sync.Mutex
	waiting []byte // frames not written yet, when frames are joined
	writing bool
}

func (r *relay) topic(name string) *topic {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.topics[name]
	if t == nil {
		t = &topic{}
		r.topics[name] = t
	}
	return t
}

// client is one connection.
type client struct {
	mu   sync.Mutex
	ws   *websocket.Conn
	gone bool
}

var subscribed = []byte(`{"event_type":"subscribed","data":{}}`)

// serve reads a client's frames until it goes away.
func (r *relay) serve(ws *websocket.Conn) {
	c := &client{ws: ws}
	var own *topic
	for {
		_, text, err := ws.ReadMessage()
		if err != nil {
			break
		}
		var frame struct {
			Type      string `json:"type"`
			SessionID string `json:"session_id"`
		}
		if json.Unmarshal(text, &frame) != nil || frame.Type != "subscribe" || own != nil {
			break
		}
		own = r.topic(frame.SessionID)
		own.mu.Lock()
		own.clients = append(own.clients, c)
		own.mu.Unlock()
		c.mu.Lock()
		_ = ws.WriteMessage(websocket.TextMessage, subscribed) // reading from it will show if the client is gone
		c.mu.Unlock()
	}
	if own != nil {
		own.mu.Lock()
		own.clients = slices.DeleteFunc(own.clients, func(other *client) bool { return other == c })
		own.mu.Unlock()
	}
}

// publish forwards what it reads. It makes each frame once for all.
func (r *relay) publish(ws *websocket.Conn, to string) {
	t := r.topic(to)
	for {
		_, text, err := ws.ReadMessage()
		if err != nil {
			return
		}
		if r.coalesce {
			t.join(text)
			continue
		}
		frame, err := websocket.NewPreparedMessage(websocket.TextMessage, text)
		if err != nil {
			return
		}
		t.each(func(c *client) { c.write(frame) })
	}
}

// writers is how many goroutines write one message to the clients of a topic.
const writers = 2

func (t *topic) each(do func(c *client)) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	var all sync.WaitGroup
	for part := range slices.Chunk(t.clients, max(1, (len(t.clients)+writers-1)/writers)) {
		all.Go(func() {
			for _, c := range part {
				do(c)
			}
		})
	}
	all.Wait()
}

func (c *client) write(frame *websocket.PreparedMessage) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.gone && c.ws.WritePreparedMessage(frame) != nil {
		c.gone = true
	}
}

// join adds a message to the waiting ones. While there are any, a goroutine writes all of
// them at once to each client.
func (t *topic) join(text []byte) {
	t.queue.Lock()
	defer t.queue.Unlock()
	t.waiting = appendFrame(t.waiting, text)
	if !t.writing {
		t.writing = true
		go t.drain()
	}
}

func (t *topic) drain() {
	for {
		t.queue.Lock()
		batch := t.waiting
		t.waiting = nil
		t.writing = len(batch) > 0
		t.queue.Unlock()
		if len(batch) == 0 {
			return
		}
		t.each(func(c *client) { c.send(batch) })
	}
}

// send bypasses the library, which would write frames one by one.
func (c *client) send(frames []byte) {
	under := c.ws.NetConn()
	if hijacked, ok := under.(interface{ UnsafeConn() net.Conn }); ok {
		under = hijacked.UnsafeConn()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone {
		return
	}
	if _, err := under.Write(frames); err != nil {
		c.gone = true
	}
}

// appendFrame adds a text frame (RFC 6455, section 5.2) of up to 64 KiB.
func appendFrame(dst, text []byte) []byte {
	const fin, twoBytes, short = 0x81, 126, 125
	if len(text) <= short {
		dst = append(dst, fin, byte(len(text)))
	} else {
		dst = append(dst, fin, twoBytes, byte(len(text)>>8), byte(len(text)))
	}
	return append(dst, text...)
}
