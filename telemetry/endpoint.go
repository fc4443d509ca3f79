package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/holdfast/holdfast/schema"
)

// SetReady says whether the process does its work.
func (t *Telemetry) SetReady(ready bool) {
	if t != nil {
		t.ready.Store(ready)
	}
}

// Listen binds the address of an endpoint. If that is only the usual one, and another process has it, it takes a free port
// of the same host instead: several workers on one machine do not have to be told apart by hand.
func Listen(ctx context.Context, addr string, usual bool) (net.Listener, error) {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", addr)
	if err != nil && usual && errors.Is(err, syscall.EADDRINUSE) {
		host, _, split := net.SplitHostPort(addr)
		if split != nil {
			return nil, fmt.Errorf("listen: %w", split)
		}
		l, err = config.Listen(ctx, "tcp", net.JoinHostPort(host, "0"))
	}
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	return l, nil
}

type health struct {
	Status  string `json:"status"`
	Version string `json:"version"`
}

// Serve serves /metrics, /healthz and /readyz until ctx ends. /healthz answers while the process lives; /readyz is 503
// until the process does its work.
func (t *Telemetry) Serve(ctx context.Context, l net.Listener, version string) error {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", t.Handler())
	answer := func(w http.ResponseWriter, code int, status string) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		_, _ = w.Write(schema.Marshal(health{status, version}))
	}
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !t.ready.Load() {
			answer(w, http.StatusServiceUnavailable, "not ready")
			return
		}
		answer(w, http.StatusOK, "ready")
	})
	const limit = 10 * time.Second
	server := &http.Server{Handler: mux, ReadHeaderTimeout: limit, ReadTimeout: limit, WriteTimeout: limit, ErrorLog: slog.NewLogLogger(t.log.Handler(), slog.LevelDebug)}
	t.log.InfoContext(ctx, "metrics are served", slog.String("addr", l.Addr().String()))
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve metrics: %w", err)
	}
	return nil
}
