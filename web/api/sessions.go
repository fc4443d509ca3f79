package api

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/holdfast/holdfast/logs"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
	"github.com/holdfast/holdfast/schema/wire"
	"github.com/holdfast/holdfast/web/caller"
	"github.com/holdfast/holdfast/web/control"
)

// SessionPath names a session. It is exported because huma skips embedded structs that are
// not.
type SessionPath struct {
	ID string `path:"id" doc:"A session's id"`
}

type (
	createInput struct {
		Key  string `header:"Idempotency-Key" maxLength:"200" doc:"The same key is the same request: sent again it answers with the same session"`
		Body wire.NewSession
	}
	createOutput struct {
		Status   int
		Location string `header:"Location"`
		Body     schema.Session
	}
	sessionsInput struct {
		Status []schema.SessionStatus `query:"status" doc:"Only these, separated by commas"`
		Mode   schema.Mode            `query:"mode"`
		Owner  string                 `query:"owner" maxLength:"200"`
		Query  string                 `query:"q" maxLength:"200" doc:"A part of the name or the task"`
		Prefix string                 `query:"id_prefix" maxLength:"36" doc:"The first 4 or more characters of an id; with limit 2 it says whether they name one session"`
		Limit  int                    `query:"limit" minimum:"1" maximum:"200" doc:"50 when absent"`
		Cursor string                 `query:"cursor" maxLength:"200" doc:"next_cursor of the page before"`
	}
	patchInput struct {
		SessionPath

		Body wire.SessionPatch
	}
)

const sessionAddress = "/api/sessions/{id}"

func (s *Service) registerSessions() {
	const tag = "sessions"
	handle(s, operation{method: http.MethodPost, path: "/api/sessions", id: "createSession", summary: "Create a session", tag: tag, status: http.StatusCreated}, s.createSession)
	handle(s, operation{method: http.MethodGet, path: "/api/sessions", id: "listSessions", summary: "List sessions", tag: tag},
		func(ctx context.Context, in *sessionsInput) (*body[wire.SessionList], error) {
			list, total, next, err := s.Store.Sessions(ctx, store.SessionFilter{
				Status: in.Status, Mode: in.Mode, Owner: in.Owner, Query: in.Query, Prefix: in.Prefix, Limit: in.Limit, Cursor: in.Cursor,
			})
			return answer(wire.SessionList{Sessions: list, Total: total, NextCursor: next}, err)
		})
	handle(s, operation{method: http.MethodGet, path: sessionAddress, id: "getSession", summary: "Read a session", tag: tag},
		func(ctx context.Context, in *SessionPath) (*body[schema.Session], error) {
			session, err := s.Store.Session(ctx, in.ID)
			return answer(session, err)
		})
	handle(s, operation{method: http.MethodDelete, path: sessionAddress, id: "deleteSession", summary: "Delete a session and end what it runs", tag: tag, status: http.StatusNoContent},
		s.deleteSession)
	handle(s, operation{method: http.MethodPatch, path: sessionAddress, id: "changeSession", summary: "Rename a session", tag: tag},
		func(ctx context.Context, in *patchInput) (*body[schema.Session], error) {
			if errs := schema.PlainText("body.name", in.Body.Name); errs != nil {
				return nil, schema.Invalid(errs)
			}
			session, err := s.Store.RenameSession(ctx, in.ID, in.Body.Version, strings.TrimSpace(in.Body.Name), caller.User(ctx))
			return answer(session, err)
		})
}

// createSession answers once the session is durable. Its workflow is started before the
// answer when Temporal can be reached, and by the sweeper when not.
func (s *Service) createSession(ctx context.Context, in *createInput) (*createOutput, error) {
	n, err := newSession(&in.Body)
	if err != nil {
		return nil, err
	}
	if err := checkKey(in.Key); err != nil {
		return nil, err
	}
	n.Owner, n.IdempotencyKey = caller.User(ctx), in.Key
	if in.Body.Attended && n.Config.ApprovalTimeoutSeconds == 0 {
		n.Config.ApprovalTimeoutSeconds = s.AttendedTimeout.Seconds()
	}
	save, cancel := context.WithTimeout(ctx, control.CommandTimeout)
	defer cancel()
	if in.Key != "" {
		if err := s.Control.Bind(save, httpKey(ctx, in.Key), "create", "", n.RequestDigest); err != nil {
			return nil, err
		}
	}
	session, created, err := s.Store.CreateSession(save, n)
	if err != nil {
		return nil, err
	}
	return s.begun(ctx, session, created), nil
}

