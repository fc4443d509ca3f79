package workflows

import (
	"encoding/json"
	"time"

	"github.com/holdfast/holdfast/schema"
)

// State is everything that a Session workflow knows. It is carried over whole by continue-as-new,
// so every field is exported and serialisable, and every deadline is an instant rather than a
// duration.
type State struct {
	Input schema.SessionInput `json:"input"`

	Run           *Run       `json:"run,omitempty"` // the latest run
	Approvals     []Approval `json:"approvals"`     // the pending ones and the most recently closed ones
	ApprovalCount int        `json:"asked"`         // how many approvals have been opened in total
	Edits         []Edit     `json:"edits"`         // accepted, but not carried out yet
	Host          string     `json:"host"`          // the host that has the workspace
	// Generation identifies the workflow of a session whose first one was lost, so that its new counts
	// make names not used before.
	Generation   string        `json:"life"`
	LeftBehind   []string      `json:"left_behind"` // hosts that may have processes of the run that was lost with its workflow
	CarriedSteps []CarriedStep `json:"flights"`     // set only between executions

	Messages int      `json:"messages"`       // how many have been accepted in total
	Queue    []int    `json:"queue"`          // numbers of the messages waiting for their run
	Next     *NextRun `json:"next,omitempty"` // a run requested without a message

	Suspended bool        `json:"suspended"`
	Frozen    bool        `json:"frozen"` // the host was told to freeze running steps
	Cancel    *Cancelling `json:"cancel,omitempty"`
	Closing   bool        `json:"closing"`   // the session was deleted
	Expired   bool        `json:"expired"`   // nobody used it for its time to live
	LastUsed  time.Time   `json:"last_used"` // the last command, or the last end of a run

	Recorded     int64               `json:"recorded"` // how many transitions have been recorded
	Projected    Projected           `json:"shown"`    // what Postgres shows
	SearchValues SearchValues        `json:"searched"` // the search attributes
	Pending      schema.Transition   `json:"pending"`  // what is not recorded yet
	Requests     []RememberedRequest `json:"requests"` // update ids are not deduplicated across continue-as-new
}

// Projected is the part of the last recorded transition that the next one is compared with.
type Projected struct {
	Status    schema.SessionStatus `json:"status"`
	Phase     schema.Phase         `json:"phase"`
	ExpiresAt time.Time            `json:"expires_at"`
}

// SearchValues is what people search for sessions by in Temporal.
type SearchValues struct {
	Status schema.SessionStatus `json:"status"`
	Phase  schema.Phase         `json:"phase"`
}

// Cancelling is a cancel that was requested but is not done yet.
type Cancelling struct {
	Actor string      `json:"actor"`
	Why   CancelCause `json:"why"`
}

// CancelCause says what caused a cancel, if not a person's wish.
type CancelCause string

// The causes.
const (
	CancelAsked       CancelCause = ""            // a person's wish
	CancelInterrupted CancelCause = "interrupted" // a message replaces the run
	CancelExpired     CancelCause = "expired"     // the session's time to live is over
	CancelTimeout     CancelCause = "timeout"     // the run's time is over: it fails
)

// NextRun is a requested run of a plan.
type NextRun struct {
	PlanDigest string `json:"plan_digest"`
}

// RememberedRequest is an accepted command, by its caller's id, with its answer.
type RememberedRequest struct {
	ID     string               `json:"id"`
	Name   string               `json:"name"`
	Digest string               `json:"digest"` // of the request; "" from before there were digests
	Result schema.CommandResult `json:"result"`
}

// Run is one pass through a plan.
type Run struct {
	ID           string               `json:"id"`
	Number       int                  `json:"number"`
	Message      int                  `json:"message"` // number of the message that it answers; 0 for none
	Begun        bool                 `json:"begun"`   // its rows are in Postgres
	Digest       string               `json:"digest"`  // of its plan; before it has begun, of the plan to use
	Steps        []Step               `json:"steps"`
	PlanApproved bool                 `json:"plan_approved"`
	Deadline     time.Time            `json:"deadline"` // of the whole run; zero for none, and while suspended
	Remaining    time.Duration        `json:"left"`     // time to Deadline, while suspended
	Error        string               `json:"error"`    // why it cannot go on; nothing new starts
	Ended        schema.SessionStatus `json:"ended"`    // "" while it is under way

	stepIndexes map[string]int // index of each step by id, derived from Steps; see State.stepIndex
}

// Step is a step of the run under way.
type Step struct {
	schema.OutlineStep
	Status     schema.StepStatus `json:"status"`
	Approved   bool              `json:"approved"`
	Executions int               `json:"executions"` // how often the workflow has started it
	Started    string            `json:"started"`    // the digest that it was last started with
	RetryBase  int               `json:"spent"`      // executions before a human's retry: retries count from there
	NotBefore  time.Time         `json:"not_before"` // when its backoff ends
	Feedback   string            `json:"feedback"`   // from the decision that let it run
}

// Approval is a question with its answer.
type Approval struct {
	schema.Asked
	OnTimeout schema.OnTimeout `json:"on_timeout"`
	RunNumber int              `json:"run_number"`
	AskedAt   time.Time        `json:"asked_at"`
	Deadline  time.Time        `json:"deadline"`
	Actor     string           `json:"actor"`
	ClosedAt  time.Time        `json:"closed_at"`
	// Answer is the digest of what the decision said besides its resolution; "" from before there were digests.
	Answer string `json:"answer"`
	// EditProblem is why the modifications of its resolution could not be used.
	EditProblem string `json:"edit_problem"`
}

