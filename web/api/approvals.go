package api

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
	"github.com/holdfast/holdfast/schema/wire"
	"github.com/holdfast/holdfast/web/caller"
	"github.com/holdfast/holdfast/web/control"
)

// ApprovalsInput chooses approvals.
type ApprovalsInput struct {
	Status string `query:"status" enum:"pending,resolved,expired,cancelled,void,open" doc:"open: pending, or expired and reopenable"`
	Prefix string `query:"id_prefix" maxLength:"36" doc:"The first 4 or more characters of an id; with limit 2 it says whether they name one approval"`
	Limit  int    `query:"limit" minimum:"1" maximum:"200" doc:"50 when absent"`
	Cursor string `query:"cursor" maxLength:"200"`
}

// ApprovalPath names an approval.
type ApprovalPath struct {
	ID string `path:"id" doc:"An approval's id"`
}

type (
	sessionApprovalsInput struct {
		SessionPath
		ApprovalsInput
	}
	resolveInput struct {
		ApprovalPath

		Key  string `header:"Idempotency-Key" maxLength:"200"`
		Body wire.ResolveRequest
	}
	extendInput struct {
		ApprovalPath

		Key  string `header:"Idempotency-Key" maxLength:"200"`
		Body wire.ExtendRequest
	}
	reopenInput struct {
		ApprovalPath

		Key  string         `header:"Idempotency-Key" maxLength:"200"`
		Body *wire.NoFields `required:"false"`
	}
	approvalOutput struct {
		Status int
		Body   schema.Approval
	}
)

// statusOpen chooses the approvals that somebody may do something about.
const statusOpen = "open"

func (s *Service) registerApprovals() {
	const tag = "approvals"
	list := func(ctx context.Context, sessionID string, in ApprovalsInput) (*body[wire.ApprovalList], error) {
		f := store.ApprovalFilter{SessionID: sessionID, Status: schema.ApprovalStatus(in.Status), Prefix: in.Prefix, Brief: true, Limit: in.Limit, Cursor: in.Cursor}
		if in.Status == statusOpen {
			f.Status, f.Open = "", true
		}
		found, next, err := s.Store.Approvals(ctx, f)
		if err != nil {
			return nil, err
		}
		total := len(found)
		if next != "" || in.Cursor != "" {
			total, err = s.Store.CountApprovals(ctx, f)
		}
		return answer(wire.ApprovalList{Approvals: found, Total: total, NextCursor: next}, err)
	}
	handle(s, operation{method: http.MethodGet, path: "/api/approvals", id: "listApprovals", summary: "List approvals", tag: tag},
		func(ctx context.Context, in *ApprovalsInput) (*body[wire.ApprovalList], error) {
			return list(ctx, "", *in)
		})
	handle(s, operation{method: http.MethodGet, path: "/api/sessions/{id}/approvals", id: "listSessionApprovals", summary: "List a session's approvals", tag: tag},
		func(ctx context.Context, in *sessionApprovalsInput) (*body[wire.ApprovalList], error) {
			return list(ctx, in.ID, in.ApprovalsInput)
		})
	handle(s, operation{method: http.MethodGet, path: "/api/approvals/{id}", id: "getApproval", summary: "Read an approval", tag: tag},
		func(ctx context.Context, in *ApprovalPath) (*body[schema.Approval], error) {
			a, err := s.Store.Approval(ctx, in.ID)
			return answer(a, err)
		})
	handle(s, operation{method: http.MethodGet, path: "/api/approvals/{id}/subject", id: "getApprovalSubject", summary: "Read all that an approval's digest binds, what of it deserves a look, and what was asked before", tag: tag},
		func(ctx context.Context, in *ApprovalPath) (*body[schema.Subject], error) {
			subject, err := s.Store.Subject(ctx, in.ID)
			return answer(subject, err)
		})
	handle(s, operation{method: http.MethodPost, path: "/api/approvals/{id}/resolve", id: "resolveApproval", summary: "Answer an approval: the same answer again is 200, another 409, a late one 410", tag: tag},
		func(ctx context.Context, in *resolveInput) (*approvalOutput, error) {
			key, err := commandKey(ctx, in.Key)
			if err != nil {
				return nil, err
			}
			a, err := s.Control.Resolve(ctx, control.Resolution{
				ApprovalID: in.ID, Resolution: in.Body.Resolution, Feedback: in.Body.Feedback, Changes: in.Body.Modifications, At: "body.",
			}, key)
			if err != nil {
				return nil, err
			}
			out := &approvalOutput{Status: http.StatusOK, Body: a}
			if a.Status == schema.ApprovalPending { // accepted; Postgres does not show it yet
				out.Status = http.StatusAccepted
			}
			return out, nil
		})
	handle(s, operation{method: http.MethodPost, path: "/api/approvals/{id}/reopen", id: "reopenApproval", summary: "Resume the session that an expired approval has suspended: it asks again, as a new approval", tag: tag, status: http.StatusAccepted},
		func(ctx context.Context, in *reopenInput) (*body[schema.Approval], error) {
			key, err := commandKey(ctx, in.Key)
			if err != nil {
				return nil, err
			}
			a, err := s.Control.Reopen(ctx, in.ID, key)
			return answer(a, err)
		})
	handle(s, operation{method: http.MethodPost, path: "/api/approvals/{id}/extend", id: "extendApproval", summary: "Give an approval more time", tag: tag},
		func(ctx context.Context, in *extendInput) (*approvalOutput, error) {
			key, err := commandKey(ctx, in.Key)
			if err != nil {
				return nil, err
			}
			a, shown, err := s.Control.Extend(ctx, in.ID, in.Body.Seconds, key)
			if err != nil {
				return nil, err
			}
			out := &approvalOutput{Status: http.StatusOK, Body: a}
			if !shown {
				out.Status = http.StatusAccepted
			}
			return out, nil
		})
}

