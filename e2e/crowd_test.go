package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fasthttp/websocket"
	"go.temporal.io/sdk/client"
	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/internal/testkit"
	"github.com/holdfast/holdfast/logs"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
)

// printer is a session whose only step prints numbered lines: it writes to the log as a
// worker does, without the program, so that thousands of lines a second leave the machine to
// those who read them.
type printer struct {
	session, run string
	lines        int64
}

// crowd is many viewers of many printers.
type crowd struct {
	t        *testing.T
	store    *store.Store
	printers []*printer
	viewers  []*follower
	ctx      context.Context //nolint:containedctx // of the printers
	halt     context.CancelFunc
	printing sync.WaitGroup
	watching sync.WaitGroup
	leave    chan struct{}
	retried  atomic.Int64 // appends that were sent again
	delays   delays
	close    func() // lets go of the database, and of everybody
}

func newCrowd(t *testing.T, s *stack, sessions int) *crowd {
	t.Helper()
	db, err := store.Open(t.Context(), s.postgres, store.Options{MaxConns: 8})
	if err != nil {
		t.Fatal(err)
	}
	temporal, err := client.DialContext(t.Context(), client.Options{HostPort: s.temporal, Logger: logs.Discard()})
	if err != nil {
		t.Fatal(err)
	}
	defer temporal.Close()
	c := &crowd{t: t, store: db, leave: make(chan struct{})}
	c.ctx, c.halt = context.WithCancel(context.WithoutCancel(t.Context()))
	c.close = sync.OnceFunc(func() {
		c.halt()
		c.printing.Wait()
		c.disperse()
		db.Close()
	})
	t.Cleanup(c.close)
	plan, errs := schema.ParsePlan([]byte(`{"steps":[{"id":"print","shell":"true"}]}`))
	if errs != nil {
		t.Fatal(errs)
	}
	for range sessions {
		c.printers = append(c.printers, c.newPrinter(temporal, plan))
	}
	return c
}

func (c *crowd) newPrinter(temporal client.Client, plan *schema.Plan) *printer {
	c.t.Helper()
	session, _, err := c.store.CreateSession(c.ctx, store.NewSession{ID: schema.NewID(), Name: "printer", Mode: schema.ModeRunbook, Owner: "local", Plan: plan})
	if err == nil {
		err = testkit.StandIn(c.ctx, temporal, schema.WorkflowID(session.ID))
	}
	if err == nil {
		err = c.store.MarkWorkflowStarted(c.ctx, session.ID)
	}
	p := &printer{session: session.ID, run: schema.RunID(session.ID, 1)}
	if err == nil {
		_, err = c.store.BeginRun(c.ctx, store.BeginRun{
			SessionID: p.session, RunID: p.run, Number: 1, Key: "1", Status: schema.SessionActive, Phase: schema.PhaseExecuting,
		})
	}
	if err == nil {
		_, err = c.store.BeginAttempt(c.ctx, store.BeginAttempt{
			SessionID: p.session, RunID: p.run, StepID: "print", Execution: "print/1", Host: "here", Command: []string{"true"},
		})
	}
	if err != nil {
		c.t.Fatal(err)
	}
	return p
}

// print has all printers together print so many lines a second, until the crowd is halted.
// What is due while one flush is under way comes with the next one, as in a worker.
func (c *crowd) print(perSecond int) {
	every := time.Duration(len(c.printers)) * time.Second / time.Duration(perSecond)
	for n, p := range c.printers {
		c.printing.Go(func() {
			time.Sleep(every * time.Duration(n) / time.Duration(len(c.printers)))
			began := time.Now()
			tick := time.NewTicker(every)
			defer tick.Stop()
			for {
				select {
				case <-c.ctx.Done():
					return
				case <-tick.C:
					c.append(p, min(int64(time.Since(began)/every)-p.lines, 100))
				}
			}
		})
	}
}

