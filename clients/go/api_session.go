package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/wire"
)

// SendMessage says something to a session: a run answers it, at once or after the queue.
func (c *Client) SendMessage(ctx context.Context, id, content string) (Answer[wire.MessageAnswer], error) {
	return call[wire.MessageAnswer](ctx, c, request{
		method: http.MethodPost, path: sessionPath(id, "/messages"), body: wire.NewMessage{Content: content}, insist: true,
	})
}

// StartRun starts the next run of a session, when none is under way.
func (c *Client) StartRun(ctx context.Context, id string, body wire.NewRun) (Answer[schema.Run], error) {
	return call[schema.Run](ctx, c, request{method: http.MethodPost, path: sessionPath(id, "/runs"), body: body, insist: true})
}

// Fork makes a new session from a finished step of another one.
func (c *Client) Fork(ctx context.Context, id string, body wire.NewFork) (Answer[schema.Session], error) {
	return call[schema.Session](ctx, c, request{method: http.MethodPost, path: sessionPath(id, "/fork"), body: body, insist: true})
}

// Rename renames a session. version is the one that the session was read with; if it has
// changed since, the error is a [ProblemError] with status 409.
func (c *Client) Rename(ctx context.Context, id, name string, version int64) (Answer[schema.Session], error) {
	return call[schema.Session](ctx, c, request{
		method: http.MethodPatch, path: sessionPath(id, ""), body: wire.SessionPatch{Name: name, Version: version},
	})
}

// Run reads a run.
func (c *Client) Run(ctx context.Context, id string) (Answer[schema.Run], error) {
	return call[schema.Run](ctx, c, request{method: http.MethodGet, path: "/api/runs/" + url.PathEscape(id)})
}

// Audit reads who asked a session for what, a page at a time.
func (c *Client) Audit(ctx context.Context, id, cursor string) (Answer[wire.AuditList], error) {
	return call[wire.AuditList](ctx, c, request{method: http.MethodGet, path: sessionPath(id, "/audit"), query: page(cursor)})
}

// Messages reads a session's conversation, a page at a time.
func (c *Client) Messages(ctx context.Context, id, cursor string) (Answer[wire.MessageList], error) {
	return call[wire.MessageList](ctx, c, request{method: http.MethodGet, path: sessionPath(id, "/history"), query: page(cursor)})
}

// page asks for the largest page that the server returns.
func page(cursor string) url.Values {
	q := url.Values{"limit": {"200"}}
	if cursor != "" {
		q.Set("cursor", cursor)
	}
	return q
}

// ExtendApproval moves an approval's deadline by so many seconds.
func (c *Client) ExtendApproval(ctx context.Context, id string, seconds float64) (Answer[schema.Approval], error) {
	return call[schema.Approval](ctx, c, request{
		method: http.MethodPost, path: approvalPath(id, "/extend"), body: wire.ExtendRequest{Seconds: seconds}, insist: true,
	})
}