type (
	commandInput struct {
		SessionPath

		Key  string         `header:"Idempotency-Key" maxLength:"200"`
		Body *wire.NoFields `required:"false"`
	}
	cancelOutput struct {
		Status int
		Body   wire.CancelAnswer
	}
)

func (s *Service) registerCommands() {
	const tag = "commands"
	for _, c := range []struct{ path, command, summary string }{
		{"suspend", schema.CommandSuspend, "Start nothing new and freeze what runs"},
		{"resume", schema.CommandResume, "Go on after a suspend or an expired approval"},
	} {
		handle(s, operation{method: http.MethodPost, path: "/api/sessions/{id}/" + c.path, id: c.path + "Session", summary: c.summary, tag: tag},
			func(ctx context.Context, in *commandInput) (*body[schema.Session], error) {
				key, err := commandKey(ctx, in.Key)
				if err != nil {
					return nil, err
				}
				session, err := s.Control.CommandAndSettle(ctx, in.ID, c.command, key)
				return answer(session, err)
			})
	}
	handle(s, operation{method: http.MethodPost, path: "/api/sessions/{id}/cancel", id: "cancelSession", summary: "Stop for good; 202 while processes are still being ended", tag: tag, timeout: control.CancelRequest},
		func(ctx context.Context, in *commandInput) (*cancelOutput, error) {
			key, err := commandKey(ctx, in.Key)
			if err != nil {
				return nil, err
			}
			session, receipt, err := s.Control.Cancel(ctx, in.ID, key)
			if err != nil {
				return nil, err
			}
			out := &cancelOutput{Status: http.StatusOK, Body: wire.CancelAnswer{Session: session, Receipt: receipt}}
			if receipt == nil {
				out.Status = http.StatusAccepted
			}
			return out, nil
		})
	handle(s, operation{method: http.MethodGet, path: "/api/sessions/{id}/live", id: "getLiveState", summary: "Ask the workflow itself; everything else reads Postgres", tag: tag},
		func(ctx context.Context, in *SessionPath) (*body[schema.WorkflowState], error) {
			var state schema.WorkflowState
			text, err := s.Control.Query(ctx, in.ID, schema.QueryState)
			if err != nil {
				return nil, err
			}
			if err := json.Unmarshal(text, &state); err != nil {
				return nil, schema.Wrap(schema.CodeInternal, err, "the workflow's state could not be read")
			}
			state.Steps, state.Approvals = orEmpty(state.Steps), orEmpty(state.Approvals)
			return &body[schema.WorkflowState]{Body: state}, nil
		})
}

// commandKey makes a caller's Idempotency-Key his own. Neither part has a space in it.
func commandKey(ctx context.Context, key string) (string, error) {
	if key == "" {
		return "", nil
	}
	return httpKey(ctx, key), checkKey(key)
}

func httpKey(ctx context.Context, key string) string { return "http " + caller.User(ctx) + " " + key }

func checkKey(key string) error {
	if key == "" || caller.Printable(key, 200) {
		return nil
	}
	return schema.InvalidField("header.Idempotency-Key", "this must be 1 to 200 printable ASCII characters without spaces", key)
}

// orEmpty keeps a list from being null in JSON.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