// append adds the next lines, each an event, again and again until they are in: also when
// they were, and only the answer was lost.
func (c *crowd) append(p *printer, lines int64) {
	flush := store.AppendOutput{SessionID: p.session, RunID: p.run, StepID: "print", Attempt: 1, From: p.lines, To: p.lines + lines}
	for n := p.lines; n < p.lines+lines; n++ {
		text := fmt.Sprintf("%d %d\n", n, time.Now().UnixNano())
		flush.Chunks = append(flush.Chunks, schema.OutputData{Stream: schema.Stdout, Text: text, Offset: n, Attempt: 1})
	}
	var err error
	if !testkit.Poll(patience, func() bool {
		if err = c.store.AppendOutput(context.WithoutCancel(c.ctx), flush); err != nil {
			c.retried.Add(1)
		}
		return err == nil
	}) {
		c.t.Errorf("line %d of %s cannot be written: %v", p.lines, p.session, err)
		return
	}
	p.lines += lines
}

// follower is a client that keeps CONTRACT's rules and next to nothing in memory: it counts.
type follower struct {
	session  string
	clientID string
	seq      atomic.Int64 // the latest
	lines    int64
	cuts     atomic.Int64
	live     atomic.Bool
	fault    atomic.Pointer[string]
	delays   *delays
}

// delays are how long lines took from their printer to their viewers, while it is asked.
type delays struct {
	asked atomic.Bool
	mu    sync.Mutex
	taken []time.Duration
}

func (d *delays) add(took time.Duration) {
	if d.asked.Load() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.taken = append(d.taken, took)
	}
}

// over measures for a while.
func (d *delays) over(while time.Duration) (p50, p99 time.Duration) {
	d.asked.Store(true)
	time.Sleep(while)
	d.asked.Store(false)
	d.mu.Lock()
	defer d.mu.Unlock()
	taken := d.taken
	d.taken = nil
	if len(taken) == 0 {
		return 0, 0
	}
	slices.Sort(taken)
	return taken[len(taken)/2], taken[len(taken)*99/100]
}

// gather adds viewers, who follow the printers in turn, through addr.
func (c *crowd) gather(many int, addr string) {
	for n := range many {
		f := &follower{delays: &c.delays, session: c.printers[n%len(c.printers)].session, clientID: fmt.Sprintf("v-%d-%s", len(c.viewers), c.printers[0].session[:8])}
		c.viewers = append(c.viewers, f)
		c.watching.Go(func() { f.follow(addr, c.leave) })
	}
}

// disperse ends the viewers.
func (c *crowd) disperse() {
	select {
	case <-c.leave:
	default:
		close(c.leave)
	}
	c.watching.Wait()
}

func (f *follower) follow(addr string, leave <-chan struct{}) {
	for tries := 0; ; tries++ {
		lived := f.connection(addr, leave)
		f.live.Store(false)
		if lived {
			tries = 0
		}
		select {
		case <-leave:
			return
		case <-time.After(time.Duration(rand.Int64N(int64(50*time.Millisecond) << min(tries, 5)))):
		}
	}
}

// connection follows until it is cut, and says whether it got anything.
func (f *follower) connection(addr string, leave <-chan struct{}) (lived bool) {
	d := websocket.Dialer{HandshakeTimeout: 10 * time.Second, ReadBufferSize: 1024, WriteBufferSize: 256}
	c, _, err := d.Dial("ws://"+addr+"/ws?client_id="+f.clientID, nil)
	if err != nil {
		return false
	}
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		select {
		case <-leave:
		case <-ended:
		}
		_ = c.Close()
	}()
	if c.WriteJSON(obj{"type": "subscribe", "session_id": f.session, "since": f.seq.Load()}) != nil {
		return false
	}
	for {
		_, frame, err := c.ReadMessage()
		if err != nil {
			select {
			case <-leave:
			default:
				f.cuts.Add(1)
			}
			return lived
		}
		var e event
		if err := json.Unmarshal(frame, &e); err != nil {
			f.failf("a frame is not JSON: %q", frame)
			return false
		}
		switch {
		case e.Type == "error": // Postgres was away when it subscribed
			return false
		case e.Type == "subscribed":
			f.live.Store(true)
		case e.Seq > 0:
			f.take(&e)
			lived = true
		}
	}
}

func (f *follower) take(e *event) {
	if last := f.seq.Load(); e.Seq != last+1 || e.SessionID != f.session {
		f.failf("event %d of %s came after %d of %s", e.Seq, e.SessionID, last, f.session)
	}
	f.seq.Store(e.Seq)
	if e.Type != "output" {
		return
	}
	var o struct {
		Text string `json:"text"`
	}
	var line, printed int64
	if err := json.Unmarshal(e.Data, &o); err == nil {
		_, err = fmt.Sscanf(o.Text, "%d %d\n", &line, &printed)
		if err != nil || line != f.lines {
			f.failf("line %d of %s is %q", f.lines, f.session, o.Text)
		}
	}
	f.lines++
	f.delays.add(time.Since(time.Unix(0, printed)))
}

