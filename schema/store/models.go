package store

import (
	"encoding/json"
	"time"

	"github.com/uptrace/bun"

	"github.com/holdfast/holdfast/schema"
)

// Rows as bun reads and writes them.
type (
	sessionRow struct {
		bun.BaseModel `bun:"table:sessions,alias:s"`

		ID         string          `bun:"id,pk"`
		Name       string          `bun:"name"`
		Mode       schema.Mode     `bun:"mode"`
		Owner      string          `bun:"owner"`
		Task       string          `bun:"task"`
		Config     json.RawMessage `bun:"config,type:jsonb"`
		HeadSeq    int64           `bun:"head_seq"`
		Version    int64           `bun:"version"`
		ForkedFrom string          `bun:"forked_from,nullzero"`
		CreatedAt  time.Time       `bun:"created_at"`
		UpdatedAt  time.Time       `bun:"updated_at"`

		// From session_states.
		Status           schema.SessionStatus `bun:"status"`
		CurrentPhase     schema.Phase         `bun:"current_phase"`
		CurrentStep      string               `bun:"current_step"`
		ContextVariables json.RawMessage      `bun:"context_variables,type:jsonb"`
		PlanData         json.RawMessage      `bun:"plan_data,type:json"`
		ExpiresAt        *time.Time           `bun:"expires_at"`

		// Counted.
		Runs   int      `bun:"runs"`
		Steps  int      `bun:"steps"`
		Queued int      `bun:"queued"`
		Failed int      `bun:"failed_steps"` // in the latest run
		Forks  []string `bun:"forks,array"`
	}

	runRow struct {
		bun.BaseModel `bun:"table:runs,alias:r"`

		ID         string               `bun:"id,pk"`
		SessionID  string               `bun:"session_id"`
		Number     int                  `bun:"number"`
		Status     schema.SessionStatus `bun:"status"`
		Error      string               `bun:"error"`
		PlanDigest string               `bun:"plan_digest"`
		StartedAt  time.Time            `bun:"started_at"`
		FinishedAt *time.Time           `bun:"finished_at"`
		Message    string               `bun:"message,scanonly"` // from messages
	}

	stepRow struct {
		bun.BaseModel `bun:"table:steps,alias:st"`

		RunID  string            `bun:"run_id,pk"`
		StepID string            `bun:"step_id,pk"`
		Title  string            `bun:"title"`
		Kind   schema.StepKind   `bun:"kind"`
		Needs  []string          `bun:"needs,array"`
		Status schema.StepStatus `bun:"status"`
		Reason string            `bun:"reason"`
	}

	attemptRow struct {
		bun.BaseModel `bun:"table:attempts,alias:a"`

		RunID       string               `bun:"run_id,pk"`
		StepID      string               `bun:"step_id,pk"`
		Number      int                  `bun:"number,pk"`
		Status      schema.AttemptStatus `bun:"status"`
		ExitCode    *int                 `bun:"exit_code"`
		Signal      string               `bun:"signal"`
		Reason      schema.Reason        `bun:"reason"`
		Host        string               `bun:"host"`
		StartedAt   time.Time            `bun:"started_at"`
		FinishedAt  *time.Time           `bun:"finished_at"`
		CPUSeconds  float64              `bun:"cpu_seconds"`
		MaxRSSBytes int64                `bun:"max_rss_bytes"`
		ReadBytes   int64                `bun:"read_bytes"`
		WriteBytes  int64                `bun:"write_bytes"`
		DurationMS  int64                `bun:"duration_ms"`
	}

	approvalRow struct {
		bun.BaseModel `bun:"table:approval_requests,alias:a"`

		ID          string                `bun:"id,pk"`
		SessionID   string                `bun:"session_id"`
		RunID       string                `bun:"run_id"`
		StepID      string                `bun:"step_id"`
		Type        schema.ApprovalType   `bun:"approval_type"`
		Description string                `bun:"description"`
		Options     []string              `bun:"options,array"`
		Context     json.RawMessage       `bun:"context,type:json"`
		Digest      string                `bun:"digest"`
		Status      schema.ApprovalStatus `bun:"status"`
		Resolution  schema.Resolution     `bun:"resolution"`
		Feedback    string                `bun:"feedback"`
		Actor       string                `bun:"actor"`
		CreatedAt   time.Time             `bun:"created_at"`
		ExpiresAt   time.Time             `bun:"expires_at"`
		ResolvedAt  *time.Time            `bun:"resolved_at"`
		Result      json.RawMessage       `bun:"result,type:json"`
		OnTimeout   schema.OnTimeout      `bun:"on_timeout"`
		EscalatedAt *time.Time            `bun:"escalated_at"`
		Remaining   float64               `bun:"remaining"`
		Reopenable  bool                  `bun:"reopenable"`
	}

	messageRow struct {
		bun.BaseModel `bun:"table:messages,alias:m"`

		ID        int64                `bun:"id,pk,autoincrement"`
		SessionID string               `bun:"session_id"`
		RunID     string               `bun:"run_id,nullzero"`
		Role      string               `bun:"role"`
		Agent     string               `bun:"agent"`
		Actor     string               `bun:"actor"`
		Content   string               `bun:"content"`
		Number    int                  `bun:"number,nullzero"`
		Status    schema.MessageStatus `bun:"status"`
		CreatedAt time.Time            `bun:"created_at,nullzero,default:now()"`
		TextID    string               `bun:"text_id,nullzero"`
	}
)

