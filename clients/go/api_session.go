package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/holdfast/holdfast/schema"
)

type (
	// MessageAnswer says that a message is taken in: a run answers it in its turn.
	MessageAnswer struct {
		Number int                  `json:"number"` // 1, 2, 3, … within the session
		Status schema.MessageStatus `json:"status"`
	}
	// NewRun is the body that starts the next run of a session.
	NewRun struct {
		Plan json.RawMessage `json:"plan,omitempty"`
	}
	// NewFork is the body that forks a session. Zero fields are as the source has them: its
	// latest run, the step that finished last, its plan, its name with " (fork)".
	NewFork struct {
		StepID string          `json:"step_id,omitempty"`
		RunID  string          `json:"run_id,omitempty"`
		Plan   json.RawMessage `json:"plan,omitempty"`
		Name   string          `json:"name,omitempty"`
		// Attended says that a person makes the fork, as in [NewSession].
		Attended bool `json:"attended,omitempty"`
	}
	// AuditList is a page of a session's audit trail, the oldest entry first.
	AuditList struct {
		Audit      []schema.AuditEntry `json:"audit"`
		NextCursor string              `json:"next_cursor"`
	}
	// MessageList is a page of a session's conversation, the oldest message first.
	MessageList struct {
		Messages   []schema.Message `json:"messages"`
		NextCursor string           `json:"next_cursor"`
	}
)

// SendMessage says something to a session: a run answers it, at once or after what is queued.
func (c *Client) SendMessage(ctx context.Context, id, content string) (Answer[MessageAnswer], error) {
	return call[MessageAnswer](ctx, c, request{
		method: http.MethodPost, path: sessionPath(id, "/messages"), body: map[string]string{"content": content}, insist: true,
	})
}

// StartRun starts the next run of a session, when none is under way.
func (c *Client) StartRun(ctx context.Context, id string, body NewRun) (Answer[schema.Run], error) {
	return call[schema.Run](ctx, c, request{method: http.MethodPost, path: sessionPath(id, "/runs"), body: body, insist: true})
}

// Fork makes a new session from a finished step of another one.
func (c *Client) Fork(ctx context.Context, id string, body NewFork) (Answer[schema.Session], error) {
	return call[schema.Session](ctx, c, request{method: http.MethodPost, path: sessionPath(id, "/fork"), body: body, insist: true})
}

// Rename gives a session a new name. version is the one that the session was read with; when
// it has changed since, the answer is a [ProblemError] of status 409.
func (c *Client) Rename(ctx context.Context, id, name string, version int64) (Answer[schema.Session], error) {
	return call[schema.Session](ctx, c, request{
		method: http.MethodPatch, path: sessionPath(id, ""), body: map[string]any{"name": name, "version": version},
	})
}

// Run reads a run.
func (c *Client) Run(ctx context.Context, id string) (Answer[schema.Run], error) {
	return call[schema.Run](ctx, c, request{method: http.MethodGet, path: "/api/runs/" + url.PathEscape(id)})
}

// Audit reads who asked a session for what, a page at a time.
func (c *Client) Audit(ctx context.Context, id, cursor string) (Answer[AuditList], error) {
	return call[AuditList](ctx, c, request{method: http.MethodGet, path: sessionPath(id, "/audit"), query: page(cursor)})
}

// Messages reads a session's conversation, a page at a time.
func (c *Client) Messages(ctx context.Context, id, cursor string) (Answer[MessageList], error) {
	return call[MessageList](ctx, c, request{method: http.MethodGet, path: sessionPath(id, "/history"), query: page(cursor)})
}

// page asks for as much at once as the server gives.
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
		method: http.MethodPost, path: approvalPath(id, "/extend"), body: map[string]float64{"seconds": seconds}, insist: true,
	})
}
