package schema

import (
	"bytes"
	"encoding/json"
	"runtime"
	"time"
)

// The names by which web, workers and the temporal CLI call each other through Temporal.
const (
	WorkflowType      = "Session"
	TaskQueueSessions = "holdfast-sessions"
	TaskQueueSteps    = "holdfast-steps" // shared by all hosts: any of them takes a session that has lost its host
)

// Updates and signals of the Session workflow: the same names, the same arguments.
const (
	CommandResolveApproval = "resolve_approval"
	CommandExtendApproval  = "extend_approval"
	CommandAsk             = "ask"     // a running step asks a human
	CommandMessage         = "message" // the next run, or a later one, answers it
	CommandRun             = "run"     // start the next run, of one of the session's plans
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

// DefaultHostTimeout is long enough to replace a worker on its host.
const DefaultHostTimeout = time.Minute

// DefaultMaxSteps is how many steps a host runs at a time: 16 per core, and at least 200. Most steps wait for something,
// and the cpu and memory that they declare are counted separately.
func DefaultMaxSteps() int { return max(200, 16*runtime.NumCPU()) }

// SessionInput starts a Session workflow. It holds the workflow's whole configuration: workflow
// code reads no settings.
type SessionInput struct {
	SessionID       string        `json:"session_id"`
	Name            string        `json:"name"`
	Owner           string        `json:"owner"`
	Mode            Mode          `json:"mode"`
	Config          Config        `json:"config"`
	ApprovalTimeout time.Duration `json:"approval_timeout"`      // nanoseconds; the server's default
	SessionTTL      time.Duration `json:"session_ttl,omitempty"` // nanoseconds; the server's default; 0 for never
	// HostTimeout is how long a step waits for the session's host before another may take over the
	// session: nanoseconds; 0 is [DefaultHostTimeout].
	HostTimeout time.Duration `json:"host_timeout,omitempty"`
	// Searchable says that the [SearchAttributes] exist in the namespace: setting one that does not
	// would stop the workflow.
	Searchable bool `json:"searchable,omitempty"`
	// Revival is what a session continues from after its workflow was lost; nil for a new session.
	Revival *Revival `json:"revival,omitempty"`
}

// Revival is what Postgres knows of a session whose workflow is started anew. None of its runs is
// active: the one that was is recorded as failed.
type Revival struct {
	Run      int           `json:"run"`      // number of the latest run
	Status   SessionStatus `json:"status"`   // status with which that run ended
	Messages int           `json:"messages"` // number of the latest message
	Queue    []int         `json:"queue"`    // numbers of the messages waiting for their run
	// Suspended says that somebody had suspended the session: what waits keeps waiting.
	Suspended bool   `json:"suspended,omitempty"`
	Host      string `json:"host"` // host that has the workspace; "" if none ever had it
	// LeftBehind lists hosts that may still have processes of the latest run.
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

// SearchAttributes lists all of them.
var SearchAttributes = []string{SearchStatus, SearchPhase, SearchMode, SearchOwner}

// ResolveApproval is the argument of [CommandResolveApproval].
type ResolveApproval struct {
	ApprovalID string     `json:"approval_id"`
	Resolution Resolution `json:"resolution"`
	Feedback   string     `json:"feedback,omitempty"`
	// Modifications is a [PlanEdit], a [StepEdit] or a [ToolEdit], depending on the approval's
	// type.
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

// Ask is the argument of [CommandAsk]. RequestID names the question: asking again gives the same
// approval.
type Ask struct {
	StepID         string          `json:"step_id"`
	Type           ApprovalType    `json:"approval_type"` // program_ask when absent; tool_call or budget
	Question       string          `json:"question"`
	Context        json.RawMessage `json:"context,omitempty"`
	TimeoutSeconds float64         `json:"timeout_seconds,omitempty"`
	OnTimeout      OnTimeout       `json:"on_timeout,omitempty"` // reject when absent; approve or escalate
	RequestID      string          `json:"request_id"`
}

// SendMessage is the argument of [CommandMessage]. A message sent through web is already in
// Postgres, where Text says; otherwise it is in Content.
type SendMessage struct {
	Content   string `json:"content,omitempty"`
	Text      *Text  `json:"text,omitempty"`
	Actor     string `json:"actor,omitempty"`
	RequestID string `json:"request_id,omitempty"`
}

// Text is a text that was stored in Postgres before the command that refers to it. Its id is
// derived from the command and the text.
type Text struct {
	ID    string `json:"id"`
	Bytes int    `json:"bytes"`
}

// TextID names the text of a request to a session.
func TextID(sessionID, requestID, content string) string {
	return DeriveID("text", sessionID, requestID, content)
}

// StartRun is the argument of [CommandRun]. PlanDigest names one of the session's plans; "" is the
// latest.
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

// From says who sends a command, and the sender's id for the request.
func (c Command) From() Command { return c }

// From is as for [Command].
func (c ResolveApproval) From() Command { return Command{c.Actor, c.RequestID} }

// From is as for [Command].
func (c ExtendApproval) From() Command { return Command{c.Actor, c.RequestID} }

// From is as for [Command]: a step uses the name of its question as the request id.
func (c Ask) From() Command { return Command{"step " + c.StepID, c.RequestID} }

// From is as for [Command].
func (c SendMessage) From() Command { return Command{c.Actor, c.RequestID} }

// From is as for [Command].
func (c StartRun) From() Command { return Command{c.Actor, c.RequestID} }

// A request id names one request. The digest, which leaves out the sender, tells a repetition of a
// request from a different request under the same id.

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

// RequestDigest covers what is asked for besides the command's name: nothing.
func (c Command) RequestDigest() string { return digest(struct{}{}) }

// AnswerDigest covers what a decision says besides its resolution: the modifications and, for a
// step's question, also the feedback, because the step acts on it.
func AnswerDigest(t ApprovalType, feedback string, modifications json.RawMessage) string {
	if !t.AskedByStep() {
		feedback = ""
	}
	return digest(struct {
		Feedback      string          `json:"feedback"`
		Modifications json.RawMessage `json:"modifications"`
	}{feedback, canonical(modifications)})
}

// canonical returns the same JSON for equal values; null counts as absent. Text that is not JSON is
// kept as it is, in quotes.
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

// Digest identifies exactly what is asked: the hex SHA-256 of question and context.
func (c Ask) Digest() string {
	return digest(struct {
		Question string          `json:"question"`
		Context  json.RawMessage `json:"context"`
	}{c.Question, c.Context})
}

// CommandResult answers an update. Status and Phase are the session's after the command was
// accepted; the projection in Postgres follows.
type CommandResult struct {
	Status   SessionStatus `json:"status"`
	Phase    Phase         `json:"phase"`
	Repeated bool          `json:"repeated,omitempty"` // the same command had been accepted before

	ApprovalID string `json:"approval_id,omitempty"` // of ask and extend_approval
	ExpiresAt  *Time  `json:"expires_at,omitempty"`  // the same
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

// StepState is a step in answers to the `state` and `plan` queries.
type StepState struct {
	ID     string     `json:"id"`
	Title  string     `json:"title"`
	Needs  []string   `json:"needs,omitempty"`
	Status StepStatus `json:"status"`
}

// Asked is the workflow's view of an approval.
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

// WorkflowSpan is the key under which a workflow's context has the span of its trace, if it is traced.
type WorkflowSpan struct{}
