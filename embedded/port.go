package embedded

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"time"
)

// Free ports come from below the range that Linux uses for outgoing connections (32768 and up), so that no client's
// socket can take a server's port while that server restarts.
const (
	lowestPort  = 10240
	highestPort = 32767
)

// Loopback is the only address that embedded servers listen on.
const Loopback = "127.0.0.1"

var errNoFreePort = errors.New("no free port")

// FreePort returns a port of 127.0.0.1 on which nothing listens now.
func FreePort() (int, error) {
	const tries = 200
	for range tries {
		port := lowestPort + rand.IntN(highestPort-lowestPort+1)
		if PortFree(port) {
			return port, nil
		}
	}
	return 0, fmt.Errorf("%w on %s in %d-%d after %d tries", errNoFreePort, Loopback, lowestPort, highestPort, tries)
}

// PortFree reports whether a server could listen on this port of 127.0.0.1 now.
func PortFree(port int) bool {
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", address(port))
	if err != nil {
		return false
	}
	return listener.Close() == nil
}

func address(port int) string { return net.JoinHostPort(Loopback, strconv.Itoa(port)) }

// poll calls try until it succeeds, the process ends, or ctx is done; its error includes try's last one.
func poll(ctx context.Context, ended <-chan struct{}, try func(context.Context) error) error {
	const pause = 10 * time.Millisecond
	timer := time.NewTimer(0)
	defer timer.Stop()
	var last error
	for {
		select {
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), last)
		case <-ended:
			return errors.Join(errEnded, last)
		case <-timer.C:
		}
		if last = try(ctx); last == nil {
			return nil
		}
		timer.Reset(pause)
	}
}

var errEnded = errors.New("the process ended")

func dial(ctx context.Context, addr string) error {
	dialer := net.Dialer{Timeout: time.Second}
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	return conn.Close()
}
