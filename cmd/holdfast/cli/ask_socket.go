package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"syscall"
	"time"

	"github.com/holdfast/holdfast/cmd/holdfast/terminal"
)

// stepSocket is the socket of the step that this process is part of: HTTP on a unix socket.
type stepSocket struct {
	http *http.Client
	// patience is how long the socket may be away before it counts as gone for good. Its
	// server may restart while the step goes on.
	patience time.Duration
	first    time.Duration // the wait before the first retry; it doubles up to last
	last     time.Duration
}

const maxAskAnswer = 1 << 20 // an answer is a person's words

func newStepSocket(path string) *stepSocket {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}
	return &stepSocket{
		http: &http.Client{
			Transport:     &http.Transport{DialContext: dial, DisableKeepAlives: true},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		patience: 30 * time.Second, first: 100 * time.Millisecond, last: 2 * time.Second,
	}
}

// awayError says that the socket cannot answer now, but perhaps can a little later.
type awayError struct{ cause error }

func (e *awayError) Error() string { return e.cause.Error() }
func (e *awayError) Unwrap() error { return e.cause }

// ask sends a question until it is decided. The question has a name, so it may be sent
// again. If the socket held a question for a while, somebody is there, and patience starts
// over.
func (s *stepSocket) ask(ctx context.Context, question []byte) (answer []byte, err error) {
	var since time.Time // since when nobody has been there
	for wait := s.first; ; wait = min(2*wait, s.last) {
		sent := time.Now()
		answer, err = s.send(ctx, question)
		if _, away := errors.AsType[*awayError](err); err == nil || ctx.Err() != nil || !away {
			return answer, err
		}
		if now := time.Now(); since.IsZero() || now.Sub(sent) > s.last {
			since, wait = now, s.first
		} else if now.Sub(since) > s.patience {
			return nil, fmt.Errorf("nobody could be asked for %s: %w", terminal.Span(now.Sub(since)), err)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(wait):
		}
	}
}

func (s *stepSocket) send(ctx context.Context, question []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://step/ask", bytes.NewReader(question))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := s.http.Do(req)
	if err != nil {
		return nil, transport(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAskAnswer+1))
	switch {
	case err != nil:
		return nil, transport(err)
	case len(body) > maxAskAnswer:
		return nil, fmt.Errorf("the step's socket gave an answer of more than %d bytes", maxAskAnswer)
	case res.StatusCode == http.StatusOK:
		return body, nil
	}
	var problem struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(body, &problem) != nil || problem.Error == "" {
		problem.Error = fmt.Sprintf("the step's socket answered with status %d: %s", res.StatusCode, terminal.Short(terminal.Clean(string(body)), 200))
	}
	err = errors.New(problem.Error)
	if res.StatusCode == http.StatusServiceUnavailable {
		err = &awayError{err}
	}
	return nil, err
}

// transport tells a socket that is away, or was cut off, from one that speaks another protocol
// or is not ours to use.
func transport(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err // without the URL, which means nothing for a socket
	}
	errno, system := errors.AsType[syscall.Errno](err)
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return &awayError{errors.New("the connection was cut")}
	case system && !slices.Contains([]syscall.Errno{syscall.EACCES, syscall.EPERM, syscall.EINVAL, syscall.EPROTOTYPE, syscall.ENOTSOCK}, errno):
		return &awayError{err}
	default:
		return fmt.Errorf("the step's socket: %w", err)
	}
}
