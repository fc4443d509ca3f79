package main

import (
	"context"
	"time"

	"github.com/holdfast/holdfast/schema"
)

// quietSession creates a session that waits for approval of its plan, for a month at most,
// and then of its step: nothing in it runs.
func (w *world) quietSession(ctx context.Context) (string, error) {
	step := running("true")
	step["id"], step["approval"] = "s", true
	return w.create(ctx, obj{"steps": []obj{step}}, obj{"approval_mode": "after_planning", "approval_timeout_seconds": schema.MaxApprovalTimeoutSeconds})
}

// quietSessions creates many of them, from all callers at once, and waits until each has
// asked. before is how many there were. It returns the rates of answers and of sessions that
// had asked.
func (w *world) quietSessions(ctx context.Context, before, many int) (ids []string, answers, asked float64, err error) {
	ids = make([]string, many)
	began := time.Now()
	answers, err = together(ctx, many, func(ctx context.Context, i int) error {
		var err error
		ids[i], err = w.quietSession(ctx)
		return err
	})
	if err == nil {
		err = w.pending(ctx, schema.ApprovalPlan, before+many)
	}
	return ids, answers, perSecond(many, time.Since(began)), err
}

// startMany does the same with bare workflows, numbered from first on.
func (b *bare) startMany(ctx context.Context, first, many int) (answers, ran float64, err error) {
	began := time.Now()
	answers, err = together(ctx, many, func(ctx context.Context, i int) error { return b.start(ctx, first+i, false) })
	if err == nil {
		err = b.ready(ctx, first+many)
	}
	return answers, perSecond(many, time.Since(began)), err
}

// benchStarts measures how many sessions are created in a second. The reference is the start
// of a bare workflow.
func benchStarts(ctx context.Context, w *world) ([]measurement, error) {
	b, err := newBare(w)
	if err != nil {
		return nil, err
	}
	defer b.stop()
	var answers, asked, bareAnswers, bareRan rounds
	ours, theirs := account{}, account{}
	many := w.size(300, 6)
	for round := range w.roundsOf() + 1 {
		var rate, quiet, bareRate, bareQuiet float64
		spent, err := w.charged(func() (err error) {
			_, rate, quiet, err = w.quietSessions(ctx, round*many, many)
			return err
		})
		if err != nil {
			return nil, err
		}
		bareSpent, err := w.charged(func() (err error) {
			bareRate, bareQuiet, err = b.startMany(ctx, round*many, many)
			return err
		})
		if err != nil {
			return nil, err
		}
		if round == 0 && !w.small { // to warm up
			continue
		}
		answers, asked = append(answers, []float64{rate}), append(asked, []float64{quiet})
		bareAnswers, bareRan = append(bareAnswers, []float64{bareRate}), append(bareRan, []float64{bareQuiet})
		ours.charge(spent, many)
		theirs.charge(bareSpent, many)
	}
	created := compared("sessions created, 32 callers; bare: workflow starts", "1/s", answers, bareAnswers)
	created.RatioGoal, created.Better = 0.5, higher
	return append([]measurement{
		created,
		compared("the same, until each has asked; bare: until each has run", "1/s", asked, bareRan),
	}, ours.measurements(theirs)...), nil
}

// benchDecisions measures how many approvals of 1,500 waiting sessions are resolved in a
// second. Another approval follows each. The reference is the update of a bare workflow.
func benchDecisions(ctx context.Context, w *world) ([]measurement, error) {
	b, err := newBare(w)
	if err != nil {
		return nil, err
	}
	defer b.stop()
	many := w.size(1500, 9)
	ids, _, _, err := w.quietSessions(ctx, 0, many)
	if err != nil {
		return nil, err
	}
	if _, _, err := b.startMany(ctx, 0, many); err != nil {
		return nil, err
	}
	var answers, asked, bareAnswers rounds
	ours, theirs := account{}, account{}
	each := many / (w.roundsOf() + 1) // the first round warms up
	for round := range w.roundsOf() + 1 {
		first := round * each
		var rate, quiet, bareRate float64
		began := time.Now()
		spent, err := w.charged(func() (err error) {
			rate, err = together(ctx, each, func(ctx context.Context, i int) error {
				return w.approve(ctx, schema.ApprovalID(ids[first+i], 1))
			})
			if err == nil {
				err = w.pending(ctx, schema.ApprovalStep, first+each)
			}
			quiet = perSecond(each, time.Since(began))
			return err
		})
		if err != nil {
			return nil, err
		}
		bareSpent, err := w.charged(func() (err error) {
			bareRate, err = together(ctx, each, func(ctx context.Context, i int) error { return b.decide(ctx, first+i) })
			return err
		})
		if err != nil {
			return nil, err
		}
		if round == 0 && !w.small {
			continue
		}
		answers, asked = append(answers, []float64{rate}), append(asked, []float64{quiet})
		bareAnswers = append(bareAnswers, []float64{bareRate})
		ours.charge(spent, each)
		theirs.charge(bareSpent, each)
	}
	decided := compared("decisions over 1,500 sessions, 32 callers; bare: updates", "1/s", answers, bareAnswers)
	decided.RatioGoal, decided.Better = 0.6, higher
	again := compared("the same, until each has asked again", "1/s", asked, bareAnswers)
	return append([]measurement{decided, again}, ours.measurements(theirs)...), nil
}
