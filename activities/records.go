package activities

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/holdfast/holdfast/logs"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
)

// Records writes the moves of a session's state machine to Postgres.
type Records struct {
	Store *store.Store
	Host  string // of this worker
}

// BeginRun opens a run of one of the session's plans, and returns the plan's outline. If the plan
// cannot be run, the outline's problem says so, without an error.
func (a *Records) BeginRun(ctx context.Context, in schema.BeginRun) (schema.Outline, error) {
	ctx = logs.With(ctx, logs.Session(in.SessionID), logs.Run(in.RunID))
	begun, err := a.Store.BeginRun(ctx, store.BeginRun{
		SessionID: in.SessionID, RunID: in.RunID, Number: in.Number, Key: in.Key, Status: schema.SessionActive, Phase: in.Phase,
		PlanDigest: in.PlanDigest, Message: in.Message,
	})
	return a.outline(&begun, err)
}

// Revise changes the plan of a run as a human asked, and returns the outline of what the run
// carries out from then on. Modifications that cannot be used or come too late are errors that no
// retry changes: invalid or conflict.
func (a *Records) Revise(ctx context.Context, in schema.Revise) (schema.Outline, error) {
	ctx = logs.With(ctx, logs.Session(in.SessionID), logs.Run(in.RunID), logs.Actor(in.Actor))
	begun, err := a.Store.Revise(ctx, store.Revise{
		SessionID: in.SessionID, RunID: in.RunID, StepID: in.StepID, ApprovalID: in.ApprovalID, Key: in.Key, Actor: in.Actor,
		Modifications: in.Modifications,
	})
	return a.outline(&begun, err)
}

// outline is a run as a workflow carries it. An error that will recur is final.
func (a *Records) outline(begun *store.BegunRun, err error) (schema.Outline, error) {
	switch {
	case err != nil:
		return schema.Outline{}, lasting(err)
	case begun.Problem != "":
		return schema.Outline{Digest: begun.Digest, Host: a.Host, Steps: []schema.OutlineStep{}, Problem: begun.Problem}, nil
	}
	o := begun.Plan.Outline()
	o.Host = a.Host
	for i := range o.Steps {
		o.Steps[i].Inherited = slices.Contains(begun.Inherited, o.Steps[i].ID)
	}
	return o, nil
}

// lasting marks an error as final if the same call would fail again.
func lasting(err error) error {
	if schema.IsPermanent(err) {
		return final(err)
	}
	return err
}

// Record writes a transition. An error that will recur is final. It adds what each approval is about, in words and in
// full: the workflow carries ids and digests only. A step's question comes in its own words.
func (a *Records) Record(ctx context.Context, t schema.Transition) (schema.Recorded, error) {
	ctx = logs.With(ctx, logs.Session(t.SessionID))
	if t.RunID != "" {
		ctx = logs.With(ctx, logs.Run(t.RunID))
	}
	if err := a.describe(ctx, &t); err != nil {
		return schema.Recorded{}, lasting(err)
	}
	if _, err := a.Store.Apply(ctx, t); err != nil {
		return schema.Recorded{}, lasting(err)
	}
	if t.End == nil || t.End.Status == schema.SessionCompleted {
		return schema.Recorded{}, nil
	}
	steps, err := a.Store.StepStatuses(ctx, t.RunID)
	return schema.Recorded{Steps: steps}, err
}

func (a *Records) describe(ctx context.Context, t *schema.Transition) error {
	var (
		open   []*schema.ApprovalOpen
		failed []string
	)
	for i := range t.Open {
		o := &t.Open[i]
		if o.Type.AskedByStep() || o.Description != "" {
			continue
		}
		open = append(open, o)
		if o.Type == schema.ApprovalErrorRecovery {
			failed = append(failed, o.StepID)
		}
	}
	if len(open) == 0 {
		return nil
	}
	run, last, err := a.Store.Asking(ctx, t.RunID, failed)
	if err != nil {
		return err
	}
	for _, o := range open {
		if err := describe(o, run.Plan, last); err != nil {
			return err
		}
	}
	return nil
}

// planContext and stepContext are what an approval of a plan or a step shows.
type planContext struct {
	Plan *schema.Plan `json:"plan"`
}

type stepContext struct {
	Step    *schema.PlanStep `json:"step"`
	Command []string         `json:"command"`
}

// describe fills in what is asked. last says how the latest attempts at failed steps ended.
func describe(o *schema.ApprovalOpen, plan *schema.Plan, last map[string]schema.StepResult) error {
	if o.Type == schema.ApprovalPlan {
		titles := make([]string, len(plan.Steps))
		for i := range plan.Steps {
			titles[i] = plan.Steps[i].Name()
		}
		o.Description = fmt.Sprintf("Run this plan of %d steps: %s", len(titles), shorten(strings.Join(titles, ", ")))
		o.Context = schema.Marshal(planContext{plan})
	} else {
		step, ok := plan.Step(o.StepID)
		if !ok {
			return schema.Errorf(schema.CodeNotFound, "the plan has no step %q", o.StepID)
		}
		verb := "Run"
		if o.Type == schema.ApprovalErrorRecovery {
			verb = "This step failed" + howItFailed(last, o.StepID) + "; retry, skip or give up:"
		}
		o.Description = fmt.Sprintf("%s %q: %s", verb, step.Name(), shorten(commandLine(step)))
		o.Context = schema.Marshal(stepContext{step, step.Command()})
	}
	if o.Why != "" {
		o.Description += " (asked again: " + shorten(o.Why) + ")"
	}
	return nil
}

func howItFailed(last map[string]schema.StepResult, step string) string {
	r, ok := last[step]
	if !ok || r.Status == schema.AttemptSucceeded || r.Status == schema.AttemptRunning {
		return ""
	}
	return fmt.Sprintf(" (%s, attempt %d)", shorten(r.Describe()), r.Attempt)
}

func commandLine(s *schema.PlanStep) string {
	if s.Kind() == schema.KindShell {
		return s.Shell
	}
	return strings.Join(s.Run, " ")
}

// shorten cuts a description to a few lines; the context has all of it.
func shorten(s string) string {
	const most = 300
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}
