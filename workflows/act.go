package workflows

import (
	"errors"
	"fmt"
	"strings"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/holdfast/holdfast/schema"
)

// record brings Postgres up to date with State. Steps that may run now start at the same time: each
// carries the transition, and its host records it before the step if it gets there first. So a
// decision takes effect after one round trip through Temporal instead of two, and is recorded even
// when the host is down.
func (s *session) record(ctx workflow.Context) error {
	t := s.nextTransition(ctx)
	s.showInTemporal(ctx)
	recorded := workflow.ExecuteActivity(withRecord(ctx, recordSummary(t)), schema.ActivityRecord, t)
	if s.canCarryTransition(ctx, &t) {
		s.start(ctx, &t)
	}
	var stored schema.Recorded
	if err := recorded.Get(ctx, &stored); err != nil {
		if !isFinal(err) {
			return err
		}
		s.recordReduced(ctx, t, err)
		return nil
	}
	s.state.ReconcileRecorded(t.RunID, stored)
	return nil
}

// codeOf is the error code that an activity gave its error.
func codeOf(err error) schema.Code {
	if app, ok := errors.AsType[*temporal.ApplicationError](err); ok {
		return schema.Code(app.Type())
	}
	return ""
}

// isFinal reports whether an activity's error says that retrying is no use.
func isFinal(err error) bool {
	app, ok := errors.AsType[*temporal.ApplicationError](err)
	return ok && app.NonRetryable()
}

// showInTemporal updates what Temporal's own tools show of the session.
func (s *session) showInTemporal(ctx workflow.Context) {
	st := s.state
	workflow.SetCurrentDetails(ctx, s.details())
	now := SearchValues{st.Status(), st.Phase()}
	if !st.Input.Searchable || st.SearchValues == now {
		return
	}
	st.SearchValues = now
	err := workflow.UpsertTypedSearchAttributes(ctx,
		searchStatus.ValueSet(string(now.Status)), searchPhase.ValueSet(string(now.Phase)),
		searchMode.ValueSet(string(st.Input.Mode)), searchOwner.ValueSet(st.Input.Owner))
	if err != nil {
		workflow.GetLogger(ctx).Warn("search attributes not set", "error", err)
	}
}

var (
	searchStatus = temporal.NewSearchAttributeKeyKeyword(schema.SearchStatus)
	searchPhase  = temporal.NewSearchAttributeKeyKeyword(schema.SearchPhase)
	searchMode   = temporal.NewSearchAttributeKeyKeyword(schema.SearchMode)
	searchOwner  = temporal.NewSearchAttributeKeyKeyword(schema.SearchOwner)
)

func recordSummary(t schema.Transition) string {
	words := []string{string(t.Status), string(t.Phase)}
	for i := range t.Open {
		words = append(words, "open "+string(t.Open[i].Type)+" "+t.Open[i].StepID)
	}
	for i := range t.Close {
		words = append(words, string(t.Close[i].Status)+" "+string(t.Close[i].Resolution))
	}
	return excerpt(strings.Join(words, ", "))
}

// act does the next thing that State asks for, if any.
func (s *session) act(ctx workflow.Context) bool {
	st := s.state
	switch {
	case len(st.LeftBehind) > 0:
		s.stopLeftBehind(ctx)
	case st.Run.Ended != "":
		return st.StartNext()
	case st.Cancel != nil:
		s.stopRun(ctx)
	case st.NextEdit() != nil:
		s.revise(ctx)
	case st.Suspended != st.Frozen && (st.Frozen || st.running() > 0):
		s.freezeOrThaw(ctx)
	case s.findHost(ctx):
	default:
		return s.start(ctx, nil)
	}
	return true
}

// begin opens the run. Everything that opening the first run needs is known at the start, so the
// worker that makes this decision tries it itself, which saves two round trips to Temporal. Nothing
// else may be done this way: a decision that depends on earlier events is lost with its worker, and
// another is made in its place, while what it wrote to Postgres stays.
func (s *session) begin(ctx workflow.Context) {
	r := s.state.Run
	summary := fmt.Sprintf("open run %d", r.Number)
	arg := schema.BeginRun{
		SessionID: s.state.Input.SessionID, RunID: r.ID, Number: r.Number, Key: "begin/" + r.ID, Phase: s.state.phaseAfterBegin(),
		PlanDigest: r.Digest, Message: r.Message,
	}
	var outline schema.Outline
	err := errNoAttempt
	if r.Number == 1 {
		err = workflow.ExecuteLocalActivity(withLocalRecord(ctx, summary), schema.ActivityBeginRun, arg).Get(ctx, &outline)
	}
	if err != nil && !isFinal(err) {
		err = workflow.ExecuteActivity(withRecord(ctx, summary), schema.ActivityBeginRun, arg).Get(ctx, &outline)
	}
	if err != nil {
		s.state.fail("the run could not be opened: " + describe(err))
	}
	s.state.Begun(outline, workflow.Now(ctx))
}

var errNoAttempt = errors.New("no attempt was made")

// revise carries out a human's edit.
func (s *session) revise(ctx workflow.Context) {
	st := s.state
	arg := st.Revise(st.NextEdit())
	var outline schema.Outline
	summary := "edit " + arg.StepID + " for " + arg.Actor
	if err := workflow.ExecuteActivity(withRecord(ctx, summary), schema.ActivityRevise, arg).Get(ctx, &outline); err != nil {
		st.EditRefused(describe(err), workflow.Now(ctx))
		return
	}
	st.revised(outline, workflow.Now(ctx), !st.changesNothing(outline) || !older(ctx))
}

