package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/fasthttp/websocket"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.temporal.io/sdk/client"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
	"github.com/holdfast/holdfast/schema/wire"
)

// world is a running product with clients for the product, its Temporal, and its database,
// which shows how far it has come.
type world struct {
	options

	dir      string
	cmd      *exec.Cmd
	web      string
	http     *http.Client
	temporal client.Client
	db       *pgxpool.Pool
	store    *store.Store
}

// callers is how many clients make requests at the same time.
const callers = 32

// maxConnections is more than any row opens.
const maxConnections = 50_000

func start(ctx context.Context, o options) (*world, error) {
	dir, err := os.MkdirTemp("", "holdfast-bench-")
	if err != nil {
		return nil, err
	}
	w := &world{options: o, dir: dir, http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 2 * callers}}}
	w.cmd = exec.CommandContext(ctx, o.bin, "up", "--addr", "127.0.0.1:0", "--data-dir", dir)
	w.cmd.Cancel = func() error { return w.cmd.Process.Signal(syscall.SIGTERM) }
	w.cmd.Env = append(os.Environ(), "HOLDFAST_LOG_LEVEL=warn", "HOLDFAST_STEPS_ON_STOP=end", "HOLDFAST_MAX_CONNECTIONS="+strconv.Itoa(maxConnections))
	w.cmd.Stderr = os.Stderr
	out, err := w.cmd.StdoutPipe()
	if err == nil {
		err = w.cmd.Start()
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if err := w.connect(ctx, out); err != nil {
		w.stop()
		return nil, fmt.Errorf("the product did not start: %w", err)
	}
	return w, nil
}

// connect reads the addresses from the line that the product prints.
func (w *world) connect(ctx context.Context, out io.Reader) error {
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return err
	}
	at := map[string]string{}
	for word := range strings.FieldsSeq(line) {
		if name, value, ok := strings.Cut(word, "="); ok {
			at[name] = value
		}
	}
	w.web = at["web"]
	if w.temporal, err = client.DialContext(ctx, client.Options{HostPort: at["temporal"], Logger: quiet()}); err != nil {
		return err
	}
	password, err := os.ReadFile(filepath.Join(w.dir, "postgres", "password"))
	if err != nil {
		return err
	}
	database := url.URL{
		Scheme: "postgres", User: url.UserPassword("holdfast", strings.TrimSpace(string(password))), Host: at["postgres"],
		Path: "/holdfast", RawQuery: "sslmode=disable",
	}
	if w.db, err = pgxpool.New(ctx, database.String()); err != nil {
		return err
	}
	w.store, err = store.Open(ctx, database.String(), store.Options{})
	return err
}

// stop ends the product and removes what it left. It may be called if the world never started.
func (w *world) stop() {
	if w == nil {
		return
	}
	if w.temporal != nil {
		w.temporal.Close()
	}
	if w.db != nil {
		w.db.Close()
	}
	if w.store != nil {
		w.store.Close()
	}
	w.http.CloseIdleConnections()
	_ = w.cmd.Process.Signal(syscall.SIGTERM)
	_ = w.cmd.Wait()
	_ = os.RemoveAll(w.dir)
}

// replace turns this world into a fresh one and stops the old one.
func (w *world) replace(fresh *world) {
	old := *w
	*w = *fresh
	old.stop()
}

// pid is the current pid of a part of the product, such as worker.
func (w *world) pid(part string) (int, error) {
	var up struct {
		Children []struct {
			Name string `json:"name"`
			PID  int    `json:"pid"`
		} `json:"children"`
	}
	b, err := os.ReadFile(filepath.Join(w.dir, "up.json"))
	if err == nil {
		err = json.Unmarshal(b, &up)
	}
	if err != nil {
		return 0, err
	}
	for _, c := range up.Children {
		if c.Name == part {
			return c.PID, nil
		}
	}
	return 0, fmt.Errorf("up has no %s", part)
}

