package schema

import (
	"cmp"
	"iter"
	"strings"
)

// SessionStatus is the status of a session, which is that of its latest run.
type SessionStatus string

// The session statuses.
const (
	SessionActive    SessionStatus = "active"
	SessionSuspended SessionStatus = "suspended"
	SessionCompleted SessionStatus = "completed"
	SessionFailed    SessionStatus = "failed"
	SessionCancelled SessionStatus = "cancelled"
	SessionExpired   SessionStatus = "expired"
)

// SessionStatuses lists all of them, in the order that lists show them.
var SessionStatuses = []SessionStatus{SessionActive, SessionSuspended, SessionCompleted, SessionFailed, SessionCancelled, SessionExpired}

// Final reports whether the run behind this status is over.
func (s SessionStatus) Final() bool { return s != SessionActive && s != SessionSuspended }

// Phase says what an active or suspended session is doing.
type Phase string

// The phases.
const (
	PhaseIdle             Phase = "idle"
	PhasePlanning         Phase = "planning"
	PhaseAwaitingApproval Phase = "awaiting_approval"
	PhaseExecuting        Phase = "executing"
	PhaseReviewing        Phase = "reviewing"
)

// StepStatus is the status of a step of a run.
type StepStatus string

// The step statuses.
const (
	StepPending          StepStatus = "pending"
	StepReady            StepStatus = "ready"
	StepAwaitingApproval StepStatus = "awaiting_approval"
	StepRunning          StepStatus = "running"
	StepFrozen           StepStatus = "frozen"
	StepSucceeded        StepStatus = "succeeded"
	StepFailed           StepStatus = "failed"
	StepSkipped          StepStatus = "skipped"
	StepCancelled        StepStatus = "cancelled"
)

// CurrentStep is the step of a run that a person would look at, by its steps' ids and statuses in the plan's order: the
// first running one, else the first that waits for an answer; "" for none.
func CurrentStep(steps iter.Seq2[string, StepStatus]) string {
	waiting := ""
	for id, status := range steps {
		switch status {
		case StepRunning, StepFrozen:
			return id
		case StepAwaitingApproval:
			waiting = cmp.Or(waiting, id)
		default:
		}
	}
	return waiting
}

// Final reports whether a step in this status never runs again within its run.
func (s StepStatus) Final() bool {
	switch s {
	case StepSucceeded, StepFailed, StepSkipped, StepCancelled:
		return true
	default:
		return false
	}
}

// AttemptStatus is the status of one attempt at a step.
type AttemptStatus string

// The attempt statuses.
const (
	AttemptRunning   AttemptStatus = "running"
	AttemptSucceeded AttemptStatus = "succeeded"
	AttemptFailed    AttemptStatus = "failed"
	AttemptCancelled AttemptStatus = "cancelled"
	AttemptLost      AttemptStatus = "lost" // its worker died; a new attempt takes its place
)

// Reason says why an attempt ended, where the exit code alone does not tell.
type Reason string

// The reasons.
const (
	ReasonExit        Reason = "exit"         // the program ended with a code other than 0
	ReasonSignal      Reason = "signal"       // a signal that we did not send ended the program
	ReasonTimeout     Reason = "timeout"      // the step's timeout passed
	ReasonCancelled   Reason = "cancelled"    // the session was cancelled
	ReasonStart       Reason = "start_failed" // the program could not be started
	ReasonWorkerLost  Reason = "worker_lost"  // its worker died
	ReasonOutOfMemory Reason = "out_of_memory"
	ReasonDiskQuota   Reason = "disk_quota" // its files on disk exceeded the quota of bytes or files
	ReasonProcesses   Reason = "too_many_processes"
	ReasonOutputLimit Reason = "output_limit"    // it printed more than is kept
	ReasonSandbox     Reason = "sandbox"         // a layer of the sandbox is missing, and the worker requires it
	ReasonSupervisor  Reason = "supervisor_lost" // its supervisor died, and the step with it
	ReasonHostLost    Reason = "host_lost"       // its host does not answer, and another has taken over
	ReasonOutput      Reason = "output_lost"     // its output cannot be recorded: the copy on disk, or the database's, is damaged
	ReasonOrphaned    Reason = "orphaned"        // no worker came back to it in time
	ReasonRetry       Reason = "retry"           // it failed and the plan allows another attempt
	// ReasonChanged: the worker died during the attempt and its files were edited meanwhile, so
	// that a new attempt would not be what was approved.
	ReasonChanged Reason = "plan_changed"
)

