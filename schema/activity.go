package schema

import (
	"encoding/json"
	"fmt"
	"time"
)

// The names under which activities are registered. They are part of every history, so
// they outlive any rename of a Go function.
const (
	ActivityBeginRun    = "Records.BeginRun"
	ActivityRecord      = "Records.Record"
	ActivityRevise      = "Records.Revise"
	ActivityRunStep     = "Steps.Run"
	ActivityFreezeSteps = "Steps.Freeze"
	ActivityThawSteps   = "Steps.Thaw"
	ActivityStopSteps   = "Steps.Stop"
	ActivityPlace       = "Hosts.Place"
)

// ControlQueue is the task queue on which one host receives freeze, thaw and stop. It is separate
// from [StepsQueue] so that a host full of running steps can still be told to stop.
func ControlQueue(host string) string { return "holdfast-control@" + host }

// BeginRun is the argument of [ActivityBeginRun]: open a run of a plan.
type BeginRun struct {
	SessionID  string `json:"session_id"`
	RunID      string `json:"run_id"`
	Number     int    `json:"number"`
	Key        string `json:"key"`
	Phase      Phase  `json:"phase"`                 // the phase that follows
	PlanDigest string `json:"plan_digest,omitempty"` // digest of one of the session's plans; "" for the latest
	Message    int    `json:"message,omitempty"`     // the number of the message that the run answers; 0 for none
}

// Revise is the argument of [ActivityRevise]: change the plan of a run as a human asked.
// Modifications is a [PlanEdit] when StepID is "", else a [StepEdit]; both were checked.
type Revise struct {
	SessionID     string          `json:"session_id"`
	RunID         string          `json:"run_id"`
	StepID        string          `json:"step_id,omitempty"`
	ApprovalID    string          `json:"approval_id"`
	Key           string          `json:"key"`
	Actor         string          `json:"actor"`
	Modifications json.RawMessage `json:"modifications"`
}

// Outline is the part of a plan that a workflow carries: what decides the order of steps, without
// commands or files.
type Outline struct {
	Digest string        `json:"digest"`
	Host   string        `json:"host"` // worker that opened the run; the run's steps go there
	Steps  []OutlineStep `json:"steps"`
	// Problem says why the run cannot be carried out; "" if it can.
	Problem string `json:"problem,omitempty"`
}

// OutlineStep is a step of an [Outline].
type OutlineStep struct {
	ID        string    `json:"id"`
	Title     string    `json:"title"`
	Needs     []string  `json:"needs,omitempty"`
	Approval  bool      `json:"approval,omitempty"`
	Retries   int       `json:"retries,omitempty"`
	OnTimeout OnTimeout `json:"on_timeout,omitempty"`
	OnError   OnError   `json:"on_error,omitempty"`
	Digest    string    `json:"digest"`
	Inherited bool      `json:"inherited,omitempty"` // finished in the session that this one was forked from
}

// RunStep is the argument of [ActivityRunStep]. Execution stays the same when the activity is
// retried, so that a finished step is not run again.
type RunStep struct {
	SessionID string `json:"session_id"`
	RunID     string `json:"run_id"`
	StepID    string `json:"step_id"`
	Execution string `json:"execution"`
	Digest    string `json:"digest"` // the approved step, with the plan's files
	Retry     bool   `json:"retry,omitempty"`
	// Feedback is what the person said with the decision that led to this execution.
	Feedback string `json:"feedback,omitempty"`
	// Before is recorded before the step starts; nil if it already is.
	Before *Transition `json:"before,omitempty"`
	// Again says that this execution was requested before: it may be running, or finished.
	Again bool `json:"again,omitempty"`
	// Last says that a failure of this execution is final: no retry and no question follows.
	Last bool `json:"last"`
	// Trace is the trace that the step belongs to, as a traceparent; "" if it is not traced. The host sets it.
	Trace string `json:"traceparent,omitempty"`
}

// StepResult is the outcome of an execution.
type StepResult struct {
	Status   AttemptStatus `json:"status"` // succeeded, failed or cancelled
	Attempt  int           `json:"attempt"`
	ExitCode *int          `json:"exit_code,omitempty"`
	Signal   string        `json:"signal,omitempty"`
	Reason   Reason        `json:"reason,omitempty"`
	Message  string        `json:"message,omitempty"`
}

// Place is the argument of [ActivityPlace]: which host takes over a session that its host no longer
// serves? Any host with room answers.
type Place struct {
	SessionID string `json:"session_id"`
	RunID     string `json:"run_id"`
	From      string `json:"from"` // the host that was asked before
}

// Placed answers [ActivityPlace].
type Placed struct {
	Host string `json:"host"`
}

// StepsOf is the argument of [ActivityFreezeSteps], [ActivityThawSteps] and
// [ActivityStopSteps]: all steps of a run on one host.
type StepsOf struct {
	SessionID string        `json:"session_id"`
	RunID     string        `json:"run_id"`
	Grace     time.Duration `json:"grace,omitempty"` // nanoseconds between SIGTERM and SIGKILL
}

// StoppedSteps answers [ActivityStopSteps]. Survivors counts the processes that could not be ended.
type StoppedSteps struct {
	ProcessesKilled int `json:"processes_killed"`
	Survivors       int `json:"survivors"`
	Files           int `json:"files"` // in the workspace
}

// Describe says briefly how an execution failed, such as "exit code 2" or "killed by SIGSEGV".
func (r *StepResult) Describe() string {
	switch {
	case r.Message != "":
		return r.Message
	case r.Reason == ReasonTimeout:
		return "its time was over"
	case r.Signal != "":
		return "killed by " + r.Signal
	case r.ExitCode != nil:
		return fmt.Sprintf("exit code %d", *r.ExitCode)
	default:
		return string(r.Status)
	}
}