func (w *world) call(ctx context.Context, method, path string, body, into any) error {
	req, err := http.NewRequestWithContext(ctx, method, w.web+path, bytes.NewReader(schema.Marshal(body)))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := w.http.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode >= http.StatusMultipleChoices {
		return fmt.Errorf("%s %s: %d %s", method, path, res.StatusCode, b)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(b, into)
}

type obj = map[string]any

// session starts a session of one step.
func (w *world) session(ctx context.Context, step obj) (string, error) {
	step["id"] = "s"
	return w.create(ctx, obj{"steps": []obj{step}}, obj{})
}

func (w *world) create(ctx context.Context, plan, config obj) (string, error) {
	var s schema.Session
	err := w.call(ctx, http.MethodPost, "/api/sessions", obj{"mode": "runbook", "plan": plan, "config": config}, &s)
	return s.ID, err
}

func (w *world) approve(ctx context.Context, approvalID string) error {
	return w.call(ctx, http.MethodPost, "/api/approvals/"+approvalID+"/resolve", obj{"resolution": "approved"}, nil)
}

// stream is a viewer of one session. Close it.
type stream struct {
	conn *websocket.Conn
	stop func() bool
}

// subscribe returns once the viewer is subscribed, starting with the first event.
func (w *world) subscribe(ctx context.Context, id string) (*stream, error) {
	c, _, err := websocket.DefaultDialer.DialContext(ctx, "ws"+strings.TrimPrefix(w.web, "http")+"/ws", nil) //nolint:bodyclose // a WebSocket's answer has none
	if err != nil {
		return nil, err
	}
	s := &stream{conn: c, stop: context.AfterFunc(ctx, func() { _ = c.Close() })}
	if err := c.WriteJSON(obj{"type": "subscribe", "session_id": id, "since": 0}); err != nil {
		s.close()
		return nil, err
	}
	for {
		e, err := s.next()
		if err != nil {
			s.close()
			return nil, err
		}
		if e.Type == wire.FrameSubscribed {
			return s, nil
		}
	}
}

func (s *stream) close() {
	s.stop()
	_ = s.conn.Close()
}

func (s *stream) next() (*schema.Event, error) {
	_, b, err := s.conn.ReadMessage()
	if err != nil {
		return nil, err
	}
	e := &schema.Event{}
	if err := json.Unmarshal(b, e); err != nil {
		return nil, err
	}
	if e.Type == wire.FrameError {
		return nil, fmt.Errorf("the stream says %s", e.Data)
	}
	return e, nil
}

// until reads up to an event of this type. It fails if the run ends without one.
func (s *stream) until(t schema.EventType) error {
	for {
		e, err := s.next()
		if err != nil || e.Type == t {
			return err
		}
		if e.Type == schema.EventWorkflowFailed || e.Type == schema.EventWorkflowCompleted {
			return fmt.Errorf("%s before %s: %s", e.Type, t, e.Data)
		}
	}
}

// follow passes every event of a session to see, until see says it is enough.
func (w *world) follow(ctx context.Context, id string, see func(e *schema.Event) (enough bool)) error {
	s, err := w.subscribe(ctx, id)
	if err != nil {
		return err
	}
	defer s.close()
	for {
		e, err := s.next()
		if err != nil {
			return err
		}
		if e.Seq > 0 && see(e) {
			return nil
		}
	}
}

// printed follows a session to its end and counts the lines it prints. It looks at frames as
// bytes, since a viewer that parses each one is slower than what it measures. A line break is
// the two characters \n in JSON, so the lines must not contain backslashes.
func (w *world) printed(ctx context.Context, id string) (lines int, err error) {
	s, err := w.subscribe(ctx, id)
	if err != nil {
		return 0, err
	}
	defer s.close()
	var frame bytes.Buffer
	for seq := int64(1); ; {
		_, r, err := s.conn.NextReader()
		if err != nil {
			return lines, err
		}
		frame.Reset()
		if _, err := frame.ReadFrom(r); err != nil {
			return lines, err
		}
		var kind string
		rest, _ := bytes.CutPrefix(frame.Bytes(), []byte(`{"event_type":"`))
		if i := bytes.IndexByte(rest, '"'); i >= 0 {
			kind, rest = string(rest[:i]), rest[i:]
		}
		rest, stored := bytes.CutPrefix(rest, []byte(`","seq":`))
		if !stored {
			continue
		}
		if want := strconv.AppendInt(nil, seq, 10); !bytes.HasPrefix(rest, append(want, ',')) {
			return lines, fmt.Errorf("event %d is %.80s", seq, frame.Bytes())
		}
		seq++
		switch schema.EventType(kind) {
		case schema.EventOutput:
			lines += bytes.Count(rest, []byte(`\n`))
		case schema.EventWorkflowCompleted:
			return lines, nil
		case schema.EventWorkflowFailed:
			return lines, fmt.Errorf("the run failed: %s", rest)
		default:
		}
	}
}

// untilType follows until an event of this type.
func (w *world) untilType(ctx context.Context, id string, t schema.EventType) error {
	s, err := w.subscribe(ctx, id)
	if err != nil {
		return err
	}
	defer s.close()
	return s.until(t)
}

// pending returns when so many approvals of a type wait for an answer: then their sessions
// are quiet.
func (w *world) pending(ctx context.Context, kind schema.ApprovalType, many int) error {
	return poll(ctx, func(ctx context.Context) (bool, error) {
		var n int
		err := w.db.QueryRow(ctx, `SELECT count(*) FROM approval_requests WHERE status = 'pending' AND approval_type = $1`, string(kind)).Scan(&n)
		return n >= many, err
	})
}

// poll asks until the answer is yes, for ten minutes at most.
func poll(ctx context.Context, done func(ctx context.Context) (bool, error)) error {
	const every, patience = 20 * time.Millisecond, 10 * time.Minute
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		ok, err := done(ctx)
		if err != nil || ok {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// together calls work many times, with 0, 1, 2, …, from all callers at once, and returns how
// many calls were done in a second. The first error ends it.
func together(ctx context.Context, many int, work func(ctx context.Context, i int) error) (rate float64, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		next atomic.Int64
		all  sync.WaitGroup
	)
	began := time.Now()
	for range callers {
		all.Go(func() {
			for i := next.Add(1) - 1; i < int64(many) && ctx.Err() == nil; i = next.Add(1) - 1 {
				if err := work(ctx, int(i)); err != nil {
					cancel(err)
				}
			}
		})
	}
	all.Wait()
	return perSecond(many, time.Since(began)), context.Cause(ctx)
}

func perSecond(many int, d time.Duration) float64 { return float64(many) / d.Seconds() }

// size is much, or little in a small run.
func (w *world) size(much, little int) int {
	if w.small {
		return little
	}
	return much
}
