package workflows

import (
	"fmt"
	"slices"
	"time"

	"github.com/holdfast/holdfast/schema"
)

// State is everything that a Session workflow knows. It is carried whole across
// continue-as-new, so every field is exported and serialisable, and every deadline is an
// instant rather than a duration.
type State struct {
	Input schema.SessionInput `json:"input"`

	Run       *Run       `json:"run,omitempty"` // the latest run
	Approvals []Approval `json:"approvals"`     // the pending ones and the last closed ones
	Asked     int        `json:"asked"`         // how many approvals were ever asked for
	Host      string     `json:"host"`          // which host has the workspace

	Suspended bool        `json:"suspended"`
	Frozen    bool        `json:"frozen"` // the host was told to freeze what runs
	Cancel    *Cancelling `json:"cancel,omitempty"`
	Closing   bool        `json:"closing"` // the session was deleted

	Recorded int64               `json:"recorded"` // how many transitions were recorded
	Shown    Shown               `json:"shown"`    // what Postgres shows
	Pending  schema.Transition   `json:"pending"`  // what is not recorded yet
	Requests []RememberedRequest `json:"requests"` // update ids are not deduplicated across continue-as-new
}

// Shown is the part of the last recorded transition that the next one is compared with.
type Shown struct {
	Status schema.SessionStatus `json:"status"`
	Phase  schema.Phase         `json:"phase"`
}

// Cancelling is a cancel that was asked for and is not done yet.
type Cancelling struct {
	Actor string `json:"actor"`
}

// RememberedRequest is a command that was taken in, by the id that its caller gave it.
type RememberedRequest struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// Run is one pass through a plan.
type Run struct {
	ID           string               `json:"id"`
	Number       int                  `json:"number"`
	Begun        bool                 `json:"begun"` // its rows are in Postgres
	Digest       string               `json:"digest"`
	Steps        []Step               `json:"steps"`
	PlanApproved bool                 `json:"plan_approved"`
	Error        string               `json:"error"` // why it cannot go on; nothing new starts
	Ended        schema.SessionStatus `json:"ended"` // "" while it is under way
}

// Step is a step of the run under way.
type Step struct {
	schema.OutlineStep
	Status     schema.StepStatus `json:"status"`
	Approved   bool              `json:"approved"`
	Executions int               `json:"executions"` // how often it was started by the workflow
	NotBefore  time.Time         `json:"not_before"` // the end of its backoff
}

// Approval is a question with its answer.
type Approval struct {
	schema.Asked
	OnTimeout schema.OnTimeout `json:"on_timeout"`
	Deadline  time.Time        `json:"deadline"`
	Actor     string           `json:"actor"`
	ClosedAt  time.Time        `json:"closed_at"`
}

// Bounds of what State remembers.
const (
	maxClosedApprovals = 64
	maxRequests        = 128
)

// NewState is the state of a session that was just created: its first run is to begin.
func NewState(in schema.SessionInput) *State {
	s := &State{Input: in, Shown: Shown{Status: schema.SessionActive, Phase: schema.PhasePlanning}}
	s.newRun()
	return s
}

func (s *State) newRun() {
	number := 1
	if s.Run != nil {
		number = s.Run.Number + 1
	}
	s.Run = &Run{ID: schema.RunID(s.Input.SessionID, number), Number: number}
	s.Cancel = nil
}

// Status is what the session's status is, as it follows from the rest.
func (s *State) Status() schema.SessionStatus {
	switch {
	case s.Run.Ended != "":
		return s.Run.Ended
	case s.Suspended:
		return schema.SessionSuspended
	default:
		return schema.SessionActive
	}
}

// Phase is what the session is doing, as it follows from the rest.
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

// CurrentStep is the step that a person would look at: the first that runs, else the
// first that waits for an answer.
func (s *State) CurrentStep() string {
	waiting := ""
	for i := range s.Run.Steps {
		st := &s.Run.Steps[i]
		switch st.Status {
		case schema.StepRunning, schema.StepFrozen:
			return st.ID
		case schema.StepAwaitingApproval:
			if waiting == "" {
				waiting = st.ID
			}
		default:
		}
	}
	return waiting
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
		return time.Duration(secs * float64(time.Second))
	}
	return s.Input.ApprovalTimeout
}

// View answers the `state` query.
func (s *State) View() schema.WorkflowState {
	v := schema.WorkflowState{
		SessionID: s.Input.SessionID, Status: s.Status(), Phase: s.Phase(),
		RunID: s.Run.ID, RunNumber: s.Run.Number, CurrentStep: s.CurrentStep(),
		Steps: s.StepViews(), Approvals: s.PendingViews(),
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

// Dirty reports whether Postgres does not show this state yet.
func (s *State) Dirty() bool {
	p := &s.Pending
	return len(p.Steps)+len(p.Open)+len(p.Close)+len(p.Notes) > 0 || p.End != nil ||
		s.Shown != Shown{s.Status(), s.Phase()}
}

// TakePending returns the transition that brings Postgres up to this state. Its key counts
// transitions, so that a repeated attempt at recording it is known for what it is.
func (s *State) TakePending() schema.Transition {
	t := s.Pending
	s.Pending = schema.Transition{}
	s.Recorded++
	s.Shown = Shown{s.Status(), s.Phase()}
	t.SessionID, t.RunID = s.Input.SessionID, s.Run.ID
	t.Key = fmt.Sprintf("transition/%d", s.Recorded)
	t.Status, t.Phase, t.CurrentStep = s.Shown.Status, s.Shown.Phase, s.CurrentStep()
	return t
}

// Seen reports whether a command with this request id was taken in before.
func (s *State) Seen(name, requestID string) bool {
	return requestID != "" && slices.Contains(s.Requests, RememberedRequest{ID: requestID, Name: name})
}

// Remember keeps the request id of a command that was taken in; an empty one is not kept.
func (s *State) Remember(name, requestID string) {
	if requestID == "" || s.Seen(name, requestID) {
		return
	}
	s.Requests = append(s.Requests, RememberedRequest{ID: requestID, Name: name})
	if extra := len(s.Requests) - maxRequests; extra > 0 {
		s.Requests = slices.Delete(s.Requests, 0, extra)
	}
}

func (s *State) setStep(st *Step, status schema.StepStatus, reason string) {
	if st.Status == status {
		return
	}
	st.Status = status
	s.Pending.Steps = append(s.Pending.Steps, schema.StepChange{ID: st.ID, Status: status, Reason: reason})
}

func (s *State) note(t schema.EventType, stepID string, data any) {
	s.Pending.Notes = append(s.Pending.Notes, schema.Note{Type: t, StepID: stepID, Data: schema.Marshal(data)})
}

func (s *State) running() int {
	n := 0
	for i := range s.Run.Steps {
		if st := s.Run.Steps[i].Status; st == schema.StepRunning || st == schema.StepFrozen {
			n++
		}
	}
	return n
}