// ApprovalStatus is the status of an approval.
type ApprovalStatus string

// The approval statuses.
const (
	ApprovalPending   ApprovalStatus = "pending"
	ApprovalResolved  ApprovalStatus = "resolved"
	ApprovalExpired   ApprovalStatus = "expired"
	ApprovalCancelled ApprovalStatus = "cancelled"
	ApprovalVoid      ApprovalStatus = "void" // its subject has changed
)

// ApprovalType says what an approval is about.
type ApprovalType string

// The approval types.
const (
	ApprovalPlan          ApprovalType = "plan_approval"
	ApprovalStep          ApprovalType = "step_approval"
	ApprovalToolCall      ApprovalType = "tool_call"
	ApprovalErrorRecovery ApprovalType = "error_recovery"
	ApprovalProgramAsk    ApprovalType = "program_ask"
	ApprovalBudget        ApprovalType = "budget"
)

// Resolution is a human's answer to an approval.
type Resolution string

// The resolutions.
const (
	ResolutionApproved Resolution = "approved"
	ResolutionRejected Resolution = "rejected"
	ResolutionModified Resolution = "modified"
	ResolutionRetry    Resolution = "retry"
	ResolutionSkip     Resolution = "skip"
	ResolutionAbort    Resolution = "abort"
)

// Resolutions lists all of them.
var Resolutions = []Resolution{ResolutionApproved, ResolutionRejected, ResolutionModified, ResolutionRetry, ResolutionSkip, ResolutionAbort}

// Options lists the resolutions that make sense for an approval of this type, the usual one first.
func (t ApprovalType) Options() []Resolution {
	switch t {
	case ApprovalErrorRecovery:
		return []Resolution{ResolutionRetry, ResolutionSkip, ResolutionAbort}
	case ApprovalProgramAsk, ApprovalBudget:
		return []Resolution{ResolutionApproved, ResolutionRejected}
	default:
		return []Resolution{ResolutionApproved, ResolutionRejected, ResolutionModified}
	}
}

// AskedByStep reports whether approvals of this type come from a running step, with [CommandAsk]:
// the step itself acts on the answer.
func (t ApprovalType) AskedByStep() bool {
	return t == ApprovalToolCall || t == ApprovalProgramAsk || t == ApprovalBudget
}

// TakesModifications reports whether a resolution of an approval of this type may carry
// modifications: [ResolutionModified] must, a retry may.
func (t ApprovalType) TakesModifications(r Resolution) bool {
	return r == ResolutionModified || (t == ApprovalErrorRecovery && r == ResolutionRetry)
}

// JoinResolutions formats resolutions for a message, such as "approved, rejected".
func JoinResolutions(list []Resolution) string {
	words := make([]string, len(list))
	for i, r := range list {
		words[i] = string(r)
	}
	return strings.Join(words, ", ")
}

// OnModified says what happens when an approval is resolved with modifications.
type OnModified string

// The policies for modifications.
const (
	OnModifiedAsk     OnModified = "ask"     // the default: the edited version is asked about again
	OnModifiedApprove OnModified = "approve" // editing is approving
)

// WhenBusy says what a message does while a run is under way.
type WhenBusy string

// The policies for messages to a busy session.
const (
	WhenBusyEnqueue   WhenBusy = "enqueue"   // the default: it starts a run once the earlier ones are done
	WhenBusyInterrupt WhenBusy = "interrupt" // the run under way is cancelled and the message starts the next one
	WhenBusyReject    WhenBusy = "reject"    // it is refused
)

