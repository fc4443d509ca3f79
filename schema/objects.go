package schema

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Objects in the API's answers.
type (
	// Session is a durable conversation with its runs.
	Session struct {
		ID               string          `json:"id"`
		Name             string          `json:"name"`
		Mode             Mode            `json:"mode"`
		Status           SessionStatus   `json:"status"`
		Phase            Phase           `json:"phase"`
		Owner            string          `json:"owner"`
		Task             string          `json:"task,omitempty"`
		Config           Config          `json:"config"`
		Plan             *Plan           `json:"plan,omitempty"`
		Context          json.RawMessage `json:"context,omitempty" doc:"Variables that the session carries from step to step"`
		CurrentStep      string          `json:"current_step,omitempty"`
		HeadSeq          int64           `json:"head_seq" doc:"The seq of the latest event"`
		PendingApprovals []Approval      `json:"pending_approvals"`
		ExpiredApprovals []Approval      `json:"expired_approvals" doc:"Approvals that nobody answered in time and that suspended the session; reopening one asks again"`
		Totals           Totals          `json:"totals"`
		ForkedFrom       string          `json:"forked_from,omitempty"`
		Forks            []string        `json:"forks" doc:"Ids of the sessions that were forked from this one; only in the detail"`
		QueuedMessages   int             `json:"queued_messages" doc:"Messages that wait for their run"`
		FailedSteps      int             `json:"failed_steps" doc:"Steps of its latest run that have failed"`
		WorkflowID       string          `json:"workflow_id"`
		Version          int64           `json:"version" doc:"Grows when the session is renamed; send it back to rename it"`
		CreatedAt        Time            `json:"created_at"`
		UpdatedAt        Time            `json:"updated_at"`
		ExpiresAt        *Time           `json:"expires_at,omitempty"`
	}
	// Totals sums up a session.
	Totals struct {
		Runs    int     `json:"runs"`
		Steps   int     `json:"steps"`
		CostUSD float64 `json:"cost_usd"`
		Tokens  int64   `json:"tokens"`
	}
	// Run is one pass through a plan.
	Run struct {
		ID         string        `json:"id"`
		SessionID  string        `json:"session_id"`
		Number     int           `json:"number"`
		Status     SessionStatus `json:"status"`
		Steps      []Step        `json:"steps"`
		StartedAt  Time          `json:"started_at"`
		FinishedAt *Time         `json:"finished_at,omitempty"`
		Error      string        `json:"error,omitempty"`
		PlanDigest string        `json:"plan_digest,omitempty"`
		Message    string        `json:"message,omitempty" doc:"What the user said to start it"`

		FailedSteps int `json:"failed_steps" doc:"Steps that have failed; the run may have completed without them"`
	}
	// Step is one step of a run.
	Step struct {
		ID       string     `json:"id"`
		Title    string     `json:"title"`
		Kind     StepKind   `json:"kind"`
		Needs    []string   `json:"needs"`
		Status   StepStatus `json:"status"`
		Reason   string     `json:"reason,omitempty" doc:"Why it was skipped or cancelled"`
		Attempts []Attempt  `json:"attempts"`
	}
	// Attempt is one execution of a step.
	Attempt struct {
		Number      int           `json:"number"`
		Status      AttemptStatus `json:"status"`
		ExitCode    *int          `json:"exit_code,omitempty"`
		Signal      string        `json:"signal,omitempty"`
		Reason      Reason        `json:"reason,omitempty"`
		StartedAt   Time          `json:"started_at"`
		FinishedAt  *Time         `json:"finished_at,omitempty"`
		CPUSeconds  float64       `json:"cpu_seconds"`
		MaxRSSBytes int64         `json:"max_rss_bytes"`
		ReadBytes   int64         `json:"read_bytes" doc:"From disks, as the kernel counts"`
		WriteBytes  int64         `json:"write_bytes" doc:"To disks, as the kernel counts"`
		DurationMS  int64         `json:"duration_ms" doc:"0 while it runs"`
		Host        string        `json:"host"`
	}
	// Approval is a question to a human, with its answer.
	Approval struct {
		ID               string          `json:"id"`
		SessionID        string          `json:"session_id"`
		RunID            string          `json:"run_id"`
		StepID           string          `json:"step_id,omitempty"`
		Type             ApprovalType    `json:"approval_type"`
		Description      string          `json:"description"`
		Options          []Resolution    `json:"options"`
		Context          json.RawMessage `json:"context" doc:"The subject: the plan, the step, or the context that a program gave with its question"`
		ContextTruncated bool            `json:"context_truncated,omitempty" doc:"The context is omitted here ({}), because it is long or this is a list of sessions; GET /api/approvals/{id} returns it"`
		Digest           string          `json:"digest" doc:"Identifies exactly what is approved"`
		Status           ApprovalStatus  `json:"status"`
		Reopenable       bool            `json:"reopenable,omitempty" doc:"It expired and suspended its session; reopening it asks again"`
		Resolution       Resolution      `json:"resolution,omitempty"`
		Feedback         string          `json:"feedback,omitempty"`
		Modifications    json.RawMessage `json:"modifications,omitempty" doc:"What was changed with the resolution"`
		Actor            string          `json:"actor,omitempty"`
		OnTimeout        OnTimeout       `json:"on_timeout,omitempty" doc:"What happens when nobody answers in time"`
		CreatedAt        Time            `json:"created_at"`
		ExpiresAt        Time            `json:"expires_at"`
		EscalatedAt      *Time           `json:"escalated_at,omitempty" doc:"When its first deadline passed without an answer"`
		RemainingSeconds float64         `json:"remaining_seconds" doc:"By the server's clock; 0 once it is closed"`
		ResolvedAt       *Time           `json:"resolved_at,omitempty"`
	}
	// Message is one entry of a session's conversation.
	Message struct {
		ID        int64         `json:"id"`
		Number    int           `json:"number,omitempty" doc:"The number of a user's message within the session"`
		SessionID string        `json:"session_id"`
		RunID     string        `json:"run_id,omitempty"`
		Role      string        `json:"role" enum:"user,agent,system"`
		Agent     string        `json:"agent,omitempty"`
		Actor     string        `json:"actor,omitempty"`
		Content   string        `json:"content"`
		Status    MessageStatus `json:"status,omitempty" enum:"queued,taken,dropped" doc:"Of a user's message"`
		CreatedAt Time          `json:"created_at"`
	}
	// File is an artifact in a session's workspace.
	File struct {
		Path       string `json:"path"`
		Size       int64  `json:"size"`
		MediaType  string `json:"media_type"`
		ModifiedAt Time   `json:"modified_at"`
	}
	// Problem is an error answer (RFC 9457, application/problem+json).
	Problem struct {
		Type      string       `json:"type"`
		Title     string       `json:"title"`
		Status    int          `json:"status"`
		Detail    string       `json:"detail"`
		Code      Code         `json:"code"`
		Errors    []FieldError `json:"errors"`
		RequestID string       `json:"request_id"`
	}
)

