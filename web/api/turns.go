package api

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
	"github.com/holdfast/holdfast/schema/wire"
	"github.com/holdfast/holdfast/web/caller"
	"github.com/holdfast/holdfast/web/control"
)

// What makes a session go on: a message, a run of another plan, a fork.

type (
	messageInput struct {
		SessionPath

		Key  string `header:"Idempotency-Key" maxLength:"200"`
		Body wire.NewMessage
	}
	startRunInput struct {
		SessionPath

		Key  string `header:"Idempotency-Key" maxLength:"200"`
		Body wire.NewRun
	}
	runOutput struct {
		Status   int
		Location string `header:"Location"`
		Body     schema.Run
	}
	forkInput struct {
		SessionPath

		Key  string        `header:"Idempotency-Key" maxLength:"200" doc:"The same key is the same request: sent again it answers with the same session"`
		Body *wire.NewFork `required:"false"`
	}
)

func (s *Service) registerTurns() {
	const tag = "commands"
	handle(s, operation{method: http.MethodPost, path: "/api/sessions/{id}/messages", id: "sendMessage", summary: "Say something: the next run answers it", tag: tag, status: http.StatusAccepted},
		func(ctx context.Context, in *messageInput) (*body[wire.MessageAnswer], error) {
			key, err := commandKey(ctx, in.Key)
			if err != nil {
				return nil, err
			}
			number, err := s.Control.Message(ctx, in.ID, in.Body.Content, "body.", key)
			return answer(wire.MessageAnswer{Number: number, Status: schema.MessageQueued}, err)
		})
	handle(s, operation{method: http.MethodPost, path: "/api/sessions/{id}/runs", id: "startRun", summary: "Start the next run; 409 while one is under way", tag: tag, status: http.StatusCreated}, s.startRun)
	handle(s, operation{method: http.MethodPost, path: "/api/sessions/{id}/fork", id: "forkSession", summary: "Start a session from a finished step of this one", tag: tag, status: http.StatusCreated}, s.fork)
}

// startRun answers with the run once Postgres shows it, and with 202 and what is known of it
// when that takes longer.
func (s *Service) startRun(ctx context.Context, in *startRunInput) (*runOutput, error) {
	key, err := commandKey(ctx, in.Key)
	if err != nil {
		return nil, err
	}
	plan, err := checkRun(&in.Body)
	if err != nil {
		return nil, err
	}
	result, err := s.Control.StartRun(ctx, in.ID, plan, key)
	if err != nil {
		return nil, err
	}
	out := &runOutput{Status: http.StatusAccepted, Location: "/api/runs/" + result.RunID, Body: begunRun(in.ID, plan, result)}
	wait, cancel := context.WithTimeout(ctx, control.SettleTimeout)
	defer cancel()
	s.Control.Settle(wait, in.ID, func() (bool, error) {
		run, err := s.Store.Run(wait, result.RunID)
		if err != nil {
			return false, err
		}
		out.Status, out.Body = http.StatusCreated, run
		return true, nil
	})
	return out, nil
}

func checkRun(n *wire.NewRun) (*schema.Plan, error) {
	hasPlan, hasTask := wire.Given(n.Plan) != nil, n.Task != ""
	switch {
	case hasPlan && hasTask:
		return nil, schema.InvalidField("body.task", "a run has either a plan or a task, not both", nil)
	case hasTask:
		if wrong := schema.PlainText("body.task", n.Task); wrong != nil {
			return nil, schema.Invalid(wrong)
		}
		e := schema.InvalidField("body.task", "this server has no agent provider; a run here has a plan", nil)
		e.Code = schema.CodeUnsupported
		return nil, e
	case !hasPlan:
		return nil, schema.InvalidField("body.plan", "a run needs a plan, or a task", nil)
	}
	plan, wrong := parsePlan(n.Plan)
	if len(wrong) > 0 {
		return nil, schema.Invalid(wrong)
	}
	return plan, available("", plan)
}

// begunRun is a run as its command has left it.
func begunRun(sessionID string, plan *schema.Plan, result schema.CommandResult) schema.Run {
	run := schema.Run{
		ID: result.RunID, SessionID: sessionID, Number: result.RunNumber, Status: schema.SessionActive, PlanDigest: plan.Digest(),
		StartedAt: schema.Time{Time: time.Now()}, Steps: make([]schema.Step, len(plan.Steps)),
	}
	for i := range plan.Steps {
		step := &plan.Steps[i]
		run.Steps[i] = schema.Step{
			ID: step.ID, Title: step.Name(), Kind: step.Kind(), Needs: orEmpty(step.Needs), Status: schema.StepPending, Attempts: []schema.Attempt{},
		}
	}
	return run
}

// fork answers once the new session is durable, as createSession does.
func (s *Service) fork(ctx context.Context, in *forkInput) (*createOutput, error) {
	if err := checkKey(in.Key); err != nil {
		return nil, err
	}
	asked := in.Body
	if asked == nil {
		asked = &wire.NewFork{}
	}
	n, err := checkFork(asked, in.ID)
	if err != nil {
		return nil, err
	}
	n.Actor, n.IdempotencyKey = caller.User(ctx), in.Key
	if asked.Attended {
		n.ApprovalTimeout = s.AttendedTimeout
	}
	save, cancel := context.WithTimeout(ctx, control.CommandTimeout)
	defer cancel()
	if in.Key != "" {
		if err := s.Control.Bind(save, httpKey(ctx, in.Key), "fork", in.ID, n.RequestDigest); err != nil {
			return nil, err
		}
	}
	session, created, err := s.Store.Fork(save, n)
	if err != nil {
		return nil, err
	}
	return s.begun(ctx, session, created), nil
}

func checkFork(f *wire.NewFork, sourceID string) (store.NewFork, error) {
	n := store.NewFork{ID: schema.NewID(), SourceID: sourceID, RunID: f.RunID, StepID: f.StepID, Name: strings.TrimSpace(f.Name)}
	var wrong []schema.FieldError
	if f.Name != "" {
		wrong = append(wrong, schema.PlainText("body.name", f.Name)...)
	}
	if strings.ContainsRune(f.StepID, 0) {
		wrong = append(wrong, schema.FieldError{Location: "body.step_id", Message: schema.NoNUL})
	}
	if wire.Given(f.Plan) != nil {
		var problems []schema.FieldError
		n.Plan, problems = parsePlan(f.Plan)
		wrong = append(wrong, problems...)
	}
	if len(wrong) > 0 {
		return n, schema.Invalid(wrong)
	}
	if err := available("", n.Plan); err != nil {
		return n, err
	}
	n.RequestDigest = schema.DeriveID("fork", string(schema.Marshal(struct {
		Source   string       `json:"source"`
		Run      string       `json:"run"`
		Step     string       `json:"step"`
		Plan     *schema.Plan `json:"plan"`
		Name     string       `json:"name"`
		Attended bool         `json:"attended,omitempty"`
	}{sourceID, n.RunID, n.StepID, n.Plan, n.Name, f.Attended})))
	return n, nil
}
