package client

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
	"strconv"
	"strings"
	"time"

	"github.com/holdfast/holdfast/schema"
)

// The times of the client.
const (
	requestTimeout  = 30 * time.Second
	defaultPatience = 20 * time.Second
	maxAnswer       = 64 << 20
)

// Client talks to one server. Its zero value is not usable; see [New].
type Client struct {
	base string
	http *http.Client

	// UserAgent is sent with every request.
	UserAgent string
	// Patience is how long to retry a request that the server could not take.
	Patience time.Duration
	// OnRetry, when set, is called before each wait with the reason for the retry.
	OnRetry func(err error, wait time.Duration)

	wait   func(ctx context.Context, d time.Duration) error
	jitter func() float64
}

// New makes a client of the server at base, such as http://127.0.0.1:8000.
func New(base string) *Client {
	transport, _ := http.DefaultTransport.(*http.Transport)
	return &Client{
		base:      strings.TrimRight(base, "/"),
		http:      &http.Client{Timeout: requestTimeout, Transport: transport.Clone()},
		UserAgent: "holdfast",
		Patience:  defaultPatience,
		wait:      sleep,
		jitter:    randomFloat,
	}
}

// Close ends idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// URL is the address of a path on the server.
func (c *Client) URL(path string) string { return c.base + path }

// ProblemError is an error answer of the server.
type ProblemError struct{ schema.Problem }

// Error is the detail, then each error on a line of its own. A single error that is already in
// the detail is not repeated.
func (e *ProblemError) Error() string {
	detail := e.Detail
	if detail == "" {
		detail = e.Title
	}
	if len(e.Errors) > 0 && e.Errors[0].Location != "" {
		if rest, found := strings.CutPrefix(detail, e.Errors[0].Location+": "); found {
			detail = place(e.Errors[0].Location) + ": " + rest
		}
	}
	if len(e.Errors) == 1 && strings.Contains(detail, e.Errors[0].Message) {
		return detail + got(e.Errors[0].Value)
	}
	var b strings.Builder
	b.WriteString(detail)
	for _, f := range e.Errors {
		b.WriteString("\n  ")
		if at := place(f.Location); at != "" {
			b.WriteString(at + ": ")
		}
		b.WriteString(f.Message + got(f.Value))
	}
	return b.String()
}

// place is a location in a request without the part that only a programmer knows: a person who typed it knows
// query.status[0] as status.
func place(location string) string {
	part, rest, found := strings.Cut(location, ".")
	switch {
	case !found || (part != "query" && part != "body" && part != "path" && part != "header"):
		return location
	case part == "query":
		rest, _, _ = strings.Cut(rest, "[")
	}
	return rest
}

func got(value any) string {
	if value == nil {
		return ""
	}
	text := string(schema.Marshal(value))
	if r := []rune(text); len(r) > 80 {
		text = string(r[:80]) + "…"
	}
	return " (got " + text + ")"
}

// UnreachableError says that no server answered at URL.
type UnreachableError struct {
	URL   string
	Cause error
}

// Error implements error.
func (e *UnreachableError) Error() string {
	return fmt.Sprintf("cannot reach Holdfast at %s; is it running? start it with `holdfast up` (%s)", e.URL, rootCause(e.Cause))
}

// Unwrap returns the cause, for errors.Is and errors.As.
func (e *UnreachableError) Unwrap() error { return e.Cause }

// rootCause leaves out the layers that repeat the URL.
func rootCause(err error) string {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Err != nil {
		err = op.Err
	}
	return err.Error()
}

// Answer is a decoded answer and its raw text.
type Answer[T any] struct {
	Value T
	Raw   json.RawMessage
}

// request is one call of the API.
type request struct {
	method string
	path   string
	query  url.Values
	body   any
	key    string // the Idempotency-Key
	insist bool   // retry even when no server answers; else only when the server says so
}

func call[T any](ctx context.Context, c *Client, r request) (Answer[T], error) {
	var out Answer[T]
	raw, err := c.send(ctx, r)
	if err != nil {
		return out, err
	}
	out.Raw = raw
	if len(raw) == 0 {
		return out, nil
	}
	if err := json.Unmarshal(raw, &out.Value); err != nil {
		return out, fmt.Errorf("the answer of %s %s is not what was expected: %w", r.method, c.URL(r.path), err)
	}
	return out, nil
}

func (c *Client) send(ctx context.Context, r request) (json.RawMessage, error) {
	var body []byte
	if r.body != nil {
		body = schema.Marshal(r.body)
	}
	if r.method == http.MethodPost && r.key == "" {
		r.key = schema.NewID() // the same for every try
	}
	return retry(ctx, c, func() (json.RawMessage, time.Duration, error) { return c.once(ctx, r, body) })
}

// retry makes a request, and repeats it while the client's patience lasts: try returns the
// shortest wait before the next try, or never.
func retry[T any](ctx context.Context, c *Client, try func() (answer T, again time.Duration, err error)) (T, error) {
	deadline := time.Now().Add(c.Patience)
	for attempt := 0; ; attempt++ {
		answer, again, err := try()
		if err == nil || again < 0 || ctx.Err() != nil {
			return answer, err
		}
		delay := max(again, backoff(attempt, c.jitter()))
		if time.Now().Add(delay).After(deadline) {
			return answer, err
		}
		if c.OnRetry != nil {
			c.OnRetry(err, delay)
		}
		if err := c.wait(ctx, delay); err != nil {
			return answer, err
		}
	}
}

// never says not to retry a request.
const never = time.Duration(-1)

// once sends a request. again is the shortest wait before sending it again, or never.
func (c *Client) once(ctx context.Context, r request, body []byte) (raw json.RawMessage, again time.Duration, err error) {
	address := c.URL(r.path)
	if len(r.query) > 0 {
		address += "?" + r.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, r.method, address, bytes.NewReader(body))
	if err != nil {
		return nil, never, fmt.Errorf("the request cannot be made: %w", err)
	}
	req.Header.Set("User-Agent", c.UserAgent)
	req.Header.Set("Accept", "application/json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if r.key != "" {
		req.Header.Set("Idempotency-Key", r.key)
	}
	unreachable := never
	if r.insist {
		unreachable = 0
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, never, ctx.Err()
		}
		return nil, unreachable, &UnreachableError{URL: c.base, Cause: err}
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, unreachable, &UnreachableError{URL: c.base, Cause: err}
	}
	if resp.StatusCode < 300 {
		return raw, never, nil
	}
	return nil, retryAfter(resp), c.problem(r, resp, raw)
}

func (c *Client) problem(r request, resp *http.Response, raw []byte) error {
	p := &ProblemError{}
	if err := json.Unmarshal(raw, &p.Problem); err != nil || (p.Detail == "" && p.Title == "") {
		return fmt.Errorf("%s %s answered %s, which is not how Holdfast answers; is %s a Holdfast server?", r.method, c.URL(r.path), resp.Status, c.base)
	}
	p.Status = resp.StatusCode
	return p
}

// retryAfter is how long a server that cannot take a request now asks to wait.
func retryAfter(resp *http.Response) time.Duration {
	switch resp.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		if n, err := strconv.ParseFloat(resp.Header.Get("Retry-After"), 64); err == nil && n >= 0 && n < 3600 {
			return time.Duration(n * float64(time.Second))
		}
		return 0
	default:
		return never
	}
}
