package workflows

import (
	"errors"

	"go.temporal.io/sdk/workflow"

	"github.com/holdfast/holdfast/schema"
)

// Where this code decides differently from the previous release, for histories begun under that
// one. An idle session continues as new each day, so a later release can drop all of this.

// changeAnswers names the change: commands are compared with the current state, and an edit is
// checked where it is carried out.
const changeAnswers = "answers-are-compared"

// older reports whether this part of the history was made by the previous release. It is only
// called where the two differ, because the first call costs the history an event.
func older(ctx workflow.Context) bool {
	return workflow.GetVersion(ctx, changeAnswers, workflow.DefaultVersion, 1) == workflow.DefaultVersion
}

// inOrder reports whether signals are received when they arrive, before any later updates. In the
// previous release, they waited until the loop looked for them.
func (s *session) inOrder(ctx workflow.Context) bool {
	return workflow.GetVersion(ctx, changeInOrder, workflow.DefaultVersion, 1) != workflow.DefaultVersion
}

// resolveOlder: another answer with the same resolution counted as a repetition, an edit was
// checked in full, and any amount of feedback was kept.
func (s *session) resolveOlder(ctx workflow.Context, c schema.ResolveApproval) (*schema.CommandResult, error) {
	st, now := s.state, workflow.Now(ctx)
	a, repeated, err := st.checkResolve(now, c)
	held := st.checkFeedbackHeld(c)
	switch {
	case errors.Is(err, errOtherAnswer):
		if older(ctx) {
			return &schema.CommandResult{Repeated: true}, nil
		}
	case err != nil || repeated:
	case held != nil && !older(ctx):
		return nil, held
	case len(c.Modifications) > 0 && older(ctx):
		if errs := schema.CheckModifications(a.Type, c.Resolution, c.Modifications); errs != nil {
			return nil, wrongModifications(errs)
		}
	}
	return nil, nil //nolint:nilnil,nilerr // nothing differs
}

// askOlder: another question under the same request id counted as the same one, the context of a
// question could be nested to any depth, and a step could have any number of open questions.
func (s *session) askOlder(ctx workflow.Context, c schema.Ask) (*schema.CommandResult, error) {
	st := s.state
	known := st.approval(schema.AskID(st.Run.ID, c.StepID, c.RequestID))
	refused := st.checkNewAsk(c)
	switch {
	case st.checkAsk(c) != nil:
	case known != nil && known.Digest != c.Digest() && older(ctx):
		result := approvalResult(known, true)
		return &result, nil
	case refused != nil && !older(ctx):
		return nil, refused
	}
	return nil, nil //nolint:nilnil,nilerr // nothing differs
}

// holdOlder: a waiting run could not be suspended.
func (s *session) holdOlder(ctx workflow.Context, name string) (*schema.CommandResult, error) {
	st := s.state
	holds := (name == schema.CommandSuspend && st.checkSuspend() == nil) || (name == schema.CommandResume && st.checkResume() == nil)
	if holds && st.Run.Ended != "" && older(ctx) {
		return nil, st.underWay(name)
	}
	return nil, nil //nolint:nilnil // nothing differs
}
