package schema

import "cmp"

// Subject is everything that an approval's digest binds, in full, and what in it deserves a look.
type Subject struct {
	ApprovalID string    `json:"approval_id"`
	Digest     string    `json:"digest" doc:"The digest of the approval, recomputed from this subject"`
	OnTimeout  OnTimeout `json:"on_timeout,omitempty" doc:"What follows when nobody answers this approval in time; suspend once it has escalated"`
	// Plan is what approval allows. For a step, it is that step and the files that it may read.
	Plan *Plan `json:"plan,omitempty" doc:"What approval allows: a plan, or a step and every file that it may read. Absent when the approval is about neither"`
	// Asks lists the steps of the plan that ask, by id.
	Asks      map[string]StepAsks `json:"asks,omitempty" doc:"For each step of the plan that needs approval, when it asks and what follows when nobody answers"`
	Attention []Attention         `json:"attention" doc:"What deserves a look. An empty list does not mean that it is harmless"`
	Before    *SubjectBefore      `json:"before,omitempty" doc:"What the previous approval was about, when this one replaces it because that changed"`
}

// SubjectBefore is the version that was asked about before.
type SubjectBefore struct {
	ApprovalID string `json:"approval_id"`
	Plan       *Plan  `json:"plan"`
}

// Bound is the part of the plan that an approval of one of its steps binds: see [Plan.StepDigest].
func (p *Plan) Bound(s *PlanStep) *Plan { return &Plan{Steps: []PlanStep{*s}, Files: p.Files} }

// StepAsks says when a step asks somebody, and what happens when nobody answers in time.
type StepAsks struct {
	First     bool      `json:"first" doc:"It asks before it runs"`
	Failed    bool      `json:"failed" doc:"It asks when it has failed"`
	OnTimeout OnTimeout `json:"on_timeout" doc:"Its own, else that of the session's config, else suspend"`
}

// Asks lists the steps that ask somebody in a session with this config, by id.
func (p *Plan) Asks(c Config) map[string]StepAsks {
	asks := map[string]StepAsks{}
	for i := range p.Steps {
		s := &p.Steps[i]
		is := StepAsks{First: c.AsksFirst(s.Approval), Failed: c.AsksOnError(s.OnError), OnTimeout: c.OnTimeoutOf(s.OnTimeout)}
		if is.First || is.Failed {
			asks[s.ID] = is
		}
	}
	return asks
}

// AsksFirst reports whether a step asks before it runs; approval is the step's own setting.
func (c *Config) AsksFirst(approval bool) bool { return approval || c.ApprovalMode.AsksEachStep() }

// AsksOnError reports whether a step asks after it has failed; onError is the step's own setting.
func (c *Config) AsksOnError(onError OnError) bool {
	return onError == OnErrorAsk || (onError == "" && c.ApprovalMode.AsksOnError())
}

// OnTimeoutOf is what happens when nobody answers an approval of a step. onTimeout is the step's
// own setting, "" for an approval of the plan.
func (c *Config) OnTimeoutOf(onTimeout OnTimeout) OnTimeout {
	return cmp.Or(onTimeout, c.OnTimeout, OnTimeoutSuspend)
}
