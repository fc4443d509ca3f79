package workflows

import (
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/holdfast/holdfast/schema"
)

// A transition that Postgres refuses for good (it cannot hold some of the content, or the subject
// is gone) must not block the session: every session can always be cancelled and deleted, whatever
// is in it. So a reduced transition is recorded, down to the status alone, and what was left out
// is refused.

// unrecordable replaces text that could not be stored.
const unrecordable = "(this could not be recorded)"

// reasonUnrecordable is the reason for closing a question that could not be recorded.
const reasonUnrecordable = "unrecordable"

// recordReduced records as much as Postgres accepts of a transition that was refused with err.
func (s *session) recordReduced(ctx workflow.Context, t schema.Transition, err error) {
	log := workflow.GetLogger(ctx)
	for _, reduced := range []schema.Transition{s.state.withoutText(&t, workflow.Now(ctx)), statusOnly(&t), sessionOnly(&t)} {
		log.Error("transition refused; recording a reduced one", "key", t.Key, "as", reduced.Key, "error", err)
		var stored schema.Recorded
		err = workflow.ExecuteActivity(withRecord(ctx, "reduced: "+recordSummary(reduced)), schema.ActivityRecord, reduced).Get(ctx, &stored)
		if err == nil {
			s.state.ReconcileRecorded(reduced.RunID, stored)
			return
		}
	}
	log.Error("a transition could not be recorded at all", "key", t.Key, "error", err)
}

// withoutText is the transition without anybody's text. Steps' questions are refused, since
// nobody could tell what they ask. Gates stay open, since people know what they are about.
func (s *State) withoutText(from *schema.Transition, now time.Time) schema.Transition {
	t := *from
	t.Key += "/without words"
	t.Notes = nil
	t.Steps, t.Open, t.Close, t.Messages, t.Audit = nil, nil, nil, nil, nil
	for _, c := range from.Steps {
		c.Reason = ""
		t.Steps = append(t.Steps, c)
	}
	for _, m := range from.Messages {
		if m.Content != "" {
			m.Content = unrecordable
		}
		t.Messages = append(t.Messages, m)
	}
	for _, c := range from.Close {
		c.Feedback, c.Modifications = "", nil
		t.Close = append(t.Close, c)
	}
	for _, o := range from.Open {
		o.Description, o.Why, o.Context = unrecordable, "", nil
		t.Open = append(t.Open, o)
		if a := s.approval(o.ID); o.Type.AskedByStep() && a != nil && a.Status == schema.ApprovalPending {
			a.Status, a.ClosedAt = schema.ApprovalVoid, now
			t.Close = append(t.Close, schema.ApprovalClose{ID: o.ID, StepID: o.StepID, Status: schema.ApprovalVoid, Reason: reasonUnrecordable, At: now})
		}
	}
	for _, e := range from.Audit {
		e.Detail, e.RequestID = unrecordable, ""
		t.Audit = append(t.Audit, e)
	}
	t.End = endWithoutText(from.End)
	return t
}

func endWithoutText(end *schema.RunEnd) *schema.RunEnd {
	if end == nil {
		return nil
	}
	e := *end
	if e.Error != "" {
		e.Error = unrecordable
	}
	return &e
}

// statusOnly is the run's outcome without the rest of the transition.
func statusOnly(from *schema.Transition) schema.Transition {
	t := schema.Transition{
		SessionID: from.SessionID, RunID: from.RunID, Key: from.Key + "/bare", Status: from.Status, Phase: from.Phase,
		CurrentStep: from.CurrentStep, ExpiresAt: from.ExpiresAt, End: endWithoutText(from.End),
	}
	for _, c := range from.Steps {
		t.Steps = append(t.Steps, schema.StepChange{ID: c.ID, Status: c.Status})
	}
	return t
}

// sessionOnly is the session's outcome when its run does not exist.
func sessionOnly(from *schema.Transition) schema.Transition {
	return schema.Transition{SessionID: from.SessionID, Key: from.Key + "/bare session", Status: from.Status, Phase: from.Phase, ExpiresAt: from.ExpiresAt}
}