// MessageStatus is how far a user's message has come on its way to a run.
type MessageStatus string

// The message statuses.
const (
	MessageQueued  MessageStatus = "queued"
	MessageTaken   MessageStatus = "taken"   // a run answers it
	MessageDropped MessageStatus = "dropped" // the session was cancelled before its turn came
)

// ApprovalMode says where a run asks a human.
type ApprovalMode string

// The approval modes.
const (
	ApproveNone           ApprovalMode = "none"             // only at steps with "approval": true
	ApproveAfterPlanning  ApprovalMode = "after_planning"   // the plan, before anything runs
	ApproveBeforeEachStep ApprovalMode = "before_each_step" // each step
	ApproveOnError        ApprovalMode = "on_error"         // when a step fails
	ApproveAll            ApprovalMode = "all"              // the plan, each step and each failure
)

// ApprovalModes lists all of them.
var ApprovalModes = []ApprovalMode{ApproveNone, ApproveAfterPlanning, ApproveBeforeEachStep, ApproveOnError, ApproveAll}

// AsksPlan reports whether the plan needs approval in this mode.
func (m ApprovalMode) AsksPlan() bool { return m == ApproveAfterPlanning || m == ApproveAll }

// AsksEachStep reports whether every step needs approval in this mode.
func (m ApprovalMode) AsksEachStep() bool { return m == ApproveBeforeEachStep || m == ApproveAll }

// AsksOnError reports whether every failed step needs an answer in this mode, unless the step says
// otherwise.
func (m ApprovalMode) AsksOnError() bool { return m == ApproveOnError || m == ApproveAll }

// Mode is the kind of workflow that a session runs.
type Mode string

// The modes.
const (
	ModeRunbook         Mode = "runbook"
	ModeOneShot         Mode = "one-shot"
	ModePlanningControl Mode = "planning-control"
	ModeHITLInteractive Mode = "hitl-interactive"
	ModeCopilot         Mode = "copilot"
	ModeIdeaGeneration  Mode = "idea-generation"
	ModeProgram         Mode = "program"
)

// ModeInfo describes a mode to a person choosing one.
type ModeInfo struct {
	ID             Mode   `json:"id"`
	Label          string `json:"label"`
	Description    string `json:"description"`
	SupportsResume bool   `json:"supports_resume"`
	SupportsHITL   bool   `json:"supports_hitl"`
	Available      bool   `json:"available"`
	WhyNot         string `json:"why_not,omitempty"`
}

// Modes lists every mode and whether this server can run it.
func Modes() []ModeInfo {
	const later = "this server has no agent provider; only runbook sessions can be started"
	return []ModeInfo{
		{ID: ModeRunbook, Label: "Runbook", Description: "You give the plan; Holdfast runs its steps and asks where the plan says so.", SupportsResume: true, SupportsHITL: true, Available: true},
		{ID: ModeOneShot, Label: "One shot", Description: "One agent answers one task.", SupportsResume: true, WhyNot: later},
		{ID: ModePlanningControl, Label: "Planning and control", Description: "A planner drafts the plan, agents carry it out.", SupportsResume: true, SupportsHITL: true, WhyNot: later},
		{ID: ModeHITLInteractive, Label: "Interactive", Description: "Planning and control with a human at every gate.", SupportsResume: true, SupportsHITL: true, WhyNot: later},
		{ID: ModeCopilot, Label: "Copilot", Description: "A conversation in which each turn may run a plan.", SupportsResume: true, SupportsHITL: true, WhyNot: later},
		{ID: ModeIdeaGeneration, Label: "Idea generation", Description: "Agents propose and criticise research ideas.", SupportsResume: true, SupportsHITL: true, WhyNot: later},
		{ID: ModeProgram, Label: "Program", Description: "Any external program that asks through holdfast ask.", SupportsResume: true, SupportsHITL: true, WhyNot: "a session is started with a plan; make the program a step of a runbook, where holdfast ask works"},
	}
}