// Config holds a session's deviations from the defaults. The zero value of each field means its
// default.
type Config struct {
	ApprovalMode           ApprovalMode `json:"approval_mode,omitempty" enum:"none,after_planning,before_each_step,on_error,all" doc:"Where to ask a human; none when absent"`
	ApprovalTimeoutSeconds float64      `json:"approval_timeout_seconds,omitempty" doc:"How long an approval waits; the server's HOLDFAST_APPROVAL_TIMEOUT when absent"`
	OnTimeout              OnTimeout    `json:"on_timeout,omitempty" enum:"suspend,reject,approve,escalate" doc:"What an expired approval does; suspend when absent"`
	EscalationTimeout      string       `json:"escalation_timeout,omitempty" doc:"How long an escalated approval waits, such as 20m; four times its first time when absent"`
	OnModified             OnModified   `json:"on_modified,omitempty" enum:"ask,approve" doc:"Whether an edited plan or step needs approval again (ask), or the edit is the approval (approve); ask when absent"`
	Parallel               int          `json:"parallel,omitempty" doc:"How many ready steps run at the same time; 2 when absent"`
	RunTimeout             string       `json:"run_timeout,omitempty" doc:"How long a run may take while it is not suspended, such as 2h; no limit when absent"`
	WhenBusy               WhenBusy     `json:"when_busy,omitempty" enum:"enqueue,interrupt,reject" doc:"What a message does while a run is under way; enqueue when absent"`
	SessionTTL             string       `json:"session_ttl,omitempty" doc:"How long the session is kept open while nobody uses it, such as 720h; the server's HOLDFAST_SESSION_TTL when absent"`
}

