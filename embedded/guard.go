package embedded

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// guard protects Temporal's Web UI, which answers to any name: a foreign page whose name is made to point at this
// machine (DNS rebinding) would have the UI's origin, and could do everything that the UI can.
type guard struct {
	next http.Handler
}

// GuardUI listens on UIPort and forwards requests from a browser on this machine to the Web UI. The caller must call
// stop, which is nil when there is no UI.
func (t *Temporal) GuardUI() (stop func() error, err error) {
	if t.ui == "" {
		return func() error { return nil }, nil
	}
	listener, err := listenAgain(address(t.UIPort))
	if err != nil {
		return nil, fmt.Errorf("guard temporal's web ui: %w", err)
	}
	const headers, idle = 10 * time.Second, 2 * time.Minute
	server := &http.Server{
		Handler: newGuard(t.ui), ReadHeaderTimeout: headers, IdleTimeout: idle, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(listener) // ends with Close
	}()
	return func() error {
		err := server.Close()
		<-ended
		return err
	}, nil
}

// listenAgain listens where this process may have listened a moment ago: until it execs its program, a child being
// started has the socket, too.
func listenAgain(addr string) (listener net.Listener, err error) {
	const patience, pause = time.Second, 10 * time.Millisecond
	for began := time.Now(); ; time.Sleep(pause) {
		listener, err = (&net.ListenConfig{}).Listen(context.Background(), "tcp", addr)
		if !errors.Is(err, syscall.EADDRINUSE) || time.Since(began) > patience {
			return listener, err
		}
	}
}

func newGuard(ui string) *guard {
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: ui}) // and with it the host
			r.Out.Header.Del("Origin")                   // it was checked here, and names the guard, not the UI
		},
		Transport: &http.Transport{MaxIdleConnsPerHost: 8, IdleConnTimeout: time.Minute}, // never through a proxy
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) {
			http.Error(w, "Temporal's Web UI does not answer yet.", http.StatusBadGateway)
		},
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	return &guard{next: proxy}
}

var (
	errForeignHost = errors.New("this server does not answer to that name; use localhost or 127.0.0.1")
	errForeignPage = errors.New("pages of other sites may not do this")
)

// ServeHTTP implements http.Handler.
func (g *guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := allowed(r); err != nil {
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	w.Header().Set("X-Frame-Options", "DENY")
	w.Header().Set("Cross-Origin-Resource-Policy", "same-origin")
	g.next.ServeHTTP(w, r)
}

// allowed refuses names that are not this machine's, and requests from pages of other sites. Following a link from
// elsewhere to the UI does no harm.
func allowed(r *http.Request) error {
	if !loopbackName(r.Host) {
		return errForeignHost
	}
	if origin := r.Header.Get("Origin"); origin != "" {
		u, err := url.Parse(origin)
		if err != nil || u.Scheme != "http" || !strings.EqualFold(u.Host, r.Host) {
			return errForeignPage
		}
	}
	site := r.Header.Get("Sec-Fetch-Site")
	follows := r.Method == http.MethodGet && r.Header.Get("Sec-Fetch-Mode") == "navigate"
	if (site == "cross-site" || site == "same-site") && !follows {
		return errForeignPage
	}
	return nil
}

// loopbackName reports whether a Host header names this machine, with any port, since a tunnel has its own.
func loopbackName(host string) bool {
	name := host
	if bare, _, err := net.SplitHostPort(host); err == nil {
		name = bare
	}
	name = strings.Trim(name, "[]")
	if ip := net.ParseIP(name); ip != nil {
		return ip.IsLoopback()
	}
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	return name == "localhost" || strings.HasSuffix(name, ".localhost")
}

// hideaway returns an address for a server that answers anyone: one of the 16 million of the loopback network, with a
// port, so that no page can find it by trying. Empty if this system has only one loopback address.
func hideaway() string {
	const tries = 20
	for range tries {
		at := make([]byte, 3)
		_, _ = rand.Read(at) // never fails
		if at[2] == 0 || at[2] == 255 || at[0]|at[1] == 0 {
			continue // skip the usual address, and those that look like a network's
		}
		port, err := FreePort()
		if err != nil {
			return ""
		}
		candidate := net.JoinHostPort(net.IPv4(127, at[0], at[1], at[2]).String(), strconv.Itoa(port))
		listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", candidate)
		if err == nil && listener.Close() == nil {
			return candidate
		}
	}
	return ""
}
