package schema

// Subject is all that an approval's digest binds, in full, with what of it deserves a look.
type Subject struct {
	ApprovalID string `json:"approval_id"`
	Digest     string `json:"digest" doc:"That of the approval, computed anew from what is here"`
	// Plan is what a yes allows. Of a step it is that step and the files that it may read.
	Plan      *Plan          `json:"plan,omitempty" doc:"What a yes allows: a plan, or of a step that step and every file that it may read. Absent when the approval is about neither"`
	Attention []Attention    `json:"attention" doc:"What of it deserves a look. It is no verdict: nothing here does not mean that it is harmless"`
	Before    *SubjectBefore `json:"before,omitempty" doc:"What was asked about before, when this is asked because that changed"`
}

// SubjectBefore is the version that people were asked about before.
type SubjectBefore struct {
	ApprovalID string `json:"approval_id"`
	Plan       *Plan  `json:"plan"`
}

// Bound is the part of the plan that an approval of one of its steps binds: see [Plan.StepDigest].
func (p *Plan) Bound(s *PlanStep) *Plan { return &Plan{Steps: []PlanStep{*s}, Files: p.Files} }
