package schema

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"
)

// Limits of a plan. They keep one plan within one request, one workflow state and one page.
const (
	MaxPlanBytes = 1 << 20 // of the JSON text, including files
	MaxSteps     = 500
	MaxNeeds     = 500  // of one step
	MaxFiles     = 2000 // of one plan; more belong in an archive, or are made by a step
	MaxRetries   = 10
	MaxTitle     = 200 // in characters
	MaxTimeout   = 30 * 24 * time.Hour
)

// Plan is what a run does: a graph of steps, and files that are written to the workspace before the
// first step. See [ParsePlan] for the rules.
type Plan struct {
	Steps []PlanStep        `json:"steps" doc:"What to run; needs turns the list into a graph"`
	Files map[string]string `json:"files,omitempty" doc:"Workspace files to write before the first step: relative path to text"`
}

// PlanStep is one step of a plan: exactly one of Run, Shell and Agent says what it does.
type PlanStep struct {
	ID        string            `json:"id" doc:"Unique within the plan: letters, digits, dot, dash, underscore"`
	Title     string            `json:"title,omitempty" doc:"For people; the id when absent"`
	Run       []string          `json:"run,omitempty" doc:"A program and its arguments"`
	Shell     string            `json:"shell,omitempty" doc:"A command line for /bin/sh -c"`
	Agent     string            `json:"agent,omitempty" doc:"The agent that carries out task"`
	Task      string            `json:"task,omitempty" doc:"The agent's task"`
	Needs     []string          `json:"needs,omitempty" doc:"Ids of the steps that come first"`
	Approval  bool              `json:"approval,omitempty" doc:"Ask a human before it runs"`
	Timeout   string            `json:"timeout,omitempty" doc:"A duration such as 90s, 30m, 2h or 3d"`
	Retries   int               `json:"retries,omitempty" doc:"Further attempts after a failure, 0 to 10"`
	Env       map[string]string `json:"env,omitempty" doc:"Environment variables. Not for secrets: they appear in the log, in the plan (visible to everyone who can see the session) and in its export"`
	Network   *Network          `json:"network,omitempty" doc:"Whether the step may use the network, or an object naming the destinations; no network when absent"`
	Memory    string            `json:"memory,omitempty" doc:"A limit such as 512MiB or 2GiB"`
	CPU       float64           `json:"cpu,omitempty" doc:"A limit in cores"`
	OnTimeout OnTimeout         `json:"on_timeout,omitempty" doc:"What happens when its approval expires"`
	OnError   OnError           `json:"on_error,omitempty" doc:"What happens when it fails"`
}

// MemoryBytes is Memory as a number; 0 when there is no limit.
func (s *PlanStep) MemoryBytes() int64 {
	digits := strings.TrimRight(s.Memory, "BKMGTi")
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return 0 // "": [ParsePlan] refuses everything else
	}
	unit := map[string]int64{
		"B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40,
	}[s.Memory[len(digits):]]
	if n > math.MaxInt64/unit {
		return math.MaxInt64
	}
	return n * unit
}

// Networked tells whether the step may use the network.
func (s *PlanStep) Networked() bool { return s.Network != nil && s.Network.On }

// NetworkAllow lists the only places that the step may reach; nil if it has no such list.
func (s *PlanStep) NetworkAllow() []string {
	if s.Network == nil {
		return nil
	}
	return s.Network.Allow
}

// OnTimeout says what an expired approval does.
type OnTimeout string

// The timeout policies.
const (
	OnTimeoutSuspend  OnTimeout = "suspend" // the default: nothing is lost, resume asks again
	OnTimeoutReject   OnTimeout = "reject"
	OnTimeoutApprove  OnTimeout = "approve"
	OnTimeoutEscalate OnTimeout = "escalate"
)

// Next is what happens the next time nobody answers: once escalated, the session is suspended.
func (t OnTimeout) Next(escalated bool) OnTimeout {
	if t == OnTimeoutEscalate && escalated {
		return OnTimeoutSuspend
	}
	return t
}

