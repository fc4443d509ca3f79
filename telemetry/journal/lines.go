package journal

// Line is a log line about something that happened to a session, always at level INFO. Every one has session_id; Attrs
// lists what else it may have.
type Line struct {
	Message string
	Help    string
	Attrs   []string
}

// Lines lists every line, in the order in which a session lives through them.
var Lines []*Line

func line(message, help string, attrs ...string) *Line {
	l := &Line{Message: message, Help: help, Attrs: attrs}
	Lines = append(Lines, l)
	return l
}

// The lines.
var (
	SessionStarted    = line("session started", "A session was made.", "actor")
	RunStarted        = line("run started", "A run of the session's plan has begun.", "run_id", "run_number", "mode")
	AttemptStarted    = line("attempt started", "A step runs.", "run_id", "step_id", "attempt", "host")
	AttemptReattached = line("attempt re-attached", "A worker has come back to an attempt that ran on without one.", "run_id", "step_id", "attempt", "host")
	AttemptEnded      = line("attempt ended", "A step's program has ended well, or was cancelled.", "run_id", "step_id", "attempt", "took", "reason")
	AttemptFailed     = line("attempt failed", "A step's program has failed, or was lost.", "run_id", "step_id", "attempt", "took", "reason", "exit_code", "signal")
	ApprovalDecided   = line("approval decided", "A person has decided.", "run_id", "step_id", "approval_id", "actor", "resolution")
	ApprovalClosed    = line("approval closed", "An approval has ended without a decision.", "run_id", "step_id", "approval_id", "actor", "reason")
	SessionSuspended  = line("session suspended", "Nothing new starts, and what runs is frozen.", "run_id", "actor", "reason")
	StepFrozen        = line("step frozen", "A running step stands still.", "run_id", "step_id")
	SessionResumed    = line("session resumed", "The session goes on.", "run_id", "actor")
	StepThawed        = line("step thawed", "A frozen step runs on.", "run_id", "step_id")
	RunEnded          = line("run ended", "A run has completed, has expired or was cancelled.", "run_id", "actor", "status", "took", "failed_steps", "reason")
	RunFailed         = line("run failed", "A run could not be finished.", "run_id", "took", "error")
	SessionEnded      = line("session ended", "The session has completed, expired or was cancelled; a message or a new run goes on with it.", "run_id", "status")
	SessionFailed     = line("session failed", "The session's latest run has failed.", "run_id")
)
