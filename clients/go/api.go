package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/wire"
)

type (
	// SessionFilter narrows a list of sessions. Zero fields do not.
	SessionFilter struct {
		Status, Mode, Query, Cursor string
		IDPrefix                    string
		Limit                       int
	}
	// ApprovalFilter narrows a list of approvals. Zero fields do not.
	ApprovalFilter struct {
		SessionID, Status, Cursor string
		IDPrefix                  string
		Limit                     int
	}
)

func sessionPath(id, more string) string { return "/api/sessions/" + url.PathEscape(id) + more }

func approvalPath(id, more string) string { return "/api/approvals/" + url.PathEscape(id) + more }

// CreateSession makes a session. key is the Idempotency-Key: however often the request is sent,
// the server makes one session.
func (c *Client) CreateSession(ctx context.Context, body wire.NewSession, key string) (Answer[schema.Session], error) {
	return call[schema.Session](ctx, c, request{
		method: http.MethodPost, path: "/api/sessions", body: body, key: key, insist: true,
	})
}

// Sessions lists sessions, the latest first.
func (c *Client) Sessions(ctx context.Context, f SessionFilter) (Answer[wire.SessionList], error) {
	q := url.Values{}
	for name, value := range map[string]string{"status": f.Status, "mode": f.Mode, "q": f.Query, "cursor": f.Cursor, idPrefix: f.IDPrefix} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if f.Limit > 0 {
		q.Set("limit", strconv.Itoa(f.Limit))
	}
	return call[wire.SessionList](ctx, c, request{method: http.MethodGet, path: "/api/sessions", query: q})
}

// Session reads a session.
func (c *Client) Session(ctx context.Context, id string) (Answer[schema.Session], error) {
	return call[schema.Session](ctx, c, request{method: http.MethodGet, path: sessionPath(id, "")})
}

// Projection reads a session with its runs and approvals at one moment. Follow the log from its
// Seq, and fold the events into it.
func (c *Client) Projection(ctx context.Context, id string) (Answer[wire.Projection], error) {
	return call[wire.Projection](ctx, c, request{method: http.MethodGet, path: sessionPath(id, "/projection")})
}

// Runs reads the runs of a session.
func (c *Client) Runs(ctx context.Context, id string) (Answer[wire.RunList], error) {
	return call[wire.RunList](ctx, c, request{method: http.MethodGet, path: sessionPath(id, "/runs")})
}

// Command sends suspend, resume or cancel.
func (c *Client) Command(ctx context.Context, id, command string) (Answer[wire.CancelAnswer], error) {
	return call[wire.CancelAnswer](ctx, c, request{method: http.MethodPost, path: sessionPath(id, "/"+command)})
}

// DeleteSession deletes a session.
func (c *Client) DeleteSession(ctx context.Context, id string) error {
	_, err := c.send(ctx, request{method: http.MethodDelete, path: sessionPath(id, "")})
	return err
}

// Approvals lists approvals, the newest first.
func (c *Client) Approvals(ctx context.Context, f ApprovalFilter) (Answer[wire.ApprovalList], error) {
	q := url.Values{}
	for name, value := range map[string]string{"status": f.Status, "cursor": f.Cursor, idPrefix: f.IDPrefix} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if f.Limit > 0 {
		q.Set("limit", strconv.Itoa(f.Limit))
	}
	path := "/api/approvals"
	if f.SessionID != "" {
		path = sessionPath(f.SessionID, "/approvals")
	}
	return call[wire.ApprovalList](ctx, c, request{method: http.MethodGet, path: path, query: q})
}

// Approval reads an approval.
func (c *Client) Approval(ctx context.Context, id string) (Answer[schema.Approval], error) {
	return call[schema.Approval](ctx, c, request{method: http.MethodGet, path: approvalPath(id, "")})
}

// Subject reads everything an approval's digest binds.
func (c *Client) Subject(ctx context.Context, id string) (Answer[schema.Subject], error) {
	return call[schema.Subject](ctx, c, request{method: http.MethodGet, path: approvalPath(id, "/subject")})
}

// ResolveApproval decides an approval. Repeating the same decision is not an error.
func (c *Client) ResolveApproval(ctx context.Context, id string, body wire.ResolveRequest) (Answer[json.RawMessage], error) {
	return call[json.RawMessage](ctx, c, request{method: http.MethodPost, path: approvalPath(id, "/resolve"), body: body, insist: true})
}

// ReopenApproval resumes a session, so that it asks again what nobody answered in time. It is not an error if the session
// already goes on.
func (c *Client) ReopenApproval(ctx context.Context, id string) (Answer[schema.Approval], error) {
	return call[schema.Approval](ctx, c, request{method: http.MethodPost, path: approvalPath(id, "/reopen"), insist: true})
}

// idPrefix narrows a list to the ids that begin with it.
const idPrefix = "id_prefix"

// FindSession completes the unique prefix of a session's id.
func (c *Client) FindSession(ctx context.Context, prefix string) (string, error) {
	return find(prefix, "session", func(prefix string) ([]candidate, int, error) {
		page, err := c.Sessions(ctx, SessionFilter{IDPrefix: prefix, Limit: mostCandidates})
		out := make([]candidate, 0, len(page.Value.Sessions))
		for i := range page.Value.Sessions {
			out = append(out, candidate{page.Value.Sessions[i].ID, page.Value.Sessions[i].Name})
		}
		return out, page.Value.Total, err
	})
}

// FindApproval completes the unique prefix of an approval's id.
func (c *Client) FindApproval(ctx context.Context, prefix string) (string, error) {
	return find(prefix, "approval", func(prefix string) ([]candidate, int, error) {
		page, err := c.Approvals(ctx, ApprovalFilter{IDPrefix: prefix, Limit: mostCandidates})
		out := make([]candidate, 0, len(page.Value.Approvals))
		for i := range page.Value.Approvals {
			out = append(out, candidate{page.Value.Approvals[i].ID, page.Value.Approvals[i].Description})
		}
		return out, page.Value.Total, err
	})
}

// mostCandidates is how many ids to show a person when a prefix fits several.
const mostCandidates = 10

type candidate struct{ id, label string }

// IDError says that a given id does not exist, or is the beginning of several.
type IDError struct{ text string }

// Error says which, and what they are.
func (e *IDError) Error() string { return e.text }

// find completes a prefix. list asks the server for the ids that begin with it, and how many there are in all.
func find(prefix, what string, list func(prefix string) ([]candidate, int, error)) (string, error) {
	prefix = strings.ToLower(strings.TrimSpace(prefix))
	if schema.ValidID(prefix) {
		return prefix, nil
	}
	if _, _, ok := schema.IDRange(prefix); !ok {
		return "", &IDError{fmt.Sprintf("%q is not the id of %s %s, nor the first %d or more characters of one", prefix, article(what), what, schema.MinIDPrefix)}
	}
	found, total, err := list(prefix)
	switch {
	case err != nil:
		return "", err
	case len(found) == 0:
		return "", fmt.Errorf("there is no %s whose id starts with %q", what, prefix)
	case len(found) == 1:
		return found[0].id, nil
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d %ss have ids that start with %q:", total, what, prefix)
	for _, one := range found {
		b.WriteString("\n  " + one.id + "  " + one.label)
	}
	if more := total - len(found); more > 0 {
		fmt.Fprintf(&b, "\n  … and %d more", more)
	}
	return "", &IDError{b.String()}
}

func article(what string) string {
	if strings.ContainsAny(what[:1], "aeiou") {
		return "an"
	}
	return "a"
}