// Edit is what a human wants instead of what an approval asked about. StepID is "" if it is the
// whole plan.
type Edit struct {
	ApprovalID    string          `json:"approval_id"`
	StepID        string          `json:"step_id"`
	Actor         string          `json:"actor"`
	Retry         bool            `json:"retry"` // the answer to error_recovery, not to step_approval
	Modifications json.RawMessage `json:"modifications"`
}

// Limits on what State remembers.
const (
	maxClosedApprovals = 64
	maxRequests        = 128
)

// NewState is the state of a newly created session: its first run is about to begin.
func NewState(in schema.SessionInput) *State {
	s := &State{Input: in, SearchValues: SearchValues{schema.SessionActive, schema.PhasePlanning}} // as web starts it
	s.startRun(Run{Number: 1})
	return s
}

// Revived is the state of a session whose workflow was lost, from what Postgres knows of it.
// Generation is a name that no earlier workflow of the session had.
func Revived(in schema.SessionInput, generation string) *State {
	r := in.Revival
	in.Revival = nil
	s := &State{
		Input: in, Generation: generation, SearchValues: SearchValues{schema.SessionActive, schema.PhasePlanning}, // as web starts it
		Run:      &Run{ID: schema.RunID(in.SessionID, r.Run), Number: r.Run, Begun: true, Ended: r.Status},
		Messages: r.Messages, Queue: r.Queue, Suspended: r.Suspended && len(r.Queue) > 0, Host: r.Host, LeftBehind: r.LeftBehind, LastUsed: r.LastUsed,
	}
	// If the first transition is divided, it is recorded with this. The phase differs from what Postgres shows, so that
	// there is always a first transition.
	s.Projected.Status, s.Projected.Phase = s.Status(), schema.PhasePlanning
	return s
}

// startRun makes r the latest run. Postgres learns of it when the run begins.
func (s *State) startRun(r Run) {
	r.ID = schema.RunID(s.Input.SessionID, r.Number)
	s.Run = &r
	s.Cancel, s.Edits = nil, nil
	s.Projected.Status, s.Projected.Phase = schema.SessionActive, schema.PhasePlanning
}

// Status is the session's status, derived from the rest.
func (s *State) Status() schema.SessionStatus {
	switch {
	case s.Expired:
		return schema.SessionExpired
	case s.Run.Ended != "" && !s.Suspended: // otherwise what waits is suspended
		return s.Run.Ended
	case s.Suspended:
		return schema.SessionSuspended
	default:
		return schema.SessionActive
	}
}

// Phase is what the session is doing, derived from the rest.
func (s *State) Phase() schema.Phase {
	switch {
	case s.Run.Ended != "":
		return schema.PhaseIdle
	case !s.Run.Begun:
		return schema.PhasePlanning
	case s.pendingApproval() != nil:
		return schema.PhaseAwaitingApproval
	default:
		return schema.PhaseExecuting
	}
}

// CurrentStep is the step of the run that a person would look at, see [schema.CurrentStep].
func (s *State) CurrentStep() string {
	return schema.CurrentStep(func(yield func(string, schema.StepStatus) bool) {
		for i := range s.Run.Steps {
			if !yield(s.Run.Steps[i].ID, s.Run.Steps[i].Status) {
				return
			}
		}
	})
}

// Parallel is how many steps may run at the same time.
func (s *State) Parallel() int {
	if s.Input.Config.Parallel > 0 {
		return s.Input.Config.Parallel
	}
	return schema.DefaultParallel
}

// ApprovalTimeout is how long an approval waits for its answer.
func (s *State) ApprovalTimeout() time.Duration {
	if secs := s.Input.Config.ApprovalTimeoutSeconds; secs > 0 {
		return seconds(secs)
	}
	return s.Input.ApprovalTimeout
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// durationOr reads a duration from a checked config; "" is otherwise.
func durationOr(text string, otherwise time.Duration) time.Duration {
	if d, err := schema.ParseDuration(text); err == nil {
		return d
	}
	return otherwise
}

// Busy reports whether a run is under way, or about to be.
func (s *State) Busy() bool { return s.Run.Ended == "" || s.Next != nil || len(s.Queue) > 0 }

// ExpiresAt is when the session ends if nobody uses it; the zero time if it does not end, or has
// something to do.
func (s *State) ExpiresAt() time.Time {
	ttl := durationOr(s.Input.Config.SessionTTL, s.Input.SessionTTL)
	waits := !s.Busy() || (s.Suspended && s.Cancel == nil)
	if ttl <= 0 || !waits || s.Closing || s.Expired || s.LastUsed.IsZero() {
		return time.Time{}
	}
	return s.LastUsed.Add(ttl)
}

// View answers the `state` query.
func (s *State) View() schema.WorkflowState {
	v := schema.WorkflowState{
		SessionID: s.Input.SessionID, Status: s.Status(), Phase: s.Phase(),
		RunID: s.Run.ID, RunNumber: s.Run.Number, CurrentStep: s.CurrentStep(),
		Steps: s.StepViews(), Approvals: s.PendingViews(), Queued: len(s.Queue),
	}
	return v
}

// StepViews answers the `plan` query.
func (s *State) StepViews() []schema.StepState {
	steps := make([]schema.StepState, len(s.Run.Steps))
	for i := range s.Run.Steps {
		st := &s.Run.Steps[i]
		steps[i] = schema.StepState{ID: st.ID, Title: st.Title, Needs: st.Needs, Status: st.Status}
	}
	return steps
}

// PendingViews answers the `approvals` query.
func (s *State) PendingViews() []schema.Asked {
	asked := []schema.Asked{}
	for i := range s.Approvals {
		if s.Approvals[i].Status == schema.ApprovalPending {
			asked = append(asked, s.Approvals[i].Asked)
		}
	}
	return asked
}
