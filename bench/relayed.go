package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/fasthttp/websocket"
)

// relay is a running bench/relay, the reference of the delivery rows.
type relay struct {
	addr string
	cmd  *exec.Cmd
	in   io.Closer
}

const relayPackage = "github.com/holdfast/holdfast/bench/relay"

// newRelay starts a relay; the first call also builds it.
func (w *world) newRelay(ctx context.Context, flags ...string) (*relay, error) {
	bin := filepath.Join(w.dir, "relay")
	if _, err := os.Stat(bin); err != nil {
		if out, err := exec.CommandContext(ctx, "go", "build", "-o", bin, relayPackage).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("build the relay: %w: %s", err, out)
		}
	}
	r := &relay{cmd: exec.CommandContext(ctx, bin, flags...)}
	r.cmd.Stderr = os.Stderr
	out, err := r.cmd.StdoutPipe()
	if err == nil {
		r.in, err = r.cmd.StdinPipe()
	}
	if err == nil {
		err = r.cmd.Start()
	}
	if err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return nil, errors.Join(fmt.Errorf("the relay did not start: %w", err), r.stop())
	}
	r.addr = strings.TrimSpace(line)
	return r, nil
}

func (r *relay) stop() error {
	return errors.Join(r.in.Close(), r.cmd.Wait())
}

// publisher opens a connection whose messages go to all subscribers of a session.
func (r *relay) publisher(ctx context.Context, session string) (*websocket.Conn, error) {
	c, _, err := websocket.DefaultDialer.DialContext(ctx, "ws://"+r.addr+"/publish?to="+session, nil) //nolint:bodyclose // a WebSocket's answer has none
	return c, err
}

// host is where the product's WebSocket is, as host:port.
func (w *world) host() string {
	_, host, _ := strings.Cut(w.web, "://")
	if _, _, err := net.SplitHostPort(host); err != nil {
		return host + ":80"
	}
	return host
}
