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
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/fasthttp/websocket"

	"github.com/holdfast/holdfast/schema"
)

// world is a running product and a client of it.
type world struct {
	small bool
	bin   string
	dir   string
	cmd   *exec.Cmd
	web   string
}

func start(ctx context.Context, bin string, small bool) (*world, error) {
	dir, err := os.MkdirTemp("", "holdfast-bench-")
	if err != nil {
		return nil, err
	}
	w := &world{small: small, bin: bin, dir: dir}
	w.cmd = exec.CommandContext(ctx, bin, "up", "--addr", "127.0.0.1:0", "--data-dir", dir)
	w.cmd.Cancel = func() error { return w.cmd.Process.Signal(syscall.SIGTERM) }
	w.cmd.Env = append(os.Environ(), "HOLDFAST_LOG_LEVEL=warn")
	w.cmd.Stderr = os.Stderr
	out, err := w.cmd.StdoutPipe()
	if err == nil {
		err = w.cmd.Start()
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("the product did not start: %w", err)
	}
	for word := range strings.FieldsSeq(line) {
		if v, ok := strings.CutPrefix(word, "web="); ok {
			w.web = v
		}
	}
	return w, nil
}

func (w *world) stop() {
	_ = w.cmd.Process.Signal(syscall.SIGTERM)
	_ = w.cmd.Wait()
	_ = os.RemoveAll(w.dir)
}

func version(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

func (w *world) call(ctx context.Context, method, path string, body, into any) error {
	req, err := http.NewRequestWithContext(ctx, method, w.web+path, bytes.NewReader(schema.Marshal(body)))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
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
	var s schema.Session
	err := w.call(ctx, http.MethodPost, "/api/sessions", obj{"mode": "runbook", "plan": obj{"steps": []obj{step}}}, &s)
	return s.ID, err
}

// follow hands every event of a session to see, until it says that it has seen enough.
func (w *world) follow(ctx context.Context, id string, see func(e *schema.Event) (enough bool)) error {
	c, _, err := websocket.DefaultDialer.DialContext(ctx, "ws"+strings.TrimPrefix(w.web, "http")+"/ws", nil) //nolint:bodyclose // a WebSocket's answer has none
	if err != nil {
		return err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()
	if err := c.WriteJSON(obj{"type": "subscribe", "session_id": id, "since": 0}); err != nil {
		return err
	}
	for {
		_, b, err := c.ReadMessage()
		if err != nil {
			return errors.Join(ctx.Err(), err)
		}
		var e schema.Event
		if err := json.Unmarshal(b, &e); err != nil {
			return err
		}
		if e.Type == schema.FrameError {
			return fmt.Errorf("follow %s: %s", id, e.Data)
		}
		if e.Seq > 0 && see(&e) {
			return nil
		}
	}
}

// untilType follows until an event of this type.
func (w *world) untilType(ctx context.Context, id string, t schema.EventType) (schema.Event, error) {
	var found schema.Event
	err := w.follow(ctx, id, func(e *schema.Event) bool {
		found = *e
		return e.Type == t
	})
	return found, err
}

func (w *world) times(many int) int {
	if w.small {
		return min(many, 2)
	}
	return many
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// quantile of unsorted values; q from 0 to 1.
func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}
