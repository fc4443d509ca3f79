package schema

import (
	"bytes"
	"encoding/json"
	"time"
)

// The names by which web, workers and the temporal CLI call each other through Temporal.
const (
	WorkflowType      = "Session"
	TaskQueueSessions = "holdfast-sessions"
	TaskQueueSteps    = "holdfast-steps" // of every host: whoever answers takes a session that has lost its own
)

// Updates and signals of the Session workflow: the same names, the same arguments.
const (
	CommandResolveApproval = "resolve_approval"
	CommandExtendApproval  = "extend_approval"
	CommandAsk             = "ask"     // a running step asks a human
	CommandMessage         = "message" // the next run, or one after it, answers it
	CommandRun             = "run"     // the next run, of a plan that the session has
	CommandSuspend         = "suspend"
	CommandResume          = "resume"
	CommandCancel          = "cancel"
	CommandClose           = "close" // the session was deleted: cancel what runs and end the workflow
)

// Queries of the Session workflow.
const (
	QueryState     = "state"
	QueryApprovals = "approvals"
	QueryPlan      = "plan"
)

// WorkflowID is the id of a session's workflow.
func WorkflowID(sessionID string) string { return "session-" + sessionID }

// StepsQueue is the task queue of one host's worker.
func StepsQueue(host string) string { return TaskQueueSteps + "@" + host }

// DefaultHostTimeout is enough for a worker to be replaced on its host.
const DefaultHostTimeout = time.Minute

// SessionInput starts a Session workflow. Everything that a workflow is configured by is
// in it: workflow code reads no settings.
type SessionInput struct {
	SessionID       string        `json:"session_id"`
	Name            string        `json:"name"`
	Owner           string        `json:"owner"`
	Mode            Mode          `json:"mode"`
	Config          Config        `json:"config"`
	ApprovalTimeout time.Duration `json:"approval_timeout"`      // nanoseconds; the server's default
	SessionTTL      time.Duration `json:"session_ttl,omitempty"` // nanoseconds; the server's default; 0 is never
	// HostTimeout is how long a step waits for the session's host before another may take the
	// session: nanoseconds; 0 is [DefaultHostTimeout].
	HostTimeout time.Duration `json:"host_timeout,omitempty"`
	// Searchable says that the [SearchAttributes] exist in the namespace: to set one that does
	// not would stop the workflow.
	Searchable bool `json:"searchable,omitempty"`
	// Revival is what a session goes on with whose workflow was gone; nil for a new session.
	Revival *Revival `json:"revival,omitempty"`
}

// Revival is what Postgres knows of a session whose workflow is begun anew. No run of it is
// under way: what was is recorded as failed.
type Revival struct {
	Run      int           `json:"run"`      // the number of the latest
	Status   SessionStatus `json:"status"`   // with which that ended
	Messages int           `json:"messages"` // the number of the latest
	Queue    []int         `json:"queue"`    // the numbers of those that wait for their run
	// Suspended says that somebody had suspended the session: what waits goes on waiting.
	Suspended bool   `json:"suspended,omitempty"`
	Host      string `json:"host"` // which host has the workspace; "" when none ever had
	// LeftBehind are hosts that may still have processes of the latest run.
	LeftBehind []string  `json:"left_behind,omitempty"`
	LastUsed   time.Time `json:"last_used"`
}

// The search attributes of a Session workflow, all of type Keyword.
const (
	SearchStatus = "HoldfastStatus"
	SearchPhase  = "HoldfastPhase"
	SearchMode   = "HoldfastMode"
	SearchOwner  = "HoldfastOwner"
)

// SearchAttributes are all of them.
var SearchAttributes = []string{SearchStatus, SearchPhase, SearchMode, SearchOwner}

// ResolveApproval is the argument of [CommandResolveApproval].
type ResolveApproval struct {
	ApprovalID string     `json:"approval_id"`
	Resolution Resolution `json:"resolution"`
	Feedback   string     `json:"feedback,omitempty"`
	// Modifications is a [PlanEdit], a [StepEdit] or a [ToolEdit], as the approval's type asks.
	Modifications json.RawMessage `json:"modifications,omitempty"`
	Actor         string          `json:"actor,omitempty"`
	RequestID     string          `json:"request_id,omitempty"`
}

// ExtendApproval is the argument of [CommandExtendApproval]: the deadline moves by Seconds.
type ExtendApproval struct {
	ApprovalID string  `json:"approval_id"`
	Seconds    float64 `json:"seconds"`
	Actor      string  `json:"actor,omitempty"`
	RequestID  string  `json:"request_id,omitempty"`
}

// Ask is the argument of [CommandAsk]. RequestID names the question: asked again, it is the
// same approval.
type Ask struct {
	StepID         string          `json:"step_id"`
	Type           ApprovalType    `json:"approval_type"` // program_ask when absent; tool_call or budget
	Question       string          `json:"question"`
	Context        json.RawMessage `json:"context,omitempty"`
	TimeoutSeconds float64         `json:"timeout_seconds,omitempty"`
	OnTimeout      OnTimeout       `json:"on_timeout,omitempty"` // reject when absent; approve or escalate
	RequestID      string          `json:"request_id"`
}

// SendMessage is the argument of [CommandMessage]. What comes through web is in Postgres
// already, and Text says where; else Content has it.
type SendMessage struct {
	Content   string `json:"content,omitempty"`
	Text      *Text  `json:"text,omitempty"`
	Actor     string `json:"actor,omitempty"`
	RequestID string `json:"request_id,omitempty"`
}

