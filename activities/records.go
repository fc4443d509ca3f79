package activities

import (
	"context"
	"fmt"
	"strings"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
)

// Records writes what a session's state machine does into Postgres.
type Records struct {
	Store *store.Store
	Host  string // of this worker
}

// BeginRun opens a run of the session's plan and answers with the plan's outline.
func (a *Records) BeginRun(ctx context.Context, in schema.BeginRun) (schema.Outline, error) {
	begun, err := a.Store.BeginRun(ctx, store.BeginRun{
		SessionID: in.SessionID, RunID: in.RunID, Number: in.Number, Key: in.Key, Status: schema.SessionActive, Phase: in.Phase,
	})
	if err != nil {
		return schema.Outline{}, err
	}
	o := outline(begun.Plan, begun.Digest)
	o.Host = a.Host
	return o, nil
}

func outline(p *schema.Plan, digest string) schema.Outline {
	o := schema.Outline{Digest: digest, Steps: make([]schema.OutlineStep, len(p.Steps))}
	for i := range p.Steps {
		s := &p.Steps[i]
		o.Steps[i] = schema.OutlineStep{
			ID: s.ID, Title: s.Name(), Needs: s.Needs, Approval: s.Approval, Retries: s.Retries,
			OnTimeout: s.OnTimeout, OnError: s.OnError, Digest: p.StepDigest(s),
		}
	}
	return o
}

// Record writes a transition. What an approval is about, in words and in full, is put in
// here: the workflow carries ids and digests only.
func (a *Records) Record(ctx context.Context, t schema.Transition) error {
	if len(t.Open) > 0 {
		plan, err := a.Store.Plan(ctx, t.SessionID)
		if err != nil {
			return err
		}
		for i := range t.Open {
			if err := describe(&t.Open[i], plan); err != nil {
				return err
			}
		}
	}
	_, err := a.Store.Apply(ctx, t)
	return err
}

// planContext and stepContext are what an approval of a plan or a step shows.
type planContext struct {
	Plan *schema.Plan `json:"plan"`
}

type stepContext struct {
	Step    *schema.PlanStep `json:"step"`
	Command []string         `json:"command"`
}

func describe(o *schema.ApprovalOpen, plan *schema.Plan) error {
	if o.Type == schema.ApprovalPlan {
		titles := make([]string, len(plan.Steps))
		for i := range plan.Steps {
			titles[i] = plan.Steps[i].Name()
		}
		o.Description = fmt.Sprintf("Run this plan of %d steps: %s", len(titles), shorten(strings.Join(titles, ", ")))
		o.Context = schema.Marshal(planContext{plan})
		return nil
	}
	step, ok := plan.Step(o.StepID)
	if !ok {
		return schema.Errorf(schema.CodeNotFound, "the plan has no step %q", o.StepID)
	}
	verb := "Run"
	if o.Type == schema.ApprovalErrorRecovery {
		verb = "This step failed; retry, skip or give up:"
	}
	o.Description = fmt.Sprintf("%s %q: %s", verb, step.Name(), shorten(commandLine(step)))
	o.Context = schema.Marshal(stepContext{step, step.Command()})
	return nil
}

func commandLine(s *schema.PlanStep) string {
	if s.Kind() == schema.KindShell {
		return s.Shell
	}
	return strings.Join(s.Run, " ")
}

// shorten keeps a description to a few lines; the context has all of it.
func shorten(s string) string {
	const most = 300
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}
