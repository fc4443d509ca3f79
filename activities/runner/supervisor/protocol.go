package supervisor

import (
	"crypto/rand"
	"path/filepath"

	"github.com/holdfast/holdfast/activities/runner/sandbox"
	"github.com/holdfast/holdfast/schema"
)

// workerFD is the connection to the worker that started the supervisor. The step's lock is
// behind it, and only held; then come, where steps are nobody, the worker's [sandbox.Owners].
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

// Spec is what a supervisor is to do, and everything that a worker has to know to come back
// to it.
type Spec struct {
	Step    schema.RunStep `json:"step"`
	Attempt int            `json:"attempt"`
	// Secret is what a worker shows that comes back; WriteSpec makes it.
	Secret  string       `json:"secret,omitempty"`
	Sandbox sandbox.Spec `json:"sandbox"`
	// NetworkAllow are the only places that a step with a network reaches, as
	// [schema.ParseNetworkRule] takes them; nil is no such list. NetworkRefused are those that it never does.
	NetworkAllow   []string `json:"network_allow"`
	NetworkRefused []string `json:"network_refused,omitempty"`
	// TimeoutMS is how long the program may run, without the time in which it is frozen; 0 is
	// for ever.
	TimeoutMS int64 `json:"timeout_ms,omitempty"`
	// OrphanMS is for how long it goes on without a worker.
	OrphanMS int64 `json:"orphan_ms"`
	// SpoolBytes is how much output waits on the disk before the program has to.
	SpoolBytes int64 `json:"spool_bytes"`
	// OutputBytes is how much output is kept before a program that prints more is ended; 0 is no
	// bound.
	OutputBytes int64 `json:"output_bytes,omitempty"`
	// QuotaBytes and QuotaFiles bound what it keeps on the disk; 0 is no bound.
	QuotaBytes int64 `json:"quota_bytes,omitempty"`
	QuotaFiles int64 `json:"quota_files,omitempty"`
}

// An Order is what a worker tells a supervisor.
type Order struct {
	Do      string  `json:"do"`
	GraceMS int64   `json:"grace_ms,omitempty"` // of stop: between SIGTERM and SIGKILL
	Offset  int64   `json:"offset,omitempty"`   // of consumed
	Answer  *Answer `json:"answer,omitempty"`   // of answer
	Secret  string  `json:"secret,omitempty"`   // of attach
}

// What an order does.
const (
	DoAttach   = "attach" // the first one of a worker that comes back
	DoFreeze   = "freeze"
	DoThaw     = "thaw"
	DoStop     = "stop"
	DoConsumed = "consumed" // the spool up to an offset is not needed any more
	DoAnswer   = "answer"
)

// A Report is what a supervisor tells its worker. The first one on a connection is hello, the
// last one exited.
type Report struct {
	Is    string                   `json:"is"`
	End   int64                    `json:"end,omitempty"`   // of hello and output: how much is in the spool
	Stats *schema.StepProgressData `json:"stats,omitempty"` // of stats
	Ask   *Ask                     `json:"ask,omitempty"`   // of ask
	Exit  *Exit                    `json:"exit,omitempty"`  // of exited
	Why   string                   `json:"why,omitempty"`   // of waiting: what output waits for; "" once it goes on
}

// What a report says.
const (
	IsHello   = "hello"
	IsOutput  = "output"
	IsStats   = "stats"
	IsAsk     = "ask"
	IsFrozen  = "frozen"
	IsThawed  = "thawed"
	IsWaiting = "waiting" // what the program prints cannot be put on the disk now
	IsExited  = "exited"
)

// Ask is a question of the program to a human.
type Ask = schema.Question

// Answer is what became of an Ask: an outcome, or the error for which it could not be asked.
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
	Fault       bool    `json:"fault,omitempty"`       // with StartError: it was not the program's, which may be tried again
	ExitCode    *int    `json:"exit_code,omitempty"`
	Signal      string  `json:"signal,omitempty"` // such as SIGSEGV
	CPUSeconds  float64 `json:"cpu_seconds"`      // user and system, of all its processes
	MaxRSSBytes int64   `json:"max_rss_bytes"`    // of the largest process, or of all together when that was seen to be more
	ReadBytes   int64   `json:"read_bytes"`
	WriteBytes  int64   `json:"write_bytes"`
	DurationMS  int64   `json:"duration_ms"`
	Stopped     bool    `json:"stopped,omitempty"` // by an order
	Killed      int     `json:"killed"`            // processes that a stop or the end of the step ended
	Survivors   int     `json:"survivors"`         // processes that could not be ended
	SpoolEnd    int64   `json:"spool_end"`
	// Reason says why the supervisor ended it, when no order did; Message says more.
	Reason  schema.Reason `json:"reason,omitempty"`
	Message string        `json:"message,omitempty"`
}

// Status sorts an exit into the attempt's status and reason.
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

// ReadSpec reads what an attempt's supervisor was told.
func ReadSpec(dir string) (Spec, error) {
	var s Spec
	return s, readJSON(filepath.Join(dir, specFile), &s)
}

// WriteSpec makes an attempt's folder ready for its supervisor.
func WriteSpec(dir string, s *Spec) error {
	s.Secret = rand.Text()
	return writeJSON(filepath.Join(dir, specFile), s)
}
