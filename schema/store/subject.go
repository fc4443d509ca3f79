package store

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/holdfast/holdfast/schema"
)

// Subject reads everything that an approval's digest binds, and the version that was asked about
// before it. It fails with [schema.CodeNotFound] if there is no such approval, or nothing with that
// digest is stored.
func (s *Store) Subject(ctx context.Context, approvalID string) (schema.Subject, error) {
	if !schema.ValidID(approvalID) {
		return schema.Subject{}, noApproval(approvalID)
	}
	is, err := s.asked(ctx, approvalID)
	if err != nil {
		return schema.Subject{}, err
	}
	return s.subjectOf(ctx, is)
}

func (s *Store) subjectOf(ctx context.Context, is askedAbout) (subject schema.Subject, err error) {
	subject = schema.Subject{ApprovalID: is.id, Digest: is.digest, OnTimeout: is.onTimeout, Attention: []schema.Attention{}}
	if is.kind.AskedByStep() {
		return subject, nil
	}
	if subject.Plan, err = s.bound(ctx, is); err != nil {
		return schema.Subject{}, err
	}
	subject.Asks = subject.Plan.Asks(is.config)
	subject.Attention = subject.Plan.Attention(subject.Asks)
	was, err := s.askedBefore(ctx, is)
	if errors.Is(err, pgx.ErrNoRows) {
		return subject, nil
	}
	if err != nil {
		return schema.Subject{}, failed("read what was asked before", err)
	}
	plan, err := s.bound(ctx, was)
	switch {
	case err == nil:
		subject.Before = &schema.SubjectBefore{ApprovalID: was.id, Plan: plan}
	case schema.CodeOf(err) != schema.CodeNotFound:
		return schema.Subject{}, err
	}
	return subject, nil
}

// askedAbout identifies the subject of an approval.
type askedAbout struct {
	id, session, run, step, digest string
	kind                           schema.ApprovalType
	onTimeout                      schema.OnTimeout
	config                         schema.Config // of the session
	plan                           *schema.Plan  // of the run, when it is known
}

const selectAsked = `SELECT a.id::text, a.session_id::text, a.run_id::text, a.step_id, a.digest, a.approval_type,
		a.on_timeout, a.escalated_at IS NOT NULL, s.config
	FROM approval_requests a JOIN sessions s ON s.id = a.session_id WHERE s.deleted_at IS NULL AND `

func scanAsked(row pgx.Row) (a askedAbout, err error) {
	var escalated bool
	err = row.Scan(&a.id, &a.session, &a.run, &a.step, &a.digest, &a.kind, &a.onTimeout, &escalated, &a.config)
	a.onTimeout = a.onTimeout.Next(escalated)
	return a, err
}

func (s *Store) asked(ctx context.Context, approvalID string) (askedAbout, error) {
	a, err := scanAsked(s.pool.QueryRow(ctx, selectAsked+`a.id = $1::uuid`, approvalID))
	return a, failed("read an approval", notFoundIfNoRows(err, noApproval(approvalID)))
}

// askedBefore is the newest approval of the same step, or of the plan, in the same run that asked
// about something else.
func (s *Store) askedBefore(ctx context.Context, is askedAbout) (askedAbout, error) {
	return scanAsked(s.pool.QueryRow(ctx, selectAsked+`a.session_id = $1::uuid AND a.run_id = $2::uuid AND a.step_id = $3
		AND a.digest <> $4 AND a.approval_type = ANY ($5::text[]) AND a.created_at < COALESCE((SELECT created_at FROM approval_requests WHERE id = $6::uuid), 'infinity')
		ORDER BY a.created_at DESC, a.id DESC LIMIT 1`,
		is.session, is.run, is.step, is.digest, []string{string(schema.ApprovalPlan), string(schema.ApprovalStep), string(schema.ApprovalErrorRecovery)}, is.id))
}

// maxSubjectBytes is how long a subject may be, as JSON, that comes with the event of its approval: as much as a step or a
// plan that people read at a glance. Every viewer gets it.
const maxSubjectBytes = 16 << 10

