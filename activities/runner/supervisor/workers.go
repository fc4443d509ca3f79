//go:build unix

package supervisor

import (
	"bufio"
	"bytes"
	"crypto/subtle"
	"encoding/json"
	"io"
	"net"
	"sync"
	"time"
)

// workers manages the connection to the worker: one worker at a time, the newest.
type workers struct {
	s        *supervisor
	timeout  time.Duration // without a worker
	orphaned chan struct{}
	listener net.Listener

	mu      sync.Mutex
	current *link // nil while there is none
	timer   *time.Timer
	waiting string  // what output waits for
	exit    *Report // set when the program has ended, until that is written down
}

func newWorkers(s *supervisor, first net.Conn, timeout time.Duration) *workers {
	w := &workers{s: s, timeout: timeout, orphaned: make(chan struct{}, 1)}
	w.attach(first, bufio.NewReader(first))
	go w.announce()
	return w
}

// listen accepts later workers on a socket in the current folder.
func (w *workers) listen() error {
	var err error
	if w.listener, err = net.Listen("unix", controlFile); err != nil { //nolint:noctx // it lasts as long as the process
		return err
	}
	go func() {
		for {
			conn, err := w.listener.Accept()
			if err != nil {
				return
			}
			go w.admit(conn)
		}
	}()
	return nil
}

// admit accepts a connection as the worker's if it presents the attempt's secret, and no step holds
// its other end.
func (w *workers) admit(conn net.Conn) {
	const patience = 5 * time.Second
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	in := bufio.NewReaderSize(io.LimitReader(conn, maxAttachBytes), maxAttachBytes)
	line, err := in.ReadBytes('\n')
	var o Order
	if err != nil || json.Unmarshal(line, &o) != nil || o.Do != DoAttach || FromStep(conn) ||
		subtle.ConstantTimeCompare([]byte(o.Secret), []byte(w.s.spec.Secret)) == 0 {
		_ = conn.Close()
		return
	}
	_ = conn.SetReadDeadline(time.Time{})
	early, _ := in.Peek(in.Buffered()) // what came with the attach order
	w.attach(conn, bufio.NewReader(io.MultiReader(bytes.NewReader(bytes.Clone(early)), conn)))
}

// maxAttachBytes limits what is read from a connection that may not be a worker.
const maxAttachBytes = 4 << 10

// attach makes a connection the worker's.
func (w *workers) attach(conn net.Conn, in *bufio.Reader) {
	l := newLink(conn)
	w.mu.Lock()
	if w.current != nil {
		w.current.close()
	}
	w.current = l
	w.cancelOrphaned()
	l.send(Report{Is: IsHello, End: w.s.spool.End()})
	if w.waiting != "" {
		l.send(Report{Is: IsWaiting, Why: w.waiting})
	}
	if w.exit != nil {
		l.send(*w.exit)
	}
	w.mu.Unlock()
	for _, a := range w.s.asks.open() { // a question asked just now may be sent twice
		l.send(Report{Is: IsAsk, Ask: &a})
	}
	go l.write()
	go w.read(l, in)
}

func (w *workers) read(l *link, in *bufio.Reader) {
	for {
		line, err := in.ReadBytes('\n')
		var o Order
		if err != nil || json.Unmarshal(line, &o) != nil {
			break
		}
		switch {
		case o.Do == DoConsumed:
			w.s.spool.Consumed(o.Offset)
		case o.Do == DoAnswer && o.Answer != nil:
			w.s.asks.answer(*o.Answer)
		default:
			w.s.orders <- o
		}
	}
	w.detached(l)
}

// detached handles a worker's disconnection: the next one has some time to come.
func (w *workers) detached(l *link) {
	l.close()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.current != l {
		return
	}
	w.current = nil
	w.timer = time.AfterFunc(w.timeout, w.orphanTimeout)
}

// orphanTimeout reports that no worker came in time, unless one has just come.
func (w *workers) orphanTimeout() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.current != nil {
		return
	}
	select {
	case w.orphaned <- struct{}{}:
	default: // already reported
	}
}

// cancelOrphaned cancels the report that no worker came, if nobody has received it yet. The caller holds mu.
func (w *workers) cancelOrphaned() {
	if w.timer != nil {
		w.timer.Stop()
	}
	select {
	case <-w.orphaned:
	default:
	}
}

// send sends a report to the worker, if there is one; the next worker learns it from hello.
func (w *workers) send(r Report) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.current != nil {
		w.current.send(r)
	}
}

// setWaiting tells this worker and every later one what output waits for; "" when it goes on.
func (w *workers) setWaiting(why string) {
	w.mu.Lock()
	w.waiting = why
	w.mu.Unlock()
	w.send(Report{Is: IsWaiting, Why: why})
}

// sendExit tells this worker and every later one how the program ended.
func (w *workers) sendExit(r Report) {
	w.mu.Lock()
	w.exit = &r
	w.mu.Unlock()
	w.send(r)
}

// announce reports how much is in the spool whenever it grows.
func (w *workers) announce() {
	end := int64(0)
	for open := true; open; {
		end, open = w.s.spool.AwaitMore(end)
		w.send(Report{Is: IsOutput, End: end})
	}
}

// close sends the last report, and waits until it is sent.
func (w *workers) close(r Report) {
	if w.listener != nil {
		_ = w.listener.Close()
	}
	w.mu.Lock()
	l := w.current
	w.mu.Unlock()
	if l == nil {
		return
	}
	l.send(r)
	const patience = 2 * time.Second
	_ = l.conn.SetWriteDeadline(time.Now().Add(patience)) // the file says the same
	l.finish()
	<-l.written
}

// link is a connection to a worker. It writes reports in order; of the reports on output, use and
// waiting, only the newest of each.
type link struct {
	conn    net.Conn
	written chan struct{} // closed when writing has ended

	mu      sync.Mutex
	changed *sync.Cond
	queue   []Report
	end     *Report
	stats   *Report
	waiting *Report
	ending  bool
	closed  bool
}

func newLink(conn net.Conn) *link {
	l := &link{conn: conn, written: make(chan struct{})}
	l.changed = sync.NewCond(&l.mu)
	return l
}

func (l *link) send(r Report) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch r.Is {
	case IsOutput:
		l.end = &r
	case IsStats:
		l.stats = &r
	case IsWaiting:
		l.waiting = &r
	default:
		l.queue = append(l.queue, r)
	}
	l.changed.Broadcast()
}

func (l *link) close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.changed.Broadcast()
	_ = l.conn.Close()
}

// finish ends the writing once everything is written.
func (l *link) finish() {
	l.mu.Lock()
	l.ending = true
	l.mu.Unlock()
	l.changed.Broadcast()
}

func (l *link) write() {
	defer close(l.written)
	to := json.NewEncoder(l.conn)
	for {
		l.mu.Lock()
		for len(l.queue) == 0 && l.end == nil && l.stats == nil && l.waiting == nil && !l.ending && !l.closed {
			l.changed.Wait()
		}
		batch := l.queue
		for _, r := range []*Report{l.end, l.stats, l.waiting} {
			if r != nil {
				batch = append([]Report{*r}, batch...) // before an exit, which says the same
			}
		}
		done := l.closed || (l.ending && len(batch) == 0)
		l.queue, l.end, l.stats, l.waiting = nil, nil, nil, nil
		l.mu.Unlock()
		if done {
			return
		}
		for i := range batch {
			if to.Encode(&batch[i]) != nil { //nolint:errchkjson // its values are numbers: what fails is the connection
				_ = l.conn.Close() // the reader handles the rest
				return
			}
		}
	}
}