// OnError says what a failed step does to its run.
type OnError string

// The error policies.
const (
	OnErrorFail     OnError = "fail" // the default
	OnErrorAsk      OnError = "ask"
	OnErrorContinue OnError = "continue"
)

// StepKind is which of run, shell and agent a step is.
type StepKind string

// The step kinds.
const (
	KindRun   StepKind = "run"
	KindShell StepKind = "shell"
	KindAgent StepKind = "agent"
)

// Kind tells which of run, shell and agent the step is.
func (s *PlanStep) Kind() StepKind {
	switch {
	case len(s.Run) > 0:
		return KindRun
	case s.Agent != "":
		return KindAgent
	default:
		return KindShell
	}
}

// Command is the program and arguments that a run or shell step starts; nil for an agent.
func (s *PlanStep) Command() []string {
	switch s.Kind() {
	case KindRun:
		return s.Run
	case KindShell:
		return []string{"/bin/sh", "-c", s.Shell}
	default:
		return nil
	}
}

// Name is the title, or the id of a step without one.
func (s *PlanStep) Name() string {
	if s.Title != "" {
		return s.Title
	}
	return s.ID
}

// TimeoutDuration is Timeout as a duration, 0 if there is none. The plan must be valid.
func (s *PlanStep) TimeoutDuration() time.Duration {
	d, _ := ParseDuration(s.Timeout)
	return d
}

// Digest identifies exactly what is approved: the hex SHA-256 of the plan's canonical JSON.
func (p *Plan) Digest() string { return digest(p) }

// StepDigest identifies exactly what an approval of this step covers: the step itself and the files
// it may read.
func (p *Plan) StepDigest(s *PlanStep) string { return stepDigest(s, p.filesDigest()) }

func (p *Plan) filesDigest() string { return digest(p.Files) }

func stepDigest(s *PlanStep, files string) string {
	return digest(struct {
		Step  *PlanStep `json:"step"`
		Files string    `json:"files"`
	}{s, files})
}

// Outline is the plan as a workflow carries it.
func (p *Plan) Outline() Outline {
	o := Outline{Digest: p.Digest(), Steps: make([]OutlineStep, len(p.Steps))}
	files := p.filesDigest() // once: there may be a megabyte of them
	for i := range p.Steps {
		s := &p.Steps[i]
		o.Steps[i] = OutlineStep{
			ID: s.ID, Title: s.Name(), Needs: s.Needs, Approval: s.Approval, Retries: s.Retries,
			OnTimeout: s.OnTimeout, OnError: s.OnError, Digest: stepDigest(s, files),
		}
	}
	return o
}

// Step finds a step by its id.
func (p *Plan) Step(id string) (*PlanStep, bool) {
	for i := range p.Steps {
		if p.Steps[i].ID == id {
			return &p.Steps[i], true
		}
	}
	return nil, false
}

func digest(v any) string {
	sum := sha256.Sum256(Marshal(v))
	return hex.EncodeToString(sum[:])
}

// Marshal is the JSON encoding that Holdfast stores and sends: compact, map keys sorted, and <, >
// and & unescaped. The value is always one of our own structs, so one that JSON cannot hold is a
// bug and panics.
func Marshal(v any) json.RawMessage {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic("schema: not JSON: " + err.Error())
	}
	return bytes.TrimRight(b.Bytes(), "\n")
}

// Nodes and edges of a plan's graph, as `dag_created` reports them.

// DAGNode is a step in the graph.
type DAGNode struct {
	ID     string     `json:"id"`
	Title  string     `json:"title"`
	Kind   StepKind   `json:"kind"`
	Status StepStatus `json:"status"`
	Reason string     `json:"reason,omitempty"` // for that status
}

// DAGEdge says that To needs From.
type DAGEdge struct {
	From string `json:"from"`
	To   string `json:"to"`
}