// Text is a text that was stored in Postgres before the command that it belongs to, under an
// id that follows from both.
type Text struct {
	ID    string `json:"id"`
	Bytes int    `json:"bytes"`
}

// TextID names a text of a session that comes with a request.
func TextID(sessionID, requestID, content string) string {
	return DeriveID("text", sessionID, requestID, content)
}

// StartRun is the argument of [CommandRun]. PlanDigest names a plan that the session has;
// "" is its latest.
type StartRun struct {
	PlanDigest string `json:"plan_digest,omitempty"`
	Actor      string `json:"actor,omitempty"`
	RequestID  string `json:"request_id,omitempty"`
}

// Command is the argument of suspend, resume, cancel and close.
type Command struct {
	Actor     string `json:"actor,omitempty"`
	RequestID string `json:"request_id,omitempty"`
}

// From says who sends a command, and by which name it knows the request.
func (c Command) From() Command { return c }

// From is as for [Command].
func (c ResolveApproval) From() Command { return Command{c.Actor, c.RequestID} }

// From is as for [Command].
func (c ExtendApproval) From() Command { return Command{c.Actor, c.RequestID} }

// From is as for [Command]: a step has the name of its question for a request id.
func (c Ask) From() Command { return Command{"step " + c.StepID, c.RequestID} }

// From is as for [Command].
func (c SendMessage) From() Command { return Command{c.Actor, c.RequestID} }

// From is as for [Command].
func (c StartRun) From() Command { return Command{c.Actor, c.RequestID} }

// A request id names one request. Its digest, which leaves out who sends it, tells another request
// under the same id from the same one sent again.

// RequestDigest is as for [Command].
func (c ResolveApproval) RequestDigest() string {
	c.Actor, c.RequestID, c.Modifications = "", "", canonical(c.Modifications)
	return digest(c)
}

// RequestDigest is as for [Command].
func (c ExtendApproval) RequestDigest() string {
	c.Actor, c.RequestID = "", ""
	return digest(c)
}

// RequestDigest is as for [Command].
func (c Ask) RequestDigest() string {
	c.RequestID, c.Context = "", canonical(c.Context)
	return digest(c)
}

// RequestDigest is as for [Command].
func (c SendMessage) RequestDigest() string {
	c.Actor, c.RequestID = "", ""
	return digest(c)
}

// RequestDigest is as for [Command].
func (c StartRun) RequestDigest() string {
	c.Actor, c.RequestID = "", ""
	return digest(c)
}

// RequestDigest names what is asked for, beside the command's name: nothing.
func (c Command) RequestDigest() string { return digest(struct{}{}) }

// AnswerDigest names what a decision says beside its resolution: the modifications, and to a
// question of a step, which acts on it, also the feedback.
func AnswerDigest(t ApprovalType, feedback string, modifications json.RawMessage) string {
	if !t.AskedByStep() {
		feedback = ""
	}
	return digest(struct {
		Feedback      string          `json:"feedback"`
		Modifications json.RawMessage `json:"modifications"`
	}{feedback, canonical(modifications)})
}

// canonical is JSON in the one spelling that two equal values share; null is absent. Text that
// is no JSON stays as it is, in quotes.
func canonical(text json.RawMessage) json.RawMessage {
	if len(text) == 0 {
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var value any
	if err := dec.Decode(&value); err != nil {
		return Marshal(string(text))
	}
	if value == nil {
		return nil
	}
	return Marshal(value)
}

// Digest names exactly what is asked: the hex SHA-256 of question and context.
func (c Ask) Digest() string {
	return digest(struct {
		Question string          `json:"question"`
		Context  json.RawMessage `json:"context"`
	}{c.Question, c.Context})
}

// CommandResult answers an update. Status and Phase are those of the session once the
// command is taken in; the projection in Postgres follows.
type CommandResult struct {
	Status   SessionStatus `json:"status"`
	Phase    Phase         `json:"phase"`
	Repeated bool          `json:"repeated,omitempty"` // the same command had been taken in before

	ApprovalID string `json:"approval_id,omitempty"` // of ask and extend_approval
	ExpiresAt  *Time  `json:"expires_at,omitempty"`  // of the same
	RunID      string `json:"run_id,omitempty"`      // of run
	RunNumber  int    `json:"run_number,omitempty"`  // of run
	Message    int    `json:"message,omitempty"`     // of message: its number within the session
}

// WorkflowState answers the `state` query.
type WorkflowState struct {
	SessionID   string        `json:"session_id"`
	Status      SessionStatus `json:"status"`
	Phase       Phase         `json:"phase"`
	RunID       string        `json:"run_id,omitempty"`
	RunNumber   int           `json:"run_number"`
	CurrentStep string        `json:"current_step,omitempty"`
	Steps       []StepState   `json:"steps"`
	Approvals   []Asked       `json:"approvals"`
	Queued      int           `json:"queued_messages"`
}

// StepState is a step in the answers of the `state` and `plan` queries.
type StepState struct {
	ID     string     `json:"id"`
	Title  string     `json:"title"`
	Needs  []string   `json:"needs,omitempty"`
	Status StepStatus `json:"status"`
}

// Asked is an approval as the workflow knows it.
type Asked struct {
	ApprovalID string         `json:"approval_id"`
	Type       ApprovalType   `json:"approval_type"`
	StepID     string         `json:"step_id,omitempty"`
	Digest     string         `json:"digest"`
	Options    []Resolution   `json:"options"`
	Status     ApprovalStatus `json:"status"`
	Resolution Resolution     `json:"resolution,omitempty"`
	ExpiresAt  Time           `json:"expires_at"`
	Escalated  bool           `json:"escalated,omitempty"` // its first deadline has passed
}
