package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// exportStalled is how long a started export may deliver nothing.
const exportStalled = 2 * time.Minute

// Export opens a session's archive. It has no time limit; a read fails with
// [io.ErrUnexpectedEOF] when the server had to break off, and after exportStalled without a
// byte. The caller must close it.
func (c *Client) Export(ctx context.Context, id string) (io.ReadCloser, error) {
	r := request{method: http.MethodGet, path: sessionPath(id, "/export")}
	return retry(ctx, c, func() (io.ReadCloser, time.Duration, error) { return c.openExport(ctx, r) })
}

func (c *Client) openExport(ctx context.Context, r request) (body io.ReadCloser, again time.Duration, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	stall := time.AfterFunc(exportStalled, func() { cancel(errStalled) })
	end := func() {
		stall.Stop()
		cancel(nil)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, c.URL(r.path), http.NoBody)
	if err != nil {
		end()
		return nil, never, fmt.Errorf("the request cannot be made: %w", err)
	}
	req.Header.Set("User-Agent", c.UserAgent)
	resp, err := (&http.Client{Transport: c.http.Transport}).Do(req) // without the time limit of other requests
	if err != nil {
		end()
		return nil, never, &UnreachableError{URL: c.base, Cause: err}
	}
	if resp.StatusCode == http.StatusOK {
		return &export{ReadCloser: resp.Body, ctx: ctx, stall: stall, end: end}, never, nil
	}
	defer end()
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, never, &UnreachableError{URL: c.base, Cause: err}
	}
	return nil, retryAfter(resp), c.problem(r, resp, raw)
}

var errStalled = errors.New("nothing has come from the server for 2 minutes")

// export is an archive being downloaded.
type export struct {
	io.ReadCloser

	ctx   context.Context //nolint:containedctx // the context of the body's request
	stall *time.Timer
	end   func()
}

// Read implements io.Reader.
func (e *export) Read(p []byte) (int, error) {
	n, err := e.ReadCloser.Read(p)
	e.stall.Reset(exportStalled)
	if err != nil && errors.Is(context.Cause(e.ctx), errStalled) {
		err = errStalled
	}
	return n, err
}

// Close implements io.Closer.
func (e *export) Close() error {
	defer e.end()
	return e.ReadCloser.Close()
}