// DefaultParallel is how many ready steps run at the same time unless config.parallel is set.
const DefaultParallel = 2

// Limits of a config and of commands.
const (
	MaxParallel               = 64
	MinApprovalTimeoutSeconds = 1
	MaxApprovalTimeoutSeconds = 30 * 24 * 3600
	MaxSessionTTL             = 10 * 365 * 24 * time.Hour
	MaxMessageBytes           = 64 << 10
	MaxQueuedMessages         = 100
	MaxFeedback               = 10_000   // in characters
	MaxQuestion               = 2_000    // in characters
	MaxAskContext             = 64 << 10 // together with the options, as JSON
	MaxAskID                  = 512      // the session adds run, step and attempt to it, and that must fit MaxRequestIDBytes
	MaxActorBytes             = 512
	MaxRequestIDBytes         = 1024
	MaxDigestBytes            = 128
	MaxOpenAsks               = 16 // of one step
)

// LeaveOutContext removes the context and marks that it is available elsewhere.
func (a *Approval) LeaveOutContext() { a.Context, a.ContextTruncated = json.RawMessage(`{}`), true }

// Check lists what is wrong with a config; locations start with at.
func (c *Config) Check(at string) []FieldError {
	var errs []FieldError
	bad := func(field, message string, value any) {
		errs = append(errs, FieldError{Location: at + "." + field, Message: message, Value: value})
	}
	oneOf := func(field, value string, allowed ...string) {
		if value != "" && !slices.Contains(allowed, value) {
			bad(field, "allowed are "+strings.Join(allowed, ", "), value)
		}
	}
	oneOf("approval_mode", string(c.ApprovalMode), "none", "after_planning", "before_each_step", "on_error", "all")
	oneOf("on_timeout", string(c.OnTimeout), "suspend", "reject", "approve", "escalate")
	oneOf("on_modified", string(c.OnModified), "ask", "approve")
	oneOf("when_busy", string(c.WhenBusy), "enqueue", "interrupt", "reject")
	lasting := func(field, value string, most time.Duration) {
		if value == "" {
			return
		}
		if d, err := ParseDuration(value); err != nil || d < time.Second || d > most {
			bad(field, fmt.Sprintf("this must be a duration such as 90s, 30m, 2h or 3d, from 1s to %gh", most.Hours()), value)
		}
	}
	lasting("escalation_timeout", c.EscalationTimeout, MaxApprovalTimeoutSeconds*time.Second)
	lasting("run_timeout", c.RunTimeout, MaxTimeout)
	lasting("session_ttl", c.SessionTTL, MaxSessionTTL)
	if s := c.ApprovalTimeoutSeconds; s != 0 && (math.IsNaN(s) || s < MinApprovalTimeoutSeconds || s > MaxApprovalTimeoutSeconds) {
		bad("approval_timeout_seconds", "this must be a number of seconds from 1 to 2592000", s)
	}
	if c.Parallel < 0 || c.Parallel > MaxParallel {
		bad("parallel", "this must be a whole number from 1 to 64", c.Parallel)
	}
	return errs
}

// Unsupported lists what a valid plan needs that this server cannot do. Such a plan is refused;
// nothing in it is silently ignored. At most maxProblems are listed.
func (p *Plan) Unsupported() []FieldError {
	var errs []FieldError
	for i := range p.Steps {
		if s := &p.Steps[i]; s.Kind() == KindAgent && len(errs) < maxProblems {
			errs = append(errs, FieldError{Location: stepLocation(i, fieldAgent), Message: noAgents, Value: s.Agent})
		}
	}
	return errs
}

// UnsupportedIn is Unsupported with positions in the text that the plan was read from.
func (p *Plan) UnsupportedIn(text []byte) []PlanProblem {
	if len(p.Unsupported()) == 0 {
		return nil
	}
	root, err := parseNode(text)
	if err != nil { // not that text
		return nil
	}
	parser := planParser{text: text}
	for i, n := range root.field("steps").items {
		if p.Steps[i].Kind() == KindAgent {
			parser.add(n.at(fieldAgent), stepLocation(i, fieldAgent), noAgents, p.Steps[i].Agent)
		}
	}
	return parser.problems
}

const (
	fieldAgent = "agent"
	noAgents   = "this server has no agent provider; a step here is run or shell"
)
