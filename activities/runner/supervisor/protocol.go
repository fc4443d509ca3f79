package supervisor

import (
	"crypto/rand"
	"path/filepath"

	"github.com/holdfast/holdfast/activities/runner/sandbox"
	"github.com/holdfast/holdfast/schema"
)

// workerFD is the connection to the worker that started the supervisor. The step's lock comes next,
// and is only held; then, where steps run as nobody, the worker's [sandbox.Owners].
const (
	workerFD = 3
	ownersFD = workerFD + 2
)

// The files in an attempt's folder, next to the segments of its spool.
const (
	specFile    = "spec.json"
	exitFile    = "exit.json"
	controlFile = "control"
	logFile     = "supervisor.log"
)

// Spec tells a supervisor what to do, and a later worker everything that it needs to come back.
type Spec struct {
	Step    schema.RunStep `json:"step"`
	Attempt int            `json:"attempt"`
	// Secret is what a returning worker presents; WriteSpec makes it.
	Secret  string       `json:"secret,omitempty"`
	Sandbox sandbox.Spec `json:"sandbox"`
	// NetworkAllow lists the only places that a step with a network reaches, as [schema.ParseNetworkRule]
	// takes them; nil is no list. NetworkRefused lists those that it never reaches.
	NetworkAllow   []string `json:"network_allow"`
	NetworkRefused []string `json:"network_refused,omitempty"`
	// TimeoutMS is how long the program may run, excluding the time that it is frozen; 0 is for
	// ever.
	TimeoutMS int64 `json:"timeout_ms,omitempty"`
	// OrphanMS is how long it goes on without a worker.
	OrphanMS int64 `json:"orphan_ms"`
	// SpoolBytes is how much output may wait on the disk before the program has to wait.
	SpoolBytes int64 `json:"spool_bytes"`
	// OutputBytes is how much output is kept; a program that prints more is ended. 0 is no limit.
	OutputBytes int64 `json:"output_bytes,omitempty"`
	// QuotaBytes and QuotaFiles limit what it keeps on the disk; 0 is no limit.
	QuotaBytes int64 `json:"quota_bytes,omitempty"`
	QuotaFiles int64 `json:"quota_files,omitempty"`
}

// An Order is what a worker tells a supervisor.
type Order struct {
	Do      string  `json:"do"`
	GraceMS int64   `json:"grace_ms,omitempty"` // for stop: between SIGTERM and SIGKILL
	Offset  int64   `json:"offset,omitempty"`   // for consumed
	Answer  *Answer `json:"answer,omitempty"`   // for answer
	Secret  string  `json:"secret,omitempty"`   // for attach
}

// The orders.
const (
	DoAttach   = "attach" // first order of a worker that comes back
	DoFreeze   = "freeze"
	DoThaw     = "thaw"
	DoStop     = "stop"
	DoConsumed = "consumed" // the spool up to an offset is no longer needed
	DoAnswer   = "answer"
)

// A Report is what a supervisor tells its worker. The first on a connection is hello, the last
// exited.
type Report struct {
	Is    string                   `json:"is"`
	End   int64                    `json:"end,omitempty"`   // for hello and output: how much is in the spool
	Stats *schema.StepProgressData `json:"stats,omitempty"` // for stats
	Ask   *Ask                     `json:"ask,omitempty"`   // for ask
	Exit  *Exit                    `json:"exit,omitempty"`  // for exited
	Why   string                   `json:"why,omitempty"`   // for waiting: what output waits for; "" once it goes on
}

// The reports.
const (
	IsHello   = "hello"
	IsOutput  = "output"
	IsStats   = "stats"
	IsAsk     = "ask"
	IsFrozen  = "frozen"
	IsThawed  = "thawed"
	IsWaiting = "waiting" // what the program prints cannot be written to disk now
	IsExited  = "exited"
)

// Ask is a question from the program to a human.
type Ask = schema.Question

// Answer is the result of an Ask: an outcome, or the error that kept it from being asked.
type Answer struct {
	ID         string `json:"id"`
	Outcome    string `json:"outcome,omitempty"`
	Answer     string `json:"answer,omitempty"`
	ApprovalID string `json:"approval_id,omitempty"`
	Actor      string `json:"actor,omitempty"`
	Feedback   string `json:"feedback,omitempty"`
	Error      string `json:"error,omitempty"`
}

// The outcomes of a question.
const (
	OutcomeApproved  = "approved"
	OutcomeRejected  = "rejected"
	OutcomeTimedOut  = "timed_out"
	OutcomeCancelled = "cancelled"
)

// Exit is how a program ended.
type Exit struct {
	StartError  string  `json:"start_error,omitempty"` // it never ran
	Fault       bool    `json:"fault,omitempty"`       // with StartError: not the program's fault, so it may be retried
	ExitCode    *int    `json:"exit_code,omitempty"`
	Signal      string  `json:"signal,omitempty"` // such as SIGSEGV
	CPUSeconds  float64 `json:"cpu_seconds"`      // user and system, of all its processes
	MaxRSSBytes int64   `json:"max_rss_bytes"`    // of the largest process, or of all together if that was seen to be more
	ReadBytes   int64   `json:"read_bytes"`
	WriteBytes  int64   `json:"write_bytes"`
	DurationMS  int64   `json:"duration_ms"`
	Stopped     bool    `json:"stopped,omitempty"` // by an order
	Killed      int     `json:"killed"`            // processes ended by a stop or at the end of the step
	Survivors   int     `json:"survivors"`         // processes that could not be ended
	SpoolEnd    int64   `json:"spool_end"`
	// Reason says why the supervisor ended it without an order; Message says more.
	Reason  schema.Reason `json:"reason,omitempty"`
	Message string        `json:"message,omitempty"`
}

// Status derives the attempt's status and reason from an exit.
func (e *Exit) Status() (schema.AttemptStatus, schema.Reason) {
	switch {
	case e.Reason != "":
		return schema.AttemptFailed, e.Reason
	case e.Stopped:
		return schema.AttemptCancelled, schema.ReasonCancelled
	case e.StartError != "":
		return schema.AttemptFailed, schema.ReasonStart
	case e.Signal != "":
		return schema.AttemptFailed, schema.ReasonSignal
	case e.ExitCode != nil && *e.ExitCode == 0:
		return schema.AttemptSucceeded, ""
	default:
		return schema.AttemptFailed, schema.ReasonExit
	}
}

// ReadSpec reads the spec of an attempt's supervisor.
func ReadSpec(dir string) (Spec, error) {
	var s Spec
	return s, readJSON(filepath.Join(dir, specFile), &s)
}

// WriteSpec prepares an attempt's folder for its supervisor.
func WriteSpec(dir string, s *Spec) error {
	s.Secret = rand.Text()
	return writeJSON(filepath.Join(dir, specFile), s)
}
