package supervisor

import "github.com/holdfast/holdfast/schema"

// The descriptors of a supervisor beyond the standard three.
const (
	reportFD = 3
	lockFD   = 4
)

// An Order is what a worker tells a supervisor. The first one is start.
type Order struct {
	Do      string   `json:"do"`
	Dir     string   `json:"dir,omitempty"`
	Argv    []string `json:"argv,omitempty"`
	Env     []string `json:"env,omitempty"`
	GraceMS int64    `json:"grace_ms,omitempty"` // between SIGTERM and SIGKILL of a stop
}

// What an order does.
const (
	DoStart  = "start"
	DoFreeze = "freeze"
	DoThaw   = "thaw"
	DoStop   = "stop"
)

// A Report is what a supervisor tells its worker. The last one is exited.
type Report struct {
	Is   string `json:"is"`
	Exit *Exit  `json:"exit,omitempty"`
}

// What a report says.
const (
	IsStarted = "started"
	IsFrozen  = "frozen"
	IsThawed  = "thawed"
	IsExited  = "exited"
)

// Exit is how a program ended.
type Exit struct {
	StartError  string  `json:"start_error,omitempty"` // it never ran
	ExitCode    *int    `json:"exit_code,omitempty"`
	Signal      string  `json:"signal,omitempty"` // such as SIGSEGV
	CPUSeconds  float64 `json:"cpu_seconds"`      // user and system, of all that the supervisor reaped
	MaxRSSBytes int64   `json:"max_rss_bytes"`    // of the largest process
	Stopped     bool    `json:"stopped,omitempty"`
	Killed      int     `json:"killed"`    // processes that a stop or the end of the step ended
	Survivors   int     `json:"survivors"` // processes that could not be ended
	Lost        bool    `json:"lost,omitempty"`
}

// Status sorts an exit into the attempt's status and reason.
func (e *Exit) Status() (schema.AttemptStatus, schema.Reason) {
	switch {
	case e.Stopped:
		return schema.AttemptCancelled, schema.ReasonCancelled
	case e.StartError != "":
		return schema.AttemptFailed, schema.ReasonStart
	case e.Signal != "" || e.Lost:
		return schema.AttemptFailed, schema.ReasonSignal
	case e.ExitCode != nil && *e.ExitCode == 0:
		return schema.AttemptSucceeded, ""
	default:
		return schema.AttemptFailed, schema.ReasonExit
	}
}