// subjectsTimeout limits the time for reading the subjects of a transition. It is well below that of recording one: a
// session asks, whatever its plan is like.
const subjectsTimeout = time.Second

// shortSubjects reads the subjects of the approvals that a transition opens, by the approval's id. Those that are too
// long are missing, and those that cannot be read in time: whoever wants them asks for them.
func (s *Store) shortSubjects(ctx context.Context, t *schema.Transition) map[string]*schema.Subject {
	subjects := map[string]*schema.Subject{}
	if !slices.ContainsFunc(t.Open, func(o schema.ApprovalOpen) bool { return !o.Type.AskedByStep() }) {
		return subjects
	}
	ctx, cancel := context.WithTimeout(ctx, subjectsTimeout)
	defer cancel()
	run, err := s.RunPlan(ctx, t.RunID)
	if err != nil || run.Plan == nil || !shortFiles(run.Plan) { // its files come along with every step
		return subjects
	}
	var config schema.Config
	if s.pool.QueryRow(ctx, `SELECT config FROM sessions WHERE id = $1::uuid`, t.SessionID).Scan(&config) != nil {
		return subjects
	}
	for i := range t.Open {
		ask := &t.Open[i]
		if ask.Type.AskedByStep() || !shortQuestion(run.Plan, ask) {
			continue
		}
		subject, err := s.subjectOf(ctx, askedAbout{
			id: ask.ID, session: t.SessionID, run: t.RunID, step: ask.StepID, digest: ask.Digest, kind: ask.Type, onTimeout: ask.OnTimeout,
			config: config, plan: run.Plan,
		})
		if ctx.Err() != nil {
			return subjects
		}
		if err == nil && len(schema.Marshal(subject)) <= maxSubjectBytes {
			subjects[ask.ID] = &subject
		}
	}
	return subjects
}

func shortFiles(p *schema.Plan) bool {
	size := 0
	for name, text := range p.Files {
		size += len(name) + len(text)
	}
	return size <= maxSubjectBytes
}

// shortQuestion reports whether what is asked about may be short. It is told before anything is read or searched.
func shortQuestion(p *schema.Plan, ask *schema.ApprovalOpen) bool {
	if ask.Type == schema.ApprovalPlan {
		return len(schema.Marshal(p)) <= maxSubjectBytes
	}
	step, ok := p.Step(ask.StepID)
	return ok && len(schema.Marshal(step)) <= maxSubjectBytes
}

// maxPlansSearched limits how many of a session's plans are searched for a step that was asked
// about long ago. The current question is in the run's own plan.
const maxPlansSearched = 50

// bound finds what a digest binds: a plan of the session, or a step in one of its plans.
func (s *Store) bound(ctx context.Context, is askedAbout) (*schema.Plan, error) {
	if is.kind == schema.ApprovalPlan {
		if is.plan != nil && is.plan.Digest() == is.digest {
			return is.plan, nil
		}
		saved, err := s.SavedPlan(ctx, is.session, is.digest)
		if err == nil && saved.Plan == nil {
			err = notKept(is.id)
		}
		return saved.Plan, err
	}
	boundBy := func(plan *schema.Plan) *schema.Plan {
		if plan != nil {
			if step, ok := plan.Step(is.step); ok && plan.StepDigest(step) == is.digest {
				return plan.Bound(step)
			}
		}
		return nil
	}
	if is.plan == nil {
		run, err := s.RunPlan(ctx, is.run)
		if err != nil {
			return nil, err
		}
		is.plan = run.Plan
	}
	if found := boundBy(is.plan); found != nil {
		return found, nil
	}
	digests, err := s.PlanDigests(ctx, is.session)
	if err != nil {
		return nil, err
	}
	for i := len(digests) - 1; i >= max(0, len(digests)-maxPlansSearched); i-- {
		saved, err := s.SavedPlan(ctx, is.session, digests[i])
		if err != nil {
			return nil, err
		}
		if found := boundBy(saved.Plan); found != nil {
			return found, nil
		}
	}
	return nil, notKept(is.id)
}

func notKept(approvalID string) error {
	return schema.Errorf(schema.CodeNotFound, "the subject of approval %q is no longer stored", approvalID)
}