// begun answers for a session that is durable: created now, or by the same request before.
func (s *Service) begun(ctx context.Context, session schema.Session, created bool) *createOutput {
	ctx = logs.With(ctx, logs.Session(session.ID))
	if created || control.NotBegun(&session) {
		if err := s.Control.StartWorkflow(ctx, &session); err != nil {
			s.Log.InfoContext(ctx, "workflow not started yet", logs.Err(err))
			s.Control.Sweep()
		}
	}
	out := &createOutput{Status: http.StatusCreated, Location: "/api/sessions/" + session.ID, Body: session}
	if !created {
		out.Status = http.StatusOK
	}
	return out
}

// newSession checks a request for a session and fills in what it leaves open.
func newSession(b *wire.NewSession) (store.NewSession, error) {
	n := store.NewSession{ID: schema.NewID(), Name: strings.TrimSpace(b.Name), Mode: b.Mode, Task: b.Task, Config: b.Config}
	var wrong []schema.FieldError
	if b.Name != "" {
		wrong = append(wrong, schema.PlainText("body.name", b.Name)...)
	}
	if b.Task != "" {
		wrong = append(wrong, schema.PlainText("body.task", b.Task)...)
	}
	wrong = append(wrong, b.Config.Check("body.config")...)
	switch {
	case len(b.Plan) > 0:
		var problems []schema.FieldError
		n.Plan, problems = parsePlan(b.Plan)
		wrong = append(wrong, problems...)
	case b.Mode == schema.ModeRunbook:
		wrong = append(wrong, schema.FieldError{Location: "body.plan", Message: "a runbook needs a plan"})
	}
	if len(wrong) > 0 {
		return n, schema.Invalid(wrong)
	}
	if err := available(n.Mode, n.Plan); err != nil {
		return n, err
	}
	if n.Name == "" {
		n.Name = defaultName(n.Plan)
	}
	n.RequestDigest = schema.DeriveID("request", string(schema.Marshal(struct {
		Name     string        `json:"name"`
		Mode     schema.Mode   `json:"mode"`
		Task     string        `json:"task"`
		Plan     *schema.Plan  `json:"plan"`
		Config   schema.Config `json:"config"`
		Attended bool          `json:"attended,omitempty"`
	}{strings.TrimSpace(b.Name), n.Mode, n.Task, n.Plan, n.Config, b.Attended})))
	return n, nil
}

// parsePlan reads the plan in a request's body.
func parsePlan(text json.RawMessage) (*schema.Plan, []schema.FieldError) {
	plan, problems := schema.ParsePlan(text)
	wrong := make([]schema.FieldError, 0, len(problems))
	for _, p := range problems {
		wrong = append(wrong, schema.FieldError{Location: within("body.plan", p.Location), Message: p.Message, Value: schema.Brief(p.Value)})
	}
	return plan, wrong
}

// available refuses what this server cannot do.
func available(mode schema.Mode, plan *schema.Plan) error {
	for _, m := range schema.Modes() {
		if m.ID == mode && !m.Available {
			e := schema.InvalidField("body.mode", m.WhyNot, string(mode))
			e.Code = schema.CodeUnsupported
			return e
		}
	}
	if plan == nil {
		return nil
	}
	var wrong []schema.FieldError
	for _, f := range plan.Unsupported() {
		wrong = append(wrong, schema.FieldError{Location: within("body.plan", f.Location), Message: f.Message, Value: schema.Brief(f.Value)})
	}
	if len(wrong) == 0 {
		return nil
	}
	e := schema.Invalid(wrong)
	e.Code = schema.CodeUnsupported
	return e
}

func within(at, location string) string {
	if location == "" {
		return at
	}
	return at + "." + location
}

func defaultName(plan *schema.Plan) string {
	if plan != nil && plan.Steps[0].Title != "" {
		return plan.Steps[0].Title
	}
	return "Runbook " + time.Now().UTC().Format(time.DateOnly)
}

func (s *Service) deleteSession(ctx context.Context, in *SessionPath) (*struct{}, error) {
	if _, err := s.Store.HeadSeq(ctx, in.ID); err != nil {
		return nil, err
	}
	if err := s.Store.DeleteSession(ctx, in.ID, caller.User(ctx)); err != nil {
		return nil, err
	}
	s.Control.Sweep()
	return nil, nil //nolint:nilnil // 204 has no body
}