func timeOf(t time.Time) schema.Time { return schema.Time{Time: t.UTC()} }

func timePtr(t *time.Time) *schema.Time {
	if t == nil {
		return nil
	}
	u := timeOf(*t)
	return &u
}

func (r *sessionRow) object() (schema.Session, error) {
	session := schema.Session{
		ID: r.ID, Name: r.Name, Mode: r.Mode, Status: r.Status, Phase: r.CurrentPhase, Owner: r.Owner, Task: r.Task,
		Context: r.ContextVariables, CurrentStep: r.CurrentStep, HeadSeq: r.HeadSeq, PendingApprovals: []schema.Approval{}, ExpiredApprovals: []schema.Approval{},
		Totals: schema.Totals{Runs: r.Runs, Steps: r.Steps}, ForkedFrom: r.ForkedFrom, Forks: append([]string{}, r.Forks...),
		QueuedMessages: r.Queued, FailedSteps: r.Failed, WorkflowID: schema.WorkflowID(r.ID),
		Version: r.Version, CreatedAt: timeOf(r.CreatedAt), UpdatedAt: timeOf(r.UpdatedAt), ExpiresAt: timePtr(r.ExpiresAt),
	}
	if err := json.Unmarshal(r.Config, &session.Config); err != nil {
		return session, schema.Wrap(schema.CodeInternal, err, "the session's config cannot be read")
	}
	var err error
	session.Plan, err = decodePlan(r.PlanData)
	return session, err
}

func decodePlan(text json.RawMessage) (*schema.Plan, error) {
	if len(text) == 0 {
		return nil, nil //nolint:nilnil // a session without a plan is an ordinary one
	}
	plan := new(schema.Plan)
	if err := json.Unmarshal(text, plan); err != nil {
		return nil, schema.Wrap(schema.CodeInternal, err, "the session's plan cannot be read")
	}
	return plan, nil
}

func (r *runRow) object() schema.Run {
	return schema.Run{
		ID: r.ID, SessionID: r.SessionID, Number: r.Number, Status: r.Status, Steps: []schema.Step{},
		StartedAt: timeOf(r.StartedAt), FinishedAt: timePtr(r.FinishedAt), Error: r.Error,
		PlanDigest: r.PlanDigest, Message: r.Message,
	}
}

func (r *stepRow) object() schema.Step {
	needs := r.Needs
	if needs == nil {
		needs = []string{}
	}
	return schema.Step{
		ID: r.StepID, Title: r.Title, Kind: r.Kind, Needs: needs, Status: r.Status, Reason: r.Reason, Attempts: []schema.Attempt{},
	}
}

func (r *attemptRow) object() schema.Attempt {
	return schema.Attempt{
		Number: r.Number, Status: r.Status, ExitCode: r.ExitCode, Signal: r.Signal, Reason: r.Reason, StartedAt: timeOf(r.StartedAt),
		FinishedAt: timePtr(r.FinishedAt), CPUSeconds: r.CPUSeconds, MaxRSSBytes: r.MaxRSSBytes,
		ReadBytes: r.ReadBytes, WriteBytes: r.WriteBytes, DurationMS: r.DurationMS, Host: r.Host,
	}
}

func (r *approvalRow) object() schema.Approval {
	options := make([]schema.Resolution, 0, len(r.Options))
	for _, option := range r.Options {
		options = append(options, schema.Resolution(option))
	}
	return schema.Approval{
		ID: r.ID, SessionID: r.SessionID, RunID: r.RunID, StepID: r.StepID, Type: r.Type, Description: r.Description,
		Options: options, Context: r.Context, Digest: r.Digest, Status: r.Status, Reopenable: r.Reopenable, Resolution: r.Resolution, Feedback: r.Feedback,
		Actor: r.Actor, CreatedAt: timeOf(r.CreatedAt), ExpiresAt: timeOf(r.ExpiresAt), RemainingSeconds: r.Remaining,
		ResolvedAt: timePtr(r.ResolvedAt), Modifications: r.Result, OnTimeout: r.OnTimeout, EscalatedAt: timePtr(r.EscalatedAt),
	}
}

func (r *messageRow) object() schema.Message {
	return schema.Message{
		ID: r.ID, SessionID: r.SessionID, RunID: r.RunID, Role: r.Role, Agent: r.Agent, Actor: r.Actor, Content: r.Content,
		Number: r.Number, Status: r.Status, CreatedAt: timeOf(r.CreatedAt),
	}
}