func (f *follower) failf(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	f.fault.CompareAndSwap(nil, &text)
}

func (c *crowd) await(what string, ok func(f *follower) bool) {
	c.t.Helper()
	testkit.Within(c.t, patience, what, func() string {
		waiting := 0
		for _, f := range c.viewers {
			if fault := f.fault.Load(); fault != nil {
				c.t.Fatal(*fault)
			}
			if !ok(f) {
				waiting++
			}
		}
		if waiting > 0 {
			return fmt.Sprintf("%d of %d viewers are not", waiting, len(c.viewers))
		}
		return ""
	})
}

func (c *crowd) awaitLive() {
	c.t.Helper()
	c.await("subscribed", func(f *follower) bool { return f.live.Load() })
}

// finish stops the printers and waits until every viewer has seen every event once, in
// order. It returns what was delivered.
func (c *crowd) finish() (delivered, cuts int64) {
	c.t.Helper()
	c.halt()
	c.printing.Wait()
	heads := map[string]int64{}
	for _, p := range c.printers {
		head, err := c.store.HeadSeq(c.t.Context(), p.session)
		if err != nil {
			c.t.Fatal(err)
		}
		heads[p.session] = head
	}
	began := time.Now()
	c.await("at the head of its log", func(f *follower) bool { return f.seq.Load() >= heads[f.session] })
	caughtUp := time.Since(began)
	c.disperse()
	var lines int64
	for _, p := range c.printers {
		lines += p.lines
	}
	for _, f := range c.viewers {
		if i := slices.IndexFunc(c.printers, func(p *printer) bool { return p.session == f.session }); f.seq.Load() != heads[f.session] || f.lines != c.printers[i].lines {
			c.t.Errorf("a viewer has %d lines up to %d; there are %d up to %d", f.lines, f.seq.Load(), c.printers[i].lines, heads[f.session])
		}
		delivered += f.seq.Load()
		cuts += f.cuts.Load()
	}
	c.t.Logf("%d viewers of %d sessions saw %d events of %d lines, each once and in order; %d cuts, %d appends sent again; the last one was there after %s",
		len(c.viewers), len(c.printers), delivered, lines, cuts, c.retried.Load(), caughtUp.Round(time.Millisecond))
	return delivered, cuts
}

// openSocket opens a WebSocket by hand, to do with it what no library would.
func openSocket(addr string) (*net.TCPConn, error) {
	c, err := net.DialTimeout("tcp", addr, 10*time.Second)
	if err != nil {
		return nil, err
	}
	_, err = fmt.Fprintf(c, "GET /ws HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", addr)
	if err == nil {
		err = c.SetReadDeadline(time.Now().Add(patience))
	}
	var head strings.Builder
	for one := make([]byte, 1); err == nil && !strings.HasSuffix(head.String(), "\r\n\r\n"); {
		if _, err = c.Read(one); err == nil {
			head.Write(one)
		}
	}
	tcp, ok := c.(*net.TCPConn)
	if err != nil || !ok || !strings.HasPrefix(head.String(), "HTTP/1.1 101 ") {
		_ = c.Close()
		return nil, fmt.Errorf("no WebSocket: %q, %w", head.String(), err)
	}
	return tcp, nil
}

func rawSocket(t *testing.T, addr string) *net.TCPConn {
	t.Helper()
	c, err := openSocket(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// vanish ends a connection without a word to the other side, as a machine does that loses its
// power: what the other side sends next is answered by a reset. Where the kernel does not
// let us, the connection stays, and is silent.
func vanish(c *net.TCPConn) {
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	silent := false
	_ = raw.Control(func(fd uintptr) {
		silent = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_REPAIR, 1) == nil
	})
	if silent {
		_ = c.Close()
	}
}

// clientFrame is a masked frame, with a mask of zeros.
func clientFrame(opcode byte, payload string) []byte {
	b := []byte{0x80 | opcode}
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	default:
		b = append(b, 0x80|126, byte(n>>8), byte(n))
	}
	return append(append(b, 0, 0, 0, 0), payload...)
}