// start runs every step that may run now, all on the host that has the workspace. Before is the
// transition that led to this, if it may not be recorded yet.
func (s *session) start(ctx workflow.Context, before *schema.Transition) bool {
	st := s.state
	list := st.Startable(workflow.Now(ctx))
	if len(list) == 0 || s.needsHost() || (len(s.inFlight) > 0 && workflow.GetInfo(ctx).GetCurrentHistoryLength() > longHistory) {
		return false
	}
	for _, i := range list {
		arg := st.Start(i)
		arg.Before = before
		s.dispatch(ctx, i, arg, nil)
	}
	s.showInTemporal(ctx)
	return true
}

func stepResult(result schema.StepResult, err error) schema.StepResult {
	switch {
	case err == nil:
		return result
	case temporal.IsCanceledError(err):
		return schema.StepResult{Status: schema.AttemptCancelled, Reason: schema.ReasonCancelled}
	case isFinal(err) && codeOf(err) == schema.CodeConflict:
		return schema.StepResult{Status: schema.AttemptLost, Reason: schema.ReasonChanged, Message: describe(err)}
	default:
		return schema.StepResult{Status: schema.AttemptFailed, Reason: schema.ReasonStart, Message: describe(err)}
	}
}

// freezeOrThaw freezes or thaws the running steps to match whether the session is suspended. A host
// that does not answer has no worker now. Its steps may go on without one, and the next worker
// freezes or thaws them before it does anything else with them.
func (s *session) freezeOrThaw(ctx workflow.Context) {
	st := s.state
	from, to := schema.StepRunning, schema.StepFrozen
	if st.Frozen {
		from, to = schema.StepFrozen, schema.StepRunning
		// The host may have been away for long: if it answers, it has its steps back.
		if s.hostAnswers(ctx, freezeTimeout, schema.ActivityThawSteps, schema.ActivityThawSteps) && s.hostSearch == nil {
			s.mark(s.lost(lossTimeout, lossAway), lossResend)
		}
	} else if !s.needsHost() || len(s.lost(lossNone)) > 0 { // else its host was just found silent
		s.hostAnswers(ctx, freezeTimeout, schema.ActivityFreezeSteps, schema.ActivityFreezeSteps)
	}
	st.Frozen = !st.Frozen
	for i := range st.Run.Steps {
		if step := &st.Run.Steps[i]; step.Status == from {
			st.setStep(step, to, "")
		}
	}
}

// stopRun ends everything in the run and counts what it ended. Steps on a host that does not answer
// are ended by its next worker, or end by themselves after an hour without one.
func (s *session) stopRun(ctx workflow.Context) {
	st := s.state
	s.cancelHostSearch()
	for i := range st.Run.Steps {
		if f, ok := s.inFlight[i]; ok {
			f.cancel() // from here on Temporal starts no new attempt
		}
	}
	receipt := s.stopEverywhere(ctx)
	giveUpAt := workflow.Now(ctx).Add(settleTimeout)
	for !s.allComplete() && workflow.Now(ctx).Before(giveUpAt) {
		s.timer.set(ctx, giveUpAt, "stopped steps are recorded")
		_ = workflow.Await(ctx, func() bool { return s.allComplete() || s.timer.fired() }) // an error would mean a cancelled ctx, and this one is disconnected
	}
	for i := range st.Run.Steps {
		if f, ok := s.inFlight[i]; ok && f.lost == lossNone && f.future.IsReady() {
			s.complete(ctx, i, f)
		}
		delete(s.inFlight, i) // steps lost to their host are cancelled with the rest
	}
	st.Cancelled(receipt, workflow.Now(ctx))
}

func (s *session) allComplete() bool {
	for _, i := range workflow.DeterministicKeys(s.inFlight) {
		if f := s.inFlight[i]; f.lost == lossNone && !f.future.IsReady() {
			return false
		}
	}
	return true
}

// describe is the innermost message of an activity's error, for people.
func describe(err error) string {
	if app, ok := errors.AsType[*temporal.ApplicationError](err); ok {
		return app.Message()
	}
	return err.Error()
}

// maxShownApprovals limits how many pending approvals Temporal's tools show.
const maxShownApprovals = 10

// details is what the Temporal Web UI shows of the session, in Markdown.
func (s *session) details() string {
	st := s.state
	var b strings.Builder
	fmt.Fprintf(&b, "**%s** · %s · run %d", st.Status(), st.Phase(), st.Run.Number)
	if step := st.CurrentStep(); step != "" {
		fmt.Fprintf(&b, " · step `%s`", step)
	}
	b.WriteString(s.hostDetails())
	pending := st.PendingViews()
	for i, a := range pending {
		if i == maxShownApprovals {
			fmt.Fprintf(&b, "\n\nand %d more", len(pending)-i)
			break
		}
		fmt.Fprintf(&b, "\n\n**%s** %s, until %s. Answer with one of %s:\n\n"+
			"    temporal workflow update execute -w %s --name resolve_approval --input '{\"approval_id\":\"%s\",\"resolution\":\"%s\"}'",
			a.Type, a.StepID, a.ExpiresAt, schema.JoinResolutions(a.Options), schema.WorkflowID(st.Input.SessionID), a.ApprovalID, a.Options[0])
	}
	return b.String()
}
